# SPDX-License-Identifier: Apache-2.0
"""Vector references as people have them: read right, or refused with one clear line."""

import json
import struct
import zipfile

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Transformer

from made.patches import utm_geobox
from made.vectors import Unit, table_of, write_vectors
from terrapatch.catalog.listing import describe
from terrapatch.errors import InputError, LegendError, RecipeError, SceneError
from terrapatch.legend import NODATA
from terrapatch.lock import read_lock
from terrapatch.settings import NetworkSource, VectorSource
from terrapatch.vectors import network_rules, open_layer, read_portions, schema_of

CRS = "EPSG:32722"
SIDE = 40
"""Pixels of the unit, of 10 m."""


@pytest.fixture
def unit(tmp_path):
    """A unit of 40 × 40 px with a plain legend; call it with the sources."""
    geobox = utm_geobox((SIDE, SIDE))
    (tmp_path / "legend.csv").write_text(
        "code,name,color\n" + "".join(f"{n},class {n},#00000{n}\n" for n in range(5))
    )
    (tmp_path / "walk.csv").write_text("source_code,code\na,1\nb,2\n1,1\n2,2\nforêt,3\n")

    def make(**wanted):
        plain = {
            "legend": str(tmp_path / "legend.csv"), "crosswalk": str(tmp_path / "walk.csv"),
            "edges": "none",
        }  # fmt: skip
        return Unit(tmp_path, geobox, **(plain | wanted))

    make.geobox = geobox
    make.left, make.bottom, make.right, make.top = geobox.boundingbox.bbox
    return make


def square(unit, first=5, last=15):
    """Square over pixels first … last − 1 in both directions: 100 of them as it is."""
    return shapely.box(
        unit.left + 10 * first, unit.top - 10 * last, unit.left + 10 * last, unit.top - 10 * first
    )


def source(path, **more):
    return {"path": str(path), "fields": ["code"], **more}


def labels(made):
    return made.build()[0][0]


def refusal(made, kind=(SceneError, LegendError, RecipeError)):
    """The one clear line that the plan gives."""
    with pytest.raises(kind) as error:
        made.find()
    text = str(error.value)
    assert "Traceback" not in text
    return text


# Curves and surfaces ------------------------------------------------------------------------------


def write_wkb(path, unit, wkb, kind="Unknown"):
    """A GeoPackage with a geometry that shapely cannot make."""
    write_vectors(path, table_of([square(unit)], CRS, code=["a"]))
    import sqlite3

    with sqlite3.connect(path) as database:
        triggers = database.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger'"
        ).fetchall()
        for (name,) in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        head = database.execute(f"SELECT geom FROM {path.stem}").fetchone()[0]
        head = b"GP\x00\x01" + head[4:8]  # no envelope
        database.execute(f"UPDATE {path.stem} SET geom = ?", [head + wkb])
        database.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = ?", [kind])
        database.execute("DELETE FROM gpkg_extensions")
        for table in database.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'rtree_%geom'"
        ).fetchall():
            database.execute(f'DROP TABLE "{table[0]}"')
    database.close()
    return path


def positions(points):
    return struct.pack("<I", len(points)) + b"".join(struct.pack("<2d", *p) for p in points)


def circle(unit, radius=100.0):
    """CIRCULARSTRING around the middle of the unit."""
    x, y = (unit.left + unit.right) / 2, (unit.top + unit.bottom) / 2
    around = [(x - radius, y), (x, y + radius), (x + radius, y), (x, y - radius), (x - radius, y)]
    return struct.pack("<BI", 1, 8) + positions(around)


def curve_polygon(unit, ring):
    return struct.pack("<BII", 1, 10, 1) + ring


