# SPDX-License-Identifier: Apache-2.0
"""What makes raw Sentinel-1 quick must not show: look-ups, kept geometry, blocks, memory."""

import mmap
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from made.grd import copy_of, simulate
from made.scenes import pixels as placed
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.cutting import Layer, UnitGrid, sources
from terrapatch.places import Places
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.doppler import ecef, image_coordinates, locate
from terrapatch.radar.orbit import Orbit
from terrapatch.sentinel1 import kernels
from terrapatch.sentinel1.geometry import GroundNodes, Heights, RangeTable, coordinates, terrain
from terrapatch.sentinel1.grd import Raw
from terrapatch.settings import Sentinel1Settings

ROME = "s1_grd_safe/S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
OLD = "002.36"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def rome(shared_data):
    (path,) = (shared_data / ROME / "annotation").glob("*.xml")
    return read_annotation(path.read_bytes(), path.name, "003.40")


# Look-up of pixels -------------------------------------------------------------------------


def table_of_ranges():
    """Three records of growing steps, as ground range polynomials give."""
    pixels = np.arange(-512, 9000, 8.0)
    moments = np.array([-40.0, 630.0, 1310.0])
    ranges = [8e5 + k * 30 + pixels * (6 + 0.1 * k) + pixels**2 * 1e-5 for k in range(3)]
    return moments, np.array(ranges), (float(pixels[0]), 8.0)


def by_interpolation(moments, table, first, line, slant):
    """The same by numpy, place by place."""
    steps = first[0] + first[1] * np.arange(table.shape[1])
    found = np.full(line.size, np.nan)
    for n in np.flatnonzero(np.isfinite(line)):
        mixed = [np.interp(line[n], moments, column) for column in table.T]
        found[n] = np.interp(slant[n], mixed, steps)
    return found


@pytest.mark.parametrize("kind", ["neighbours", "scattered", "across records", "beyond"])
def test_pixels_are_found_wherever_neighbours_are(kind):
    moments, table, first = table_of_ranges()
    rng = np.random.default_rng(5)
    count = 300
    line = 700 + np.linspace(0, 40, count)
    slant = table[1, 400] + np.cumsum(rng.uniform(0, 12, count))
    if kind == "scattered":
        line, slant = rng.uniform(-100, 1400, count), rng.uniform(table.min(), table.max(), count)
    elif kind == "across records":
        line = np.linspace(600, 660, count)[::-1].copy()
    elif kind == "beyond":
        line = np.linspace(-300, 1800, count)
        slant = np.linspace(table.min() - 5e4, table.max() + 5e4, count)
    line[17:23], line[200] = np.nan, np.nan
    slant[200:203] = np.nan, slant[201], slant[202]
    found = np.empty(count)
    ranges = RangeTable(moments, table, first)
    kernels.pixels_at(ranges, line, slant, found)
    wanted = by_interpolation(moments, table, first, line, slant)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    # Where a run begins does not change a bit.
    for start in (1, 40, 63):
        part = np.empty(count - start)
        kernels.pixels_at(ranges, line[start:].copy(), slant[start:].copy(), part)
        np.testing.assert_array_equal(part, found[start:])


# One date and another ----------------------------------------------------------------------


def moved(orbit, across_m, up_m):
    """An orbit elsewhere in the tube."""
    up = orbit.position / np.linalg.norm(orbit.position, axis=1, keepdims=True)
    aside = np.cross(orbit.velocity, up)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    position = orbit.position + across_m * aside + up_m * up
    return Orbit(orbit.epoch, orbit.time_s, position, orbit.velocity)


@pytest.mark.parametrize(("across_m", "up_m"), [(100, 0), (0, 100), (-100, 100)])
def test_each_date_of_the_orbital_tube_is_exact_by_itself(rome, across_m, up_m):
    box = GeoBox((300, 300), Affine(200, 0, 230_000, 0, -200, 4_690_000), "EPSG:32633")
    date = replace(rome, orbit=moved(rome.orbit, across_m, up_m))
    ground = GroundNodes.of(box, (0, 500))
    found = [
        coordinates(terrain(ground, a, a.orbit), Heights.none(), (0, 0), box.shape)
        for a in (rome, date)
    ]
    import pyproj

    cols, rows = np.meshgrid(*(np.arange(n) + 0.5 for n in box.shape[::-1]))
    there = pyproj.Transformer.from_crs(str(box.crs), "EPSG:4326", always_xy=True)
    lon, lat = there.transform(*(box.affine * (cols, rows)))
    wanted = image_coordinates(date, *locate(date.orbit, ecef(lon, lat, 0.0)))
    seen = (wanted[1] > 0) & (wanted[1] < rome.samples) & (wanted[0] > 0) & (wanted[0] < rome.lines)
    assert seen.mean() > 0.3
    for axis, bar in ((0, 0.001), (1, 0.002)):  # the bar for taking another's was 0.05
        assert np.abs(found[1][axis] - wanted[axis])[seen].max() < bar
    assert np.abs(found[1][1] - found[0][1])[seen].min() > 0.05  # the other date's will not do


