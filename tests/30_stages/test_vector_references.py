# SPDX-License-Identifier: Apache-2.0
"""Polygons and networks become label rasters: formats, codes, order, strips, repair, priority."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import distance_transform_edt

from made.patches import map_item, utm_geobox, write_footprints, write_map
from made.vectors import Unit, stars, table_of, write_vectors
from terrapatch.errors import LegendError, SceneError
from terrapatch.grid import snapped_geobox
from terrapatch.labels import labels
from terrapatch.labels import vectors as burning
from terrapatch.legend import NODATA, load_legend
from terrapatch.stacks import open_stack

FORMATS = [".gpkg", ".shp", ".fgb", ".parquet", ".zip", ".7z"]
LEGEND = "level,code,abbrev,name,parent,color\na,0,0,nought,,#000000\na,1,1,one,,#111111\na,2,2,two,,#222222\na,3,3,three,,#333333\na,4,4,four,,#444444\n"


@pytest.fixture
def plain(tmp_path):
    """Legend and crosswalk: codes a … e are 0 … 4, `gone` is ignored, `hole` discarded."""
    (tmp_path / "legend.csv").write_text(LEGEND)
    rows = "".join(f"{'abcde'[n]},{n}\n" for n in range(5))
    (tmp_path / "walk.csv").write_text(f"source_code,code\n{rows}gone,ignore\nhole,discard\n")
    return {
        "legend": str(tmp_path / "legend.csv"), "crosswalk": str(tmp_path / "walk.csv"),
        "edges": "none", "background": None,
    }  # fmt: skip


def vector(path, **more):
    return {"path": str(path), "fields": ["code"], **more}


def centre_codes(table, geobox, value, order):
    """Judge: shapely at every pixel's centre, features drawn in an order, later ones on top."""
    moved = table.to_crs(str(geobox.crs)) if str(table.crs) != str(geobox.crs) else table
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    result = np.full(geobox.shape, NODATA, np.uint8)
    for at in order:
        result[shapely.contains_xy(moved.geometry.iloc[at], xx, yy)] = value(table["code"].iloc[at])
    return result


def random_table(geobox, crs=None, count=80, seed=3, size=(40, 300)):
    left, bottom, right, top = geobox.boundingbox.bbox
    rng = np.random.default_rng(seed)
    made = stars(rng, count, (left, bottom, right, top), size)
    table = table_of(made, str(geobox.crs), code=rng.choice(list("abcde"), count))
    return table.to_crs(crs) if crs else table


def test_labels_are_the_polygons_that_hold_the_centres_smaller_ones_on_top(tmp_path, plain):
    geobox = utm_geobox((90, 110))
    table = random_table(geobox)
    write_vectors(tmp_path / "v.gpkg", table)
    layers, record = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).build()
    order = np.argsort(-table.area.to_numpy())
    np.testing.assert_array_equal(layers[0], centre_codes(table, geobox, "abcde".index, order))
    assert record["vectors.0.0"] == {"features": 80, "repaired": 0, "empty": 0, "left_out": 0}
    assert record["nodata_share"] == round((layers[0] == NODATA).mean(), 6) > 0


@pytest.mark.parametrize("suffix", FORMATS)
def test_all_formats_and_orders_of_features_give_the_same_raster(tmp_path, plain, suffix):
    if suffix == ".7z":
        pytest.importorskip("py7zr")
    geobox = utm_geobox((70, 60))
    table = random_table(geobox, crs="EPSG:4674")
    write_vectors(tmp_path / "first.gpkg", table)
    first, _ = Unit(
        tmp_path / "1", geobox, vectors=[vector(tmp_path / "first.gpkg")], **plain
    ).build()
    # Another order of features, other first corners, the other winding.
    other = table.sample(frac=1, random_state=1).reset_index(drop=True)
    other.geometry = [
        shapely.Polygon(np.roll(g.exterior.coords[:-1], 2, axis=0)[::-1], g.interiors)
        for g in other.geometry
    ]
    path = write_vectors(tmp_path / f"v{suffix}", other)
    second, _ = Unit(tmp_path / "2", geobox, vectors=[vector(path)], **plain).build()
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == 6


