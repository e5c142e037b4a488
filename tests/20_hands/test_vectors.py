# SPDX-License-Identifier: Apache-2.0
"""Vector files: names by product and edition, archives, CRS, encodings, and files that break off."""

import shutil
import sys
import zipfile

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely

from made.patches import utm_geobox
from made.vectors import Unit, stars, table_of, write_vectors
from terrapatch.errors import GridError, InputError, LegendError, RecipeError, SceneError
from terrapatch.vectors import (
    network_rules,
    open_layer,
    read_boxes,
    read_portions,
    schema_of,
    schemas,
    source_paths,
    unpacked,
)

FORMATS = [".gpkg", ".shp", ".fgb", ".parquet", ".zip", ".7z"]
CUSTOM = schema_of("custom")


def squares(count=4, crs="EPSG:32722", **columns):
    made = [
        shapely.box(300_000 + 20 * n, 9_099_980, 300_020 + 20 * n, 9_100_000) for n in range(count)
    ]
    return table_of(made, crs, **columns)


def opened(path, schema=CUSTOM, **more):
    return open_layer(str(path), schema, unpack_to=path.parent / "unpacked", **more)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_features_attributes_and_crs(tmp_path, suffix):
    if suffix == ".7z":
        pytest.importorskip("py7zr")
    rng = np.random.default_rng(0)
    table = table_of(
        stars(rng, 200, (300_000, 9_000_000, 320_000, 9_020_000), (50, 900)), "EPSG:32722",
        code=rng.choice(["é", "b"], 200), number=np.arange(200),
    )  # fmt: skip
    layer = opened(write_vectors(tmp_path / f"v{suffix}", table))
    assert (layer.crs, layer.fields, layer.features) == ("EPSG:32722", ("code", "number"), 200)
    columns = {"c": "code", "n": "number"}
    batches = list(read_portions(layer, columns, None))
    numbers = np.concatenate([b.columns["n"].to_numpy() for b in batches])
    codes = np.concatenate([b.columns["c"].to_pylist() for b in batches])
    found = np.concatenate([b.geometries for b in batches])
    order = np.argsort(numbers)
    assert codes[order].tolist() == table["code"].tolist()
    assert shapely.equals(found[order], table.geometry.to_numpy()).all()
    # A box gives exactly the features whose boxes meet it.
    box = (304_000.0, 9_003_000.0, 313_000.0, 9_012_000.0)
    left, bottom, right, top = shapely.bounds(table.geometry.to_numpy()).T
    meets = (left <= box[2]) & (right >= box[0]) & (bottom <= box[3]) & (top >= box[1])
    near = np.concatenate([b.columns["n"].to_numpy() for b in read_portions(layer, columns, box)])
    assert sorted(near) == np.flatnonzero(meets).tolist()
    assert 10 < meets.sum() < 150
    assert len(read_boxes(layer, box)[0]) == meets.sum()


def test_layers_and_attributes_have_many_names(tmp_path):
    roads = schema_of("bdtopo_v3_roads")
    lines = table_of(
        [shapely.LineString([(0, 0), (9, 9)])], "EPSG:2154", IMPORTANCE=["1"], NATURE=["Bretelle"],
        POS_SOL=["0"], ETAT=["En service"],
    )  # fmt: skip
    folder = tmp_path / "shp"
    write_vectors(folder / "TRONCON_DE_ROUTE.shp", lines)
    write_vectors(folder / "BATIMENT.shp", squares(crs="EPSG:2154", nature=["x"] * 4))
    with zipfile.ZipFile(tmp_path / "D012.zip", "w") as archive:
        for part in folder.iterdir():
            archive.write(part, f"BDTOPO/TRANSPORT/{part.name}")
    layer = opened(tmp_path / "D012.zip", roads)
    assert layer.name == "TRONCON_DE_ROUTE"
    wanted = network_rules("bdtopo_v3_roads").fields
    assert roads.fields(wanted, layer.fields, layer.where) == {
        "etat_de_l_objet": "ETAT", "position_par_rapport_au_sol": "POS_SOL", "nature": "NATURE",
        "importance": "IMPORTANCE",
    }  # fmt: skip
    long = lines.rename(
        columns={"ETAT": "etat_de_l_objet", "POS_SOL": "position_par_rapport_au_sol"}
    )
    write_vectors(tmp_path / "BDTOPO.gpkg", long, layer="troncon_de_route")
    write_vectors(tmp_path / "BDTOPO.gpkg", squares(), layer="batiment", mode="a")
    layer = opened(tmp_path / "BDTOPO.gpkg", roads)
    assert layer.name == "troncon_de_route"
    assert roads.fields(wanted, layer.fields, layer.where)["etat_de_l_objet"] == "etat_de_l_objet"


