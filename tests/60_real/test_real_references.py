# SPDX-License-Identifier: Apache-2.0
"""Genuine references of five producers become label rasters, judged by shapely and by imagery."""

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from made.patches import map_item
from made.vectors import Unit, table_of, write_vectors
from terrapatch.grid import snapped_geobox
from terrapatch.legend import NODATA, load_crosswalk, load_legend, table_rows


def own_tables(folder, names, field=None):
    """A legend and a crosswalk with one class a name, from 1."""
    classes = [f"a,{n},{n},class {n},,#{n:06x}" for n in range(1, len(names) + 1)]
    (folder / "legend.csv").write_text(
        "\n".join(["level,code,abbrev,name,parent,color", *classes]) + "\n"
    )
    rows = [f'"{name}",{n}' for n, name in enumerate(names, 1)]
    (folder / "walk.csv").write_text("\n".join(["source_code,code", *rows]) + "\n")
    return {
        "legend": str(folder / "legend.csv"),
        "crosswalk": str(folder / "walk.csv"),
        "edges": "none",
    }


def around(table, crs, resolution=10.0):
    """A grid around a table's features."""
    left, bottom, right, top = table.to_crs(crs).total_bounds
    rim = 5 * resolution
    return snapped_geobox((left - rim, bottom - rim, right + rim, top + rim), crs, resolution)


def moved_centres(geobox, crs):
    """(y, x) coordinates of all centres in another CRS, by PROJ."""
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    return Transformer.from_crs(str(geobox.crs), crs, always_xy=True).transform(xx, yy)


def holders(table, geobox):
    """How many features hold each centre, and the number of the last that does, in the file's CRS.

    Centres nearer than a millimetre to a border are marked unsure.
    """
    x, y = moved_centres(geobox, str(table.crs))
    points = shapely.points(x.ravel(), y.ravel())
    tree = shapely.STRtree(points)
    count, last = np.zeros(points.size, int), np.full(points.size, -1)
    for number, polygon in enumerate(shapely.make_valid(table.geometry.to_numpy())):
        hit = tree.query(polygon, predicate="intersects")
        count[hit] += 1
        last[hit] = number
    borders = shapely.boundary(table.geometry.to_numpy())
    unit = 1e-3 if table.crs.is_projected else 1e-8
    unsure = np.zeros(points.size, bool)
    unsure[np.unique(tree.query(borders, predicate="dwithin", distance=unit)[1])] = True
    shape = geobox.shape
    return count.reshape(shape), last.reshape(shape), unsure.reshape(shape)


def test_lem_cerrado_month_by_month(shared_data, tmp_path):
    path = shared_data / "ref_lem_cerrado" / "LEM_dataset.shp"
    table = pyogrio.read_dataframe(path)
    names = sorted(set(table["Jan_2020"]) | set(table["Jul_2020"]))
    wanted = own_tables(tmp_path, names)
    # The densest part of the set, on two grids: UTM, and degrees as CerraData-4MM has them.
    part = (-46.1, -12.4, -45.9, -12.2)
    degrees = snapped_geobox(part, "EPSG:4326", 10 * 8.983152841195215e-05)
    to = Transformer.from_crs("EPSG:4326", "EPSG:32723", always_xy=True)
    (left, bottom), (right, top) = to.transform(*part[:2]), to.transform(*part[2:])
    utm = snapped_geobox((left, bottom, right, top), "EPSG:32723", 50)
    for geobox in (utm, degrees):
        count, last, unsure = holders(table, geobox)
        assert (count > 0).mean() > 0.15
        for month in ("Jan_2020", "Jul_2020"):
            source = {"path": str(path), "fields": [month.upper()]}
            layers, record = Unit(tmp_path, geobox, vectors=[source], **wanted).build()
            codes = np.array([names.index(name) + 1 for name in table[month]] + [NODATA])
            sure = (count <= 1) & ~unsure
            np.testing.assert_array_equal(layers[0][sure], codes[last][sure])
            assert sure.mean() > 0.99
            assert record["nodata_share"] == pytest.approx((count == 0).mean(), abs=1e-3)