def test_curves_are_outlines(unit, tmp_path):
    curved = curve_polygon(unit, circle(unit))
    path = write_wkb(tmp_path / "v.gpkg", unit, curved, "CURVEPOLYGON")
    found = labels(unit(vectors=[source(path)]))
    assert abs((found == 1).sum() - np.pi * 100) < 6  # of pixels of 10 m
    # A surface of several parts, of which one has a curve within a curve.
    whole = struct.pack("<BII", 1, 9, 1) + circle(unit)
    several = struct.pack("<BII", 1, 12, 2) + curve_polygon(unit, whole)
    several += shapely.to_wkb(square(unit, 0, 5), byte_order=1)
    path = write_wkb(tmp_path / "w.gpkg", unit, several, "MULTISURFACE")
    again = labels(unit(vectors=[source(path)]))
    assert (again == 1).sum() == (found == 1).sum() + 25


def test_curves_of_networks_are_lines(unit, tmp_path):
    path = write_wkb(tmp_path / "v.gpkg", unit, circle(unit), "CIRCULARSTRING")
    found = labels(
        unit(
            vectors=[
                source(
                    write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["b"]))
                )
            ],
            networks=[{"path": str(path), "code": 4, "buffer_m": 10}],
        )
    )
    assert abs((found == 4).sum() - np.pi * (110**2 - 90**2) / 100) < 10


@pytest.mark.parametrize(("number", "name"), [(16, "TIN"), (15, "POLYHEDRALSURFACE")])
@pytest.mark.parametrize("declared", [True, False])
def test_surfaces_in_space_are_named(unit, tmp_path, number, name, declared):
    x, y = unit.left + 50, unit.top - 50
    ring = [(x, y, 1.0), (x + 50, y, 1.0), (x, y + 50, 2.0), (x, y, 1.0)]
    inner = struct.pack("<BII", 1, 1017 if number == 16 else 1003, 1)
    inner += struct.pack("<I", 4) + b"".join(struct.pack("<3d", *p) for p in ring)
    wkb = struct.pack("<BII", 1, 1000 + number, 1) + inner
    path = write_wkb(tmp_path / "v.gpkg", unit, wkb, name if declared else "GEOMETRY")
    text = refusal(unit(vectors=[source(path)]))
    assert name in text
    assert "fetch" not in text