def test_a_date_does_not_depend_on_the_others_of_its_unit(simulated):
    first, other = (simulated.items(d, count=1)[0] for d in ("descending", "ascending"))
    settings = Sentinel1Settings(**simulated.settings())
    layer = Layer(("VV", "VH"), "bilinear", "float32")
    patches = Places(simulated.geobox, ("a", "b"), np.array([[0, 144], [288, 144]]), 96)
    grid = UnitGrid(simulated.geobox)
    alone = Raw(settings, [first]).open_scene(1, first, layer, patches, grid)
    together = Raw(settings, [other, first])
    before = together.open_scene(1, other, layer, patches, grid)
    after = together.open_scene(2, first, layer, patches, grid)
    images = alone.groups[0].image, after.groups[0].image
    parts = [(*image._replace(table=None), *image.table) for image in images]
    for a, b in zip(*parts, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(before.groups[0].image.nodes, after.groups[0].image.nodes)
    assert after.groups[0].heights is before.groups[0].heights  # read once
    np.testing.assert_array_equal(alone.groups[0].heights.values, after.groups[0].heights.values)


# Blocks ------------------------------------------------------------------------------------


def tiled(simulated, folder):
    """A product whose measurements are in tiles, as COG_SAFE has them."""
    product = copy_of(simulated.products["descending"][0], folder)
    for image in (product / "measurement").glob("*.tiff"):
        with rasterio.open(image) as dataset:
            numbers, (gcps, crs) = dataset.read(1), dataset.gcps
        with rasterio.open(
            image, "w", driver="GTiff", dtype="uint16", count=1, width=numbers.shape[1],
            height=numbers.shape[0], gcps=gcps, crs=crs, tiled=True, blockxsize=128,
            blockysize=128, compress="deflate",
        ) as dataset:  # fmt: skip
            dataset.write(numbers, 1)
    return locked_item(read_product(product), ("VV", "VH"), Files(False))


@pytest.mark.parametrize("ipf", ["003.40", OLD])
def test_tiles_and_strips_give_the_same_bits(simulated, tmp_path, ipf):
    items = simulated.items("descending", count=1)[0], tiled(simulated, tmp_path)
    stacks = [
        simulated.unit(tmp_path / name).build(
            [item.model_copy(update={"processing_baseline": ipf})], **simulated.settings()
        )
        for name, item in zip(("strips", "tiles"), items, strict=True)
    ]
    for name in ("source", "data"):
        np.testing.assert_array_equal(*(placed(stack, name) for stack in stacks))
    assert (placed(stacks[0], "source") == 1).mean() > 0.3


def test_of_a_strip_only_needed_pixels_are_kept(simulated):
    (item,) = simulated.items("descending", count=1)
    settings = Sentinel1Settings(**simulated.settings())
    patches = Places(simulated.geobox, ("a",), np.array([[32, 32]]), 32)
    scene = Raw(settings, [item]).open_scene(
        1, item, Layer(("VV",), "bilinear", "float32"), patches, UnitGrid(simulated.geobox)
    )
    (group,) = scene.groups
    group._allocate()
    _, _, left, right = group.needs[0]
    assert group.pixels.shape[2] == right - left < item.assets["VV"].shape[1]
    assert group._window(0, (0, 0))[1] == slice(left, right)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system takes nothing back")
def test_memory_that_is_handed_back_is_gone():
    size = 4 * mmap.PAGESIZE
    room = sources._room(size)
    room[:] = b"\x01" * size
    room.madvise(mmap.MADV_DONTNEED, mmap.PAGESIZE, mmap.PAGESIZE)
    kept = np.frombuffer(room, np.uint8).reshape(4, -1)
    assert [bool(page.any()) for page in kept] == [True, False, True, True]