def test_parcels_of_three_countries_under_their_own_names(shared_data, tmp_path):
    lpis = shared_data / "ref_lpis_europe"
    rpg = shared_data / "ref_rpg_france_2022"
    for path, product, field, crs in (
        (lpis / "brpgewaspercelen_definitief_2023.gpkg", "brp_netherlands", "gewascode", "EPSG:32631"),
        (lpis / "lwb_nutzungsflaechen_v2_0_lv95.gpkg", "lnf_switzerland", "lnf_code", "EPSG:32632"),
        (rpg / "RPG_2-0__GPKG_LAMB93_FXX_2022-01-01.7z", "rpg", "code_cultu", "EPSG:32630"),
    ):  # fmt: skip
        readable = path if path.suffix == ".gpkg" else rpg / "PARCELLES_GRAPHIQUES.gpkg"
        if path.suffix == ".7z":
            pytest.importorskip("py7zr")
        table = pyogrio.read_dataframe(readable)
        # The parcels lie far apart: the grid goes around the largest one.
        one = table.iloc[[int(table.area.argmax())]]
        geobox = around(one, crs)
        names = sorted({str(value) for value in table[field]})
        folder = tmp_path / product
        folder.mkdir()
        unit = Unit(
            folder,
            geobox,
            vectors=[{"path": str(path), "product": product}],
            **own_tables(folder, names),
        )
        layers, record = unit.build()
        count, last, unsure = holders(table, geobox)
        codes = np.array([names.index(str(value)) + 1 for value in table[field]] + [NODATA])
        sure = (count <= 1) & ~unsure
        np.testing.assert_array_equal(layers[0][sure], codes[last][sure])
        assert sure.mean() > 0.99
        assert (layers[0] != NODATA).sum() * 100 == pytest.approx(
            one.to_crs(crs).area.iloc[0], rel=0.1
        )
        assert record["vectors.0.0"]["features"] >= 1


def test_bd_topo_of_a_commune_with_priorities_and_rails(shared_data, tmp_path):
    folder = shared_data / "ref_bdtopo_aveyron"
    commune = pyogrio.read_dataframe(folder / "COMMUNE.shp")
    geobox = around(commune, "EPSG:32631")
    layers = {
        "ZONE_DE_VEGETATION": 1, "ZONE_D_ACTIVITE_OU_D_INTERET": 2, "CIMETIERE": 3,
        "TERRAIN_DE_SPORT": 4, "SURFACE_HYDROGRAPHIQUE": 5, "BATIMENT": 6, "AERODROME": 7,
    }  # fmt: skip
    wanted = own_tables(tmp_path, [*layers, "rails"])
    sources = []
    for layer, code in layers.items():
        natures = sorted(
            {n for n in pyogrio.read_dataframe(folder / f"{layer}.shp")["NATURE"] if n}
        )
        # As the file's text is, before its encoding is known: the table has what people read.
        right = [n.encode("latin-1").decode("utf-8") for n in natures] or ["none"]
        (tmp_path / f"{layer}.csv").write_text(
            "source_code,code\n" + "".join(f'"{n}",{code}\n' for n in right), encoding="utf-8"
        )
        sources.append(
            {"path": str(folder / f"{layer}.shp"), "fields": ["nature"], "priority": code,
             "required": layer != "AERODROME",  # a layer without features, as extracts have them
             "crosswalk": str(tmp_path / f"{layer}.csv"), "crs": "EPSG:2154", "null_codes": "ignore"}
        )  # fmt: skip
    rails = {
        "path": str(folder / "TRONCON_DE_VOIE_FERREE.shp"),
        "product": "bdtopo_v3_rails",
        "code": 8,
    }
    unit = Unit(tmp_path, geobox, vectors=sources, networks=[rails], **wanted)
    found = unit.find()
    empty = next(v for v in found.vectors if v.layer == "AERODROME")
    assert (empty.features, "vectors.6.0" in found.around(geobox)) == (0, False)
    labels, record = unit.build(found=found)
    assert record["networks.0.0"] == {"features": 5, "repaired": 0, "empty": 0, "left_out": 1}
    # Judge: later layers over earlier ones, rails within 10 m of the lines that lie on the ground.
    expected = np.full(geobox.shape, NODATA)
    unsure = np.zeros(geobox.shape, bool)
    for layer, code in layers.items():
        table = pyogrio.read_dataframe(folder / f"{layer}.shp")
        table = table[table["NATURE"].notna()]
        if len(table):
            count, _, near = holders(table, geobox)
            expected[count > 0] = code
            unsure |= near
    table = pyogrio.read_dataframe(folder / "TRONCON_DE_VOIE_FERREE.shp").to_crs("EPSG:32631")
    lines = shapely.union_all(table.geometry[table["POS_SOL"].astype(int) >= 0].to_numpy())
    x, y = moved_centres(geobox, "EPSG:32631")
    distance = shapely.distance(lines, shapely.points(x, y))
    expected[distance < 10] = 8
    unsure |= np.abs(distance - 10) < 0.05
    np.testing.assert_array_equal(labels[0][~unsure], expected[~unsure])
    assert unsure.mean() < 1e-3
    assert set(np.unique(labels[0])) == {1, 2, 3, 4, 5, 6, 8, NODATA}
    assert 150 < (labels[0] == 8).sum() < 2_000