def test_a_geoparquet_with_a_curve_is_refused_by_name(unit, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = write_vectors(tmp_path / "v.parquet", table_of([square(unit)], CRS, code=["a"]))
    table = pq.read_table(path)
    at = table.column_names.index("geometry")
    curved = pa.array([curve_polygon(unit, circle(unit))])
    pq.write_table(table.set_column(at, table.field(at), curved), path)
    assert "CURVEPOLYGON" in refusal(unit(vectors=[source(path)]))


# Broken geometries --------------------------------------------------------------------------------


def feature(geometry, **properties):
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def geojson(path, *features, crs=CRS):
    text = {"type": "FeatureCollection", "features": list(features)}
    if crs:
        name = f"urn:ogc:def:crs:EPSG::{crs.split(':')[1]}"
        text["crs"] = {"type": "name", "properties": {"name": name}}
    path.write_text(json.dumps(text))
    return path


def test_rings_that_are_not_closed_are_closed_and_counted(unit, tmp_path):
    plain = shapely.geometry.mapping(square(unit))
    open_ = {"type": "Polygon", "coordinates": [list(plain["coordinates"][0])[:-1]]}
    path = geojson(tmp_path / "v.geojson", feature(open_, code="a"))
    layers, record = unit(vectors=[source(path)]).build()
    assert (layers[0] == 1).sum() == 100
    assert record["vectors.0.0"]["repaired"] == 1


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_coordinates_that_are_no_numbers_are_named(unit, tmp_path, bad):
    corners = [*shapely.get_coordinates(square(unit))]
    corners[1] = np.array([corners[1][0], bad])
    wkb = struct.pack("<BII", 1, 3, 1) + positions(corners)
    with np.errstate(invalid="ignore"):
        shape = shapely.from_wkb(wkb)
    table = table_of([shape, square(unit, 0, 3)], CRS, code=["a", "b"])
    path = write_vectors(tmp_path / "v.parquet", table)
    if np.isnan(bad):
        assert "no numbers (infinite or NaN), first of feature 0" in refusal(
            unit(vectors=[source(path)])
        )
    else:
        with pytest.raises(SceneError, match="no numbers"):
            list(
                read_portions(
                    open_layer(str(path), schema_of("custom"), unpack_to=tmp_path), {}, None
                )
            )


def test_measures_and_heights_change_nothing(unit, tmp_path):
    flat = square(unit)
    corners = shapely.get_coordinates(flat)
    with_height = shapely.Polygon(np.c_[corners, np.arange(len(corners))])
    path = write_vectors(tmp_path / "z.gpkg", table_of([with_height], CRS, code=["a"]))
    want = labels(unit(vectors=[source(path)]))
    measured = struct.pack("<BII", 1, 2003, 1) + struct.pack("<I", len(corners))
    measured += b"".join(struct.pack("<3d", x, y, 7.0) for x, y in corners)
    path = write_wkb(tmp_path / "m.gpkg", unit, measured, "POLYGON")
    np.testing.assert_array_equal(labels(unit(vectors=[source(path)])), want)
    assert (want == 1).sum() == 100


def test_collections_count_in_full_and_the_rest_is_told(unit, tmp_path):
    line = shapely.LineString([(unit.left, unit.top), (unit.right, unit.bottom)])
    inner = shapely.GeometryCollection([square(unit, 20, 25), line])
    mixed = shapely.GeometryCollection([square(unit), inner, shapely.Point(unit.left, unit.top)])
    path = write_vectors(tmp_path / "v.gpkg", table_of([mixed], CRS, code=["a"]))
    made = unit(vectors=[source(path)])
    assert (labels(made) == 1).sum() == 125
    lock = read_lock(tmp_path / "lock.json")
    assert lock.vectors[0].left_out == {"LineString in a collection": 1, "Point in a collection": 1}
    assert "left out: LineString in a collection (1), Point in a collection (1)" in describe(lock)
    network = {"path": str(path), "code": 4, "buffer_m": 5}
    found = labels(unit(vectors=[source(path)], networks=[network]))
    assert (found == 4).sum() > 125 + SIDE


@pytest.mark.parametrize("shape", ["Point", "LineString"])
def test_points_and_lines_given_as_polygons_are_refused_by_the_plan(unit, tmp_path, shape):
    made = {
        "Point": shapely.Point(unit.left + 50, unit.top - 50),
        "LineString": shapely.LineString([(unit.left, unit.top), (unit.right, unit.bottom)]),
    }[shape]
    path = write_vectors(tmp_path / "v.gpkg", table_of([made, square(unit)], CRS, code=["a", "a"]))
    text = refusal(unit(vectors=[source(path)]))
    assert f"1 feature(s) are {shape}; vectors take polygons" in text
    assert "1 feature(s) are" in refusal(unit(vectors=[{"path": str(path), "code": 1}]))


# Codes and attributes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "table"),
    [(["1.0"], "1"), ([1], "1.0"), ([1.0], "1"), (["1"], "1.0"), ([" 1 "], "1."), (["1.00"], "1")],
)
@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".shp"])
def test_one_code_is_one_code_whatever_its_type(unit, tmp_path, codes, table, suffix):
    path = write_vectors(tmp_path / f"v{suffix}", table_of([square(unit)], CRS, code=codes))
    (tmp_path / "w.csv").write_text(f"source_code,code\n{table},2\n")
    assert (
        labels(unit(vectors=[source(path)], crosswalk=str(tmp_path / "w.csv"))) == 2
    ).sum() == 100


