# SPDX-License-Identifier: Apache-2.0
"""Small products with the metadata that the catalogue reads, and settings files for plans."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from made.recipes import resolve

LEVELS = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
NATIVE = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}


def settings_file(folder, **recipe):
    """A plan's settings file, from a recipe with the given sections over small defaults."""
    plain = {
        "name": "test",
        "images": ["sentinel2"],
        "area": {"bbox": [3.0, 44.97, 3.02, 44.99]},
        "sampling": {"kind": "mosaic", "crs": "EPSG:32631", "resolution": 10, "size_px": 32},
        "catalog": {"source": "local"},
        "sentinel2": {"bands": ["B02", "B05"]},
    }
    for key, value in recipe.items():
        merge = isinstance(value, dict) and key != "area"
        plain[key] = plain.get(key, {}) | value if merge else value
    if plain["sampling"]["kind"] == "tiles":  # whose grids are their own
        plain["sampling"] = {
            k: v for k, v in plain["sampling"].items() if k not in ("crs", "resolution")
        }
    path = Path(folder) / "plan.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(resolve(plain).stage_settings("plan")))
    return path


def write_raster(path, *, crs="EPSG:32631", left=500_000.0, top=4_982_400.0, res=10.0, size=240,
                 count=1, dtype="uint16", nodata=None, descriptions=(), value=7):  # fmt: skip
    """A raster of one value."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "JP2OpenJPEG" if path.suffix == ".jp2" else "GTiff", "count": count,
        "width": size, "height": size, "dtype": dtype, "crs": crs, "nodata": nodata,
        "transform": Affine(res, 0, left, 0, -res, top),
    }  # fmt: skip
    if path.suffix == ".jp2":
        profile |= {"QUALITY": "100", "REVERSIBLE": "YES"}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.full((count, size, size), value, dtype))
        for number, text in enumerate(descriptions, 1):
            dataset.set_band_description(number, text)
    return path


def make_safe(folder, *, level="L2A", tile="T31TEK", start="20220115T105341", baseline="04.00",
              made="20220116T010203", offsets=-1000, cloud=3.5, platform="S2A",
              bands=("B02", "B05"), crs="EPSG:32631", code="EPSG:32631", scl=False,
              left=500_000.0, top=4_982_400.0, extent_m=2_400.0, footprint=None, orbit=51):  # fmt: skip
    """A SAFE folder whose bands cover a square; the footprint is a little larger."""
    name = f"{platform}_MSI{level}_{start}_N{baseline.replace('.', '')}_R{orbit:03d}_{tile}_{made}.SAFE"
    root = Path(folder) / name
    granule = root / "GRANULE" / f"{level}_{tile}_A000001_{start}"
    granule.mkdir(parents=True)
    for band in (*bands, *(["SCL"] if scl else [])):
        size = 20 if band == "SCL" else NATIVE.get(band, 20)
        inner = (
            f"R{size}m/{tile}_{start}_{band}_{size}m"
            if level == "L2A"
            else f"{tile}_{start}_{band}"
        )
        write_raster(granule / "IMG_DATA" / f"{inner}.jp2", crs=crs, left=left, top=top, res=size,
                     size=int(extent_m / size), dtype="uint8" if band == "SCL" else "uint16")  # fmt: skip
    ring = footprint or ((44.96, 2.99), (45.0, 2.99), (45.0, 3.04), (44.96, 3.04), (44.96, 2.99))
    node = LEVELS[level]
    listed = [] if offsets is None else [
        f'<{node} band_id="{n}">{offsets}</{node}>'
        for n, band in enumerate(BANDS) if not (level == "L2A" and band == "B10")
    ]  # fmt: skip
    quantification = "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE"
    (root / f"MTD_MSI{level}.xml").write_text(f"""<n1:P xmlns:n1="x"><n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{_time(start)}.024Z</PRODUCT_START_TIME><PRODUCT_URI>{name}</PRODUCT_URI>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE><GENERATION_TIME>{_time(made)}Z</GENERATION_TIME>
<Datatake datatakeIdentifier="G{platform}_{start}_000001_N{baseline}">
<SPACECRAFT_NAME>Sentinel-{platform[1:]}</SPACECRAFT_NAME><SENSING_ORBIT_NUMBER>{orbit}</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake></Product_Info>
<C><{quantification} unit="none">10000</{quantification}>{"".join(listed)}</C></n1:General_Info>
<EXT_POS_LIST>{" ".join(f"{lat} {lon}" for lat, lon in ring)} </EXT_POS_LIST>
<Cloud_Coverage_Assessment>{cloud}</Cloud_Coverage_Assessment></n1:P>""")
    (granule / "MTD_TL.xml").write_text(f"""<n1:T xmlns:n1="x">
<TILE_ID>{platform}_OPER_MSI_{level}_TL_TEST_{made}_A000001_{tile}_N{baseline}</TILE_ID>
<DATASTRIP_ID>{platform}_OPER_MSI_{level}_DS_TEST_{made}_S{start}_N{baseline}</DATASTRIP_ID>
<HORIZONTAL_CS_CODE>{code}</HORIZONTAL_CS_CODE>{
        "".join(
            f'<Geoposition resolution="{r}"><ULX>{left}</ULX><ULY>{top}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM></Geoposition>'
            for r in (10, 20, 60)
        )
    }</n1:T>""")
    return root


def zipped(root):
    """The zip archive of a SAFE folder, which is removed."""
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, f"{root.name}/{file.relative_to(root).as_posix()}")
    shutil.rmtree(root)
    return path


def reference_map(folder):
    """A map that covers the default area."""
    return write_raster(Path(folder) / "map.tif", crs="EPSG:4674", left=2.9, top=45.1, res=0.001,
                        size=300, dtype="uint8", nodata=255)  # fmt: skip


def _time(text):
    return f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:]}"
