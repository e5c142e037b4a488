# SPDX-License-Identifier: Apache-2.0
"""The French view of the archive: codes, partition, faults, ways, and the truth."""

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject

from made.recipes import resolve
from terrapatch.crs import transformer
from terrapatch.recipe import write_settings
from terrapatch.settings import SimulateSettings
from terrapatch.simulate import french, simulate
from terrapatch.simulate.facts import covers, rows, shared_rows
from terrapatch.simulate.french_faults import BOW_TIE_M, lay_faults, with_bow_ties
from terrapatch.simulate.landscape import make_landscape

AREA = shapely.box(6.45, 49.06, 6.65, 49.15)
"""14.6 km x 10 km where tiles 31UGQ and 32ULV overlap."""
TILES = ("T31UGQ", "T32ULV")


def class_of(code):
    """Class of an OCSGE2 code by RECIPES §2.2, written down anew; 0: road surface."""
    fifth = {
        1: "11111-11113 11121-11123 13201 17101-17103",
        2: "11211-11213 11221-11223 11231-11233 11241-11243 11301-11303 13301-13303",
        3: "11401-11403 12111-12113 12121-12123 12131 12132 12143 12151 12152 12201 12202 "
           "13111-13113 13121-13123 13131-13133 13141 13142 13202 13203 13401-13403 14111 14112 "
           "14201 14202 14301-14303 15101 15102 16101-16103",
        4: "12133 12141 12142 12153 12203 13143 14203 15103", 5: "14113 14131-14133",
        0: "14121-14123",
    }  # fmt: skip
    fourth = {
        6: "2110 2120", 7: "2210", 8: "2221-2223", 9: "2310 3210 3220 3230", 10: "2320",
        11: "3110 3120 3130 3140 3150", 12: "3310 3320 3340", 13: "4110 4120", 14: "5110 5120 5130",
    }  # fmt: skip
    for number, text in (fifth if code > 9999 else fourth).items():
        for part in text.split():
            first, _, last = part.partition("-")
            if int(first) <= code <= int(last or first):
                return number
    raise AssertionError(f"{code} is no code of OCSGE2")


def write(folder, landscape):
    settings = SimulateSettings(references="french", seed=landscape.seed)
    french.write(folder, landscape, AREA, TILES, settings)


@pytest.fixture(scope="module")
def landscape():
    return make_landscape(AREA, AREA, 4)


@pytest.fixture(scope="module")
def archive(tmp_path_factory, landscape):
    folder = tmp_path_factory.mktemp("french")
    write(folder, landscape)
    return folder


@pytest.fixture(scope="module")
def ocsge2(archive):
    return pyogrio.read_dataframe(archive / "reference" / "ocsge2_grandest_2022.gpkg")


@pytest.fixture(scope="module")
def area(landscape):
    """The area in the landscape's metres."""
    return french.grid.reprojected(AREA, "EPSG:4326", landscape.crs)


@pytest.fixture(scope="module")
def ground(landscape, area):
    return french.french_ground(landscape, area)


def ways(archive, layer):
    return pyogrio.read_dataframe(archive / "reference" / "bdtopo_2022.gpkg", layer=layer)


def codes_of(table):
    return np.where(table["cod_n5"] > 0, table["cod_n5"], table["cod_n4"]).astype(int)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.transform, dataset.crs


def test_every_cover_has_codes_that_add_up_and_classes_of_the_authors():
    shares = {}
    for row in rows("ocsge2"):
        assert class_of(int(row["code"])) == int(row["class"]), row
        shares[row["cover"]] = shares.get(row["cover"], 0) + float(row["share"])
    assert shares == pytest.approx(dict.fromkeys(shares, 1.0))
    towns = {"town_dense", "town_sparse", "town_special", "town_green", "rail"}
    assert shares.keys() == (set(covers().names) - {"town"}) | towns
    assert {int(row["class"]) for row in rows("ocsge2")} == set(range(15))
    # Several codes a class, as in the genuine map.
    assert (
        min(len(codes) for codes, _ in map(shared_rows("ocsge2").get, ("forest", "perennial"))) > 1
    )


