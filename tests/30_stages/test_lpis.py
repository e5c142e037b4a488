# SPDX-License-Identifier: Apache-2.0
"""Parcels of the French register and photo-interpreted classes: three levels, editions, years, readings."""

import numpy as np
import pytest
import shapely

from made.catalog import make_safe, settings_file
from made.patches import map_item, utm_geobox, write_map
from made.vectors import Unit, stars, table_of, write_vectors
from terrapatch.catalog import plan
from terrapatch.errors import LegendError, RecipeError, SceneError
from terrapatch.labels.stack import Maker
from terrapatch.legend import NODATA, load_crosswalk, load_legend, table_rows
from terrapatch.vectors import schema_of

LPIS = load_legend("flairhub_lpis")
WANTED = {"legend": "flairhub_lpis", "crosswalk": "rpg_flairhub", "background": 45, "edges": "none"}
TO_LV3 = load_crosswalk("rpg_flairhub").words


def up(code, level):
    """Class of a finest class on a coarser level, parent by parent."""
    for fine in LPIS.levels:
        if fine.name == level:
            return code
        code = fine[code].parent
    raise AssertionError(level)


def parcels(geobox, codes, column="code_cultu", seed=5, count=60):
    left, bottom, right, top = geobox.boundingbox.bbox
    rng = np.random.default_rng(seed)
    made = stars(rng, count, (left, bottom, right, top), (40, 260))
    return table_of(made, str(geobox.crs), **{column: [*rng.choice(codes, count)]})


def test_three_levels_finest_first_and_each_class_has_one_parent():
    assert [level.name for level in LPIS.levels] == ["lv3", "lv2", "lv1"]
    assert [len(level.codes) for level in LPIS.levels] == [46, 31, 23]
    for level in LPIS.levels:
        assert level.codes == tuple(range(len(level.codes)))
    # The published counts of the coarsest level are all pixels of all patches.
    assert sum(c.published_pixels for c in LPIS.level("lv1").classes) == 241_100 * 512**2
    names = {level.name: [c.name for c in level.classes] for level in LPIS.levels}
    for fine, coarse, last in ((45, 30, 22), (44, 29, 21), (6, 3, 3), (28, 16, 12)):
        assert (up(fine, "lv2"), up(fine, "lv1")) == (coarse, last)
    for level in names.values():
        assert level[-2:] == ["Mixed crops", "Background"]
    # As printed, though by meaning it is a winter cereal.
    assert LPIS.level("lv2")[up(12, "lv2")].name == "Other spring cereals"


def test_every_crop_code_leads_to_a_class_and_every_class_is_reached():
    assert set(TO_LV3.values()) == set(LPIS.finest.codes)
    assert len(TO_LV3) == 372
    rows = {row["source_code"]: row for row in table_rows("crosswalks", "rpg_flairhub")}
    assert {row["doubt"] for row in rows.values()} == {"low", "medium", "high"}
    # What the paper says of wood, greenhouses and mixtures.
    assert {LPIS.finest[TO_LV3[code]].name for code in ("BOP", "CEE", "CAE")} == {"Background"}
    assert LPIS.finest[TO_LV3["BTH"]].name == "Winter wheat"


def test_a_raster_of_three_levels_is_what_shapely_finds_at_the_centres(tmp_path):
    geobox = utm_geobox((90, 110))
    table = parcels(geobox, sorted(TO_LV3))
    write_vectors(tmp_path / "PARCELLES_GRAPHIQUES.gpkg", table)
    source = {"path": str(tmp_path / "PARCELLES_GRAPHIQUES.gpkg"), "product": "rpg_2020"}
    unit = Unit(tmp_path, geobox, vectors=[source], **WANTED)
    maker = Maker(unit.lock(), "u1", unit.wanted)
    made = maker.whole()
    assert made.bands == ("lv3", "lv2", "lv1")
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    xx, yy = np.meshgrid(
        c + a * (np.arange(geobox.shape[1]) + 0.5), f + e * (np.arange(geobox.shape[0]) + 0.5)
    )
    finest = np.full(geobox.shape, 45)
    for at in np.argsort(-table.area.to_numpy()):
        code = TO_LV3[table["code_cultu"].iloc[at]]
        finest[shapely.contains_xy(table.geometry.iloc[at], xx, yy)] = code
    assert len(np.unique(finest)) > 15
    for band, name in zip(made.layers, made.bands, strict=True):
        np.testing.assert_array_equal(band, np.vectorize(lambda code, n=name: up(code, n))(finest))
    assert maker.record()["vectors.0.0"]["features"] == 60


@pytest.mark.parametrize(
    ("layer", "column", "product"),
    [("PARCELLES_GRAPHIQUES", "CODE_CULTU", "rpg_2015"), ("parcelles_graphiques", "code_cultu", "rpg_2022"),
     ("RPG_Parcelles", "code_cultu", "rpg_2024"), ("rpg_parcelles", "code_culture", "rpg")],
)  # fmt: skip
def test_editions_spell_their_names_their_own_way(tmp_path, layer, column, product):
    geobox = utm_geobox((40, 40))
    table = parcels(geobox, ["BTH", "MIS"], column, count=12)
    write_vectors(tmp_path / "r.gpkg", table, layer=layer)
    wanted = [{"path": str(tmp_path / "r.gpkg"), "product": product}]
    layers, _ = Unit(tmp_path, geobox, vectors=wanted, **WANTED).build()
    assert set(np.unique(layers[0])) == {TO_LV3["BTH"], TO_LV3["MIS"], 45}


