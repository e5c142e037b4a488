# SPDX-License-Identifier: Apache-2.0
"""The scene policy on made-up records, with the answers in sight."""

from datetime import date
from itertools import permutations

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from terrapatch.catalog import policy
from terrapatch.catalog.scene import Scene
from terrapatch.settings import (
    CatalogSettings,
    LabelsSettings,
    Sentinel1Settings,
    Sentinel2Settings,
)

OPTICAL, RADAR, MAPS = (
    layer().policy for layer in (Sentinel2Settings, Sentinel1Settings, LabelsSettings)
)

AREA = shapely.box(0, 0, 1, 1)


def scene(name, day="2022-03-01", **facts):
    plain = {
        "id": name, "sensor": "sentinel2", "level": "L2A", "datetime": f"{day}T10:00:00Z",
        "footprint": AREA, "bands": {}, "family": "safe", "where": f"in/{name}", "tile": "T31TCJ",
        "platform": "Sentinel-2A", "processing_baseline": "04.00", "cloud_percent": 10.0,
    }  # fmt: skip
    return Scene(**(plain | facts))


def names(sieved):
    kept, excluded = sieved
    return [s.id for s in kept], {e.id: e.reason for e in excluded}


def settings(**changes):
    return CatalogSettings(**({"source": "local", "paths": ("x",)} | changes))


def test_the_period_includes_its_first_and_last_day():
    scenes = [scene(d, d) for d in ("2022-02-28", "2022-03-01", "2022-03-31", "2022-04-01")]
    kept, out = names(policy.in_period(scenes, (date(2022, 3, 1), date(2022, 3, 31))))
    assert kept == ["2022-03-01", "2022-03-31"]
    assert out["2022-04-01"] == "outside the period 2022-03-01 to 2022-03-31"
    assert names(policy.in_period(scenes, None))[1] == {}


def test_only_products_of_the_level_are_kept():
    scenes = [scene("a"), scene("b", level="L1C")]
    assert names(policy.of_level(scenes, None))[0] == ["a", "b"]
    kept, out = names(policy.of_level(scenes, "L2A"))
    assert kept == ["a"]
    assert out == {"b": "product of the wrong level: L1C, the recipe asks for L2A"}


def test_touching_the_area_is_not_enough():
    scenes = [
        scene("inside", footprint=shapely.box(0.2, 0.2, 0.3, 0.3)),
        scene("edge", footprint=shapely.box(1, 0, 2, 1)),
        scene("far", footprint=shapely.box(5, 5, 6, 6)),
    ]
    kept, out = names(policy.in_area(scenes, AREA))
    assert kept == ["inside"]
    assert out == {"edge": "outside the area", "far": "outside the area"}


def test_the_cloud_limit_is_included_and_unknown_cloud_passes():
    scenes = [scene("a", cloud_percent=20.0), scene("b", cloud_percent=20.1),
              scene("c", cloud_percent=None)]  # fmt: skip
    kept, out = names(policy.clear_enough(scenes, 20))
    assert kept == ["a", "c"]
    assert out == {"b": "20.1 % cloud, the limit is 20 %"}


def version(name, baseline, made, **facts):
    return scene(name, processing_baseline=baseline, generation=made, datatake="GS2A_T", **facts)


@pytest.mark.parametrize(
    ("others", "winner"),
    [
        ([("a", "02.14", "2022"), ("b", "05.00", "2021")], "b"),
        ([("a", "05.00", "2022"), ("b", "05.00", "2023")], "b"),
        ([("a", "05.10", "2021"), ("b", "05.09", "2024"), ("c", "04.00", "2025")], "a"),
        ([("b", "05.00", "2022"), ("a", "05.00", "2022")], "a"),
    ],
)
def test_of_versions_the_highest_baseline_then_the_newest_stays(others, winner):
    for order in permutations(version(*o) for o in others):
        kept, excluded = policy.choose(order, settings(), AREA, OPTICAL)
        assert [s.id for s in kept] == [winner]
        assert len(excluded) == len(others) - 1
        assert all(f"an older version of {winner}" in e.reason for e in excluded)


def test_other_tiles_datatakes_and_satellites_are_no_versions():
    scenes = [
        version("a", "04.00", "2022"),
        version("b", "05.00", "2022", tile="T31TCK"),
        version("c", "05.00", "2022", platform="Sentinel-2B"),
        scene("d", datatake="GS2A_U", processing_baseline="05.00"),
        scene("e"), scene("f"),  # datatake unknown
    ]  # fmt: skip
    assert len(policy.newest_versions(scenes)[0]) == 6


def test_two_datastrips_of_a_tile_complete_each_other():
    north, south = shapely.box(0, 0.45, 1, 1), shapely.box(0, 0, 1, 0.55)
    halves = [
        version("n4", "04.00", "1", footprint=north),
        version("s4", "04.00", "1", footprint=south),
        version("n5", "05.00", "2", footprint=north),
        version("s5", "05.00", "2", footprint=south),
    ]
    for order in permutations(halves):
        kept, out = names(policy.choose(order, settings(), AREA, OPTICAL))
        assert sorted(kept) == ["n5", "s5"]
        assert "an older version of n5" in out["n4"]
        assert "an older version of s5" in out["s4"]