@pytest.mark.parametrize(
    ("geobox", "crs"),
    [
        (GeoBox((200, 230), Affine(10, 0, 448_100, 0, -10, 5_262_100), "EPSG:32632"), "EPSG:2056"),
        (utm_geobox((200, 230)), "EPSG:4674"),
        (snapped_geobox((6.2, 46.2, 6.22, 46.22), "EPSG:4326", 8.983152841195215e-05), "EPSG:2056"),
    ],
)
def test_vectors_move_as_vectors(tmp_path, plain, geobox, crs):
    """Judge: every centre moved into the file's CRS by PROJ, and tested there."""
    left, bottom, right, top = geobox.boundingbox.bbox
    unit = (right - left) / 230
    rng = np.random.default_rng(5)
    table = table_of(
        stars(rng, 40, (left, bottom, right, top), (5 * unit, 40 * unit)), str(geobox.crs),
        code=rng.choice(list("abcde"), 40),
    ).to_crs(crs)  # fmt: skip
    write_vectors(tmp_path / "v.fgb", table)
    layers, _ = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.fgb")], **plain).build()
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    x, y = Transformer.from_crs(str(geobox.crs), crs, always_xy=True).transform(xx, yy)
    # The unit's own areas decide the order: those of the two systems agree to far less than two
    # random polygons differ.
    expected = np.full(geobox.shape, NODATA)
    for at in np.argsort(-shapely.area(table.to_crs(str(geobox.crs)).geometry.to_numpy())):
        inside = shapely.contains_xy(table.geometry.iloc[at], x, y)
        expected[inside] = "abcde".index(table["code"].iloc[at])
    assert (layers[0] != expected).sum() <= 2  # a border within a millimetre of a centre
    assert len(np.unique(expected)) == 6


def test_long_edges_keep_their_course(tmp_path, plain):
    """A parallel of 1.5 degrees as one edge: a straight line in UTM would miss it by hundreds of metres."""
    geobox = snapped_geobox((440_000, 5_090_000, 560_000, 5_110_000), "EPSG:32631", 100)
    box = table_of([shapely.box(2.2, 45.0, 3.8, 46.07)], "EPSG:4326", code=["b"])
    write_vectors(tmp_path / "v.gpkg", box)
    layers, _ = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).build()
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    lon, lat = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform(xx, yy)
    inside = (lon > 2.2) & (lon < 3.8) & (lat > 45.0) & (lat < 46.07)
    sure = np.abs(lat - 46.07) * 111_320 > 1
    assert 0.2 < inside.mean() < 0.95
    np.testing.assert_array_equal((layers[0] == 1)[sure], inside[sure])


@settings(max_examples=15)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([7, 31, 4096]),
)
def test_any_cut_of_the_grid_and_any_strips_give_the_same_pixels(
    tmp_path_factory, row, col, height, width, strip
):
    folder = tmp_path_factory.mktemp("cut")
    (folder / "legend.csv").write_text(LEGEND)
    (folder / "walk.csv").write_text(
        "source_code,code\n" + "".join(f"{'abcde'[n]},{n}\n" for n in range(5))
    )
    # A file on the grid's own corners and centres: ties everywhere.
    geobox = GeoBox((64, 64), Affine(10, 0, 300_000, 0, -10, 9_100_000), "EPSG:32722")
    rng = np.random.default_rng(8)
    made = [
        shapely.make_valid(shapely.Polygon(300_000 + 5 * rng.integers(-10, 140, (5, 2)) * (1, -1)
                           + (0, 8_800_000)))
        for _ in range(30)
    ]  # fmt: skip
    made = [p for g in made for p in shapely.get_parts(g) if p.geom_type == "Polygon"]
    table = table_of(made, "EPSG:32722", code=rng.choice(list("abcde"), len(made)))
    lines = table_of(
        [shapely.LineString(300_000 + 5 * rng.integers(0, 130, (3, 2)) * (1, -1) + (0, 8_800_000))
         for _ in range(5)], "EPSG:32722", kind=["x"] * 5,
    )  # fmt: skip
    write_vectors(folder / "v.fgb", table)
    write_vectors(folder / "n.gpkg", lines)
    (folder / "rules.csv").write_text("field,value,action,kind,buffer_m\nkind,x,select,road,12\n")
    whole = Unit(
        folder, geobox, vectors=[vector(folder / "v.fgb")], edges="thin",
        networks=[{"path": str(folder / "n.gpkg"), "product": "custom", "code": 4,
                   "rules": str(folder / "rules.csv")}],
        legend=str(folder / "legend.csv"), crosswalk=str(folder / "walk.csv"),
    )  # fmt: skip
    everything, _ = whole.build()
    before = burning._BAND_ROWS
    burning._BAND_ROWS = strip
    try:
        part = geobox[row : min(64, row + height), col : min(64, col + width)]
        found, _ = whole.build(part, whole.find())
    finally:
        burning._BAND_ROWS = before
    expected = everything[:, row : row + part.shape[0], col : col + part.shape[1]]
    np.testing.assert_array_equal(found[0], expected[0])
    # Thin edges look to the right and down: beyond the whole grid there is nothing to see.
    np.testing.assert_array_equal(found[1, :-1, :-1], expected[1, :-1, :-1])


