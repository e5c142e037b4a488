# SPDX-License-Identifier: Apache-2.0
"""Reading of netCDF samples."""

import pytest
import rasterio
import rasterio.errors


def read_netcdf(path, band):
    """A variable of a netCDF file by whatever reader is there; skips without one."""
    try:
        import h5py
    except ImportError:
        pass
    else:
        with h5py.File(path) as file:
            return file[band][:]
    try:
        with rasterio.open(f'netcdf:"{path}":{band}') as dataset:
            return dataset.read()
    except rasterio.errors.RasterioError:
        pytest.skip("no reader of netCDF: neither h5py nor GDAL's driver is installed")