def test_of_several_layers_the_one_with_the_attributes_is_meant(tmp_path):
    path = tmp_path / "o.gpkg"
    write_vectors(path, squares(cod_n5=["11111"] * 4, cod_n4=["1111"] * 4), layer="ocs_2019")
    write_vectors(path, squares(name=["x"] * 4), layer="communes", mode="a")
    assert (
        opened(path, schema_of("ocsge2_grandest"), fields=["cod_n5", "cod_n4"]).name == "ocs_2019"
    )
    with pytest.raises(SceneError, match=r"2 layers could be meant: .*communes.*Name one"):
        opened(path)
    assert opened(path, layer="COMMUNES").name == "communes"


def test_a_missing_layer_or_attribute_is_named_with_what_is_there(tmp_path):
    write_vectors(tmp_path / "v.gpkg", squares(one=[1] * 4), layer="parcels")
    with pytest.raises(SceneError, match=r"no layer fields; it has parcels\. Name the right one"):
        opened(tmp_path / "v.gpkg", layer="fields")
    # A single layer is the product's, whatever it is called; its attributes still have to fit.
    layer = opened(tmp_path / "v.gpkg", schema_of("rpg"))
    with pytest.raises(
        SceneError, match=r"no attribute code_cultu; it has one\. Name the right ones"
    ):
        schema_of("rpg").fields(["code_cultu"], layer.fields, layer.where)


def test_ocs_ge_of_ign_is_not_ocsge2_of_grand_est(tmp_path):
    table = squares(code_cs=["CS1.1.1.1"] * 4, code_us=["US1.1"] * 4)
    write_vectors(tmp_path / "OCSGE.gpkg", table)
    ocsge2 = {"path": str(tmp_path / "OCSGE.gpkg"), "product": "ocsge2_grandest"}
    more = {"crosswalk": "ocsge2_multisenge", "legend": "multisenge"}
    geobox = utm_geobox((5, 8))
    with pytest.raises(
        LegendError, match=r"this is OCS GE of IGN .*not ocsge2_grandest.*code_cs, code_us"
    ):
        Unit(tmp_path, geobox, vectors=[ocsge2], **more).find()
    # Forced by naming the attribute, its codes give it away.
    with pytest.raises(
        LegendError, match=r"CS1\.1\.1\.1 \(4\); codes such as CS1\.1\.1 or US1\.1 are IGN's"
    ):
        Unit(tmp_path, geobox, vectors=[ocsge2 | {"fields": ["code_cs"]}], **more).find()


def test_unknown_codes_of_all_files_stand_in_one_error(tmp_path):
    geobox = utm_geobox((5, 8))
    table = squares(
        cod_n5=["11111", "99999", None, "99999"], cod_n4=["1111", "9999", "8888", "9999"]
    )
    write_vectors(tmp_path / "a_1.gpkg", table)
    write_vectors(tmp_path / "a_2.gpkg", squares(cod_n5=["77777"] * 4, cod_n4=[None] * 4))
    more = {"crosswalk": "ocsge2_multisenge", "legend": "multisenge"}
    source = {"path": str(tmp_path / "a_*.gpkg"), "product": "ocsge2_grandest"}
    lines = table_of(
        [shapely.LineString([(300_000, 9_099_990), (300_050, 9_099_990)])] * 2, "EPSG:32722",
        importance=["9", "1"], nature=["x"] * 2, etat=["En service"] * 2, pos_sol=["0"] * 2,
    )  # fmt: skip
    write_vectors(tmp_path / "r.gpkg", lines, layer="troncon_de_route")
    road = {"path": str(tmp_path / "r.gpkg"), "product": "bdtopo_v3_roads", "code": 5}
    with pytest.raises(LegendError) as caught:
        Unit(tmp_path, geobox, vectors=[source], networks=[road], **more).find()
    text = str(caught.value)
    assert "cod_n4=8888 (1), cod_n5=99999, cod_n4=9999 (2)" in text
    assert "cod_n5=77777 (4)" in text
    assert (
        "network rules 'bdtopo_v3_roads', with their number of features: importance=9 (1)" in text
    )
    assert text.count("ignore_codes") == 1
    found = Unit(
        tmp_path, geobox, vectors=[source], networks=[road],
        ignore_codes=[99999, "8888", "77777", "9"], **more,
    ).find()  # fmt: skip
    assert [v.id for v in found.vectors] == ["vectors.0.0", "vectors.0.1", "networks.0.0"]