@pytest.mark.parametrize(
    ("code", "table"), [("01", "1"), ("1.1", "1"), ("1", "01"), ("1.10", "1.1")]
)
def test_codes_that_differ_are_not_made_one(unit, tmp_path, code, table):
    path = write_vectors(tmp_path / "v.gpkg", table_of([square(unit)], CRS, code=[code]))
    (tmp_path / "w.csv").write_text(f"source_code,code\n{table},2\n")
    text = refusal(unit(vectors=[source(path)], crosswalk=str(tmp_path / "w.csv")))
    assert f": {code} (1)" in text


def test_the_exact_attribute_goes_before_its_twin_in_other_letters(unit, tmp_path):
    table = table_of([square(unit)], CRS, CODE=["b"], code=["a"])
    path = write_vectors(tmp_path / "v.parquet", table)
    assert (labels(unit(vectors=[source(path)])) == 1).sum() == 100
    assert (labels(unit(vectors=[source(path, fields=["CODE"])])) == 2).sum() == 100
    text = refusal(unit(vectors=[source(path, fields=["Code"])]))
    assert "several attributes could be meant (Code: CODE, code)" in text
    # One of other letters alone is meant; of several names that a product has had none is.
    path = write_vectors(tmp_path / "w.gpkg", table_of([square(unit)], CRS, CODE=["b"]))
    assert (labels(unit(vectors=[source(path)])) == 2).sum() == 100
    many = table_of([square(unit)], CRS, classe=["a"], gridcode=[2])
    path = write_vectors(tmp_path / "t.gpkg", many)
    text = refusal(unit(vectors=[{"path": str(path), "product": "terraclass"}]))
    assert "(tc_code: classe, gridcode)" in text
    chosen = {"path": str(path), "product": "terraclass", "fields": ["gridcode"]}
    assert (labels(unit(vectors=[chosen])) == 2).sum() == 100


@pytest.mark.parametrize(
    ("cpg", "language", "said"),
    [("UTF-8", None, "for\\\\xeat"), ("1252", None, ""), ("ISO-8859-1", None, ""), ("88591", None, ""),
     ("ANSI 1252", None, ""), (None, None, ""), (None, 0x57, ""), ("nonsense", None, "nonsense"),
     ("UTF-8", "utf-8", ""), ("1252", "utf-8", ""), (None, "utf-8", "")],
)  # fmt: skip
def test_letters_are_what_the_bytes_say(unit, tmp_path, cpg, language, said):
    written = "utf-8" if language == "utf-8" else "ISO-8859-1"
    path = tmp_path / "v.shp"
    table_of([square(unit)], CRS, code=["forêt"]).to_file(path, encoding=written)
    path.with_suffix(".cpg").unlink(missing_ok=True)
    if cpg:
        path.with_suffix(".cpg").write_text(cpg)
    dbf = bytearray(path.with_suffix(".dbf").read_bytes())
    dbf[29] = language if isinstance(language, int) else 0
    path.with_suffix(".dbf").write_bytes(dbf)
    made = unit(vectors=[source(path)])
    if said:
        text = refusal(made)
        assert said.encode().decode("unicode_escape") in text or said in text
        assert ".cpg" in text
    else:
        assert (labels(made) == 3).sum() == 100


def test_old_code_pages_of_a_dbf_are_read(tmp_path, unit):
    path = tmp_path / "v.shp"
    table_of([square(unit)], CRS, code=["лес"]).to_file(path, encoding="cp1251")
    path.with_suffix(".cpg").unlink(missing_ok=True)
    dbf = bytearray(path.with_suffix(".dbf").read_bytes())
    dbf[29] = 0xC9
    path.with_suffix(".dbf").write_bytes(dbf)
    layer = open_layer(str(path), schema_of("custom"), unpack_to=tmp_path)
    (batch,) = read_portions(layer, {"c": "code"}, None)
    assert batch.columns["c"].to_pylist() == ["лес"]


def test_names_of_attributes_have_letters_too(unit, tmp_path):
    path = tmp_path / "v.shp"
    table = table_of([square(unit)], CRS, Réf=["forêt"])
    table.to_file(path, encoding="ISO-8859-1")
    path.with_suffix(".cpg").write_text("1252")
    assert (labels(unit(vectors=[source(path, fields=["Réf"])])) == 3).sum() == 100


