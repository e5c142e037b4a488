# SPDX-License-Identifier: Apache-2.0
"""Reference maps become label rasters: sampling, crosswalk, levels, edges."""

import itertools

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.warp import Resampling, reproject, transform_bounds
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from made.patches import (
    map_item,
    settings_folder,
    small_lock,
    utm_geobox,
    write_footprints,
    write_map,
)
from terrapatch.errors import GridError, IncompleteError, InputError, LegendError, SceneError
from terrapatch.grid import geobox_to_dict, snapped_geobox
from terrapatch.labels import label, label_raster, labels
from terrapatch.labels.edges import HALO, edges
from terrapatch.labels.stack import Maker
from terrapatch.labels.steps import pixel_of
from terrapatch.legend import NODATA, Crosswalk, load_crosswalk, load_legend
from terrapatch.lock import read_lock, unit_geobox, write_lock
from terrapatch.places.mosaic import mosaic_units
from terrapatch.recipe import read_settings
from terrapatch.records import Lock, LockedAsset, LockedUnit
from terrapatch.stacks import open_stack
from terrapatch.tables import write_geoparquet

TERRACLASS = np.array([1, 2, 9, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23])
DEGREE = 8.983152841195215e-05


def build(tmp_path, geobox, items, **changes):
    """Labels of a unit without its patches: (band, y, x) and the names of the bands."""
    folder = settings_folder(tmp_path / "settings", **changes)
    wanted = read_settings(folder / "stack" / "label.json").label
    found = Maker(small_lock(tmp_path, geobox, items), "u1", wanted).whole()
    assert found.layers.shape[1:] == tuple(geobox.shape)
    return found.layers, found.bands