def test_codes_that_are_null_are_an_error_or_handled(tmp_path):
    geobox = utm_geobox((2, 8))
    write_vectors(tmp_path / "v.gpkg", squares(code=[11, None, 15, None]))
    source = {"path": str(tmp_path / "v.gpkg"), "fields": ["code"]}
    with pytest.raises(LegendError, match=r"2 feature\(s\) without a code in code; set null_codes"):
        Unit(tmp_path, geobox, vectors=[source]).find()
    for null in ("discard", "ignore"):
        layers, record = Unit(tmp_path, geobox, vectors=[source | {"null_codes": null}]).build()
        assert layers[0, 0].tolist() == [0, 0, 255, 255, 11, 11, 255, 255]
        assert record["vectors.0.0"]["left_out"] == (2 if null == "ignore" else 0)


def test_the_crs_is_the_files_own_and_checked_against_what_is_stated(tmp_path):
    path = write_vectors(tmp_path / "v.shp", squares(crs="EPSG:32722"))
    assert opened(path, crs="EPSG:32722").crs == "EPSG:32722"
    # The same positions under another name: UTM on SIRGAS 2000.
    assert opened(path, crs="EPSG:31982").crs == "EPSG:32722"
    for wrong in ("EPSG:32723", "EPSG:4326", "EPSG:3857"):
        with pytest.raises(GridError, match=f"the file says EPSG:32722, the recipe states {wrong}"):
            opened(path, crs=wrong)
    with pytest.raises(GridError, match="'EPSG:nonsense' is no CRS"):
        opened(path, crs="EPSG:nonsense")
    path.with_suffix(".prj").unlink()
    with pytest.raises(GridError, match=r"does not say its CRS .*state it under `crs`"):
        opened(path)
    assert opened(path, crs="EPSG:32722").crs == "EPSG:32722"


def test_geoparquet_without_crs_means_degrees_and_null_means_unknown(tmp_path):
    import json

    import pyarrow.parquet as pq

    table = table_of([shapely.box(1, 2, 3, 4)], "OGC:CRS84", code=["a"])
    path = write_vectors(tmp_path / "v.parquet", table)
    assert opened(path).crs == "EPSG:4326"
    plain = pq.read_table(path)
    for crs, found in (("absent", "EPSG:4326"), (None, None)):
        geo = json.loads(plain.schema.metadata[b"geo"])
        if crs == "absent":
            geo["columns"]["geometry"].pop("crs")
        else:
            geo["columns"]["geometry"]["crs"] = crs
        pq.write_table(plain.replace_schema_metadata({b"geo": json.dumps(geo)}), path)
        if found:
            assert opened(path).crs == found
        else:
            with pytest.raises(GridError, match="does not say its CRS"):
                opened(path)
    pq.write_table(plain.replace_schema_metadata(None), path)
    with pytest.raises(SceneError, match="no GeoParquet"):
        opened(path)
    table.to_parquet(path, geometry_encoding="geoarrow")
    with pytest.raises(SceneError, match="encoded as polygon; write them as WKB"):
        opened(path)


def test_a_shapefile_that_does_not_say_its_encoding(tmp_path):
    """IGN's shapefiles hold UTF-8 or Latin-1, many without a .cpg to say which."""
    words = ["Voie ferrée principale", "Métro", "plain", None]
    for encoding in ("UTF-8", "ISO-8859-1"):
        path = tmp_path / encoding / "v.shp"
        write_vectors(path, squares(nature=words), encoding=encoding)
        for cpg in (True, False):
            if not cpg:
                path.with_suffix(".cpg").unlink()
            (batch,) = read_portions(opened(path), {"n": "nature"}, None)
            assert batch.columns["n"].to_pylist() == words


