# SPDX-License-Identifier: Apache-2.0
"""Series and speckle filters in the stage: passes, directions, halos, incidence angles."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from made.grd import simulate
from made.scenes import Unit, all_corners, item, write_asset
from terrapatch.errors import SceneError
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.doppler import ecef, locate
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.sentinel1.speckle import despeckle, multitemporal
from terrapatch.settings import Sentinel1Settings
from terrapatch.times import POLICIES, Scenes, planned_steps, with_steps

UTM = "EPSG:32722"
WIDE = GeoBox((192, 160), Affine(10, 0, 600_000, 0, -10, 9_000_000), UTM)
"""The scenes."""
HOLE = (slice(70, 75), slice(60, 99))


def power(seed, shape=WIDE.shape):
    values = np.random.default_rng(seed).gamma(4, 0.02, shape).astype(np.float32)
    values[HOLE] = np.nan
    return values


def passes(folder, count=4, bands=("VV", "VH")):
    """Scenes of several dates, both directions in turn, and their pixels (time, band, y, x)."""
    images = np.stack([[power(10 * t + b) for b in range(len(bands))] for t in range(count)])
    items = []
    for t, image in enumerate(images):
        assets = {
            band: write_asset(folder / f"{t}_{band}.tif", plane, WIDE.affine, UTM, jp2=False,
                              nodata_nan=True)
            for band, plane in zip(bands, image, strict=True)
        }  # fmt: skip
        found = item(f"S1_{t}", assets, sensor="sentinel1", day=f"2022-06-{t + 10}")
        facts = {"platform": "Sentinel-1A", "relative_orbit": 50 + t % 2,
                 "orbit_direction": ("ascending", "descending")[t % 2]}  # fmt: skip
        items.append(found.model_copy(update=facts))
    return items, images


def cut(images, corners, size):
    """(patch, time, band, y, x) of images (time, band, y, x), 0 where missing."""
    patches = [images[..., y : y + size, x : x + size] for y, x in corners]
    return np.nan_to_num(np.stack(patches), nan=0.0)


def unit(folder, geobox=WIDE, size=32, **stride):
    return Unit(folder, geobox, all_corners(geobox.shape, size), size, **stride)


# Which scenes make which image


def bare(name, when, *, platform="Sentinel-1A", orbit=8, direction="ascending"):
    return LockedItem(
        id=name, sensor="sentinel1", level="GRD", datetime=when, platform=platform,
        relative_orbit=orbit, orbit_direction=direction, footprint={}, assets={},
    )  # fmt: skip


SLICES = [
    bare("b", "2021-12-23T05:43:37Z"),
    bare("a", "2021-12-23T05:43:12Z"),
    bare("c", "2021-12-29T05:42:50Z", platform="Sentinel-1B"),
    bare("d", "2021-12-23T17:30:00Z", orbit=161, direction="descending"),
    bare("e", "2022-01-04T05:43:36Z"),
]


def steps_of(items, everything, time="single", *, apart=False):
    return POLICIES[time](items, Scenes(everything, apart=apart))


def test_slices_of_a_pass_are_one_step_and_passes_stand_in_time():
    steps = steps_of(SLICES, SLICES, "series")
    assert [[i.id for i in s.items] for s in steps] == [["b", "a"], ["d"], ["c"], ["e"]]
    assert [s.label for s in steps] == [
        "2021-12-23T05:43:12Z", "2021-12-23T17:30:00Z", "2021-12-29T05:42:50Z",
        "2022-01-04T05:43:36Z",
    ]  # fmt: skip
    assert steps[1].facts == {
        "direction": "descending", "relative_orbit": 161, "platform": "Sentinel-1A",
    }  # fmt: skip


def test_a_pass_over_midnight_is_one_pass():
    both = [bare("a", "2021-12-31T23:59:50Z"), bare("b", "2022-01-01T00:00:15Z")]
    assert [len(s.items) for s in steps_of(both, both, "series")] == [2]


def test_a_pass_has_one_label_in_all_units():
    (step,) = steps_of(SLICES[:1], SLICES, "series")
    assert step.label == "2021-12-23T05:43:12Z"  # of the slice that this unit does not meet


def test_directions_apart_stand_one_after_the_other():
    steps = steps_of(SLICES, SLICES, "series", apart=True)
    assert [s.facts["direction"] for s in steps] == ["ascending"] * 3 + ["descending"]
    mosaics = steps_of(SLICES, SLICES, apart=True)
    assert [[i.id for i in s.items] for s in mosaics] == [["b", "a", "c", "e"], ["d"]]
    assert [s.label for s in mosaics] == [
        "2021-12-23/2022-01-04 ascending",
        "2021-12-23 descending",
    ]
    assert mosaics[0].facts["platform"] is None  # several
    # A unit without one direction still has both images: units stay alike.
    assert [len(s.items) for s in steps_of(SLICES[:2], SLICES, apart=True)] == [2, 0]


def test_scenes_of_unknown_orbit_are_a_pass_a_day_with_labels_of_their_own():
    plain = [
        bare("x", "2021-05-01", orbit=None, direction="ascending"),
        bare("y", "2021-05-01", orbit=None, direction="descending"),
        bare("z", "2021-05-02", orbit=None, direction="ascending"),
    ]
    steps = steps_of(plain, plain, "series")
    assert [s.label for s in steps] == ["2021-05-01 x", "2021-05-01 y", "2021-05-02"]
    lost = [plain[0].model_copy(update={"orbit_direction": None})]
    with pytest.raises(SceneError, match=r"x: orbit direction unknown.*rasters"):
        steps_of(lost, lost, apart=True)


def test_the_plan_makes_the_steps_of_every_unit_and_a_slice_has_them():
    ids = {"u1": ("a", "c"), "u2": ("b", "d", "e"), "u3": ()}
    units = tuple(
        LockedUnit(id=name, geobox={}, first_row=0, first_col=0, items={"radar": own})
        for name, own in ids.items()
    )
    kinds = {"radar": "sentinel1"}
    bare_lock = Lock(name="t", source="local", units=units, items=tuple(SLICES), scenes=kinds)
    lock = with_steps(bare_lock, {"radar": Sentinel1Settings(time="series", directions="apart")})
    found = {name: planned_steps(lock, name, "radar") for name in ids}
    assert {name: [[i.id for i in s.items] for s in steps] for name, steps in found.items()} == {
        "u1": [["a"], ["c"]], "u2": [["b"], ["e"], ["d"]], "u3": [[]],
    }  # fmt: skip
    # The first pass has one label in both units, though each sees another of its scenes.
    assert found["u1"][0].label == found["u2"][0].label == "2021-12-23T05:43:12Z"
    assert found["u3"][0].label == "none"
    assert {s.reduce for steps in found.values() for s in steps} == {"first"}


def test_images_of_one_period_and_two_directions_have_two_labels():
    same = [bare("a", "2022-01-01"), bare("b", "2022-01-01", direction="descending")]
    labels = [s.label for s in steps_of(same, same, apart=True)]
    assert labels == ["2022-01-01 ascending", "2022-01-01 descending"]
    labels = [s.label for s in steps_of([], same, apart=True)]
    assert labels == ["none ascending", "none descending"]


# Series of geocoded scenes


def test_a_series_holds_each_pass_as_it_is(tmp_path):
    items, images = passes(tmp_path)
    here = unit(tmp_path / "u")
    stack = here.build(items, time="series", threads=2)
    np.testing.assert_array_equal(stack.read(slice(None)), cut(images, here.corners, 32))
    assert stack.info.series
    assert [p["relative_orbit"] for p in stack.info.passes] == [50, 51, 50, 51]
    lazy = stack.as_xarray()
    assert lazy["direction"].values.tolist() == ["ascending", "descending"] * 2
    apart = here.build(items, time="series", directions="apart", output="apart.zarr")
    np.testing.assert_array_equal(
        apart.read(slice(None)), cut(images[[0, 2, 1, 3]], here.corners, 32)
    )
    assert np.isnan(stack.incidence).all()  # geocoded files do not say it


def test_mosaics_of_directions_apart_are_mosaics_of_their_scenes(tmp_path):
    items, images = passes(tmp_path)
    here = unit(tmp_path / "u")
    stack = here.build(items, directions="apart")
    # Each direction's first scene has all but the hole, which is one in all.
    np.testing.assert_array_equal(stack.read(slice(None)), cut(images[:2], here.corners, 32))
    assert stack.info.items == (("S1_0", "S1_2"), ("S1_1", "S1_3"))
    assert stack.info.reduce == ("first", "first")


# Filters: a patch is a window of the filtered image

INNER = GeoBox((96, 64), WIDE.affine * Affine.translation(33, 21), UTM)
"""A unit within the scenes: its sides are not the image's."""


