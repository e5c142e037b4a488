# SPDX-License-Identifier: Apache-2.0
"""Vector references in the plan: the lock, units without polygons, what changed."""

import json

import pytest
import shapely

from made.catalog import make_safe, reference_map, settings_file, write_raster
from made.patches import write_footprints
from made.recipes import resolve
from made.vectors import table_of, write_vectors
from terrapatch.catalog import changes, describe, plan
from terrapatch.errors import IncompleteError, InputError, LegendError, RecipeError, SceneError
from terrapatch.labels import labels
from terrapatch.lock import read_lock, unit_geobox
from terrapatch.settings import LabelsSettings

CATALOG = {"paths": ["in"], "period": ["2022-01-01", "2022-12-31"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with one scene and polygons over the western third of the area."""
    monkeypatch.chdir(tmp_path)
    make_safe("in")
    parcels(tmp_path / "parcels.gpkg")
    return tmp_path


def parcels(path, codes=(1, 11, 15), left=3.0, step=0.0022):
    cells = [
        shapely.box(left + step * n, 44.96, left + step * (n + 1), 45.0) for n in range(len(codes))
    ]
    return write_vectors(path, table_of(cells, "EPSG:4674", code=list(codes)))


def settings(here, **wanted):
    source = {"path": "parcels.gpkg", "fields": ["code"]}
    return settings_file(
        here / "results" / "settings", catalog=CATALOG,
        sampling={"kind": "mosaic", "crs": "EPSG:32631", "resolution": 10, "size_px": 32,
                  "unit_patches": 2},
        label={"vectors": [source]} | wanted,
    )  # fmt: skip


def test_the_lock_holds_files_layers_and_where_the_polygons_are(here):
    lock = plan(settings(here), here / "results" / "lock.json")
    assert read_lock("results/lock.json") == lock
    (found,) = lock.vectors
    assert (found.id, found.href, found.layer, found.crs) == (
        "label.vectors.0.0", "parcels.gpkg", "parcels", "EPSG:4674"
    )  # fmt: skip
    assert (found.fields, found.features) == ({"code": "code"}, 3)
    (file,) = found.files
    assert file.size == (here / "parcels.gpkg").stat().st_size
    assert len(file.sha256) == 64
    # 0.02 degrees are 1.6 km here: units of 640 m, polygons over the first 520 m and the halo.
    assert {u.id: u.vectors for u in lock.units} == dict.fromkeys(
        ["b000_000", "b001_000", "b002_000", "b003_000"][: len(lock.units)], ("label.vectors.0.0",)
    )
    assert lock.units
    assert set(lock.units_left_out.values()) == {"no polygon of layers.label.vectors lies here"}
    assert "label.vectors.0.0  parcels.gpkg  parcels  EPSG:4674  3 features" in describe(lock)
    assert not [item for item in lock.items if item.sensor == "reference"]


def test_the_stage_reads_what_the_plan_found(here):
    path = settings(here)
    lock = plan(path, here / "results" / "lock.json")
    stage = here / "results" / "settings" / "label.json"
    resolved = json.loads(path.read_text())
    label = LabelsSettings(**resolved["layers"]["label"]).model_dump(mode="json")
    stage.write_text(json.dumps({"layers": {"label": label}}))
    unit = lock.units[0].id
    footprints, output = here / "footprints.parquet", here / "label.zarr"
    write_footprints(footprints, unit_geobox(lock.units[0]), 16)
    labels(here / "results" / "lock.json", unit, footprints, stage, output)
    assert (output / "zarr.json").is_file()
    # A file that has changed since is not read.
    parcels(here / "parcels.gpkg", codes=(1, 11, 15, 15, 15, 15, 15, 1, 1, 1) * 40, step=1e-4)
    with pytest.raises(Exception, match="changed since it was planned"):
        labels(here / "results" / "lock.json", unit, footprints, stage, output)


def test_an_area_without_polygons_is_an_error_or_an_empty_plan_with_its_reason(here):
    parcels(here / "parcels.gpkg", left=4.5)
    with pytest.raises(
        LegendError, match=r"selects nothing: none of its 3 feature\(s\) lies around"
    ):
        plan(settings(here))
    source = {"path": "parcels.gpkg", "fields": ["code"], "required": False}
    with pytest.raises(
        IncompleteError, match=r"the plan is empty.*\n(.*no polygon of layers\.label\.vectors.*\n)+"
    ):
        plan(settings(here, vectors=[source]))


def test_maps_stand_in_where_there_are_no_polygons(here):
    reference_map(here)
    lock = plan(settings(here, path="map.tif"))
    assert not lock.units_left_out
    kinds = {(bool(u.vectors), bool(u.items.get("label"))) for u in lock.units}
    assert kinds == {(True, True), (False, True)}


def test_what_has_changed_since(here):
    path = settings(here)
    old = plan(path)
    assert changes(old, plan(path)) == []
    parcels(here / "parcels.gpkg", codes=(1, 11, 15, 15, 15, 15, 15))
    lines = changes(old, plan(path))
    assert "changed: label.vectors.0.0 (parcels.gpkg): features, files" in lines
    assert any(line.startswith("added: unit") for line in lines)
    network = {"path": "parcels.gpkg", "product": "custom", "code": 6, "rules": str(here / "r.csv")}
    (here / "r.csv").write_text("field,value,action,kind,buffer_m\ncode,*,select,road,5\n")
    assert "added: label.networks.0.0 (parcels.gpkg)" in changes(
        old, plan(settings(here, networks=[network]))
    )


def test_shapefiles_are_locked_in_all_their_parts_and_archives_as_one(here):
    parcels(here / "p.shp")
    parcels(here / "p.zip")
    (lock,) = plan(settings(here, vectors=[{"path": "p.shp", "fields": ["code"]}])).vectors
    assert [f.href for f in lock.files] == ["p.shp", "p.shx", "p.dbf", "p.prj", "p.cpg"]
    (lock,) = plan(settings(here, vectors=[{"path": "p.zip", "fields": ["code"]}])).vectors
    assert [f.href for f in lock.files] == ["p.zip"]
    assert lock.layer == "p"
    assert list((here / "results" / "unpacked").glob("p-*/deep/er/p.shp"))


def test_all_that_is_wrong_is_found_before_pixels_are_read(here):
    parcels(here / "bad.gpkg", codes=(1, 77, 77))
    source = {"path": "bad.gpkg", "fields": ["code"]}
    with pytest.raises(LegendError, match=r"bad\.gpkg .*crosswalk 'terraclass_cerrado'.*77 \(2\)"):
        plan(settings(here, vectors=[source]))
    with pytest.raises(SceneError, match="no attribute kind"):
        plan(settings(here, vectors=[source | {"fields": ["kind"]}]))
    # Codes outside the area are nobody's business.
    parcels(here / "bad.gpkg", codes=(1, *[15] * 20, 77))
    assert plan(settings(here, vectors=[source])).vectors[0].features < 21


def test_recipes_with_vectors(tmp_path):
    plain = {
        "name": "x",
        "area": {"bbox": [0, 0, 1, 1]},
        "catalog": {"paths": ["in"], "period": CATALOG["period"]},
    }
    with pytest.raises(RecipeError, match=r"needs a reference map, or vectors"):
        resolve(plain)
    found = resolve(
        plain | {"label": {"vectors": [{"path": "v.gpkg", "where": {"a": [1, "b", True]}}]}}
    )
    assert found.label.vectors[0].where == {"a": (1, "b", True)}
    with pytest.raises(RecipeError, match=r"vectors\.0\.prority: unknown key"):
        resolve(plain | {"label": {"vectors": [{"path": "v.gpkg", "prority": 2}]}})


def test_a_pattern_names_several_maps(here):
    """The first by name gives a pixel where two have one; a pattern that nothing fits is an error."""
    for number, left in enumerate((2.9, 3.01)):
        write_raster(
            here / "maps" / f"{number}.tif", crs="EPSG:4674", left=left, top=45.1, res=0.001, size=300,
            dtype="uint8", nodata=255, value=number + 1,
        )  # fmt: skip
    lock = plan(settings(here, path="maps/*.tif", vectors=[]))
    maps = [item.id for item in lock.items if item.sensor == "reference"]
    assert maps == ["0", "1"]
    assert all(unit.items["label"] for unit in lock.units)
    with pytest.raises(InputError, match=r"maps/\*\.png: no file fits"):
        plan(settings(here, path="maps/*.png", vectors=[]))