@pytest.fixture
def brandenburg(shared_data):
    folder = shared_data / "s2_l1c_crop_brandenburg"
    images = {}
    for band in ("B04", "B08"):
        with rasterio.open(next((folder / "IMG_DATA").glob(f"*_{band}.jp2"))) as dataset:
            images[band] = dataset.read(1).astype(float)
            geobox = GeoBox(dataset.shape, dataset.transform, str(dataset.crs))
    return folder, geobox, images


def test_osm_water_and_forest_lie_where_the_image_shows_them(brandenburg, tmp_path):
    folder, geobox, images = brandenburg
    path = next(folder.glob("gis_osm*.gpkg"))
    names = sorted(set(pyogrio.read_dataframe(path)["fclass"]))
    wanted = own_tables(tmp_path, names)
    unit = Unit(tmp_path, geobox, vectors=[{"path": str(path), "fields": ["fclass"]}], **wanted)
    layers, record = unit.build()
    assert record["vectors.0.0"]["features"] == 604
    assert record["nodata_share"] == pytest.approx(0.6905, abs=1e-3)
    table = pyogrio.read_dataframe(path)
    count, last, unsure = holders(table, geobox)
    codes = np.array([names.index(name) + 1 for name in table["fclass"]] + [NODATA])
    sure = (count <= 1) & ~unsure
    np.testing.assert_array_equal(layers[0][sure], codes[last][sure])
    # The image agrees best where it lies: water is dark in the near infrared, and a shift of the
    # labels by three pixels to any side makes it brighter.
    water = layers[0] == names.index("water") + 1
    inside = images["B08"][water].mean()
    assert inside < 0.6 * images["B08"].mean()
    for shift in ((0, 3), (0, -3), (3, 0), (-3, 0)):
        assert images["B08"][np.roll(water, shift, (0, 1))].mean() > inside * 1.03


def test_labelled_polygons_keep_their_pixels(brandenburg, tmp_path):
    folder, geobox, _ = brandenburg
    path = folder / "s2l1c_ref.gpkg"
    table = pyogrio.read_dataframe(path)
    layers, record = Unit(
        tmp_path, geobox, vectors=[{"path": str(path), "fields": ["pid"]}],
        **own_tables(tmp_path, [str(pid) for pid in table["pid"]]),
    ).build()  # fmt: skip
    by_gdal = rasterio.features.rasterize(
        zip(table.geometry, range(1, 31), strict=True), geobox.shape, transform=geobox.affine,
        fill=NODATA, dtype="uint8",
    )  # fmt: skip
    np.testing.assert_array_equal(layers[0], by_gdal)
    # Its authors note how many pixels the polygons at the rim get: none outside, two half outside.
    notes = table["comment"].fillna("")
    out = notes.str.contains("completely out").to_numpy().argmax() + 1
    half = notes.str.contains("partially out").to_numpy().argmax() + 1
    assert (layers[0] == out).sum() == 0
    assert (layers[0] == half).sum() == 2
    assert record["vectors.0.0"]["features"] in (29, 30)


