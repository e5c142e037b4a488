# SPDX-License-Identifier: Apache-2.0
"""Where patches lie, judged by brute force in the area's own CRS."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from made.recipes import resolve
from terrapatch.errors import GridError, IncompleteError, InputError
from terrapatch.grid import Unit, geobox_to_dict, reprojected, snapped_geobox, split_at_antimeridian
from terrapatch.lock import write_lock
from terrapatch.places import KINDS, patch_windows, windows_in_area
from terrapatch.places.mosaic import mosaic_units
from terrapatch.places.windows import tile_units
from terrapatch.records import Lock, LockedUnit
from terrapatch.sampling import footprints, sampling
from terrapatch.tables import read_geoparquet
from terrapatch.vectors import read_area


def write_inputs(folder, units, *, area, sampling_section):
    """A lock with the units, and the sampling stage's settings."""
    locked = tuple(
        LockedUnit(id=u.id, geobox=geobox_to_dict(u.geobox), first_row=u.first_row,
                   first_col=u.first_col, items={}) for u in units
    )  # fmt: skip
    write_lock(Lock(name="t", source="local", units=locked, items=()), folder / "lock.json")
    recipe = resolve({"name": "t", "area": area, "sampling": sampling_section,
                      "catalog": {"source": "simulated"}})  # fmt: skip
    (folder / "sampling.json").write_text(json.dumps(recipe.stage_settings("sampling")))
    return folder / "lock.json", folder / "sampling.json"


def run(folder, unit, inputs):
    sampling(inputs[0], unit, inputs[1], folder / f"{unit}.parquet")
    return read_geoparquet(folder / f"{unit}.parquet")


MOSAIC = {"kind": "mosaic", "crs": "EPSG:4326", "resolution": 0.0001, "size_px": 16,
          "unit_patches": 13, "area_rule": "within"}  # fmt: skip
BOX = [-48.05003, -6.01007, -47.99, -5.95]


def mosaic(box=BOX, **changes):
    section = MOSAIC | changes
    geobox = snapped_geobox(tuple(box), section["crs"], section["resolution"])
    step = section.get("stride_px") or section["size_px"]
    return section, mosaic_units(geobox, size_px=section["size_px"], stride_px=step,
                                 unit_patches=section["unit_patches"])  # fmt: skip


def test_the_table_is_as_the_contract_says(tmp_path):
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"bbox": BOX}, sampling_section=section)
    unit = units[-2]
    table = run(tmp_path, unit.id, inputs)
    assert list(table.columns) == [
        "patch_id", "unit", "row", "col", "y_px", "x_px", "size_px", "geometry"
    ]  # fmt: skip
    assert table.crs.to_epsg() == 4326
    assert [str(table[c].dtype) for c in ("row", "col", "y_px", "x_px", "size_px")] == ["int64"] * 5
    rows = list(zip(table.row, table.col, strict=True))
    assert rows == sorted(rows)
    for record in table.itertuples():
        assert record.patch_id == f"r{record.row:05d}_c{record.col:05d}"
        assert (record.row, record.col) == (
            unit.first_row + record.y_px // 16, unit.first_col + record.x_px // 16
        )  # fmt: skip
        window = unit.geobox[record.y_px : record.y_px + 16, record.x_px : record.x_px + 16]
        assert record.geometry.bounds == pytest.approx(window.extent.geom.bounds, abs=1e-12)


