# SPDX-License-Identifier: Apache-2.0
"""What a layout cannot hold is refused by the plan, before a pixel or an archive is made."""

from typing import get_args

import pytest
import yaml

from made.multisenge import make_tiles
from made.recipes import resolve, with_layers
from made.results import make_tree
from terrapatch.cli import main
from terrapatch.errors import IncompleteError, RecipeError, SceneError
from terrapatch.layouts import LAYOUTS, check_plan
from terrapatch.layouts.fit import built, planned
from terrapatch.layouts.sources import open_sources
from terrapatch.legend import load_legend
from terrapatch.lock import read_lock
from terrapatch.recipe import read_settings, write_settings
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.settings import LayoutsSettings
from terrapatch.times import with_steps

WORLD = {"type": "Polygon", "coordinates": [[[-1, -1], [1, -1], [1, 1], [-1, -1]]]}
TILES = {"kind": "tiles", "size_px": 256}
MULTISENGE = {
    "layouts": {"name": "multisenge"}, "sampling": TILES,
    "label": {"legend": "multisenge", "edges": "none"},
    "sentinel2": {"time": "series"}, "sentinel1": {"time": "series"},
}  # fmt: skip
CERRADATA = {"layouts": {"name": "cerradata4mm"}}


def recipe(base, **changes):
    plain = {"name": "fits", "area": {"bbox": [0, 0, 0.1, 0.1]}, "catalog": {"source": "simulated"}}
    return plain | base | {k: {**base.get(k, {}), **v} for k, v in changes.items()}


def settings_of(tmp_path, plain):
    write_settings(resolve(plain), tmp_path / "settings")
    return tmp_path / "settings" / "layouts.json"


def scene(name, sensor, moment, direction=None):
    return LockedItem(
        id=name, sensor=sensor, level="x", datetime=moment, footprint=WORLD, assets={},
        orbit_direction=direction,
    )  # fmt: skip


def lock_of(scenes, units=("b000_000",), shape=(256, 256), first=(0, 0)):
    """A lock whose units all have all scenes, and no steps yet."""
    by_sensor = {
        s: tuple(i.id for i in scenes if i.sensor == s) for s in ("sentinel2", "sentinel1")
    }
    geobox = {"crs": "EPSG:4326", "transform": [1e-4, 0, 0, 0, -1e-4, 0], "shape": list(shape)}
    return Lock(
        name="fits", source="local", items=tuple(scenes),
        units=tuple(
            LockedUnit(id=u, geobox=geobox, first_row=first[0], first_col=first[1], items=by_sensor)
            for u in units
        ),
    )  # fmt: skip


ONE_DAY = [
    scene("a", "sentinel2", "2022-07-01T10:00:00Z"),
    scene("b", "sentinel1", "2022-07-01T05:00:00Z", "descending"),
]
TWO_DAYS = [*ONE_DAY, scene("c", "sentinel2", "2022-07-06T10:00:00Z")]
BOTH_WAYS = [*ONE_DAY, scene("d", "sentinel1", "2022-07-01T17:00:00Z", "ascending")]

EARLY = {
    "mosaic for tiles": (
        recipe(MULTISENGE, sampling={"kind": "mosaic"}), "names begin with an MGRS tile; take tiles"
    ),
    "class 0": (recipe(MULTISENGE, label={"legend": "cerradata4mm"}), "class with code 0"),
    "decibel": (recipe(MULTISENGE, sentinel1={"scale": "db"}), r"scale: .* take linear"),
    "layover": (
        recipe(MULTISENGE, sentinel1={"level": "GRD", "extras": ["layover_shadow"]}),
        r"extras: 0 means missing",
    ),
    "levels": (recipe(CERRADATA, label={"legend": "multisenge"}), "has no level l1, l2"),
    "edges": (recipe(CERRADATA, label={"edges": "none"}), r"edges"),
    "zero reflectance": (recipe(CERRADATA, sentinel2={"dtype": "int16"}), "is a value in int16"),
    "layover in cerradata": (
        recipe(CERRADATA, sentinel1={"level": "GRD", "extras": ["layover_shadow"]}), "layover_shadow"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EARLY)
def test_the_plan_refuses_before_it_looks_for_scenes(tmp_path, capsys, name):
    plain, text = EARLY[name]
    if name == "levels":  # of the legend's levels the names are l14 and l6
        assert {"l1", "l2"}.isdisjoint(level.name for level in load_legend("multisenge").levels)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(with_layers(plain)), "utf-8")
    code = main(["plan", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "results")])
    told = capsys.readouterr().err
    assert code == 2
    assert "does not fit layouts.name: " + plain["layouts"]["name"] in told
    with pytest.raises(RecipeError, match=text):
        check_plan(settings_of(tmp_path, plain))
    left = {p.name for p in (tmp_path / "results" / "fits").iterdir()}
    assert left == {"settings"}  # neither an archive nor a lock