def also(path, row):
    path.write_text(f"{path.read_text()}{row}\n")


def nested(tmp_path, **columns):
    geobox = utm_geobox((30, 30))
    x, y = geobox.affine.c, geobox.affine.f
    table = table_of(
        [shapely.box(x, y - 300, x + 300, y), shapely.box(x + 100, y - 200, x + 200, y - 100)],
        "EPSG:32722", **columns,
    )  # fmt: skip
    write_vectors(tmp_path / "v.gpkg", table)
    return geobox


def middle_and_corner(layers):
    return int(layers[0, 15, 15]), int(layers[0, 1, 1])


def test_what_lies_on_top_is_said_and_never_the_files_order(tmp_path, plain):
    geobox = nested(tmp_path, code=["a", "b"], day=["2020-05-01", None], rank=[7.0, 3.0])

    def build(**more):
        unit = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg", **more)], **plain)
        return middle_and_corner(unit.build()[0])

    assert build() == (1, 0)
    assert build(on_top="larger") == (0, 0)
    assert build(order_field="rank") == (0, 0)
    with pytest.raises(LegendError, match="order_field holds no numbers"):
        build(order_field="day")


def test_features_of_one_extent_lie_by_their_codes(tmp_path, plain):
    geobox = utm_geobox((5, 5))
    box = geobox.extent.geom
    for codes in (["a", "d", "b"], ["d", "b", "a"]):
        write_vectors(tmp_path / "v.gpkg", table_of([box] * 3, "EPSG:32722", code=codes))
        layers, _ = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).build()
        assert (layers[0] == 3).all()


def test_ignore_discard_and_background(tmp_path, plain):
    def build(code, background=None):
        geobox = nested(tmp_path, code=["a", code])
        wanted = plain | {"background": background}
        layers, record = Unit(
            tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **wanted
        ).build()
        return middle_and_corner(layers), record["vectors.0.0"]["left_out"]

    also(tmp_path / "walk.csv", "none,")
    assert build("gone") == ((0, 0), 1)
    assert build("hole") == ((NODATA, 0), 0)
    assert build("none") == ((NODATA, 0), 0)
    # A background class fills what nothing covers, and no discarded pixel.
    assert build("hole", background=2) == ((NODATA, 0), 0)


def test_background_fills_what_no_polygon_covers(tmp_path, plain):
    also(tmp_path / "walk.csv", "back,background")
    geobox = utm_geobox((10, 10))
    x, y = geobox.affine.c, geobox.affine.f
    made = [shapely.box(x, y - 50, x + 100, y), shapely.box(x, y - 50, x + 20, y)]
    write_vectors(tmp_path / "v.gpkg", table_of(made, "EPSG:32722", code=["back", "hole"]))
    with pytest.raises(LegendError, match=r"'background' needs background"):
        Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).find()
    wanted = plain | {"background": 3}
    layers, record = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **wanted).build()
    expected = np.full((10, 10), 3)
    expected[:5, :2] = NODATA
    np.testing.assert_array_equal(layers[0], expected)
    assert record["nodata_share"] == 0.1


