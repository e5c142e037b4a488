# SPDX-License-Identifier: Apache-2.0
"""Speckle filters on genuine series: looks, edges, what changes on one date, and means.

OPERA RTC-S1, two bursts, 21 dates, 30 m; Antwerp σ⁰, 10 dates of several orbits, 10 m.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from affine import Affine

from made.netcdf import read_netcdf
from made.recipes import with_layers
from made.scenes import Unit, all_corners
from terrapatch.catalog.files import Files
from terrapatch.catalog.geotiff import named_scenes
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.product import file_geobox
from terrapatch.sentinel1.speckle import (
    boxcar,
    equivalent_looks,
    lee,
    multitemporal,
    refined_lee,
)
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet

optimize = pytest.importorskip("scipy.optimize")
special = pytest.importorskip("scipy.special")

SERIES = [(place, band) for place in ("292322", "292323", "antwerp") for band in ("VV", "VH")]
OPERA = SERIES[:4]


def read_series(shared, place, band):
    """(time, y, x) linear power."""
    if place == "antwerp":
        path = shared / "s1s2_series_antwerp" / "cdse_sentinel1_grd.nc"
        # Unsigned numbers that netCDF 3 has no type for; 20 · log10(DN) − 83 is σ⁰ in dB.
        dn = read_netcdf(path, f"S1-SIGMA0-{band}").astype(np.uint16)
        return (dn.astype(np.float64) ** 2 * 10**-8.3).astype(np.float32)
    images = []
    for path in sorted((shared / "s1_rtc_series").glob(f"*-{place}-*_{band}.tif")):
        with rasterio.open(path) as dataset:
            images.append(dataset.read(1))
    return np.stack(images)


def decibel(ratio):
    return 10 * np.log10(ratio)


def boxcars(series):
    return np.stack([boxcar(image, 1) for image in series])


# Looks -------------------------------------------------------------------------------------------


def even_squares(series, count=5, side=10):
    """The most even squares of the time mean that do not overlap."""
    mean = series.mean(0)
    starts = [range(2, n - side - 2, 2) for n in mean.shape]
    found = [
        (equivalent_looks(mean[y : y + side, x : x + side]), y, x)
        for y in starts[0]
        for x in starts[1]
    ]
    chosen = []
    for _, y, x in sorted(found, reverse=True):
        if len(chosen) < count and all(max(abs(y - b), abs(x - a)) >= side for b, a in chosen):
            chosen.append((y, x))
    return [(slice(y, y + side), slice(x, x + side)) for y, x in chosen]


def variance(images, where):
    """Mean over dates of variance over mean²: one over looks."""
    return np.mean([1 / equivalent_looks(image[where]) for image in images])


def looks(series, means, filtered, where):
    """Looks before, of the mean, as found, and by theory without and with correlation in time.

    Of the filter's two parts, the mean has n · L looks. The mean of N ratios, each of variance
    (1 − 1/n) / L, has (1 + (N − 1) ρ) / N of that, where ρ is the correlation of ratios between
    dates: ground that differs from pixel to pixel in the same way on all dates, and speckle that
    repeats because the radar comes back to the same place.
    """
    count = len(series)
    before, mean = variance(series, where), variance(means, where)
    n = before / mean
    ratios = (series / means)[:, *where].reshape(count, -1).astype(float)
    correlation = np.corrcoef(ratios)
    rho = (correlation.sum() - count) / (count * (count - 1))
    independent = before * (1 / n + (1 - 1 / n) / count)
    related = before * (1 / n + (1 - 1 / n) * (1 + (count - 1) * rho) / count)
    return 1 / before, n, rho, 1 / mean, 1 / variance(filtered, where), 1 / independent, 1 / related


@pytest.mark.parametrize(("place", "band"), SERIES)
def test_looks_are_those_of_theory_with_the_correlation_of_dates(shared_data, place, band):
    series = read_series(shared_data, place, band)
    means, filtered = boxcars(series), multitemporal(series, 1)
    rows = [looks(series, means, filtered, where) for where in even_squares(series)]
    before, n, rho, mean, found, independent, related = np.median(rows, axis=0)
    print(place, band, np.round([before, n, rho, mean, found, independent, related], 2))
    assert found > 1.9 * before
    assert found / related == pytest.approx(1, abs=0.1)
    # Without ρ theory promises more than any series of the same orbit can give.
    assert found < 1.05 * independent
    if place != "antwerp":
        assert rho > 0.03


# Edges -------------------------------------------------------------------------------------------

EDGES = {
    "dark field, south of a bright one": ((slice(47, 62), slice(50, 72)), 1),
    "dark field, west of a bright one": ((slice(17, 32), slice(45, 57)), 0),
    "dark field, east of a bright one": ((slice(16, 24), slice(36, 46)), 0),
}
"""Field borders of burst 292322: window and the axis along the edge."""


def edge(image, window, axis):
    """Level before and after, position and width (σ of a normal curve) of an edge, in pixels."""
    profile = image[window].mean(axis)
    place = np.arange(profile.size)

    def model(x, a, b, middle, width):
        return a + (b - a) * special.ndtr((x - middle) / width)

    start = profile[:3].mean(), profile[-3:].mean(), profile.size / 2, 0.7
    bounds = [0, 0, 1, 0.15], [9, 9, profile.size - 2, 4]
    return optimize.curve_fit(model, place, profile, start, bounds=bounds)[0]


@pytest.mark.parametrize("name", list(EDGES))
def test_edges_of_fields_stay_where_and_as_sharp_as_they_are(shared_data, name):
    window, axis = EDGES[name]
    series = read_series(shared_data, "292322", "VV")
    before = 1 / np.mean([variance(series, where) for where in even_squares(series)])
    filtered = {
        "none": series, "multitemporal": multitemporal(series, 1), "boxcar": boxcars(series),
        "lee": np.stack([lee(image, 2, before) for image in series]),
        "refined_lee": np.stack([refined_lee(image, before) for image in series]),
    }  # fmt: skip
    truth = edge(series.mean(0), window, axis)
    shift, width, contrast, scatter = {}, {}, {}, {}
    for method, images in filtered.items():
        low, high, middle, width[method] = edge(images.mean(0), window, axis)
        shift[method], contrast[method] = middle - truth[2], decibel(high / low)
        each = np.array([edge(image, window, axis)[2] for image in images]) - truth[2]
        scatter[method] = 1.4826 * np.median(np.abs(each - np.median(each)))
        print(
            name,
            method,
            *np.round([shift[method], scatter[method], width[method], contrast[method]], 2),
        )
    assert abs(shift["multitemporal"]) < 0.03
    assert width["multitemporal"] == pytest.approx(width["none"], abs=0.03)
    assert contrast["multitemporal"] == pytest.approx(contrast["none"], abs=0.05)
    assert scatter["multitemporal"] < scatter["none"]  # a single date tells the place better
    assert width["boxcar"] > 1.5 * width["none"]
    assert all(abs(shift["multitemporal"]) < abs(s) for k, s in shift.items() if k not in ("none", "multitemporal"))  # fmt: skip


# Change ------------------------------------------------------------------------------------------

DATE, SHIP = 7, (72, 20)


@pytest.mark.parametrize(("place", "band"), OPERA)
def test_a_ship_on_one_date_is_seen_on_others_as_much_as_theory_says(shared_data, place, band):
    """Its ratio is nearly n where it should be 1: (n − 1) / N of 9 pixels and 21 dates, 1.3 dB."""
    series = read_series(shared_data, place, band)
    planted = series.copy()
    planted[DATE, *SHIP] = 100 * series[:, *SHIP].mean()  # 20 dB
    y, x = SHIP
    ratios = (series / boxcars(series))[:, y, x].astype(float)
    there = planted[DATE, y, x] / boxcar(planted[DATE], 1)[y, x]
    expected = decibel((ratios.sum() - ratios[DATE] + there) / ratios.sum())
    change = decibel(multitemporal(planted, 1) / multitemporal(series, 1))
    others = np.delete(change, DATE, axis=0)
    print(place, band, expected, others[:, y, x].mean(), others.min())
    np.testing.assert_allclose(others[:, y, x], expected, atol=0.01)
    assert 1.0 < expected < 1.5
    assert others.min() > -0.6  # its neighbours lose that date's ratio: 1 / N on average, 0.2 dB
    far = np.ones(series.shape[1:], bool)
    far[y - 1 : y + 2, x - 1 : x + 2] = False
    assert np.abs(others[:, far]).max() < 1e-5


@pytest.mark.parametrize(("place", "band"), OPERA)
def test_a_field_that_changes_changes_on_its_own_date_only(shared_data, place, band):
    series = read_series(shared_data, place, band)
    planted = series.copy()
    planted[DATE, 60:80, 30:50] *= 4
    change = decibel(multitemporal(planted, 1) / multitemporal(series, 1))
    others = np.delete(change, DATE, axis=0)
    inner = (slice(None), slice(61, 79), slice(31, 49))
    outer = np.ones(series.shape[1:], bool)
    outer[59:81, 29:51] = False
    assert np.abs(others[inner]).max() < 1e-5
    assert np.abs(others[:, outer]).max() < 1e-5
    assert np.abs(others).max() < 0.5  # its rim, where the window holds both
    np.testing.assert_allclose(change[DATE, 61:79, 31:49], decibel(4), atol=1e-4)


@pytest.mark.parametrize(("place", "band"), OPERA)
def test_genuine_changes_stay_on_their_dates(shared_data, place, band):
    """Blocks of 300 m: what rain or a harvest does to one on one date is not seen on others."""
    series = read_series(shared_data, place, band)
    before, after = (
        decibel(images.reshape(21, 10, 10, 10, 10).mean((2, 4)))
        for images in (series, multitemporal(series, 1))
    )
    change = before - np.median(before, (1, 2), keepdims=True)
    change -= np.median(change, 0)
    date, y, x = np.unravel_index(np.abs(change).argmax(), change.shape)
    print(
        place,
        band,
        date,
        change[date, y, x],
        (after - before)[date, y, x],
        np.abs(after - before).max(),
    )
    assert np.abs(change[date, y, x]) > 2
    assert np.abs(after - before)[:, y, x].max() < 0.3
    assert np.abs(after - before).max() < 0.4


@pytest.mark.parametrize(("place", "band"), SERIES)
def test_means_are_kept(shared_data, place, band):
    """Whole images; where single bright objects stand on dark ground, Lee's refined filter loses."""
    series = read_series(shared_data, place, band)
    before = 1 / np.mean([variance(series, where) for where in even_squares(series)])
    bias = {
        name: decibel(images.mean((1, 2)) / series.mean((1, 2)))
        for name, images in {
            "multitemporal": multitemporal(series, 1), "boxcar": boxcars(series),
            "refined_lee": np.stack([refined_lee(image, before) for image in series]),
        }.items()
    }  # fmt: skip
    print(place, band, {name: np.round([b.mean(), np.abs(b).max()], 3) for name, b in bias.items()})
    assert np.abs(bias["multitemporal"]).max() < (0.2 if place == "antwerp" else 0.07)
    assert np.abs(bias["boxcar"]).max() < 0.06