def test_the_best_dates_of_each_tile_are_kept():
    scenes = [
        scene("a", "2022-03-01", cloud_percent=5.0),
        scene("b", "2022-03-02", cloud_percent=1.0),
        scene("c", "2022-03-03", cloud_percent=5.0),
        scene("d", "2022-03-04", cloud_percent=None),
        scene("x", "2022-03-09", tile="T31TCK", cloud_percent=90.0),
    ]
    kept, out = names(policy.best_of_tiles(scenes, 2))
    assert sorted(kept) == ["a", "b", "x"]
    assert out == {
        "c": "number 3 of tile T31TCJ by cloud, the recipe keeps 2",
        "d": "number 4 of tile T31TCJ by cloud, the recipe keeps 2",
    }
    assert len(policy.best_of_tiles(scenes, None)[0]) == 5


def test_two_datastrips_count_as_one_date_with_the_mean_of_their_clouds():
    halves = [
        scene("n", cloud_percent=0.0, footprint=shapely.box(0, 0.25, 1, 1)),
        scene("s", cloud_percent=40.0, footprint=shapely.box(0, 0, 1, 0.25)),
    ]
    nine, eleven = (
        scene("9", "2022-03-05", cloud_percent=9.0),
        scene("11", "2022-03-06", cloud_percent=11.0),
    )
    assert names(policy.best_of_tiles([*halves, eleven], 1))[0] == ["n", "s"]
    assert names(policy.best_of_tiles([*halves, nine], 1))[0] == ["9"]


def test_the_orbit_direction_is_that_of_the_layer():
    scenes = [
        scene("up", sensor="sentinel1", orbit_direction="ascending"),
        scene("down", sensor="sentinel1", orbit_direction="descending"),
        scene("?", sensor="sentinel1"),
    ]
    kept, out = names(policy.in_direction(scenes, "ascending"))
    assert kept == ["up"]
    assert out["?"] == "orbit direction unknown, not ascending"
    assert len(policy.in_direction(scenes, "both")[0]) == 3


def test_scenes_without_a_wanted_polarisation_are_left_out():
    scenes = [scene("a", sensor="sentinel1", polarisations=("VH", "VV")),
              scene("b", sensor="sentinel1", polarisations=("HH", "HV"))]  # fmt: skip
    kept, out = names(policy.with_polarisations(scenes, ("VV", "VH")))
    assert kept == ["a"]
    assert out == {"b": "has HH, HV, lacks VV, VH"}


def test_a_product_that_lies_twice_is_used_once():
    scenes = [scene("a", where="x/a.zip"), scene("a", where="x/a.SAFE")]
    kept, excluded = policy.choose(scenes, settings(), AREA, OPTICAL)
    assert [s.where for s in kept] == ["x/a.SAFE"]
    assert excluded[0].reason == "the same product is read from x/a.SAFE"


def test_priority_is_least_cloud_then_earliest_then_name():
    scenes = [
        scene("f", cloud_percent=None), scene("e", "2022-03-02", cloud_percent=3.0),
        scene("d", "2022-03-01", cloud_percent=3.0), scene("c", "2022-03-01", cloud_percent=3.0),
        scene("z", "2022-12-31", cloud_percent=0.0),
    ]  # fmt: skip
    assert [s.id for s in policy.best_first(scenes, OPTICAL)] == ["z", "c", "d", "e", "f"]


def test_sentinel1_goes_by_date_and_maps_by_the_order_of_the_recipe():
    radar = [scene("b", "2022-03-02", sensor="sentinel1", cloud_percent=None),
             scene("a", "2022-03-03", sensor="sentinel1", cloud_percent=None)]  # fmt: skip
    maps = [scene("z", sensor="reference"), scene("a", sensor="reference")]
    assert [s.id for s in policy.best_first(radar[::-1], RADAR)] == ["b", "a"]
    assert [s.id for s in policy.best_first(maps, MAPS)] == ["z", "a"]


record = st.builds(
    lambda i, day, cloud, tile, baseline: scene(
        f"s{i:03d}", f"2022-03-{day:02d}", cloud_percent=cloud, tile=tile,
        processing_baseline=baseline, datatake=f"GS2A_{day}",
    ),
    st.integers(0, 999), st.integers(1, 28), st.sampled_from([None, 0.0, 5.0, 70.0]),
    st.sampled_from(["T31TCJ", "T31TCK"]), st.sampled_from(["02.14", "05.00"]),
)  # fmt: skip


@given(st.lists(record, max_size=12, unique_by=lambda s: s.id), st.randoms())
def test_every_scene_is_either_used_or_has_one_reason_in_any_order(scenes, random):
    chosen = settings(cloud_percent=60, scenes_per_tile=3)
    kept, excluded = policy.choose(scenes, chosen, AREA, OPTICAL)
    assert sorted([s.id for s in kept] + [e.id for e in excluded]) == sorted(s.id for s in scenes)
    assert len({(s.datatake, s.tile) for s in kept}) == len(kept)
    shuffled = list(scenes)
    random.shuffle(shuffled)
    assert policy.choose(shuffled, chosen, AREA, OPTICAL) == (kept, excluded)
    assert policy.choose(kept, chosen, AREA, OPTICAL) == (kept, [])