def test_a_crosswalk_may_ask_several_attributes(tmp_path, plain):
    (tmp_path / "two.csv").write_text(
        "field,source_code,code\nfine,11,1\nfine,12,2\ncoarse,20,3\ncoarse,11,4\n"
    )
    geobox = utm_geobox((1, 5))
    x, y = geobox.affine.c, geobox.affine.f
    cells = [shapely.box(x + 10 * n, y - 10, x + 10 * n + 10, y) for n in range(5)]
    table = table_of(
        cells, "EPSG:32722", fine=["11", "12", None, "99", " "], coarse=[10, 10, 20, 20, 11]
    )
    write_vectors(tmp_path / "v.gpkg", table)
    wanted = plain | {"crosswalk": str(tmp_path / "two.csv")}
    source = vector(tmp_path / "v.gpkg") | {"fields": ["FINE", "Coarse"]}
    layers, _ = Unit(tmp_path, geobox, vectors=[source], **wanted).build()
    # 11 in `fine` is not 11 in `coarse`; a value without row leaves the word to the next one.
    assert layers[0, 0].tolist() == [1, 2, 3, 3, 4]
    with pytest.raises(LegendError, match=r"features: 10 \(2\)\n"):
        Unit(tmp_path, geobox, vectors=[source | {"fields": ["Coarse"]}], **wanted).find()


def test_codes_of_any_type_are_compared_as_text(tmp_path, plain):
    (tmp_path / "n.csv").write_text("source_code,code\n11,1\n12,2\ntrue,3\n")
    geobox = utm_geobox((1, 2))
    x, y = geobox.affine.c, geobox.affine.f
    cells = [shapely.box(x + 10 * n, y - 10, x + 10 * n + 10, y) for n in range(2)]
    for codes, expected in (
        ([11, 12], [1, 2]), ([11.0, 12.0], [1, 2]), ([" 11", "12 "], [1, 2]), ([True, True], [3, 3]),
    ):  # fmt: skip
        write_vectors(tmp_path / "v.gpkg", table_of(cells, "EPSG:32722", code=codes))
        wanted = plain | {"crosswalk": str(tmp_path / "n.csv")}
        layers, _ = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **wanted).build()
        assert layers[0, 0].tolist() == expected


def test_where_takes_some_features_and_not_others(tmp_path, plain):
    geobox = nested(tmp_path, code=["a", "unheard of"], state=["kept", "old"], year=[2020, 2019])
    for where in ({"state": ["kept"]}, {"YEAR": [2020, 2021]}):
        source = vector(tmp_path / "v.gpkg", where=where)
        layers, _ = Unit(tmp_path, geobox, vectors=[source], **plain).build()
        assert middle_and_corner(layers) == (0, 0)


def test_broken_geometries_are_repaired_and_counted(tmp_path, plain):
    geobox = utm_geobox((20, 20))
    x, y = geobox.affine.c, geobox.affine.f
    bow = shapely.Polygon([(x, y), (x + 200, y - 200), (x + 200, y), (x, y - 200)])
    spike = shapely.Polygon([(x, y), (x + 10, y), (x, y)])
    with_none = [bow, spike, None, shapely.Polygon(), shapely.box(x, y - 10, x + 10, y)]
    write_vectors(tmp_path / "v.gpkg", table_of(with_none, "EPSG:32722", code=list("abcde")))
    assert not bow.is_valid
    layers, record = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).build()
    counts = record["vectors.0.0"]
    assert counts["repaired"] == 2
    # Features without geometry lie in no box: no read ever gives them.
    assert (counts["features"], counts["empty"]) == (3, 1)
    xx, yy = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    inside = np.abs(yy - 10) > np.abs(xx - 10)
    tie = np.abs(yy - 10) == np.abs(xx - 10)
    expected = np.where(~inside, 0, NODATA)  # left and right triangle of the bow tie
    np.testing.assert_array_equal(layers[0][~tie], expected[~tie])
    assert layers[0, 0, 0] == 4