# A dataset ---------------------------------------------------------------------------------------

ANTWERP = Affine(10, 0, 643_260, 0, -10, 5_676_480)
"""Grid of the series in EPSG:32631, 66 × 64 pixels."""
DATES = (3, 5, 8, 12, 15, 17, 20, 24, 27, 29)
"""Days of April 2023."""


def write_raster(path, bands, **profile):
    with rasterio.open(
        path, "w", driver="GTiff", dtype=bands.dtype.name, count=len(bands), height=66, width=64,
        crs="EPSG:32631", transform=ANTWERP, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(bands)


@pytest.mark.parametrize("place", ["292322", "292323"])
def test_the_stage_makes_a_filtered_series_of_opera_scenes(shared_data, tmp_path, place):
    paths = sorted((shared_data / "s1_rtc_series").glob(f"*-{place}-*.tif"))
    scenes, unknown = named_scenes(paths)
    assert (len(scenes), unknown) == (21, [])
    items = [locked_item(scene, ("VV", "VH"), Files(False)) for scene in scenes]
    geobox = file_geobox(str(paths[0]))
    unit = Unit(tmp_path, geobox, all_corners(geobox.shape, 24), 24)
    stack = unit.build(items, time="series", speckle="multitemporal", threads=2)
    assert [p["relative_orbit"] for p in stack.info.passes] == [137] * 21
    assert list(stack.info.times) == sorted(i.datetime for i in items)
    for number, band in enumerate(("VV", "VH")):
        series = read_series(shared_data, place, band)
        whole = multitemporal(np.ascontiguousarray(series), 1)
        found = stack.read(slice(None))[:, :, number]
        for (y, x), patch in zip(unit.corners, found, strict=True):
            expected = np.nan_to_num(whole[:, y : y + 24, x : x + 24], nan=0)
            np.testing.assert_array_equal(patch, expected)
        (even,) = even_squares(series, 1)
        gain = equivalent_looks(whole[0][even]) / equivalent_looks(series[0][even])
        assert gain > 2.5


def test_described_rasters_of_radar_alone_become_a_dataset(shared_data, tmp_path):
    """`catalog.rasters` and one layer of images, by the command, to report and dataset."""
    series = np.stack([read_series(shared_data, "antwerp", band) for band in ("VV", "VH")], axis=1)
    rasters = []
    for day, image in zip(DATES, series, strict=True):
        name = f"s1_{day:02d}.tif"
        write_raster(tmp_path / name, decibel(image).astype(np.float32), nodata=float("nan"))
        rasters.append({
            "sensor": "sentinel1", "path": name, "bands": ["VV", "VH"], "scale": "db",
            "date": f"2023-04-{day:02d}", "orbit_direction": "ascending",
        })  # fmt: skip
    halves = np.ones((1, 66, 64), np.uint8)
    halves[:, :, 32:] = 2
    write_raster(tmp_path / "map.tif", halves)
    (tmp_path / "legend.csv").write_text(
        "level,code,abbrev,name,parent,color\nlabel,0,W,West,,#c8b582\nlabel,1,E,East,,#1332ff\n"
    )
    (tmp_path / "codes.csv").write_text("source_code,source_name,code\n1,West,0\n2,East,1\n")
    recipe = {
        "name": "antwerp", "images": ["sentinel1"],
        "area": {"bbox": [5.05125, 51.21562, 5.06067, 51.22171]},
        "catalog": {"source": "local", "rasters": rasters},
        "sampling": {"crs": "EPSG:32631", "resolution": 10, "size_px": 16},
        "sentinel1": {"time": "series", "speckle": "multitemporal"},
        "label": {"path": "map.tif", "legend": "legend.csv", "crosswalk": "codes.csv"},
        "splits": {"block_m": 160, "buffer_m": 0},
        "training": {"models": ["forest"], "trees": 5, "required": False},
    }  # fmt: skip
    (tmp_path / "antwerp.yaml").write_text(yaml.safe_dump(with_layers(recipe)))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "terrapatch.cli", "build", "antwerp.yaml", "--cores", "2"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    root = tmp_path / "results" / "antwerp"
    assert not (root / "dataset" / "sentinel2.zarr").exists()
    stack = open_stack(root / "dataset" / "sentinel1.zarr")
    assert stack.info.bands == ("VV", "VH")
    assert len(stack.info.patch_ids) == 9
    manifest = read_geoparquet(root / "manifest.parquet").set_index("patch_id")
    filtered = [multitemporal(np.ascontiguousarray(series[:, b]), 1) for b in (0, 1)]
    for patch_id, patch in zip(stack.info.patch_ids, stack.read(slice(None)), strict=True):
        placed = manifest["transform"][patch_id]
        col, row = (round(v) for v in ~ANTWERP * (placed[2], placed[5]))
        for band, image in enumerate(filtered):
            expected = image[:, row : row + 16, col : col + 16]
            np.testing.assert_allclose(patch[:, band], expected, rtol=1e-4)
    dates = pd.read_parquet(root / "dataset" / "dates.parquet")
    assert len(dates) == 9 * len(DATES)
    assert dates["kept"].all()
    assert set(dates["direction"]) == {"ascending"}