def test_a_box_in_its_own_crs_loses_no_patch_to_the_snapping(tmp_path):
    # The grid starts outside the box by a part of a pixel; `within` forgives that.
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"bbox": BOX}, sampling_section=section)
    tables = [run(tmp_path, u.id, inputs) for u in units]
    whole = snapped_geobox(tuple(BOX), "EPSG:4326", 0.0001)
    assert sum(map(len, tables)) == (whole.shape[0] // 16) * (whole.shape[1] // 16)
    ids = [i for t in tables for i in t.patch_id]
    assert len(set(ids)) == len(ids)
    outermost = min(t.total_bounds[0] for t in tables)
    assert 0 < BOX[0] - outermost < 0.0001


def test_names_and_places_do_not_depend_on_the_size_of_units(tmp_path):
    places = []
    for unit_patches in (9, 20):
        section, units = mosaic(unit_patches=unit_patches)
        folder = tmp_path / str(unit_patches)
        folder.mkdir()
        inputs = write_inputs(folder, units, area={"bbox": BOX}, sampling_section=section)
        tables = [run(folder, u.id, inputs) for u in units]
        places.append({r.patch_id: r.geometry.bounds for t in tables for r in t.itertuples()})
    assert places[0].keys() == places[1].keys()
    for name, bounds in places[0].items():
        assert bounds == pytest.approx(places[1][name], abs=1e-12)


def brute(unit, size, stride, area, to_area, rule, pixel):
    """Test many points of each patch one by one in the area's own CRS."""
    kept = []
    for window in patch_windows(unit, size_px=size, stride_px=stride):
        rim = pixel if rule == "within" else 0
        left, top = unit.geobox.affine * (window.x_px, window.y_px)
        right, bottom = unit.geobox.affine * (window.x_px + size, window.y_px + size)
        xs = np.linspace(left + rim, right - rim, 9)
        ys = np.linspace(bottom + rim, top - rim, 9)
        gx, gy = (a.ravel() for a in np.meshgrid(xs, ys))
        inside = shapely.contains_xy(area, *to_area.transform(gx, gy))
        if inside.all() if rule == "within" else inside.any():
            kept.append((window.y_px, window.x_px))
    return kept


@pytest.mark.parametrize("rule", ["within", "intersects"])
def test_a_polygon_in_another_crs_against_brute_force(tmp_path, rule):
    # A disc in degrees on a UTM grid near the zone's edge, where the grid is turned by 2 degrees.
    disc = shapely.Point(5.9, 45.0).buffer(0.01, quad_segs=90)
    gpd.GeoSeries([disc], crs="EPSG:4326").to_file(tmp_path / "disc.gpkg")
    section = {"kind": "mosaic", "crs": "EPSG:32631", "resolution": 10, "size_px": 20,
               "stride_px": 15, "unit_patches": 50, "area_rule": rule}  # fmt: skip
    bounds = reprojected(disc, "EPSG:4326", "EPSG:32631").bounds
    (unit,) = mosaic_units(snapped_geobox(bounds, "EPSG:32631", 10), size_px=20, stride_px=15,
                           unit_patches=50)  # fmt: skip
    inputs = write_inputs(tmp_path, [unit], area={"file": str(tmp_path / "disc.gpkg")},
                          sampling_section=section)  # fmt: skip
    table = run(tmp_path, unit.id, inputs)
    back = Transformer.from_crs(32631, 4326, always_xy=True)
    expected = brute(unit, 20, 15, disc, back, rule, 10)
    found = list(zip(table.y_px, table.x_px, strict=True))
    if rule == "intersects":
        # Points miss slivers that the polygon test sees; never the other way round.
        assert set(expected) <= set(found)
        assert len(found) - len(expected) <= 3
    else:
        assert found == expected
    assert 20 < len(found) < len(patch_windows(unit, size_px=20, stride_px=15))


def test_a_long_edge_is_bent_as_the_projection_bends_it():
    # One degree of the 45th parallel: its chord runs 122 m off its middle in UTM.
    box = shapely.box(3, 45, 4, 46)
    moved = reprojected(box, "EPSG:4326", "EPSG:32631")
    x, y = Transformer.from_crs(4326, 32631, always_xy=True).transform(3.5, 45)
    assert moved.exterior.distance(shapely.Point(x, y)) < 0.05
    corners = shapely.transform(box, lambda xy: np.column_stack(
        Transformer.from_crs(4326, 32631, always_xy=True).transform(*xy.T)))  # fmt: skip
    assert corners.exterior.distance(shapely.Point(x, y)) > 100


def test_windows_of_an_l_shaped_area_in_sight():
    # 4 × 4 patches of 10 px of 1 m; the area is the left column and the bottom row.
    geobox = snapped_geobox((0, 0, 40, 40), "EPSG:32631", 1)
    (unit,) = mosaic_units(geobox, size_px=10, stride_px=10, unit_patches=9)
    area = shapely.box(0, 0, 10, 40).union(shapely.box(0, 0, 40, 10))
    windows = patch_windows(unit, size_px=10, stride_px=10)
    seen = np.zeros((4, 4), int)
    for w in windows_in_area(windows, geobox, area, "within"):
        seen[w.row, w.col] += 1
    for w in windows_in_area(windows, geobox, area.buffer(-3, join_style="mitre"), "intersects"):
        seen[w.row, w.col] += 2
    assert seen.tolist() == [[3, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, 0], [3, 3, 3, 3]]
    assert windows_in_area([], geobox, area, "within") == []
    with pytest.raises(GridError, match="no area rule"):
        windows_in_area(windows, geobox, area, "near")


@pytest.mark.parametrize(("past", "kept"), [(0.9, 1), (1.1, 0)])
def test_within_forgives_less_than_a_pixel(past, kept):
    geobox = snapped_geobox((0, 0, 100, 100), "EPSG:32631", 10)
    (unit,) = mosaic_units(geobox, size_px=10, stride_px=10, unit_patches=1)
    windows = patch_windows(unit, size_px=10, stride_px=10)
    area = shapely.box(past * 10, 0, 100, 100)
    assert len(windows_in_area(windows, geobox, area, "within")) == kept


def test_an_edge_in_common_is_no_intersection():
    geobox = snapped_geobox((0, 0, 20, 10), "EPSG:32631", 1)
    (unit,) = mosaic_units(geobox, size_px=10, stride_px=10, unit_patches=2)
    windows = patch_windows(unit, size_px=10, stride_px=10)
    kept = windows_in_area(windows, geobox, shapely.box(0, 0, 10, 10), "intersects")
    assert [w.col for w in kept] == [0]


def test_tiles_are_named_by_tile_and_offsets(tmp_path):
    (unit,) = tile_units(["T31UGQ"])
    section = {"kind": "tiles", "size_px": 256, "stride_px": 257, "area_rule": "intersects"}
    corner = unit.geobox.affine * (300, 600)
    x, y = Transformer.from_crs(unit.geobox.crs.to_epsg(), 4326, always_xy=True).transform(*corner)
    inputs = write_inputs(tmp_path, [unit], area={"bbox": [x - 0.001, y - 0.001, x, y]},
                          sampling_section=section)  # fmt: skip
    table = run(tmp_path, "31UGQ", inputs)
    assert list(table.patch_id) == ["31UGQ_257_514"]
    assert table[["row", "col", "x_px", "y_px", "size_px"]].to_numpy().tolist() == [
        [2, 1, 257, 514, 256]
    ]
    assert table.crs == unit.geobox.crs.to_epsg()


def test_a_unit_without_patches_gives_an_empty_table_of_the_same_form(tmp_path):
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"bbox": [10, 10, 11, 11]},
                          sampling_section=section)  # fmt: skip
    empty = run(tmp_path, units[0].id, inputs)
    full = footprints(units[0], patch_windows(units[0], size_px=16, stride_px=16), "mosaic")
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert [str(empty[c].dtype) for c in ("row", "x_px")] == ["int64", "int64"]
    assert empty.crs == full.crs