def test_layers_and_maps_by_priority(tmp_path, plain):
    geobox = utm_geobox((1, 4))
    x, y = geobox.affine.c, geobox.affine.f
    for name, first, code in (("v", 0, "a"), ("w", 1, "b")):
        box = shapely.box(x + 10 * first, y - 10, x + 10 * first + 20, y)
        write_vectors(tmp_path / f"{name}.gpkg", table_of([box], "EPSG:32722", code=[code]))
    (tmp_path / "n.csv").write_text("source_code,code\na,0\nb,1\n7,2\n")
    item = map_item(write_map(tmp_path / "map.tif", np.full((1, 4), 7, "uint8"), geobox))

    def build(first, second, **more):
        sources = [
            vector(tmp_path / "v.gpkg", priority=first, crosswalk=plain["crosswalk"]),
            vector(tmp_path / "w.gpkg", priority=second, crosswalk=plain["crosswalk"]),
        ]
        (tmp_path / "raster.csv").write_text("source_code,code\n7,2\n")
        wanted = plain | {"crosswalk": str(tmp_path / "raster.csv"), "background": 3}
        return (
            Unit(tmp_path, geobox, items=[item], vectors=sources, **wanted)
            .build()[0][0, 0]
            .tolist()
        )

    assert build(1, 1) == [0, 0, 1, 2]
    assert build(1, 2) == [0, 1, 1, 2]
    assert build(0, 0) == [0, 0, 1, 2]
    assert build(1, -1) == [0, 0, 2, 2]
    assert build(-1, -1) == [2, 2, 2, 2]


def roads(tmp_path, geobox, lines, crs=None, **columns):
    table = table_of(lines, str(geobox.crs), **columns)
    (tmp_path / "rules.csv").write_text(
        "field,value,action,kind,buffer_m\nclass,1,select,highway,30\nclass,2,select,second,10\n"
        "class,9,drop,,\nheight,<0,drop,,\nstate,built,keep_only,,\n"
    )
    write_vectors(tmp_path / "roads.gpkg", table.to_crs(crs) if crs else table)
    return {
        "path": str(tmp_path / "roads.gpkg"), "product": "custom", "code": 4,
        "rules": str(tmp_path / "rules.csv"),
    }  # fmt: skip


@pytest.mark.parametrize("degrees", [False, True])
def test_networks_have_their_width_in_metres(tmp_path, plain, degrees):
    utm = GeoBox(
        (120, 120), Affine(2, 0, 500_000, 0, -2, 6_660_000), "EPSG:32632"
    )  # 60 degrees north
    x, y = 500_000, 6_660_000
    line = shapely.LineString([(x + 20, y - 30), (x + 200, y - 190)])
    geobox = utm
    if degrees:
        to = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
        (west, south), (east, north) = to.transform(x, y - 240), to.transform(x + 240, y)
        geobox = snapped_geobox((west, south, east, north), "EPSG:4326", 2e-5)
    network = roads(
        tmp_path, utm, [line], "EPSG:4258", **{"class": [1], "height": [0], "state": ["built"]}
    )
    background = plain | {"background": 0}
    base = table_of([geobox.extent.geom], str(geobox.crs), code=["a"])
    write_vectors(tmp_path / "v.gpkg", base)
    layers, record = Unit(
        tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], networks=[network], **background
    ).build()
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    if degrees:
        xx, yy = Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform(xx, yy)
    distance = shapely.distance(line, shapely.points(xx, yy))
    sure = np.abs(distance - 30) > 0.1
    np.testing.assert_array_equal((layers[0] == 4)[sure], (distance < 30)[sure])
    assert record["networks.0.0"]["features"] == 1