def test_text_of_a_geopackage_that_is_no_utf8(unit, tmp_path):
    import sqlite3

    path = write_vectors(tmp_path / "v.gpkg", table_of([square(unit)], CRS, code=["x"]))
    with sqlite3.connect(path) as database:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE v SET code = CAST(? AS TEXT)", ["forêt".encode("latin-1")])
    database.close()
    assert (labels(unit(vectors=[source(path)])) == 3).sum() == 100


# One class, GeoJSON -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".gpkg", ".shp", ".parquet"])
def test_a_source_without_classes_has_one(unit, tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    if suffix in (".geojson", ".json"):
        geojson(path, feature(shapely.geometry.mapping(square(unit))))
    else:
        write_vectors(path, table_of([square(unit)], CRS, FID_1=[1]))
    layers, record = unit(vectors=[{"path": str(path), "code": 3}]).build()
    assert (layers[0] == 3).sum() == 100
    assert record["vectors.0.0"]["features"] == 1
    assert read_lock(tmp_path / "lock.json").vectors[0].fields == {}


def test_one_class_is_one_meaning(unit, tmp_path):
    path = write_vectors(tmp_path / "v.gpkg", table_of([square(unit)], CRS, code=["a"]))
    with pytest.raises(ValueError, match="leave out fields and crosswalk"):
        VectorSource(path=str(path), code=1, fields=("code",), crosswalk="x")
    with pytest.raises(ValueError, match="leave out rules"):
        NetworkSource(path=str(path), code=1, buffer_m=5, rules="bdtopo_v3_roads")
    text = refusal(unit(vectors=[{"path": str(path), "code": 77}]))
    assert "vectors.0.code: 77 is no class" in text
    kept = {"path": str(path), "code": 3, "where": {"code": ["b"]}}
    assert "all of the 1 feature(s) around the area are left out: where code (1)" in refusal(
        unit(vectors=[kept])
    )
    assert "or give the class of all its polygons as code" in refusal(
        unit(vectors=[{"path": str(path)}])
    )
    assert "or one width for all its lines as buffer_m" in refusal(
        unit(networks=[{"path": str(path), "code": 1}])
    )


def test_geojson_is_in_degrees_where_it_says_nothing(unit, tmp_path):
    to = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    there = shapely.transform(square(unit), lambda xy: np.column_stack(to.transform(*xy.T)))
    mapped = [feature(shapely.geometry.mapping(there), code=c) for c in (1.0,)]
    path = geojson(tmp_path / "v.geojson", *mapped, crs=None)
    assert (labels(unit(vectors=[source(path)])) == 1).sum() == 100
    # Metres in a file that says nothing need the recipe's word.
    path = geojson(
        tmp_path / "m.geojson", feature(shapely.geometry.mapping(square(unit)), code=1), crs=None
    )
    with pytest.raises(Exception, match=r"GeoJSON that is not in degrees\); state it under `crs`"):
        unit(vectors=[source(path)]).find()
    assert (labels(unit(vectors=[source(path, crs=CRS)])) == 1).sum() == 100


def test_a_geojson_that_breaks_off_is_one_clear_error(unit, tmp_path):
    mapped = [feature(shapely.geometry.mapping(square(unit)), code="a") for _ in range(9)]
    path = geojson(tmp_path / "v.geojson", *mapped)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        assert "fetch it again" in refusal(unit(vectors=[source(path)]))


# What selects nothing -----------------------------------------------------------------------------


def roads(unit, **columns):
    lines = [
        shapely.LineString([(unit.left, unit.top - 10 * n), (unit.right, unit.top - 10 * n)])
        for n in (5, 15, 25)
    ]
    return table_of(lines, CRS, **columns)


V2 = {
    "NATURE": ["Autoroute", "Route à 1 chaussée", "Bac auto"], "IMPORTANCE": ["1", "2", "1"],
    "ETAT": ["NC", None, "NC"], "POS_SOL": [0, 0, 0], "FRANCHISST": ["NC", "Pont", "NC"],
}  # fmt: skip


def test_bd_topo_v2_under_the_table_of_v3_is_refused_and_has_its_own(unit, tmp_path):
    path = write_vectors(tmp_path / "ROUTE.shp", roads(unit, **V2))
    parcels = write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["a"]))
    network = {"path": str(path), "product": "bdtopo_v3_roads", "code": 4}
    text = refusal(unit(vectors=[source(parcels)], networks=[network]))
    assert "this is BD TOPO v2 (product: bdtopo_v2_roads), not bdtopo_v3_roads" in text
    found = labels(
        unit(vectors=[source(parcels)], networks=[network | {"product": "bdtopo_v2_roads"}])
    )
    # 30 m to each side of the motorway, 10 m of the second road, none of the ferry.
    rows = np.flatnonzero((found == 4).all(axis=1))
    assert rows.tolist() == [2, 3, 4, 5, 6, 7, 14, 15]
    late = roads(unit, **(V2 | {"cleabs": ["x"] * 3})).drop(columns=["FRANCHISST"])
    path = write_vectors(tmp_path / "late.gpkg", late)
    text = refusal(
        unit(
            vectors=[source(parcels)],
            networks=[network | {"path": str(path), "product": "bdtopo_v2_roads"}],
        )
    )
    assert "this is BD TOPO v3 (product: bdtopo_v3_roads), not bdtopo_v2_roads" in text


