# SPDX-License-Identifier: Apache-2.0
"""Where genuine Sentinel-1 lies on genuine Sentinel-2, to a tenth of a pixel.

Radar and optical values have no fixed relation, so images are not compared but explained: for each
shift, backscatter in dB is regressed on bands, their squares and products, and the share of variance
explained is noted. Its summit, by a parabola, is the shift. Water, fields, woods and towns may be
bright or dark in either: the regression finds out.
"""

import numpy as np
import pytest
import rasterio
from affine import Affine
from test_real import constant_map, stacks

from made.scenes import centres
from terrapatch.grid import geobox_from_dict
from terrapatch.tables import read_geoparquet

ndimage = pytest.importorskip("scipy.ndimage")

REACH = 5
"""Shifts are looked for up to so many pixels."""
S2_BANDS = ("B02", "B03", "B04", "B08", "B11")


def explaining(optical):
    """Features of a pixel, (feature, y, x): logarithms of bands, their squares and products."""
    logs = np.log(np.maximum(optical.astype(float), 1))
    first = np.stack([ndimage.gaussian_filter(band, 1.0) for band in logs])
    first -= first.mean((1, 2), keepdims=True)
    first /= first.std((1, 2), keepdims=True)
    a, b = np.triu_indices(len(first))
    return np.concatenate([first, first[a] * first[b]])


def explained(radar_db, features):
    """Share of radar's variance that features explain, at all whole shifts: (dy, dx)."""
    radar = ndimage.gaussian_filter(radar_db.astype(float), 1.0)
    height, width = radar.shape
    # Every second pixel of a large image: neighbours say the same.
    every = 2 if min(height, width) > 200 else 1
    inner = (slice(None), slice(REACH, height - REACH, every), slice(REACH, width - REACH, every))
    table = np.concatenate([np.ones((1, height, width)), features])[inner]
    basis, _ = np.linalg.qr(table.reshape(len(table), -1).T)
    share = np.empty((2 * REACH + 1, 2 * REACH + 1))
    for i, j in np.ndindex(share.shape):
        part = radar[i : height - 2 * REACH + i : every, j : width - 2 * REACH + j : every].ravel()
        part = part - part.mean()
        share[i, j] = ((basis.T @ part) ** 2).sum() / (part @ part)
    return share


def summit(share):
    """(dx, dy): where radar's content lies from that of the optical image, in pixels."""
    i, j = np.unravel_index(share.argmax(), share.shape)
    k = min(2, i, j, 2 * REACH - i, 2 * REACH - j)
    if k == 0:
        return np.array([np.nan, np.nan])
    y, x = np.mgrid[-k : k + 1, -k : k + 1].reshape(2, -1)
    terms = np.stack([np.ones(x.size), x, y, x * x, x * y, y * y], axis=1)
    values = share[i - k : i + k + 1, j - k : j + k + 1].ravel()
    c = np.linalg.lstsq(terms, values, rcond=None)[0]
    dx, dy = np.linalg.solve([[2 * c[3], c[4]], [c[4], 2 * c[5]]], [-c[1], -c[2]])
    return np.array([j - REACH + dx, i - REACH + dy])


def moved(image, dx, dy):
    return ndimage.shift(image.astype(float), (dy, dx), order=3, mode="nearest")