def test_prodes_beside_polygons_of_the_same_ground(shared_data, tmp_path):
    """A raster reference in degrees on the grid of the Sentinel-2 map, with a polygon over it."""
    folder = shared_data / "ref_prodes_amazon"
    prodes = next(folder.glob("PRODES*.tif"))
    with rasterio.open(next(folder.glob("SENTINEL2*.tif"))) as dataset:
        geobox = GeoBox(dataset.shape, dataset.transform, str(dataset.crs))
        other = dataset.read(1)
    with rasterio.open(prodes) as dataset:
        codes = sorted(int(v) for v in np.unique(dataset.read(1)) if v != 255)
    wanted = own_tables(tmp_path, codes)
    layers, _ = Unit(tmp_path, geobox, items=[map_item(prodes)], **wanted).build()
    assert set(np.unique(layers[0])) <= {*range(1, len(codes) + 1), NODATA}
    seen = layers[0] != NODATA
    assert seen.mean() > 0.8

    # The two maps know the same clearings: most pixels of a class of one lie in one class of the
    # other, more than with one of them turned around.
    def together(left, right):
        table = np.zeros((16, 256))
        np.add.at(table, (right[seen], left[seen]), 1)
        return table.max(axis=1).sum() / table.sum()

    fit, turned = together(layers[0], other), together(layers[0][::-1, ::-1], other)
    assert fit > turned + 0.1
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    box = shapely.box(c + 100 * a, f + 200 * e, c + 300 * a, f + 100 * e)
    write_vectors(tmp_path / "v.gpkg", table_of([box], str(geobox.crs), code=[codes[0]]))
    source = {"path": str(tmp_path / "v.gpkg"), "fields": ["code"]}
    both, _ = Unit(tmp_path, geobox, items=[map_item(prodes)], vectors=[source], **wanted).build()
    assert (both[0, 100:200, 100:300] == 1).all()
    both[0, 100:200, 100:300] = layers[0, 100:200, 100:300]
    np.testing.assert_array_equal(both, layers)


def test_grids_that_share_no_ground_with_a_file_have_no_label(shared_data, tmp_path):
    path = shared_data / "ref_lem_cerrado" / "LEM_dataset.shp"
    geobox = GeoBox((20, 20), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    found = Unit(
        tmp_path, geobox,
        vectors=[{"path": str(path), "fields": ["Jan_2020"], "required": False}],
        **own_tables(tmp_path, ["Corn"]),
    ).find()  # fmt: skip
    assert found.around(geobox) == ()
    assert found.vectors[0].features == 0


def test_parcels_of_the_french_register_on_three_levels(shared_data, tmp_path):
    """The 7z as it is distributed: all parcels' codes are known, and levels agree pixel by pixel."""
    pytest.importorskip("py7zr")
    folder = shared_data / "ref_rpg_france_2022"
    legend, walk = load_legend("flairhub_lpis"), load_crosswalk("rpg_flairhub").words
    table = pyogrio.read_dataframe(folder / "PARCELLES_GRAPHIQUES.gpkg")
    assert set(table["code_cultu"]) <= set(walk)
    archive = folder / "RPG_2-0__GPKG_LAMB93_FXX_2022-01-01.7z"
    source = {"path": str(archive), "product": "rpg_2022"}
    wanted = {"legend": legend.name, "crosswalk": "rpg_flairhub", "background": 45, "edges": "none"}
    seen = set()
    for number, one in enumerate(table.sample(6, random_state=2).index):
        geobox = around(table.loc[[one]], "EPSG:2154", 2.0)
        (tmp_path / f"{number}").mkdir()
        unit = Unit(tmp_path / f"{number}", geobox, vectors=[source], **wanted)
        layers, record = unit.build()
        count, last, unsure = holders(table, geobox)
        codes = np.array([walk[code] for code in table["code_cultu"]] + [45])
        sure = (count <= 1) & ~unsure
        np.testing.assert_array_equal(layers[0][sure], codes[last][sure])
        for band, level in zip(layers, legend.levels, strict=True):
            np.testing.assert_array_equal(band, legend.derive(level.name)[layers[0]])
        assert record["vectors.0.0"]["features"] >= 1
        seen |= set(np.unique(layers[0]))
    assert len(seen) > 3


def test_official_crop_codes_all_have_a_class(shared_data):
    path = shared_data / "ref_rpg_france_2022" / "Codification_cultures_principales.csv"
    rows = table_rows("crosswalks", str(path))
    codes = {row["code culture"] for row in rows}
    assert len(codes) == 350
    assert codes <= set(load_crosswalk("rpg_flairhub").words)