@pytest.mark.parametrize("method", ["boxcar", "lee", "refined_lee"])
@pytest.mark.parametrize(("geobox", "first"), [(WIDE, (0, 0)), (INNER, (21, 33))])
def test_filtered_patches_equal_the_filtered_scene(tmp_path, method, geobox, first):
    items, images = passes(tmp_path, count=1)
    here = unit(tmp_path / "u", geobox)
    stack = here.build(items, speckle=method, speckle_radius=2, threads=2)
    whole = np.stack([despeckle(band[None], method, radius=2) for band in images[0]], axis=1)
    whole = whole[..., first[0] : first[0] + geobox.shape[0], first[1] : first[1] + geobox.shape[1]]
    np.testing.assert_array_equal(stack.read(slice(None)), cut(whole, here.corners, 32))
    source = cut(np.where(np.isnan(whole[:, :1]), 0, 1), here.corners, 32)
    np.testing.assert_array_equal(stack.read(slice(None), "source"), source[:, :, 0])


@pytest.mark.parametrize(("geobox", "first"), [(WIDE, (0, 0)), (INNER, (21, 33))])
def test_a_filtered_series_equals_the_filter_over_whole_scenes_of_each_direction(
    tmp_path, geobox, first
):
    items, images = passes(tmp_path, count=5)
    here = unit(tmp_path / "u", geobox)
    stack = here.build(items, time="series", speckle="multitemporal", threads=2, scale="db")
    whole = np.empty_like(images)
    for group in (slice(0, 5, 2), slice(1, 5, 2)):
        for band in (0, 1):
            whole[group, band] = multitemporal(np.ascontiguousarray(images[group, band]), 1)
    whole = 10 * np.log10(whole)
    whole = whole[..., first[0] : first[0] + geobox.shape[0], first[1] : first[1] + geobox.shape[1]]
    np.testing.assert_allclose(
        stack.read(slice(None)), cut(whole, here.corners, 32), rtol=1e-5, atol=1e-5
    )
    assert sorted(p.name for p in (tmp_path / "u").glob("*.zarr")) == ["out.zarr"]
    assert not list((tmp_path / "u").glob(".series-*"))  # the unfiltered dates are gone