def test_railways_of_bd_topo_v2(unit):
    natures = [
        rule.value for rule in network_rules("bdtopo_v2_rails").rules if rule.field == "nature"
    ]
    assert {"LGV", "Principale", "Voie de service", "Transport urbain"} <= set(natures)
    assert network_rules("bdtopo_v2_rails").fields == ("etat", "pos_sol", "franchisst", "nature")


def test_what_selects_nothing_is_an_error_unless_it_may(unit, tmp_path):
    states = ["NC", "NC", "En projet"]
    table = roads(
        unit, importance=["1", "2", "1"], nature=["x"] * 3, etat_de_l_objet=states,
        position_par_rapport_au_sol=["0"] * 3,
    )  # fmt: skip
    path = write_vectors(tmp_path / "r.gpkg", table)
    parcels = write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["a"]))
    network = {"path": str(path), "product": "bdtopo_v3_roads", "code": 4}
    text = refusal(unit(vectors=[source(parcels)], networks=[network]))
    assert "all of the 3 feature(s) around the area are left out: etat_de_l_objet=NC (2), " in text
    assert "etat_de_l_objet=En projet (1)" in text
    assert "networks.0.required: false" in text
    made = unit(vectors=[source(parcels)], networks=[network | {"required": False}])
    found = made.find()
    assert found.vectors[1].features == 0
    assert found.vectors[1].left_out == {"etat_de_l_objet=NC": 2, "etat_de_l_objet=En projet": 1}
    assert (labels(made) == 4).sum() == 0


def test_a_file_of_another_place_is_an_error_and_one_of_several_is_not(unit, tmp_path):
    far = table_of([shapely.box(0, 0, 10, 10)], CRS, code=["a"])
    near = table_of([square(unit)], CRS, code=["a"])
    write_vectors(tmp_path / "d1.gpkg", far)
    assert "none of its 1 feature(s) lies around the area" in refusal(
        unit(vectors=[source(tmp_path / "d1.gpkg")])
    )
    write_vectors(tmp_path / "d2.gpkg", near)
    assert (labels(unit(vectors=[source(tmp_path / "d*.gpkg")])) == 1).sum() == 100
    # All features ignored: the same.
    (tmp_path / "w.csv").write_text("source_code,code\na,ignore\n")
    text = refusal(unit(vectors=[source(tmp_path / "d2.gpkg")], crosswalk=str(tmp_path / "w.csv")))
    assert "left out: code=a (1)" in text