def test_codes_and_classes_are_those_of_the_shared_table(shared_data):
    path = shared_data.parent / "legends" / "ocsge2_grandest.csv"
    with path.open(encoding="utf-8") as file:
        known = {int(r["code"]): r["multisenge_class"] for r in csv.DictReader(file)}
    for code, number in french.classes().items():
        assert known[code] == (str(number) if number else known[14121])


def test_codes_stand_in_the_fields_of_the_producer(ocsge2):
    assert list(ocsge2.columns) == ["cod_n4", "cod_n5", "geometry"]
    assert str(ocsge2.crs.to_epsg()) == "2154"
    artificial = ocsge2["cod_n5"] > 0
    assert (ocsge2.loc[artificial, "cod_n5"] // 10 == ocsge2.loc[artificial, "cod_n4"]).all()
    assert ocsge2.loc[artificial, "cod_n4"].between(1111, 1710).all()
    assert ocsge2.loc[~artificial, "cod_n4"].between(2110, 5130).all()
    assert {class_of(code) for code in codes_of(ocsge2)} == set(range(15))


def test_polygons_are_a_partition_of_the_area(ocsge2, landscape):
    mended = shapely.make_valid(ocsge2.geometry.to_numpy())
    whole = shapely.union_all(mended, grid_size=0.01)
    sound = ocsge2.is_valid.to_numpy()
    # Loops of broken rings stray over their neighbours by a square metre or so.
    strayed = shapely.area(mended[sound]).sum() + shapely.area(mended[~sound]).sum()
    assert strayed == pytest.approx(whole.area, rel=1e-5)
    area = shapely.transform(
        shapely.segmentize(AREA, 1e-3),
        lambda xy: np.column_stack(transformer("EPSG:4326", "EPSG:2154").transform(*xy.T)),
    )  # fmt: skip
    assert shapely.symmetric_difference(whole, area).area < 1e-4 * area.area
    left, right = shapely.STRtree(mended[sound]).query(mended[sound], predicate="overlaps")
    shared = shapely.area(shapely.intersection(mended[sound][left], mended[sound][right]))
    sides = np.minimum(*(shapely.length(mended[sound][k]) for k in (left, right)))
    assert (shared <= 0.01 * sides).all()


def test_faults_are_there_in_number(ocsge2):
    area = ocsge2.area.to_numpy()
    broken = ocsge2.geometry[~ocsge2.is_valid]
    assert 3 <= len(broken) < 0.05 * len(ocsge2)
    assert all("Self-intersection" in text for text in broken.is_valid_reason())
    km2 = area.sum() / 1e6
    assert (area < 50).sum() > 10 * km2  # specks
    assert ((area > 150) & (area < 25_000)).sum() > 10 * km2  # scraps
    parts = ocsge2.geometry
    thin = shapely.area(parts) / shapely.length(parts) < 2.5
    assert (thin & (area > 100)).sum() > 50  # slivers


def test_no_code_is_missing_unless_asked(ocsge2, tmp_path, landscape, area, ground):
    assert ocsge2[["cod_n4", "cod_n5"]].notna().all().all()
    french.write_ocsge2(tmp_path / "a.gpkg", ground, landscape, area, nulls=3)
    table = pyogrio.read_dataframe(tmp_path / "a.gpkg")
    assert table["cod_n4"].isna().sum() == table["cod_n5"].isna().sum() == 3
    assert len(table) == len(ocsge2)


def test_a_bow_tie_is_a_small_loop():
    square = np.array([shapely.box(x, 0, x + 100, 50) for x in range(0, 40_000, 100)], object)
    tied = with_bow_ties(square, 1)
    changed = [n for n in range(len(square)) if tied[n] is not square[n]]
    assert 1 <= len(changed) < 25
    for number in changed:
        assert not tied[number].is_valid
        mended = shapely.make_valid(tied[number])
        # Twice a triangle of 10 m and the height of the crossing, and the loop's own of 6 m.
        bow = 10 * BOW_TIE_M * 10 / 13 + 3 * BOW_TIE_M * 3 / 13
        assert mended.symmetric_difference(square[number]).area == pytest.approx(bow, abs=0.2)
        assert shapely.hausdorff_distance(mended, square[number]) <= BOW_TIE_M + 0.01
    short = np.array([shapely.box(0, 0, 30, 30)] * 500, object)
    assert all(a is b for a, b in zip(with_bow_ties(short, 1), short, strict=True))


def test_faults_have_codes_of_the_map_and_their_sizes(area, ground):
    shapes, codes = lay_faults(ground.geometry, ground.code, area, 4)
    assert set(codes) <= set(ground.code)
    specks = [s for s in shapes if len(s.exterior.coords) == 5]
    assert max(s.area for s in specks) <= 49.0
    assert max(s.area for s in shapes) < 25_000


def test_bytes_are_the_same_whenever_they_are_written(archive, tmp_path):
    write(tmp_path, make_landscape(AREA, AREA, 4))
    names = sorted(p.relative_to(archive) for p in archive.rglob("*") if p.is_file())
    assert len(names) == 4
    for name in names:
        assert (archive / name).read_bytes() == (tmp_path / name).read_bytes(), name
    with sqlite3.connect(tmp_path / "reference" / "bdtopo_2022.gpkg") as file:
        stamps = file.execute("SELECT table_name, last_change FROM gpkg_contents").fetchall()
    assert stamps == [
        ("troncon_de_route", "2020-01-01T00:00:00.000Z"),
        ("troncon_de_voie_ferree", "2020-01-01T00:00:00.000Z"),
    ]


def test_another_seed_is_another_map(tmp_path, archive):
    write(tmp_path, make_landscape(AREA, AREA, 5))
    name = "reference/ocsge2_grandest_2022.gpkg"
    assert (archive / name).read_bytes() != (tmp_path / name).read_bytes()


def test_ways_have_the_attributes_of_bd_topo(archive, landscape):
    road, rail = (ways(archive, f"troncon_de_{name}") for name in ("route", "voie_ferree"))
    assert len(road) > 20
    assert len(rail) > 3
    kinds = set(zip(road["nature"], road["importance"], strict=True))
    wanted = {("Type autoroutier", "1"), ("Route à 1 chaussée", "2"), ("Chemin", "6")}
    assert kinds - {("Route à 1 chaussée", "4")} == wanted
    assert set(rail["nature"]) == {"Voie ferrée principale"}
    for table in (road, rail):
        assert table.crs.to_epsg() == 2154
        assert table["cleabs"].is_unique
        assert set(table["etat_de_l_objet"]) == {"En service"}
        assert set(table["position_par_rapport_au_sol"]) == {"0"}
        assert table.has_z.all()
        assert (table.geom_type == "LineString").all()
    # Each line runs in the middle of what the satellites see as a road.
    seen = shapely.union_all(
        landscape.features.geometry[landscape.features.cover == covers().number("road")]
    )
    to = transformer("EPSG:2154", landscape.crs)
    for line in [*road.loc[road["nature"] != "Chemin", "geometry"], *rail["geometry"]]:
        there = shapely.transform(shapely.force_2d(line), lambda xy: np.column_stack(to.transform(*xy.T)))  # fmt: skip
        assert shapely.buffer(seen, 0.1).covers(there)


def test_heights_of_lines_are_those_of_the_relief(archive, landscape):
    line = ways(archive, "troncon_de_route").geometry.iloc[0]
    x, y, z = shapely.get_coordinates(line, include_z=True).T
    there = transformer("EPSG:2154", landscape.crs).transform(x, y)
    np.testing.assert_allclose(z, landscape.relief.heights(*map(np.asarray, there)), atol=0.02)


def test_both_tiles_have_one_truth(archive):
    east, to, crs = read(archive / "truth" / "32ULV.tif")
    west, transform, west_crs = read(archive / "truth" / "31UGQ.tif")
    assert (west_crs.to_epsg(), crs.to_epsg()) == (32631, 32632)
    moved = np.full(east.shape, 255, np.uint8)
    reproject(west, moved, src_transform=transform, src_crs=west_crs, dst_transform=to, dst_crs=crs,
              src_nodata=255, dst_nodata=255, resampling=Resampling.nearest)  # fmt: skip
    both = (east != 255) & (moved != 255)
    assert both.mean() > 0.8
    assert (east == moved)[both].mean() > 0.96  # borders move by half a pixel
    assert set(np.unique(east)) == {*range(1, 15), 255}
    assert 0 not in west


def test_the_map_differs_from_the_truth_by_its_faults_and_networks_alone(
    archive, ocsge2, landscape, area, ground
):
    codes, transform, crs = read(archive / "truth" / "31UGQ.tif")
    table = ocsge2.to_crs(crs)
    values = [class_of(code) for code in codes_of(table)]
    shapes = shapely.make_valid(table.geometry.to_numpy())
    burnt = rasterize(
        list(zip(shapes, values, strict=True)), out_shape=codes.shape, transform=transform, fill=255
    )
    faults, _ = lay_faults(ground.geometry, ground.code, area, 4)
    to = transformer(landscape.crs, str(crs))
    moved = shapely.transform(faults, lambda xy: np.column_stack(to.transform(*xy.T)))
    faulty = rasterize(list(moved), out_shape=codes.shape, transform=transform, all_touched=True)
    # Roads: networks of the truth, and the surface that the map has there.
    inside = (codes != 255) & (burnt != 255)
    other = inside & (codes != burnt) & (codes != 5) & (burnt != 0) & (faulty == 0)
    assert other.sum() <= 1e-4 * inside.sum()  # centimetres of rounding
    noise = inside & (codes != burnt) & (faulty > 0) & (codes != 5)
    assert 0.01 < noise.sum() / inside.sum() < 0.05


def test_networks_of_the_truth_have_their_widths(archive):
    codes, transform, crs = read(archive / "truth" / "31UGQ.tif")
    road = ways(archive, "troncon_de_route").to_crs(crs)
    for importance, width in (("1", 30.0), ("2", 10.0)):
        lines = road.loc[road["importance"] == importance, "geometry"]
        inner = rasterize([g.buffer(width - 0.5) for g in lines], out_shape=codes.shape, transform=transform)  # fmt: skip
        assert set(np.unique(codes[inner == 1])) <= {5, 255}
    lines = road.loc[road["importance"].isin(["1", "2"]), "geometry"]
    rail = ways(archive, "troncon_de_voie_ferree").to_crs(crs).geometry
    wide = rasterize([*(g.buffer(31) for g in lines), *(g.buffer(15) for g in rail)],
                     out_shape=codes.shape, transform=transform)  # fmt: skip
    assert (codes[wide == 0] != 5).all()


def test_the_archive_writes_scenes_of_both_tiles_over_one_ground(tmp_path):
    recipe = resolve(
        {
            "name": "french", "area": {"bbox": [6.50, 49.08, 6.52, 49.095]},
            "catalog": {"source": "simulated"},
            "simulate": {"references": "french", "passes": 1, "margin_m": 200},
        }
    )  # fmt: skip
    write_settings(recipe, tmp_path / "settings")
    simulate(tmp_path / "settings" / "simulate.json", tmp_path / "archive")
    folder = tmp_path / "archive"
    scenes = sorted(p.name for p in (folder / "sentinel2").iterdir())
    assert {name.split("_")[5] for name in scenes} == set(TILES)
    assert {p.name for p in (folder / "truth").iterdir()} == {"31UGQ.tif", "32ULV.tif"}
    assert (folder / "reference" / "terraclass_2022.tif").is_file()
    catalogue = json.loads((folder / "catalog.json").read_text("utf-8"))
    assert catalogue["type"] == "Catalog"
    # Vectors and truth are no scenes: the catalogue does not know them.
    assert not [p for p in Path(folder).rglob("*.json") if "ocsge2" in p.read_text("utf-8")]