def random_map(path, geobox, *, codes=TERRACLASS, side=3):
    """Fields of random codes."""
    rng = np.random.default_rng(0)
    fields = rng.choice(codes, (geobox.shape[0] // side + 1, geobox.shape[1] // side + 1))
    pixels = fields.repeat(side, 0).repeat(side, 1)[: geobox.shape[0], : geobox.shape[1]]
    write_map(path, pixels.astype("uint8"), geobox)
    return pixels


def containing_pixels(geobox, asset, pixels):
    """Judge: source pixel that contains each centre, with PROJ at every single pixel.

    Gives the codes (−1 outside) and how far each centre is from a border of source pixels.
    """
    col, row = np.meshgrid(np.arange(geobox.shape[1]) + 0.5, np.arange(geobox.shape[0]) + 0.5)
    x, y = geobox.affine * (col, row)
    x, y = Transformer.from_crs(str(geobox.crs), asset.crs, always_xy=True).transform(x, y)
    cols, rows = ~Affine(*asset.transform) * (x, y)
    margin = np.minimum(abs(cols - np.rint(cols)), abs(rows - np.rint(rows)))
    c, r = np.floor(cols).astype(int), np.floor(rows).astype(int)
    inside = (r >= 0) & (r < pixels.shape[0]) & (c >= 0) & (c < pixels.shape[1])
    codes = np.where(
        inside, pixels[r.clip(0, pixels.shape[0] - 1), c.clip(0, pixels.shape[1] - 1)], -1
    )
    return codes.astype(int), margin


@pytest.fixture
def sirgas_map(tmp_path):
    """A TerraClass-like map in EPSG:4674 around the corner of `utm_geobox`."""
    bounds = utm_geobox((700, 900)).boundingbox.bbox
    grid = snapped_geobox(transform_bounds("EPSG:32722", "EPSG:4674", *bounds), "EPSG:4674", 2.7e-4)
    path = tmp_path / "map.tif"
    return path, random_map(path, grid, codes=np.append(TERRACLASS, [0, 25]))


def test_labels_are_the_source_pixels_that_hold_their_centres(tmp_path, sirgas_map):
    path, pixels = sirgas_map
    geobox = utm_geobox((700, 900))
    item = map_item(path)
    layers, names = build(tmp_path, geobox, [item])
    assert names == ("l2", "l1", "edge_l2", "edge_l1")
    codes, margin = containing_pixels(geobox, item.assets["map"], pixels)
    table = np.full(256, NODATA)
    for source, code in load_crosswalk("terraclass_cerrado").codes.items():
        table[source] = code
    expected = np.where(codes < 0, NODATA, table[codes])
    sure = margin > 0.003  # nearer to a border than this, interpolated coordinates may differ
    assert sure.mean() > 0.98
    np.testing.assert_array_equal(layers[0][sure], expected[sure])
    assert (layers[0] == NODATA).any()
    np.testing.assert_array_equal(layers[1], load_legend("cerradata4mm").derive("l1")[layers[0]])


@pytest.mark.parametrize(
    ("crs", "bounds", "resolution"),
    [
        ("EPSG:4326", (-49.2, -7.1, -49.0, -6.95), DEGREE),
        ("EPSG:32722", (700_000, 9_200_000, 715_000, 9_215_000), 10),
        ("EPSG:32630", (500_000, 6_600_000, 515_000, 6_615_000), 10),
    ],
)
def test_coordinates_agree_with_proj_to_a_few_thousandths_of_a_pixel(crs, bounds, resolution):
    geobox = snapped_geobox(bounds, crs, resolution)
    # A map at 10 m in another system, some pixels rotated.
    target = "EPSG:4674" if crs != "EPSG:4326" else "EPSG:32722"
    size = 10 if target == "EPSG:32722" else 9e-5
    asset = LockedAsset(
        href="none", crs=target, transform=(size, 0.0, 0.0, 0.0, -size, 0.0), shape=(9, 9),
        dtype="uint8",
    )  # fmt: skip
    # From the centre of the first pixel, the code's own origin, to its corner.
    rows, cols = label.Located.of(geobox, asset).centres(range(geobox.shape[0])) + 0.5
    col, row = np.meshgrid(np.arange(geobox.shape[1]) + 0.5, np.arange(geobox.shape[0]) + 0.5)
    x, y = Transformer.from_crs(crs, target, always_xy=True).transform(
        *(geobox.affine * (col, row))
    )
    exact = ~Affine(*asset.transform) * (x, y)
    assert abs(cols - exact[0]).max() < 2e-3
    assert abs(rows - exact[1]).max() < 2e-3


def test_any_cut_of_the_grid_has_the_labels_of_the_whole(tmp_path, sirgas_map):
    path, _ = sirgas_map
    whole = utm_geobox((700, 900))
    layers, _ = build(tmp_path, whole, [map_item(path)])
    for rows, cols in [((0, 128), (0, 128)), ((37, 300), (501, 900)), ((640, 700), (63, 66))]:
        part = whole[rows[0] : rows[1], cols[0] : cols[1]]
        cut, _ = build(tmp_path, part, [map_item(path)])
        np.testing.assert_array_equal(cut, layers[:, rows[0] : rows[1], cols[0] : cols[1]])


def test_units_of_a_mosaic_in_degrees_agree_where_they_meet(tmp_path):
    grid = snapped_geobox((-49.2, -7.05, -49.17, -7.03), "EPSG:4326", DEGREE)
    source = snapped_geobox((-49.21, -7.06, -49.16, -7.02), "EPSG:4674", 2.7e-4)
    random_map(tmp_path / "map.tif", source)
    item = map_item(tmp_path / "map.tif")
    whole, _ = build(tmp_path, grid, [item])
    left, _ = build(tmp_path, grid[:, :101], [item])
    right, _ = build(tmp_path, grid[:, 101:], [item])
    np.testing.assert_array_equal(np.concatenate([left, right], axis=2), whole)


def test_strips_and_parts_of_any_size_give_the_same_labels(tmp_path, sirgas_map, monkeypatch):
    path, _ = sirgas_map
    geobox = utm_geobox((300, 333))
    expected, _ = build(tmp_path, geobox, [map_item(path)])
    for strip_px, window_px in [(333, 2**28), (20_000, 3_000), (2**28, 500)]:
        monkeypatch.setattr(label, "_STRIP_PX", strip_px)
        monkeypatch.setattr(label, "_WINDOW_PX", window_px)
        layers, _ = build(tmp_path, geobox, [map_item(path)])
        np.testing.assert_array_equal(layers, expected)


def test_equal_grids_copy_the_map_and_borders_go_right_and_down(tmp_path):
    geobox = utm_geobox((4, 4))
    codes = np.array([[11, 1, 2, 23], [9, 12, 13, 14], [15, 16, 17, 20], [21, 22, 11, 1]], "uint8")
    write_map(tmp_path / "map.tif", codes, geobox)
    layers, _ = build(tmp_path, geobox, [map_item(tmp_path / "map.tif")])
    assert layers[0].tolist() == [[0, 1, 2, 3], [7, 8, 9, 10], [11, 4, 5, 12], [6, 13, 0, 1]]
    # Pixels of 20 m have their centres on corners of the map's pixels.
    coarse = utm_geobox((2, 2), resolution=20)
    layers, _ = build(tmp_path, coarse, [map_item(tmp_path / "map.tif")])
    assert layers[0].tolist() == [[8, 10], [13, 1]]


def test_of_several_maps_the_first_with_an_observed_class_wins(tmp_path):
    geobox = utm_geobox((2, 4))
    write_map(tmp_path / "a.tif", np.array([[11, 25, 0, 99], [1, 1, 25, 0]], "uint8"), geobox, 99)
    # The second map's unknown code 77 lies under an observed pixel of the first: it is not used.
    write_map(tmp_path / "b.tif", np.array([[77, 23, 23, 23], [2, 2, 0, 16]], "uint8"), geobox)
    items = [map_item(tmp_path / "a.tif", "a"), map_item(tmp_path / "b.tif", "b")]
    layers, _ = build(tmp_path, geobox, items)
    assert layers[0].tolist() == [[0, 3, 3, 3], [1, 1, NODATA, 4]]


def test_pixels_outside_the_map_are_nodata(tmp_path):
    write_map(tmp_path / "map.tif", np.full((2, 2), 11, "uint8"), utm_geobox((2, 2)))
    geobox = utm_geobox((4, 4), left=299_990, top=9_100_010)
    layers, _ = build(tmp_path, geobox, [map_item(tmp_path / "map.tif")])
    expected = np.full((4, 4), NODATA)
    expected[1:3, 1:3] = 0
    np.testing.assert_array_equal(layers[0], expected)
    far = utm_geobox((4, 4), left=500_000)
    layers, _ = build(tmp_path, far, [map_item(tmp_path / "map.tif")])
    assert np.unique(layers).tolist() == [NODATA]


def test_unknown_codes_are_all_listed_with_pixels_file_and_remedy(tmp_path):
    codes = np.full((4, 6), 11, "uint8")
    codes[0, :3] = 77
    codes[3, 5] = 200
    write_map(tmp_path / "map.tif", codes, utm_geobox((4, 6)))
    with pytest.raises(LegendError) as caught:
        build(tmp_path, utm_geobox((4, 6)), [map_item(tmp_path / "map.tif")])
    message = str(caught.value)
    assert "map.tif: code 77 (3 pixels), code 200 (1 pixels)" in message
    assert "crosswalk 'terraclass_cerrado'" in message


def test_unknown_codes_outside_the_unit_are_the_business_of_others(tmp_path):
    codes = np.full((4, 6), 11, "uint8")
    codes[:, 4:] = 77
    write_map(tmp_path / "map.tif", codes, utm_geobox((4, 6)))
    layers, _ = build(tmp_path, utm_geobox((4, 4)), [map_item(tmp_path / "map.tif")])
    assert np.unique(layers[0]).tolist() == [0]


def test_a_unit_without_map_is_incomplete(tmp_path):
    with pytest.raises(IncompleteError, match=r"no reference map for unit 'u1'.*path"):
        build(tmp_path, utm_geobox((4, 4)), [])


def test_a_truncated_map_is_named(tmp_path, sirgas_map):
    path, _ = sirgas_map
    item = map_item(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(SceneError, match=r"map\.tif: cannot be read"):
        build(tmp_path, utm_geobox((700, 900)), [item])


def test_a_rotated_grid_is_refused():
    geobox = GeoBox((4, 4), Affine(10, 1, 300_000, 1, -10, 9_100_000), "EPSG:32722")
    asset = LockedAsset(
        href="x", crs="EPSG:32722", transform=(10, 0, 0, 0, -10, 0), shape=(4, 4), dtype="uint8"
    )
    with pytest.raises(GridError, match="rotated"):
        label.Located.of(geobox, asset)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_codes_of_every_pixel_type_are_understood(dtype):
    legend = load_legend("cerradata4mm")
    signed = not dtype.startswith("u")
    table = label.CodeTable.of(Crosswalk("x", {3: 0, 9: 13, 100: NODATA}, {}), legend, 7)
    codes = np.array([3, 9, 100, 7, 0, 255, 4] + [-5] * signed).astype(dtype)
    assert table(codes).tolist() == [0, 13, NODATA, NODATA, -1, -1, -1] + [-1] * signed


def test_nan_is_missing_and_fractions_are_no_codes():
    legend = load_legend("cerradata4mm")
    table = label.CodeTable.of(Crosswalk("x", {3: 0, 4: 1}, {}), legend, -3.4e38)
    codes = np.array([np.nan, 3.0, 3.5, np.inf, -3.4e38, 4], "float64")
    assert table(codes).tolist() == [NODATA, 0, -1, -1, NODATA, 1]


def test_the_nodata_value_of_the_file_goes_before_the_crosswalk():
    legend = load_legend("cerradata4mm")
    table = label.CodeTable.of(Crosswalk("x", {0: 0, 1: 1}, {}), legend, 0.0)
    assert table(np.array([0, 1], "uint8")).tolist() == [NODATA, 1]


def test_a_crosswalk_into_no_class_is_refused():
    with pytest.raises(LegendError, match=r"\{7: 14\}.*Correct the crosswalk"):
        label.CodeTable.of(Crosswalk("x", {7: 14, 8: 3}, {}), load_legend("cerradata4mm"), None)


# Edges ------------------------------------------------------------------------------------------


def test_edge_kinds_on_a_small_table():
    codes = np.array([[0, 0, 1], [0, 0, 1], [2, 2, NODATA]], np.uint8)
    n = NODATA
    assert edges(codes, "thin").tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, n]]
    assert edges(codes, "thick").tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, n]]
    assert edges(codes, "inner").tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, n]]
    assert edges(codes, "outer").tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, n]]
    assert edges(codes, "distance").tolist() == [[1, 0, 1], [0, 0, 1], [1, 1, n]]


