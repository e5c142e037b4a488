# SPDX-License-Identifier: Apache-2.0
"""Windows around the points of a table, judged by a plain loop, and tables as people keep them."""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely

from terrapatch.errors import InputError, RecipeError
from terrapatch.grid import mgrs_tile_geobox
from terrapatch.places import KINDS, Ground, place_of
from terrapatch.settings import SamplingSettings
from terrapatch.vectors import NO_POSITION, read_place_table

SHARED = Path(__file__).parents[3] / "shared" / "data" / "ref_tables"
TILES = ["T31TCJ", "T31TDJ", "T31TCH", "T30TYP"]
"""Three of one zone that overlap, and one of the zone beside it."""


def sampling(**changes):
    return SamplingSettings(
        **{"kind": "points", "path": "p.csv", "id": "name", "x": "lon", "y": "lat", "size_px": 64}
        | changes
    )


def around_toulouse(count, seed=5):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(0.2, 2.6, count), rng.uniform(42.6, 44.4, count)])


def table_of(tmp_path, xy, names=None, **changes):
    names = names or [f"p{n}" for n in range(len(xy))]
    rows = [f"{name},{x!r},{y!r}" for name, (x, y) in zip(names, xy.tolist(), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["name,lon,lat", *rows]) + "\n")
    return read_place_table(sampling(**changes), tmp_path / "p.csv")


def units(table, tiles=TILES, area=(0, 42, 3, 45), **changes):
    ground = Ground(shapely.box(*area), "EPSG:4326", lambda: tiles, table)
    return KINDS["points"].units(sampling(**changes), ground)


def whole_windows(x, y, size, tiles=TILES):
    """Tile → first row and column of the window of a point, by its definition."""
    found = {}
    for tile in tiles:
        geobox = mgrs_tile_geobox(tile)
        east, north = pyproj.Transformer.from_crs(
            4326, geobox.crs.to_epsg(), always_xy=True
        ).transform(x, y)
        col = math.floor((east - geobox.affine.c) / 10) - size // 2
        row = math.floor((geobox.affine.f - north) / 10) - size // 2
        if min(row, col) >= 0 and max(row, col) + size <= 10_980:
            found[tile[1:]] = (row, col)
    return found


@pytest.mark.parametrize("size", [64, 65, 200])
def test_every_window_that_lies_whole_in_a_tile_is_found(tmp_path, size):
    xy = around_toulouse(400)
    table = table_of(tmp_path, xy)
    found = {
        (w.id, unit.id): (w.y_px, w.x_px)
        for unit in units(table, size_px=size, overlap="all") for w in unit.windows
    }  # fmt: skip
    wanted = {
        (f"p{n}_{tile}", tile): corner
        for n, (x, y) in enumerate(xy.tolist()) for tile, corner in whole_windows(x, y, size).items()
    }  # fmt: skip
    assert found == wanted
    assert len({tile for _, tile in found}) == len(TILES)
    assert max(sum(name.startswith(f"p{n}_") for name, _ in found) for n in range(400)) > 1


def test_the_first_tile_is_that_in_which_the_window_lies_farthest_inside(tmp_path):
    xy = around_toulouse(400)
    found = {w.id: unit.id for unit in units(table_of(tmp_path, xy)) for w in unit.windows}
    for n, (x, y) in enumerate(xy.tolist()):
        wanted = {
            tile: min(row, col, 10_916 - row, 10_916 - col)
            for tile, (row, col) in whole_windows(x, y, 64).items()
        }
        best = min((-margin, tile) for tile, margin in wanted.items())[1] if wanted else None
        assert found.get(f"p{n}") == best


def test_the_order_of_the_table_plays_no_part(tmp_path):
    xy = around_toulouse(60)
    names = [f"p{n}" for n in range(60)]
    one = units(table_of(tmp_path, xy, names))
    turned = np.random.default_rng(1).permutation(60)
    two = units(table_of(tmp_path, xy[turned], [names[n] for n in turned]))
    assert one == two
    assert units(table_of(tmp_path, xy, names), tiles=TILES[::-1]) == one
    for unit in one:
        assert [w.id for w in unit.windows] == sorted(w.id for w in unit.windows)


def test_points_outside_the_area_are_none_of_it(tmp_path):
    xy = np.array([[1.4, 43.6], [1.6, 43.6]])
    found = units(table_of(tmp_path, xy), area=(1.3, 43.5, 1.5, 43.7))
    assert [w.id for unit in found for w in unit.windows] == ["p0"]
    with pytest.raises(InputError, match="none of its 2 points lies in the area; correct the area"):
        units(table_of(tmp_path, xy), area=(10, 50, 11, 51))