def in_blocks(radar_db, optical, count):
    """Shifts of count × count blocks, (block, 2)."""
    height, width = radar_db.shape
    found = []
    for i, j in np.ndindex(count, count):
        rows = slice(i * height // count, (i + 1) * height // count)
        cols = slice(j * width // count, (j + 1) * width // count)
        found.append(summit(explained(radar_db[rows, cols], explaining(optical[:, rows, cols]))))
    return np.array(found)


@pytest.fixture(scope="module")
def spain(shared_data):
    """VV and VH in dB, the bands, and metres of a pixel eastwards and southwards."""
    folder = shared_data / "s1s2_water_spain"
    with rasterio.open(folder / "Spain_7370579_S1Hand.tif") as dataset:
        radar = dataset.read()
        step = dataset.transform.a
        metres = np.array([step * 111_320 * np.cos(np.radians(38.106)), step * 111_000])
    with rasterio.open(folder / "Spain_7370579_S2Hand.tif") as dataset:
        optical = dataset.read((2, 3, 4, 8, 12))
    return radar, optical, metres


SHIFTS = [(0.3, -0.7), (-1.25, 0.5), (2.4, 1.6)]


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_known_shift_of_radar_against_itself_is_found(spain, shift):
    radar, _, _ = spain
    power = 10 ** (radar / 10)  # linear, so that values differ from the dB that they explain
    found = summit(explained(moved(radar[0], *shift), explaining(power * 1e4)))
    assert np.abs(found - shift).max() < 0.1


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_known_shift_of_radar_against_optical_is_found(spain, shift):
    radar, optical, _ = spain
    features = explaining(optical)
    before = summit(explained(radar[1], features))
    after = summit(explained(moved(radar[1], *shift), features))
    assert np.abs(after - before - shift).max() < 0.1


def test_noise_has_no_summit(spain):
    radar, optical, _ = spain
    share = explained(np.random.default_rng(3).normal(size=radar[0].shape), explaining(optical))
    assert share.max() < 0.01


def test_the_flood_scene_lies_on_sentinel2_within_a_pixel(spain):
    radar, optical, metres = spain
    shifts = {
        band: in_blocks(image, optical, 4) for band, image in zip(("VV", "VH"), radar, strict=True)
    }
    for band, found in shifts.items():
        median = np.nanmedian(found, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(found - median), axis=0)
        print(band, median, spread, median * metres, spread * metres)
        assert np.isfinite(found).all()
        assert (np.abs(median) < 1).all()
        assert (spread < 0.6).all()
    both = [np.median(found, axis=0) for found in shifts.values()]
    assert np.abs(both[0] - both[1]).max() < 0.25  # two images, one place


def bigearthnet(shared):
    """Name, VV and VH in dB, bands at 10 m of each patch."""
    root = shared / "s1s2_bigearthnet"
    for folder in sorted((root / "BigEarthNet-S1-Example").iterdir()):
        name = "_".join(folder.name.split("_")[-2:])
        (other,) = (root / "BigEarthNet-S2-Example").glob(f"*_{name}")
        radar, optical = [], []
        for band in ("VV", "VH"):
            with rasterio.open(folder / f"{folder.name}_{band}.tif") as dataset:
                radar.append(dataset.read(1))
        for band in S2_BANDS:
            with rasterio.open(other / f"{other.name}_{band}.tif") as dataset:
                image = dataset.read(1).astype(float)
            times = 120 // len(image)
            optical.append(ndimage.zoom(image, times, order=1, grid_mode=True, mode="nearest"))
        yield name, np.stack(radar), np.stack(optical)


def test_patches_of_fields_lie_on_sentinel2_within_a_pixel_or_so(shared_data):
    """120 × 120 pixels each, and speckled; the two of fields tell something, the wood does not."""
    shifts = {}
    for name, radar, optical in bigearthnet(shared_data):
        features = explaining(optical)
        shares = [explained(image, features) for image in radar]
        shifts[name] = [summit(share) for share in (*shares, sum(shares))]
        print(name, *shifts[name], [share.max() for share in shares])
    for name in ("36_85", "4_55"):
        assert np.abs(shifts[name][2]).max() < 1.5
    vv, vh, _ = shifts["56_35"]
    assert not np.abs(vv - vh).max() < 1.5  # no figure can be had there: VV has no summit at all


def test_the_stage_adds_no_shift(shared_data, spain, tmp_path):
    """The pair is taken from degrees to a UTM grid of 10 m: the shift in metres stays."""
    radar, optical, metres = spain
    folder = shared_data / "s1s2_water_spain"
    bands = [f"B{k:02d}" for k in range(1, 9)] + ["B8A"] + [f"B{k:02d}" for k in range(9, 13)]
    bbox = [-0.776, 38.088, -0.742, 38.124]
    common = {"date": "2019-09-18"}
    recipe = {
        "area": {"bbox": bbox},
        "catalog": {"source": "local", "rasters": [
            {"sensor": "sentinel2", "path": str(folder / "Spain_7370579_S2Hand.tif"),
             "level": "L1C", "add_offset": 0, "bands": bands, **common},
            {"sensor": "sentinel1", "path": str(folder / "Spain_7370579_S1Hand.tif"),
             "scale": "db", "bands": ["VV", "VH"], **common},
        ]},
        "sampling": {"crs": "EPSG:32630", "resolution": 10, "size_px": 32},
        "sentinel2": {"level": "L1C", "bands": list(S2_BANDS), "kernel": "cubic"},
        "sentinel1": {"scale": "db", "kernel": "bilinear"},
        "label": {"path": constant_map(tmp_path, bbox)},
    }  # fmt: skip
    r, lock, found = stacks(tmp_path, recipe, ("sentinel2", "sentinel1"))
    assert len(lock.units) == 1
    places = read_geoparquet(r.footprints(lock.units[0].id))
    images = [whole(found[modality][0], places) for modality in ("sentinel2", "sentinel1")]
    seen = (images[0] != 0).all(0) & (images[1] != 0).all(0)
    rows, cols = np.where(seen.any(1))[0], np.where(seen.any(0))[0]
    window = (slice(None), slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    optical_utm, radar_utm = (image[window] for image in images)
    assert min(radar_utm.shape[1:]) > 250
    assert seen[window[1:]].all()
    geobox = geobox_from_dict(found["sentinel1"][0].info.geobox)
    part = same_ground(geobox, window, shared_data)
    features = explaining(optical[:, *part]), explaining(optical_utm)
    for band in (0, 1):
        before = summit(explained(radar[band][part], features[0])) * metres
        after = summit(explained(radar_utm[band], features[1])) * 10
        print(before, after)
        # The grid is turned by 1.4° to the meridian, which turns the shift: 0.2 m.
        assert np.abs(after - before).max() < 1.0


def whole(stack, places):
    """Patches of a stack side by side, (band, y, x); zeros where there are none."""
    size = stack.info.size_px
    data = stack.read(slice(None))[:, 0]
    out = np.zeros((data.shape[1], *stack.info.geobox["shape"]), np.float32)
    for patch, place in zip(data, places.itertuples(), strict=True):
        out[:, place.y_px : place.y_px + size, place.x_px : place.x_px + size] = patch
    return out


def same_ground(geobox, window, shared):
    """Rows and columns of the scene in degrees that a window of the unit covers."""
    import pyproj

    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    lon, lat = (plane[window[1:]] for plane in there.transform(*centres(geobox)))
    with rasterio.open(shared / "s1s2_water_spain" / "Spain_7370579_S1Hand.tif") as dataset:
        cols, rows = ~Affine(*dataset.transform) * (lon, lat)
        limits = dataset.shape
    return tuple(
        slice(max(int(axis.min()), 0), min(int(axis.max()) + 1, n))
        for axis, n in ((rows, limits[0]), (cols, limits[1]))
    )