small_labels = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 1, 2, 13, NODATA]),
)  # fmt: skip


def brute_edges(codes, kind):
    """Judge: pixel by pixel, in the words of the docstring."""
    height, width = codes.shape
    result = np.zeros((height, width), int)
    for y, x in itertools.product(range(height), range(width)):
        own = int(codes[y, x])
        if own == NODATA:
            result[y, x] = NODATA
            continue
        near = {"thin": [(0, 1), (1, 0)]}.get(kind, [(0, 1), (1, 0), (0, -1), (-1, 0)])
        others = [
            int(codes[y + j, x + i])
            for j, i in near
            if 0 <= y + j < height and 0 <= x + i < width and codes[y + j, x + i] != NODATA
        ]
        marks = {"inner": [o < own for o in others], "outer": [o > own for o in others]}
        result[y, x] = any(marks.get(kind, [o != own for o in others]))
    return result


@given(small_labels, st.sampled_from(["thin", "inner", "outer", "thick"]))
def test_edges_agree_with_brute_force(codes, kind):
    np.testing.assert_array_equal(edges(codes, kind), brute_edges(codes, kind))


@given(small_labels)
def test_inner_and_outer_together_are_thick_and_thin_lies_in_them(codes):
    inner, outer, thick = (edges(codes, kind) for kind in ("inner", "outer", "thick"))
    np.testing.assert_array_equal(np.maximum(inner, outer), thick)
    assert not ((edges(codes, "thin") == 1) & (thick == 0)).any()