def test_neither_threads_nor_shards_change_a_filtered_series(tmp_path):
    items, _ = passes(tmp_path, count=3)
    found = []
    for size, threads in ((32, 1), (16, 3), (64, 2)):
        here = unit(tmp_path / f"u{size}", INNER, size)
        stack = here.build(items, threads=threads, time="series", speckle="multitemporal")
        whole = np.zeros((3, 2, *INNER.shape), np.float32)
        for (y, x), patch in zip(here.corners, stack.read(slice(None)), strict=True):
            whole[..., y : y + size, x : x + size] = patch
        found.append(whole[..., :64, :])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"speckle": "multitemporal"}, "needs a series"),
        ({"speckle": "lee", "radiometry": "amplitude", "level": "GRD"}, "act on power"),
    ],
)
def test_filters_that_cannot_be_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        Sentinel1Settings(**settings)


# Raw scenes


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("series"))


def test_raw_passes_of_both_directions_are_a_series_with_incidence_angles(simulated, tmp_path):
    items = simulated.items("ascending") + simulated.items("descending")
    here = simulated.unit(tmp_path)
    stack = here.build(items, time="series", **simulated.settings())
    alone = {
        d: here.build(simulated.items(d), output=f"{d}.zarr", **simulated.settings())
        for d in ("ascending", "descending")
    }
    assert [p["direction"] for p in stack.info.passes] == ["descending", "ascending"]
    for step, direction in enumerate(("descending", "ascending")):
        np.testing.assert_array_equal(
            stack.read(slice(None), time=step), alone[direction].read(slice(None), time=0)
        )
        # The angle at the ground between the satellite and the ellipsoid's normal.
        asset = simulated.items(direction)[0].assets["VV"]
        with open(asset.annotation, "rb") as file:
            annotation = read_annotation(file.read(), asset.annotation, "003.31")
        lon, lat, height = simulated.places()
        centres = tuple(np.array(here.corners).T + 48)
        place = ecef(lon[centres], lat[centres], height[centres])
        time_s, _ = locate(annotation.orbit, place)
        sight = annotation.orbit.state(time_s)[0] - place
        up = ecef(lon[centres], lat[centres], height[centres] + 1) - place
        cosine = (sight * up).sum(-1) / np.linalg.norm(sight, axis=-1) / np.linalg.norm(up, axis=-1)
        expected = np.degrees(np.arccos(cosine))
        np.testing.assert_allclose(stack.incidence[:, step], expected, atol=0.02)


def test_raw_scenes_filtered_patchwise_equal_one_large_patch(simulated, tmp_path):
    items = simulated.items("ascending")
    settings = simulated.settings(speckle="refined_lee")
    small = simulated.unit(tmp_path / "small", 96).build(items, threads=2, **settings)
    large = simulated.unit(tmp_path / "large", 384).build(items, **settings)
    corners = all_corners(simulated.geobox.shape, 96)
    np.testing.assert_array_equal(
        small.read(slice(None)), cut(large.read(slice(None))[0], corners, 96)
    )


def test_s1tilings_cut_takes_the_sides_of_old_products(simulated, tmp_path):
    old = [i.model_copy(update={"processing_baseline": "002.60"})
           for i in simulated.items("descending")]  # fmt: skip
    _, sample = simulated.image_places("descending")
    middle = int(np.median(sample))
    found = {}
    for cut_px in (0, middle):
        settings = simulated.settings(
            denoise=False,
            border_cut="s1tiling",
            border_cut_range_px=cut_px,
            border_cut_azimuth_px=0,
        )
        stack = simulated.unit(tmp_path / str(cut_px), 384).build(old, **settings)
        found[cut_px] = stack.read(slice(None), "source")[0, 0] > 0
    beyond = simulated.measurement("descending").shape[1] - middle
    sure = np.abs(sample - middle) > 2
    sure &= np.abs(sample - beyond) > 2
    expected = found[0] & (sample > middle) & (sample < beyond)
    np.testing.assert_array_equal(found[middle][sure], expected[sure])
    assert found[0].mean() > 0.9