def test_rules_choose_lines_and_buffers_can_be_changed(tmp_path, plain):
    geobox = GeoBox((60, 60), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    x, y = 500_000, 5_000_000
    lines = [
        shapely.LineString([(x, y - 100 * n - 50), (x + 600, y - 100 * n - 50)]) for n in range(6)
    ]
    network = roads(
        tmp_path, geobox, lines, **{"class": ["1", "2", "9", "1", "2", "2"]},
        height=["0", "2", "0", "-1", "Gué", None], state=["built"] * 5 + ["planned"],
    )  # fmt: skip
    write_vectors(tmp_path / "v.gpkg", table_of([geobox.extent.geom], "EPSG:32631", code=["a"]))

    def build(**more):
        unit = Unit(
            tmp_path,
            geobox,
            vectors=[vector(tmp_path / "v.gpkg")],
            networks=[network | more],
            **plain,
        )
        layers, record = unit.build()
        return (layers[0] == 4)[:, 30], record["networks.0.0"]

    column, counts = build()
    # Lines of one row's centre: 30 m reach three rows to each side of it, ties above and below.
    rows = set(np.flatnonzero(column).tolist())
    assert rows >= set(range(3, 8)) | {14, 15} | {44, 45}
    assert not rows & (set(range(20, 40)) | set(range(50, 60)))
    assert counts == {"features": 3, "repaired": 0, "empty": 0, "left_out": 3}
    wide, _ = build(buffers={"second": 31})
    assert set(range(12, 18)) <= set(np.flatnonzero(wide).tolist())
    with pytest.raises(LegendError, match="select no motorway"):
        build(buffers={"motorway": 5})


def test_networks_lie_over_everything_and_the_first_wins(tmp_path, plain):
    geobox = GeoBox((10, 10), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    x, y = 500_000, 5_000_000
    write_vectors(
        tmp_path / "v.gpkg",
        table_of([shapely.box(x, y - 50, x + 100, y)], "EPSG:32631", code=["a"]),
    )
    first = roads(
        tmp_path, geobox, [shapely.LineString([(x + 25, y), (x + 25, y - 100)])],
        **{"class": [2], "height": [0], "state": ["built"]},
    )  # fmt: skip
    grounds = table_of([shapely.box(x, y - 60, x + 100, y - 40)], "EPSG:32631", kind=["g"])
    write_vectors(tmp_path / "g.gpkg", grounds)
    (tmp_path / "g.csv").write_text("field,value,action,kind,buffer_m\nkind,g,select,ground,10\n")
    second = {
        "path": str(tmp_path / "g.gpkg"), "product": "custom", "code": 3, "rules": str(tmp_path / "g.csv")
    }  # fmt: skip
    layers, _ = Unit(
        tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], networks=[first, second], **plain
    ).build()
    expected = np.full((10, 10), NODATA)
    expected[:5] = 0
    expected[3:7] = 3
    expected[:, 2] = 4
    found = layers[0]
    inner = np.ones((10, 10), bool)
    inner[:, [1, 3]] = False  # 10 m from the line, exactly: the rounded circle decides
    np.testing.assert_array_equal(found[inner], expected[inner])


def test_a_distance_transform_agrees_with_buffers(tmp_path, plain):
    """An independent picture of a network: pixels within 30 m of its burnt centre line."""
    geobox = GeoBox((150, 150), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631")
    rng = np.random.default_rng(3)
    corners = np.c_[500_000 + rng.uniform(20, 130, 6), 5_000_000 - rng.uniform(20, 130, 6)]
    line = shapely.LineString(corners)
    network = roads(tmp_path, geobox, [line], **{"class": [2], "height": [0], "state": ["built"]})
    write_vectors(tmp_path / "v.gpkg", table_of([geobox.extent.geom], "EPSG:32631", code=["a"]))
    layers, _ = Unit(
        tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], networks=[network], **plain
    ).build()
    course = rasterio.features.rasterize([line.buffer(0.75)], geobox.shape, transform=geobox.affine)
    distance = distance_transform_edt(course == 0)
    sure = np.abs(distance - 9.6) > 1.2
    np.testing.assert_array_equal((layers[0] == 4)[sure], (distance < 9.6)[sure])


def test_ocsge2_leads_to_the_classes_of_multisenge(tmp_path):
    geobox = utm_geobox((1, 6))
    x, y = geobox.affine.c, geobox.affine.f
    cells = [shapely.box(x + 10 * n, y - 10, x + 10 * n + 10, y) for n in range(6)]
    table = table_of(
        cells, "EPSG:32722", COD_N5=["11111", "13123", "14122", None, "14131", None],
        COD_N4=["1111", "1312", "1412", "2320", "1413", "5130"], COD_N3=["111"] * 6,
    )  # fmt: skip
    write_vectors(tmp_path / "ocsge2_67.gpkg", table)
    source = {"path": str(tmp_path / "ocsge2_67.gpkg"), "product": "ocsge2_grandest", "year": 2019}
    layers, _ = Unit(
        tmp_path, geobox, vectors=[source], crosswalk="ocsge2_multisenge", legend="multisenge",
        edges="none",
    ).build()  # fmt: skip
    assert layers[0, 0].tolist() == [1, 3, NODATA, 10, 5, 14]
    assert layers[1, 0].tolist() == [1, 1, NODATA, 2, 1, 5]


def test_terraclass_as_vectors_is_terraclass_as_a_raster(tmp_path):
    """One map in both forms: polygons around its pixels, and the pixels themselves."""
    geobox = utm_geobox((40, 50))
    codes = (
        np.random.default_rng(4).choice([1, 2, 11, 15, 20, 25], (20, 25)).repeat(2, 0).repeat(2, 1)
    )
    write_map(tmp_path / "map.tif", codes.astype("uint8"), geobox)
    shapes = list(rasterio.features.shapes(codes.astype("uint8"), transform=geobox.affine))
    table = gpd.GeoDataFrame(
        {"classe": [int(v) for _, v in shapes]}, geometry=[shapely.geometry.shape(s) for s, _ in shapes],
        crs="EPSG:32722",
    )  # fmt: skip
    write_vectors(tmp_path / "tc.shp", table)
    first, _ = Unit(tmp_path / "1", geobox, items=[map_item(tmp_path / "map.tif")]).build()
    source = {"path": str(tmp_path / "tc.shp"), "product": "terraclass"}
    second, _ = Unit(tmp_path / "2", geobox, vectors=[source]).build()
    np.testing.assert_array_equal(first, second)


def test_the_record_is_the_same_each_time_and_absent_without_vectors(tmp_path, plain):
    geobox = nested(tmp_path, code=["a", "b"])
    unit = Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain)
    _, before = unit.build()
    write_footprints(tmp_path / "footprints.parquet", geobox, min(geobox.shape))
    labels(
        unit.lock(), "u1", tmp_path / "footprints.parquet", unit.settings / "stack" / "label.json",
        tmp_path / "label.zarr",
    )  # fmt: skip
    assert open_stack(tmp_path / "label.zarr").info.record == before
    assert before["nodata_share"] == 0
    write_map(tmp_path / "map.tif", np.full(geobox.shape, 11, "uint8"), geobox)
    assert Unit(tmp_path, geobox, items=[map_item(tmp_path / "map.tif")]).build()[1] is None


def test_points_and_lines_are_no_polygons(tmp_path, plain):
    geobox = utm_geobox((5, 5))
    for shape in (
        shapely.Point(300_010, 9_099_990),
        shapely.LineString([(300_000, 9_100_000), (300_050, 9_099_950)]),
    ):
        write_vectors(tmp_path / "v.gpkg", table_of([shape], "EPSG:32722", code=["a"]))
        with pytest.raises(SceneError, match="vectors take polygons"):
            Unit(tmp_path, geobox, vectors=[vector(tmp_path / "v.gpkg")], **plain).build()


def test_packaged_multisenge_tables():
    legend = load_legend("multisenge")
    assert [level.name for level in legend.levels] == ["level3", "level1"]
    assert legend.finest.codes == tuple(range(1, 15))
    groups = legend.derive("level1")[1:15]
    assert groups.tolist() == [1] * 5 + [2] * 5 + [3] * 2 + [4, 5]