FOUND = {
    "two dates": (
        recipe(CERRADATA, sentinel2={"time": "series"}), lock_of(TWO_DAYS),
        r"sentinel2: 2 dates a patch; .* set layers\.sentinel2\.time: single",
    ),
    "two directions": (
        recipe(CERRADATA, sentinel1={"directions": "apart"}), lock_of(BOTH_WAYS),
        r"sentinel1: 2 dates .* directions: together",
    ),
    "tiles": (
        recipe(CERRADATA, sampling=TILES), lock_of(ONE_DAY, ("22LHP", "22LHQ")), "ids are not unique"
    ),
    "rows": (
        recipe(CERRADATA), lock_of(ONE_DAY, first=(99_999, 0)), "in 100001 rows and 2 columns"
    ),
    "a period": (
        recipe(MULTISENGE, sentinel2={"time": "single"}), lock_of(TWO_DAYS, ("31UGQ",)),
        r"time: .*'2022-07-01/2022-07-06' is none; take series",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_the_plan_refuses_what_it_found(tmp_path, name):
    plain, lock, text = FOUND[name]
    settings = settings_of(tmp_path, plain)
    check_plan(settings)  # the recipe alone does not tell
    with pytest.raises(RecipeError, match=text) as caught:
        check_plan(settings, with_steps(lock, resolve(plain).images))
    assert "or take layouts.name: native" in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "lock"),
    [
        (recipe(CERRADATA), lock_of(ONE_DAY)),
        (recipe(CERRADATA, sentinel2={"time": "series"}), lock_of(ONE_DAY)),
        (recipe(CERRADATA, sampling=TILES), lock_of(ONE_DAY, ("22LHP",))),
        (recipe(CERRADATA), lock_of(ONE_DAY, shape=(128, 128), first=(99_999, 99_999))),
        (recipe(CERRADATA, sentinel1={"directions": "apart"}), lock_of(ONE_DAY)),
        (recipe(CERRADATA, sentinel1={"scale": "db"}), lock_of(ONE_DAY)),
        (recipe(MULTISENGE), lock_of([*TWO_DAYS, *BOTH_WAYS[2:]], ("31UGQ", "32ULV"))),
        (recipe(MULTISENGE, sentinel2={"time": "single"}), lock_of(ONE_DAY, ("31UGQ",))),
        (recipe(MULTISENGE, sentinel1={"time": "single", "directions": "apart"}),
         lock_of(BOTH_WAYS, ("31UGQ",))),
        (recipe({}), lock_of([*TWO_DAYS, *BOTH_WAYS[2:]])),
    ],
)  # fmt: skip
def test_what_fits_is_not_refused(tmp_path, plain, lock):
    settings = settings_of(tmp_path, plain)
    check_plan(settings)
    check_plan(settings, with_steps(lock, resolve(plain).images))


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
    plain = recipe(MULTISENGE, label={"legend": "cerradata4mm"}, sentinel1={"scale": "db"},
                   sampling={"kind": "mosaic"})  # fmt: skip
    with pytest.raises(RecipeError) as caught:
        check_plan(settings_of(tmp_path, plain))
    assert str(caught.value).count("\n") == 4


def test_unknown_directions_are_told_by_the_plan():
    plain = recipe({}, sentinel1={"directions": "apart"})
    lock = lock_of([*ONE_DAY, scene("e", "sentinel1", "2022-07-02T05:00:00Z")])
    with pytest.raises(SceneError, match="orbit direction unknown"):
        with_steps(lock, resolve(plain).images)


def test_a_lock_without_steps_is_to_be_planned_again(tmp_path):
    with pytest.raises(IncompleteError, match=r"no time steps of layer 'sentinel2'.*; plan again"):
        check_plan(settings_of(tmp_path, recipe({})), lock_of(ONE_DAY))


def test_every_layout_has_the_same_functions_and_a_row():
    names = get_args(LayoutsSettings.model_fields["name"].annotation)
    assert set(names) == set(LAYOUTS)
    assert all(callable(layout.write) and callable(layout.unfit) for layout in LAYOUTS.values())


def test_the_plan_and_the_stacks_have_the_same_form(tmp_path):
    """What the plan foretells is what the stage finds, for tiles with series and for a mosaic."""
    tiles = make_tiles(tmp_path / "tiles")
    sources = open_sources(tiles.built(), read_settings(tiles.settings("layouts")))
    foretold = planned(
        read_settings(tiles.results.settings("layouts")), read_lock(tiles.results.lock)
    )
    found = built(sources)
    assert (found.tiles, found.edges, found.units) == (True, False, foretold.units)
    assert foretold.tiles
    assert foretold.last == found.last == (2, 3)
    for modality, images in found.images.items():
        assert images.series
        assert images.bands == foretold.images[modality].bands
    tree = make_tree(tmp_path / "tree")
    found = built(open_sources(tree.built(), read_settings(tree.settings("layouts"))))
    foretold = planned(read_settings(tree.settings("layouts")), read_lock(tree.results.lock))
    assert (found.tiles, found.repeats, found.edges) == (False, False, True)
    assert (foretold.tiles, foretold.repeats, foretold.edges) == (False, False, True)
    assert found.images["sentinel1"].bands == foretold.images["sentinel1"].bands