@given(small_labels)
def test_distance_is_that_to_the_nearest_thin_pixel(codes):
    marked = np.argwhere(edges(codes, "thin") == 1)
    found = edges(codes, "distance")
    everywhere = np.argwhere(codes != NODATA)
    if not len(everywhere):
        return
    if len(marked):
        expected = np.rint(cdist(everywhere, marked).min(axis=1))
    else:
        expected = np.full(len(everywhere), 254)
    np.testing.assert_array_equal(found[tuple(everywhere.T)], expected)
    assert (found[codes == NODATA] == NODATA).all()


@settings(max_examples=25, deadline=None)
@given(small_labels, st.sampled_from(sorted(set(HALO) - {"none", "distance"})), st.data())
def test_edges_of_a_cut_with_halo_are_those_of_the_whole(codes, kind, data):
    big = np.pad(np.kron(codes, np.ones((2, 2), np.uint8)), 1, mode="edge")
    y = data.draw(st.integers(1, big.shape[0] - 2))
    x = data.draw(st.integers(1, big.shape[1] - 2))
    halo = HALO[kind]
    part = big[y - halo : y + 1 + halo, x - halo : x + 1 + halo]
    assert edges(part, kind)[halo, halo] == edges(big, kind)[y, x]


def test_distance_layers_see_across_units_and_end_at_254(tmp_path):
    grid = utm_geobox((40, 700))
    codes = np.full((40, 700), 11, "uint8")
    codes[:, :5] = 1
    write_map(tmp_path / "map.tif", codes, grid)
    item = map_item(tmp_path / "map.tif")
    whole, names = build(tmp_path, grid, [item], label={"edges": "distance"})
    assert names[2] == "edge_l2"
    expected = np.minimum(np.rint(distance_transform_edt(np.arange(700) != 4)), 254)
    np.testing.assert_array_equal(whole[2, 20], expected)
    right, _ = build(tmp_path, grid[10:30, 100:400], [item], label={"edges": "distance"})
    np.testing.assert_array_equal(right, whole[:, 10:30, 100:400])