def test_own_readings_go_before_the_table(tmp_path):
    geobox = utm_geobox((40, 40))
    boxes = [
        shapely.box(
            *(geobox.boundingbox.left + 100 * n, geobox.boundingbox.bottom),
            *(geobox.boundingbox.left + 100 * n + 100, geobox.boundingbox.top),
        )
        for n in range(4)
    ]
    table = table_of(boxes, str(geobox.crs), code_cultu=["J5M", "BTH", "new", "MIS"])
    write_vectors(tmp_path / "r.gpkg", table)
    source = {"path": str(tmp_path / "r.gpkg"), "product": "rpg"}

    def made(codes):
        wanted = [source | {"codes": codes}]
        return Unit(tmp_path, geobox, vectors=wanted, **WANTED).build()[0][0][0, 5::10].tolist()

    assert made({"J5M": 1, "new": 44, "MIS": "background"}) == [1, 2, 44, 45]
    assert made({"new": "ignore", "BTH": "discard"}) == [TO_LV3["J5M"], NODATA, 45, 6]
    with pytest.raises(LegendError, match=r"new \(1\)[\s\S]*give them under codes"):
        made({})
    with pytest.raises(LegendError, match="codes, 'J5M': 46 is no class of legend 'flairhub_lpis'"):
        made({"J5M": 46})
    wanted = [source | {"codes": {"new": 1}}]
    twice = Unit(tmp_path, geobox, vectors=wanted, ignore_codes=["new"], **WANTED)
    with pytest.raises(LegendError, match="source_code new stands under codes and under"):
        twice.build()


def test_an_unknown_edition_is_told_with_the_columns_that_are_known(tmp_path):
    with pytest.raises(
        RecipeError, match=r"no edition of 2012 is known, but from 2015 to 2025 with code_cultu"
    ):
        schema_of("rpg_2012")
    with pytest.raises(RecipeError, match="rpg_2020' and year 2021 contradict each other"):
        schema_of("rpg_2020", 2021)
    with pytest.raises(RecipeError, match="no vector product 'rgp_2020'; known are"):
        schema_of("rgp_2020")
    assert schema_of("rpg_2020") == schema_of("rpg", 2020)
    geobox = utm_geobox((40, 40))
    for column, said in (
        ("crop", r"no attribute code_cultu; it has crop\. .*rpg is known with code_cultu or code_culture"),
        ("cult_maj", "this is the RPG before 2015"),
    ):  # fmt: skip
        write_vectors(tmp_path / f"{column}.gpkg", parcels(geobox, ["BTH"], column, count=5))
        source = {"path": str(tmp_path / f"{column}.gpkg"), "product": "rpg_2020"}
        with pytest.raises((SceneError, LegendError), match=said):
            Unit(tmp_path, geobox, vectors=[source], **WANTED).find()


def test_parcels_are_of_the_year_of_the_scenes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_safe("in")
    box = shapely.box(3.0, 44.96, 3.02, 45.0)
    write_vectors(tmp_path / "rpg.gpkg", table_of([box], "EPSG:4326", code_cultu=["BTH"]))

    def planned(**source):
        path = settings_file(
            tmp_path / "results" / "settings",
            catalog={"paths": ["in"], "period": ["2022-01-01", "2022-12-31"]},
            sampling={"kind": "mosaic", "crs": "EPSG:32631", "resolution": 10, "size_px": 32,
                      "unit_patches": 2},
            label=WANTED | {"vectors": [{"path": "rpg.gpkg", **source}]},
        )  # fmt: skip
        return plan(path, tmp_path / "results" / "lock.json")

    assert planned(product="rpg_2022").vectors
    assert planned(product="rpg").vectors  # a year that nobody states is held against nothing
    assert planned(product="rpg", year=2020, allow_year=True).vectors
    with pytest.raises(
        RecipeError,
        match=r"layers.label.vectors.0: rpg.gpkg holds parcels of 2020, and the scenes are of 2022"
        r".*set allow_year: true",
    ):
        planned(product="rpg_2020")


def test_photo_interpreted_classes_pass_and_the_value_19_is_counted(tmp_path):
    geobox = utm_geobox((64, 64))
    codes = np.random.default_rng(3).integers(0, 20, (64, 64)).astype(np.uint8)
    write_map(tmp_path / "cosia.tif", codes, geobox)
    wanted = {"legend": "flairhub_cosia", "crosswalk": "flairhub_cosia", "edges": "none"}
    legend = load_legend("flairhub_cosia")
    assert legend.finest.codes == tuple(range(19))
    layers, record = Unit(
        tmp_path, geobox, items=[map_item(tmp_path / "cosia.tif")], **wanted
    ).build()
    np.testing.assert_array_equal(layers[0], np.minimum(codes, 18))
    assert record == {"tolerated": {"19": int((codes == 19).sum())}}
    write_map(tmp_path / "cosia.tif", codes + 1, geobox)
    with pytest.raises(LegendError, match=r"code 20 \(\d+ pixels\)"):
        Unit(tmp_path, geobox, items=[map_item(tmp_path / "cosia.tif")], **wanted).build()


def test_a_table_of_parcels_is_none_for_a_map(tmp_path):
    geobox = utm_geobox((8, 8))
    write_map(tmp_path / "map.tif", np.ones((8, 8), np.uint8), geobox)
    with pytest.raises(LegendError, match="it is for polygons"):
        Unit(tmp_path, geobox, items=[map_item(tmp_path / "map.tif")], **WANTED).build()