# Layers -------------------------------------------------------------------------------------------


def test_layers_with_geometries_are_told_from_tables(unit, tmp_path):
    path = tmp_path / "v.gpkg"
    write_vectors(path, table_of([square(unit)], CRS, code=["a"]), layer="parcels")
    pyogrio.write_dataframe(gpd.pd.DataFrame({"x": [1]}), path, layer="notes", append=True)
    assert (labels(unit(vectors=[source(path)])) == 1).sum() == 100
    pyogrio.write_dataframe(gpd.pd.DataFrame({"x": [1]}), tmp_path / "t.gpkg", layer="notes")
    assert "holds no layer with geometries; name another file" in refusal(
        unit(vectors=[source(tmp_path / "t.gpkg")])
    )
    with rasterio.open(
        tmp_path / "r.gpkg", "w", driver="GPKG", width=8, height=8, count=1, dtype="uint8", crs=CRS,
        transform=rasterio.Affine(10, 0, unit.left, 0, -10, unit.top),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 8, 8), "uint8"))
    assert "r.gpkg" in refusal(unit(vectors=[source(tmp_path / "r.gpkg")]))


def test_categories_with_gaps_are_codes(unit, tmp_path):
    table = table_of([square(unit), square(unit, 20, 25)], CRS, code=["a", None])
    table["code"] = table["code"].astype("category")
    path = write_vectors(tmp_path / "v.parquet", table)
    assert "1 feature(s) without a code" in refusal(unit(vectors=[source(path)]))
    found = labels(unit(vectors=[source(path, null_codes="ignore")]))
    assert (found == 1).sum() == 100
    assert (found != NODATA).sum() == 100


def test_two_editions_in_one_archive_are_no_choice_of_ours(unit, tmp_path):
    inner = write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["a"]))
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        archive.write(inner, "2021/parcels.gpkg")
        archive.write(inner, "2022/parcels.gpkg")
    text = refusal(unit(vectors=[source(tmp_path / "v.zip")]))
    assert "2 layers could be meant" in text
    assert "Unpack it and name one of these files" in text


def test_encrypted_archives_are_said_to_be(unit, tmp_path):
    inner = write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["a"]))
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        archive.write(inner, "p.gpkg")
    raw = bytearray((tmp_path / "v.zip").read_bytes())
    raw[6] |= 1  # flags of the member's own head, and of the directory
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "v.zip").write_bytes(raw)
    text = refusal(unit(vectors=[source(tmp_path / "v.zip")]))
    assert "is encrypted; unpack it with its password" in text
    py7zr = pytest.importorskip("py7zr")
    with py7zr.SevenZipFile(tmp_path / "v.7z", "w", password="secret") as archive:
        archive.write(inner, "p.gpkg")
    assert "is encrypted" in refusal(unit(vectors=[source(tmp_path / "v.7z")]))


def test_axes_that_are_changed_over_get_a_hint(unit, tmp_path):
    to = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    there = shapely.transform(
        square(unit), lambda xy: np.column_stack(to.transform(*xy.T))[:, ::-1]
    )
    path = geojson(
        tmp_path / "v.geojson", feature(shapely.geometry.mapping(there), code=1), crs=None
    )
    text = refusal(unit(vectors=[source(path)]))
    assert "longitude and latitude, changed over they would" in text


def test_a_folder_is_said_to_be_one(unit, tmp_path):
    write_vectors(tmp_path / "p.gpkg", table_of([square(unit)], CRS, code=["a"]))
    (tmp_path / "v.gdb").mkdir()
    text = refusal(unit(vectors=[source(tmp_path / "v.gdb")]), InputError)
    assert "v.gdb: is a folder; name a vector file in it" in text
    assert "no such file" in refusal(unit(vectors=[source(tmp_path / "n.gpkg")]), InputError)
