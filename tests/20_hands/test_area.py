# SPDX-License-Identifier: Apache-2.0
"""The area of a recipe, from files as people have them."""

import json

import pytest
import shapely

from made.vectors import table_of, write_vectors
from terrapatch.errors import InputError
from terrapatch.settings import AreaSettings
from terrapatch.vectors import read_area

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
BOW_TIE = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])


def geojson(path, *geometries, **more):
    features = [{"type": "Feature", "properties": {}, "geometry": g} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}))
    return path


def area(path, **more):
    return read_area(AreaSettings(file=str(path), **more))


def test_several_layers_are_listed_and_one_can_be_chosen(tmp_path):
    path = tmp_path / "aoi.gpkg"
    for name, side in (("a_draft", 1), ("b_final", 4)):
        write_vectors(
            path, table_of([shapely.box(0, 0, side, side)], "EPSG:32631"), layer=name, mode="a"
        )
    with pytest.raises(InputError, match=r"2 layers could be meant: .*a_draft.*b_final.*`layer`"):
        area(path)
    whole, crs = area(path, layer="b_final")
    assert (whole.area, crs) == (16, "EPSG:32631")
    with pytest.raises(ValueError, match="layer names a layer"):
        AreaSettings(bbox=(0, 0, 1, 1), layer="b_final")


def test_collections_count_in_full_and_the_rest_is_told(tmp_path):
    square = {"type": "Polygon", "coordinates": [SQUARE]}
    far = {"type": "Polygon", "coordinates": [[[9, 0], [10, 0], [10, 1], [9, 0]]]}
    line = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
    inner = {"type": "GeometryCollection", "geometries": [far, line]}
    mixed = {"type": "GeometryCollection", "geometries": [square, inner]}
    notes = []
    path = geojson(tmp_path / "a.geojson", mixed, {"type": "Point", "coordinates": [1, 1]})
    whole, crs = read_area(AreaSettings(file=str(path)), notes)
    assert (whole.area, crs) == (16.5, "EPSG:4326")
    assert notes == [
        f"{path}: beside polygons the area's file holds 1 LineString, 1 Point, not used"
    ]


def test_outlines_that_cross_themselves_are_repaired_and_told(tmp_path):
    table = table_of([BOW_TIE, shapely.box(0, 0, 4, 1)], "EPSG:32631")
    notes = []
    path = write_vectors(tmp_path / "a.gpkg", table)
    whole, _ = read_area(AreaSettings(file=str(path)), notes)
    assert whole.is_valid
    assert whole.area == pytest.approx(
        shapely.union_all([shapely.make_valid(BOW_TIE), table.geometry[1]]).area
    )
    assert notes == [f"{path}: 1 polygon(s) of the area cross themselves, repaired"]


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        ({"type": "Polygon", "coordinates": [SQUARE[:-1]]}, "the ring of feature 0 is not closed"),
        ({"type": "Polygon", "coordinates": [SQUARE[:2]]}, "the ring of feature 0 is not closed"),
        ({"type": "LineString", "coordinates": SQUARE}, "must hold polygons; it holds 1 LineString"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "must hold polygons"),
        (None, "must hold polygons; it holds none"),
    ],
)  # fmt: skip
def test_what_is_no_area_is_refused_in_one_line(tmp_path, geometry, said):
    path = geojson(tmp_path / "a.geojson", geometry)
    with pytest.raises(InputError, match=said) as error:
        area(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_area_without_crs_is_refused_with_a_remedy_that_works(tmp_path):
    metres = [
        [[700_000, 6_600_000], [700_100, 6_600_000], [700_100, 6_600_100], [700_000, 6_600_000]]
    ]
    path = geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": metres})
    with pytest.raises(InputError, match=r"must say its CRS.*GeoJSON without one is in degrees"):
        area(path)
    said = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    path = geojson(tmp_path / "b.geojson", {"type": "Polygon", "coordinates": metres}, crs=said)
    assert area(path)[1] == "EPSG:2154"
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"t\.csv: it holds no layer with geometries"):
        area(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"none\.gpkg: no such file"):
        area(tmp_path / "none.gpkg")


@pytest.mark.parametrize("suffix", [".shp", ".parquet", ".zip", ".kml"])
def test_areas_come_in_many_formats(tmp_path, suffix):
    table = table_of([shapely.box(3, 45, 4, 46)], "EPSG:4326", Name=["x"])
    path = tmp_path / f"a{suffix}"
    if suffix == ".kml":
        table.to_file(path, driver="KML")
    else:
        write_vectors(path, table)
    if suffix == ".shp":
        path.with_suffix(".dbf").unlink()  # its attributes do not matter
    whole, crs = area(path)
    assert crs == "EPSG:4326"
    assert whole.equals(shapely.box(3, 45, 4, 46))