def test_the_same_input_gives_the_same_bytes(tmp_path):
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"bbox": BOX}, sampling_section=section)
    for name in ("a", "b"):
        sampling(inputs[0], units[0].id, inputs[1], tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_genuine_area_file_in_another_crs(shared_data):
    path = shared_data / "ref_bdtopo_aveyron" / "COMMUNE.shp"
    settings = resolve({"name": "t", "area": {"file": str(path)},
                        "catalog": {"source": "simulated"}}).area  # fmt: skip
    area, crs = read_area(settings)
    west, south, east, north = reprojected(area, crs, "EPSG:4326").bounds
    assert (west, south, east, north) == pytest.approx((2.521, 44.316, 2.580, 44.362), abs=1e-3)
    degrees = reprojected(area, crs, "EPSG:4326")
    judge = gpd.read_file(path).to_crs(4326).geometry.union_all()
    assert degrees.symmetric_difference(judge).area < 1e-6 * judge.area


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "cannot be read as a polygon file"),
        ('{"type": "Point", "coordinates": [0, 0]}', "must hold polygons; it holds 1 Point"),
    ],
)
def test_an_area_file_without_polygons_is_refused(tmp_path, text, said):
    path = tmp_path / "area.geojson"
    path.write_text(text)
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"file": str(path)}, sampling_section=section)
    with pytest.raises(InputError, match=said) as info:
        sampling(inputs[0], units[0].id, inputs[1], tmp_path / "out.parquet")
    assert str(path) in str(info.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_unit_that_the_lock_does_not_have_is_named(tmp_path):
    section, units = mosaic()
    inputs = write_inputs(tmp_path, units, area={"bbox": BOX}, sampling_section=section)
    with pytest.raises(IncompleteError, match="no unit 'b999_999'"):
        sampling(inputs[0], "b999_999", inputs[1], tmp_path / "out.parquet")


@given(st.floats(-179.9, 179.9), st.floats(-80, 80), st.floats(0.1, 40), st.floats(0.1, 5))
@settings(deadline=None)
def test_a_box_anywhere_is_the_same_surface_after_the_cut(west, south, width, height):
    east = west + width
    wrapped = east - 360 if east > 180 else east
    ring = shapely.Polygon(
        [(west, south), (wrapped, south), (wrapped, south + height), (west, south + height)]
    )
    cut = split_at_antimeridian(ring)
    assert cut.area == pytest.approx(width * height)
    assert cut.is_valid
    left, _, right, _ = cut.bounds
    assert left >= -180
    assert right <= 180
    assert len(shapely.get_parts(cut)) == (2 if east > 180.0001 else 1) or abs(east - 180) < 1e-3


def test_a_hole_over_the_antimeridian_stays_a_hole():
    ring = shapely.Polygon(
        [(179, 0), (-179, 0), (-179, 2), (179, 2)],
        [[(-179.8, 0.5), (179.8, 0.5), (179.8, 1.5), (-179.8, 1.5)]],
    )
    cut = split_at_antimeridian(ring)
    assert cut.area == pytest.approx(2 * 2 - 0.4 * 1)
    assert not cut.contains(shapely.Point(179.9, 1))
    assert not cut.contains(shapely.Point(-179.9, 1))
    assert cut.contains(shapely.Point(-179.5, 1))


def test_patch_names_of_both_kinds():
    unit = Unit("31UGQ", snapped_geobox((0, 0, 9, 9), "EPSG:32631", 1), 0, 0)
    (window,) = patch_windows(unit, size_px=9, stride_px=1)
    assert KINDS["mosaic"].patch_id(unit, window) == "r00000_c00000"
    assert KINDS["tiles"].patch_id(unit, window) == "31UGQ_0_0"