def test_latitude_and_longitude_exchanged_are_told(tmp_path):
    table = table_of(tmp_path, around_toulouse(5)[:, ::-1])
    with pytest.raises(InputError, match="5 of them would with longitude and latitude exchanged"):
        units(table)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_as_spreadsheets_write_them(tmp_path, separator, encoding):
    rows = [
        ["Name", "Lon", "Lat", "Commune"],
        ["b", "1.5", "43.5", "Montbéliard"],
        ["a", "2", "44", ""],
    ]
    text = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    table = read_place_table(sampling(), tmp_path / "p.csv")
    assert table.ids == ("a", "b")
    np.testing.assert_array_equal(table.xy, [[2, 44], [1.5, 43.5]])
    assert table.columns.column("commune").to_pylist() == ["", "Montbéliard"]


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_vector_files_say_their_own_crs(tmp_path, suffix):
    points = gpd.GeoDataFrame(
        {"Name": [12, 7], "kind": ["x", "y"]},
        geometry=gpd.points_from_xy([1.5, 2.0], [43.5, 44.0]),
        crs=4326,
    )
    path = tmp_path / f"p{suffix}"
    if suffix == ".parquet":
        points.to_crs(2154).to_parquet(path)
    else:
        points.to_crs(4326 if suffix == ".geojson" else 2154).to_file(path)
    table = read_place_table(sampling(x=None, y=None), path)
    assert table.ids == ("12", "7")
    np.testing.assert_allclose(table.xy, [[1.5, 43.5], [2.0, 44.0]], atol=1e-8)
    assert table.columns.column("kind").to_pylist() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,lon,lat\na,1,43\na,1,44\n", "1 ids stand in more than one row, for example a"),
        ("name,lon,lat\na_b,1,43\n", "1 values of 'name' cannot name a patch, for example 'a_b'"),
        ("name,lon,lat\n,1,43\n", "cannot name a patch, for example ''"),
        ("name,lon,y\na,1,43\n", r"no column 'lat' \(sampling.y\); it has name, lon, y"),
        ("name,lon,lat\na,1,north\n", "column 'lat' holds no numbers"),
        ("name,lon,lat\na,43,103\n", "1 positions are no degrees, for example 43, 103; longitude"),
        ("name,lon,lat,LAT\na,1,43,4\n", r"columns \['lat'\] stand there more than once"),
        ("name,lon,lat\na,1,43,9\n", "no readable table"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_place_table(sampling(), tmp_path / "p.csv")


def test_a_table_that_is_not_there_or_is_none_of_points(tmp_path):
    with pytest.raises(InputError, match=r"no such table of points; correct sampling\.path"):
        read_place_table(sampling(), tmp_path / "no.csv")
    squares = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    squares.to_file(tmp_path / "p.gpkg")
    with pytest.raises(InputError, match="holds points alone; it holds 1 Polygon"):
        read_place_table(sampling(), tmp_path / "p.gpkg")
    (tmp_path / "p.csv").write_text("name,a,b\nq,1,2\n")
    with pytest.raises(RecipeError, match=r"sampling.x: names the column"):
        read_place_table(sampling(x=None, y=None), tmp_path / "p.csv")


def test_lucas_has_two_positions_and_some_points_none(tmp_path):
    (tmp_path / "l.csv").write_text(
        "POINT_ID,NUTS0,TH_LAT,TH_LONG,GPS_LAT,GPS_EW,GPS_LONG,LC1\n"
        "26581720,PT,39.1,-8.4,39.2,2,8.5,B11\n"
        "38863060,BE,50.48,3.86,88.888888,8,88.888888,8\n"
        "38863102,BE,50.86,3.81,50.87,1,3.82,A11\n"
    )
    where = {"product": "lucas_2018", "id": None, "x": None, "y": None}
    table = read_place_table(sampling(**where), tmp_path / "l.csv")
    assert table.ids == ("26581720", "38863060", "38863102")
    np.testing.assert_array_equal(table.xy, [[-8.4, 39.1], [3.86, 50.48], [3.81, 50.86]])
    assert table.lost == {}
    assert table.columns.column("lc1").to_pylist() == ["B11", "8", "A11"]
    table = read_place_table(sampling(**where, position="gps"), tmp_path / "l.csv")
    np.testing.assert_array_equal(table.xy, [[-8.5, 39.2], [np.nan, np.nan], [3.82, 50.87]])
    assert table.lost == {NO_POSITION: ("38863060",)}
    table = read_place_table(sampling(**where, needs=("lc1",)), tmp_path / "l.csv")
    assert table.lost == {"the table has no lc1 of it": ("38863060",)}  # 8: not relevant


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared samples are not beside this checkout")
def test_the_genuine_table_of_lucas():
    where = {"product": "lucas_2018", "id": None, "x": None, "y": None}
    table = read_place_table(sampling(**where), SHARED / "lucas_2018_two_points.csv")
    assert table.ids == ("38863060", "38863102")
    assert len(table.columns.column_names) == 97
    assert table.columns.column("lc1").to_pylist() == ["A22", "A11"]
    assert table.columns.column("point_id").to_pylist() == [38863060, 38863102]
    np.testing.assert_array_equal(table.xy[1], [3.812952713, 50.863822271])


def test_the_place_of_a_patch():
    assert place_of("38863060") == place_of("38863060_31UES") == "38863060"