def test_products_and_editions():
    assert {"ocsge2_grandest", "bdtopo_v3_roads", "bdtopo_v3_rails", "rpg", "terraclass"} <= set(
        schemas()
    )
    assert schema_of("rpg", 2022).codes == ("code_cultu",)
    assert schema_of("ocsge2_grandest").codes == ("cod_n5", "cod_n4")
    with pytest.raises(
        RecipeError, match=r"no vector product 'ocsge3'; known are .*bdtopo_v3_roads"
    ):
        schema_of("ocsge3")
    with pytest.raises(RecipeError, match="no edition of 2008"):
        schema_of("rpg", 2008)


@pytest.mark.parametrize(
    ("suffix", "part"),
    [(".gpkg", ".gpkg"), (".shp", ".shp"), (".shp", ".dbf"), (".shp", ".shx"), (".fgb", ".fgb"),
     (".parquet", ".parquet"), (".zip", ".zip"), (".7z", ".7z")],
)  # fmt: skip
def test_a_file_that_breaks_off_is_one_clear_error(tmp_path, suffix, part):
    if suffix == ".7z":
        pytest.importorskip("py7zr")
    rng = np.random.default_rng(0)
    table = table_of(
        stars(rng, 300, (300_000, 9_000_000, 320_000, 9_020_000), (50, 900)), "EPSG:32722",
        code=rng.choice(["a", "b"], 300),
    )  # fmt: skip
    path = write_vectors(tmp_path / f"v{suffix}", table).with_suffix(part)
    content = path.read_bytes()
    for share in (0, 0.0007, 0.01, 0.03, 0.2, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(SceneError, match=r"fetch it again|fetch all") as caught:
            list(read_portions(opened(path.with_suffix(suffix)), {"c": "code"}, None))
        assert path.stem in str(caught.value)
    # Bytes that were changed on the way are found in archives.
    if suffix in (".zip", ".7z"):
        middle = len(content) // 2
        path.write_bytes(
            content[:middle]
            + bytes(b ^ 255 for b in content[middle : middle + 9])
            + content[middle + 9 :]
        )
        with pytest.raises(SceneError, match="no complete"):
            opened(path)
        assert not list((tmp_path / "unpacked").glob("*"))


def test_what_is_no_vector_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        opened(tmp_path / "none.gpkg")
    with pytest.raises(InputError, match="no such file"):
        opened(tmp_path / "none.7z")
    (tmp_path / "v.docx").write_text("x")
    with pytest.raises(InputError, match=r"no known kind of vector file; give one of \.gpkg"):
        opened(tmp_path / "v.docx")
    (tmp_path / "v.gpkg").write_text("<html>404</html>")
    with pytest.raises(SceneError, match="cannot be read as a vector file"):
        opened(tmp_path / "v.gpkg")
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(SceneError, match="no vector file in the archive"):
        opened(tmp_path / "v.zip")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("../../v.gpkg", "x")
    with pytest.raises(SceneError, match="names files outside of itself"):
        opened(tmp_path / "w.zip")
    path = write_vectors(tmp_path / "s.shp", squares(code=[1] * 4))
    path.with_suffix(".dbf").unlink()
    with pytest.raises(SceneError, match=r"lacks its \.dbf"):
        opened(path)


def test_without_the_library_a_7z_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "v.7z").write_bytes(b"7z")
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(InputError, match=r"takes the package py7zr .*or unpack the file yourself"):
        opened(tmp_path / "v.7z")


def test_archives_are_unpacked_once_and_anew_when_they_change(tmp_path):
    path = write_vectors(tmp_path / "v.zip", squares(code=["a"] * 4))
    first = unpacked(path, tmp_path / "u")
    stamp = next(first.rglob("*.shp")).stat().st_mtime_ns
    assert unpacked(path, tmp_path / "u") == first
    assert next(first.rglob("*.shp")).stat().st_mtime_ns == stamp
    shutil.rmtree(tmp_path / "v")
    write_vectors(path, squares(code=["b"] * 4))
    second = unpacked(path, tmp_path / "u")
    assert second != first
    assert gpd.read_file(next(second.rglob("*.shp")))["code"].tolist() == ["b"] * 4
    assert not [p for p in (tmp_path / "u").iterdir() if p.name.startswith(".")]