def test_no_edges_means_no_edge_bands(tmp_path):
    write_map(tmp_path / "map.tif", np.full((4, 4), 11, "uint8"), utm_geobox((4, 4)))
    layers, names = build(
        tmp_path, utm_geobox((4, 4)), [map_item(tmp_path / "map.tif")], label={"edges": "none"}
    )
    assert names == ("l2", "l1")
    assert len(layers) == 2


def test_the_same_lock_gives_the_same_bytes(tmp_path, sirgas_map):
    path, _ = sirgas_map
    geobox = utm_geobox((300, 300))
    stage = settings_folder(tmp_path / "settings") / "stack" / "label.json"
    lock = small_lock(tmp_path, geobox, [map_item(path)])
    write_footprints(tmp_path / "footprints.parquet", geobox, 100)
    seen = []
    for name in ("first.zarr", "second.zarr"):
        labels(lock, "u1", tmp_path / "footprints.parquet", stage, tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        seen.append({str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files})
    assert seen[0] == seen[1]


@pytest.mark.parametrize("stride", [64, 37])
def test_the_stack_holds_the_labels_of_each_patch(tmp_path, sirgas_map, stride):
    path, _ = sirgas_map
    geobox = utm_geobox((300, 210))
    whole, bands = build(tmp_path, geobox, [map_item(path)])
    table = write_footprints(tmp_path / "footprints.parquet", geobox, 64, stride)
    labels(
        tmp_path / "lock.json", "u1", tmp_path / "footprints.parquet",
        tmp_path / "settings" / "stack" / "label.json", tmp_path / "label.zarr",
    )  # fmt: skip
    stack = open_stack(tmp_path / "label.zarr")
    assert (stack.info.bands, stack.info.layer, stack.info.dtype) == (bands, "label", "uint8")
    assert stack.info.patch_ids == tuple(table["patch_id"])
    data, source = stack.read(slice(None), time=0), stack.read(slice(None), "source", 0)
    for number, (y, x) in enumerate(table[["y_px", "x_px"]].to_numpy().tolist()):
        np.testing.assert_array_equal(data[number], whole[:, y : y + 64, x : x + 64])
        np.testing.assert_array_equal(source[number], whole[0, y : y + 64, x : x + 64] != NODATA)


def test_a_unit_without_patches_has_an_empty_stack(tmp_path, sirgas_map):
    path, _ = sirgas_map
    geobox = utm_geobox((300, 210))
    lock = small_lock(tmp_path, geobox, [map_item(path)])
    stage = settings_folder(tmp_path / "settings") / "stack" / "label.json"
    none = write_footprints(tmp_path / "some.parquet", geobox, 64).iloc[:0]
    write_geoparquet(none, tmp_path / "footprints.parquet")
    labels(lock, "u1", tmp_path / "footprints.parquet", stage, tmp_path / "label.zarr")
    assert open_stack(tmp_path / "label.zarr").info.patch_ids == ()


def test_labels_to_look_at_have_the_colours_of_the_legend(tmp_path, sirgas_map):
    path, _ = sirgas_map
    geobox = utm_geobox((300, 210))
    whole, bands = build(tmp_path, geobox, [map_item(path)])
    stage = tmp_path / "settings" / "stack" / "label.json"
    legend = load_legend("cerradata4mm")
    for band, level in (("", legend.levels[0]), ("l1", legend.levels[1]), ("edge_l2", None)):
        output = tmp_path / "look.tif"
        label_raster(tmp_path / "lock.json", "u1", stage, output, band)
        with rasterio.open(output) as dataset:
            assert (dataset.nodata, dataset.count, dataset.transform) == (NODATA, 1, geobox.affine)
            assert dataset.descriptions == (band or "l2",)
            np.testing.assert_array_equal(dataset.read(1), whole[bands.index(band or "l2")])
            colours = dataset.colormap(1)
        for entry in level.classes if level else ():
            assert "#{:02x}{:02x}{:02x}".format(*colours[entry.code][:3]) == entry.color.lower()
    with pytest.raises(InputError, match="--band l9: the labels have the bands l2, l1, edge_l2"):
        label_raster(tmp_path / "lock.json", "u1", stage, tmp_path / "none.tif", "l9")


# Real samples -----------------------------------------------------------------------------------

PRODES = "PRODES_LANDSAT_AMZ_2000-08-01_2020-07-31_class_v20220606.tif"
PRODES_CODES = (1, 11, 16, 17, 27, 29, 32, 33)


def prodes_recipe(tmp_path, codes):
    """A legend and a crosswalk for the codes of the sample, written as a user would."""
    legend = tmp_path / "prodes.csv"
    rows = [f"l1,{n},c{n},class {n},,#0000{n:02d}" for n in range(2)]
    rows += [f"l2,{n},f{n},fine {n},{n % 2},#00{n:02d}00" for n in range(len(PRODES_CODES))]
    legend.write_text("level,code,abbrev,name,parent,color\n" + "\n".join(rows) + "\n")
    crosswalk = tmp_path / f"prodes_{len(codes)}_crosswalk.csv"
    lines = [f"{code},source {code},{PRODES_CODES.index(code)}" for code in codes]
    crosswalk.write_text("source_code,source_name,code\n" + "\n".join(lines) + "\n")
    return {"label": {"legend": str(legend), "crosswalk": str(crosswalk)}}


def test_a_genuine_map_in_sirgas_reaches_a_grid_in_utm_and_one_in_degrees(tmp_path, shared_data):
    path = shared_data / "ref_prodes_amazon" / PRODES
    item = map_item(path)
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
    recipe = prodes_recipe(tmp_path, PRODES_CODES)
    table = np.full(256, NODATA)
    table[list(PRODES_CODES)] = np.arange(len(PRODES_CODES))
    utm = snapped_geobox((535_000, 9_023_000, 556_000, 9_039_000), "EPSG:32720", 10)
    degrees = snapped_geobox((-62.668, -8.828, -62.502, -8.702), "EPSG:4326", DEGREE)
    for geobox in (utm, degrees):
        layers, _ = build(tmp_path, geobox, [item], **recipe)
        codes, margin = containing_pixels(geobox, item.assets["map"], pixels)
        sure = margin > 0.003
        expected = np.where(codes < 0, NODATA, table[codes])
        np.testing.assert_array_equal(layers[0][sure], expected[sure])
        assert (layers[0] == NODATA).mean() < 0.5
        assert len(np.unique(layers[0][layers[0] != NODATA])) == len(PRODES_CODES)


def test_gdal_agrees_on_a_genuine_map(tmp_path, shared_data):
    path = shared_data / "ref_prodes_amazon" / PRODES
    geobox = snapped_geobox((538_000, 9_026_000, 550_000, 9_036_000), "EPSG:32720", 10)
    layers, _ = build(tmp_path, geobox, [map_item(path)], **prodes_recipe(tmp_path, PRODES_CODES))
    warped = np.full(geobox.shape, NODATA, np.uint8)
    with rasterio.open(path) as dataset:
        reproject(
            rasterio.band(dataset, 1), warped, dst_transform=geobox.affine,
            dst_crs=str(geobox.crs), resampling=Resampling.nearest, dst_nodata=NODATA, tolerance=0,
        )  # fmt: skip
    table = np.full(256, NODATA)
    table[list(PRODES_CODES)] = np.arange(len(PRODES_CODES))
    # GDAL's own coordinates are approximate; one pixel in 2,500 is nearer to a border than that.
    assert (layers[0] == table[warped]).mean() > 0.999


def test_an_unknown_code_of_a_genuine_map_is_counted(tmp_path, shared_data):
    path = shared_data / "ref_prodes_amazon" / PRODES
    with rasterio.open(path) as dataset:
        geobox = GeoBox(dataset.shape, dataset.transform, "EPSG:4674")
        missing = {code: int((dataset.read(1) == code).sum()) for code in (17, 33)}
    known = [code for code in PRODES_CODES if code not in missing]
    with pytest.raises(LegendError) as caught:
        build(tmp_path, geobox, [map_item(path)], **prodes_recipe(tmp_path, known))
    for code, count in missing.items():
        assert f"code {code} ({count} pixels)" in str(caught.value)


def test_settings_and_lock_are_those_that_the_stage_reads(tmp_path):
    folder = settings_folder(tmp_path / "s", label={"edges": "thick"})
    assert read_settings(folder / "stack" / "label.json").label.edges == "thick"
    lock = small_lock(tmp_path, utm_geobox((4, 4)), [])
    assert read_lock(lock).items_of("u1", "reference") == []


CLEANING = [
    {"step": "mmu", "area_m2": 250_000},
    {"step": "fill", "max_distance_m": 900},
    {"step": "closing", "size_m": [700, 900]},
    {"step": "opening", "radius_m": 250},
    {"step": "majority", "radius_m": 370},
    {"step": "fill", "method": "vote", "max_distance_m": 800},
]


@pytest.mark.parametrize("latitude", [None, 57.4])
@pytest.mark.parametrize("steps", [CLEANING[:2], CLEANING[2:4], [CLEANING[0], *CLEANING[4:]]])
def test_cleaned_labels_of_a_grid_in_degrees_do_not_depend_on_units(tmp_path, steps, latitude):
    """A mapping unit has one number of pixels, from the southern to the northern unit.

    The pixels are 223 m high, and 128 m wide in the south and 111 m in the north.
    """
    grid = snapped_geobox((10, 55, 10.1, 60.12), "EPSG:4326", 2e-3)
    random_map(tmp_path / "map.tif", grid.pad(400), side=3)
    item = map_item(tmp_path / "map.tif")
    settings_ = settings_folder(tmp_path / "settings", label={"clean": steps})
    wanted = read_settings(settings_ / "stack" / "label.json").label

    def labels_of(unit_patches):
        units = mosaic_units(grid, size_px=10, stride_px=10, unit_patches=unit_patches)
        lock = Lock(
            name="small", source="local", items=(item,), latitude=latitude,
            units=tuple(
                LockedUnit(
                    id=u.id, geobox=geobox_to_dict(u.geobox), first_row=u.first_row,
                    first_col=u.first_col, items={"reference": (item.id,)},
                )
                for u in units
            ),
        )  # fmt: skip
        write_lock(lock, tmp_path / "lock.json")
        whole = np.zeros(grid.shape, np.uint8)
        for unit in units:
            part = Maker(tmp_path / "lock.json", unit.id, wanted).whole().layers[0]
            top, left = unit.first_row * 10, unit.first_col * 10
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return whole

    whole = labels_of(1000)
    assert len(np.unique(whole)) > 5
    np.testing.assert_array_equal(labels_of(64), whole)


def test_sizes_in_metres_are_those_of_the_datasets_latitude(tmp_path):
    """A plan settles them where its area has its middle, however its units are cut."""
    lock = Lock(
        name="small", source="local", items=(), latitude=60.0,
        units=(
            LockedUnit(
                id="south", first_row=0, first_col=0, items={},
                geobox=geobox_to_dict(snapped_geobox((10, 0, 10.1, 0.1), "EPSG:4326", 1e-4)),
            ),
        ),
    )  # fmt: skip
    height, width = pixel_of(lock, unit_geobox(lock.unit("south")))
    assert width / height == pytest.approx(0.5, abs=0.003)
    assert pixel_of(lock.model_copy(update={"latitude": None}), unit_geobox(lock.unit("south")))[
        1
    ] == pytest.approx(11.13, abs=0.01)