def test_paths_of_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.gpkg", "a.gpkg", "c.fgb"):
        (tmp_path / name).touch()
    assert source_paths("*.gpkg") == ["a.gpkg", "b.gpkg"]
    assert source_paths(f"{tmp_path}/*.fgb") == [f"{tmp_path}/c.fgb"]
    assert source_paths("{archive}/x.gpkg", tmp_path / "in") == [f"{tmp_path}/in/x.gpkg"]
    with pytest.raises(InputError, match="no file fits"):
        source_paths("*.shp")
    with pytest.raises(InputError, match="source `simulated` alone"):
        source_paths("{archive}/x.gpkg")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("kind,x,burn,road,5", "no action 'burn'"),
        ("kind,x,select,road,", "row 1"),
        ("kind,x,select,road,5000", "not within 0 to 1000"),
        ("kind,,select,road,5", "field or value is empty"),
        ("kind,x,drop,,", "no row selects anything"),
    ],
)
def test_broken_rules_say_where(tmp_path, rows, match):
    path = tmp_path / "rules.csv"
    path.write_text(f"field,value,action,kind,buffer_m\n{rows}\n")
    with pytest.raises(LegendError, match=match):
        network_rules(str(path))


def test_packaged_rules_choose_what_the_paper_names():
    def column(*values):
        return pa.array(values)

    roads = network_rules("bdtopo_v3_roads")
    widths, unknown, left_out = roads(
        {
            "importance": column("1", "2", "3", "1", "2", "1", None, "7"),
            "nature": column("Type autoroutier", "x", "x", "Bac ou liaison maritime", "x", "x", "x", "x"),
            "etat_de_l_objet": column(*["En service"] * 4, "En projet", None, "En service", "En service"),
            "position_par_rapport_au_sol": column("0", "1", "0", "0", "0", "-2", "0", "Gué ou radier"),
        },
        8,
    )  # fmt: skip
    np.testing.assert_array_equal(np.isnan(widths), [0, 0, 1, 1, 1, 1, 1, 1])
    assert widths[:2].tolist() == [30, 10]
    assert unknown == {"importance=None": 1, "importance=7": 1}
    assert left_out == {
        "etat_de_l_objet=En projet": 1, "position_par_rapport_au_sol=-2": 1,
        "nature=Bac ou liaison maritime": 1, "importance=3": 1,
    }  # fmt: skip
    by_nature, unknown, _ = network_rules("bdtopo_v3_roads_nature")(
        {
            "importance": column("1", "2", "2", "6"),
            "nature": column("Route à 1 chaussée", "Type autoroutier", "Bretelle", "Sentier"),
            "etat_de_l_objet": column(*["En service"] * 4),
            "position_par_rapport_au_sol": column(*["0"] * 4),
        },
        4,
    )
    assert by_nature[1:3].tolist() == [30, 10]
    assert np.isnan(by_nature[[0, 3]]).all()
    assert not unknown
    rails, unknown, _ = network_rules("ocsge2_rails")({"cod_n4": column("1413", "1412", None)}, 3)
    assert rails[0] == 10
    assert np.isnan(rails[1:]).all()
    assert not unknown


def test_a_crosswalk_into_another_legend_is_an_error(tmp_path):
    write_vectors(tmp_path / "v.gpkg", squares(code=[11] * 4))
    source = {"path": str(tmp_path / "v.gpkg"), "fields": ["code"]}
    with pytest.raises(LegendError, match="0 is no class of legend 'multisenge'"):
        Unit(tmp_path, utm_geobox((2, 8)), vectors=[source], legend="multisenge").find()
    with pytest.raises(RecipeError, match="has no code attribute of its own; name them"):
        Unit(tmp_path, utm_geobox((2, 8)), vectors=[source | {"fields": []}]).find()
    network = {"path": str(tmp_path / "v.gpkg"), "product": "bdtopo_v3_roads", "code": 77}
    with pytest.raises(LegendError, match="77 is no class of legend 'cerradata4mm'"):
        Unit(tmp_path, utm_geobox((2, 8)), networks=[network]).find()
