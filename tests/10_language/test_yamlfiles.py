# SPDX-License-Identifier: Apache-2.0
"""Recipes as people write them: what is wrong in the file itself is one line with its place."""

import re

import pytest
import yaml

from made.door import small_recipe
from made.recipes import resolve
from terrapatch import cli
from terrapatch.build import workflow_recipe
from terrapatch.errors import InputError, RecipeError
from terrapatch.recipe import CLAIMS, load_recipe, shipped_recipes
from terrapatch.yamlfiles import changes, merged, parse, read

BASE = "name: mine\nextends: demo\n"


def refused(folder, text, encoding="utf-8"):
    """The message of a recipe file that is refused; one line."""
    (folder / "r.yaml").write_bytes(text.encode(encoding))
    with pytest.raises(RecipeError) as caught:
        load_recipe(folder / "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nextends: demo\nname: b\n", "key 'name' stands in lines 1 and 3"),
        ("name: a\nsentinel2: {bands: [B02], bands: [B03]}\n", "'bands' stands twice in line 2"),
        ("name: a\ncatalog:\n  rasters:\n  - {path: x, date: 2020-01-01}\n  - path: y\n    path: z\n",
         "'path' stands in lines 5 and 6"),
        ("name: a\n'name': b\n\"name\": c\n", "lines 1 and 2 and 3"),
        (f"{BASE}catalog: {{period: [2022-02-30, 2022-03-01]}}\n",
         "line 3, column 20: 2022-02-30 is no day of the calendar"),
        (f"{BASE}catalog: {{period: [2023-02-29 10:00:00, 2023-03-01]}}\n", "no day of the calendar"),
        (f"{BASE}catalog: {{period: [2022-13-01, 2022-12-31]}}\n", "no day of the calendar"),
        (f"{BASE}catalog: {{period: ['2022-02-30', '2022-03-01']}}\n", "catalog.period.0: "),
        (f"{BASE}catalog: {{period: [2022-03-01, 2022-02-01]}}\n", "first day is after the last"),
        (f"{BASE}catalog: {{period: [20220101, 20221231]}}\n", "write it as 2022-01-31"),
        (f"{BASE}catalog: {{period: [2021, 2022]}}\n", "2021 is no day"),
        (f"{BASE}catalog: {{period: ['20220101', 0]}}\n", "0 is no day"),
        (f"{BASE}sampling: &a {{size_px: *a}}\n", "line 3, column 11: an anchor stands inside its own"),
        (f"{BASE}publish: &p\n  authors: [*p]\n", "an anchor stands inside its own value"),
        ("name: a\na: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{n}: &{n} [{', '.join([f'*{b}'] * 10)}]\n" for b, n in zip("abcdef", "bcdefg", strict=True)
        ), "anchors are repeated too often"),
        ("name: a\nb: " + "[" * 3000, "levels inside each other"),
        ("name: a\nb: {x: 1\n", "cannot be read as YAML: line 3"),
        ("name: a\n\tb: 1\n", "line 2"),
        ("name: a\nb: !!python/object:os.system {}\n", "could not determine a constructor"),
        ("name: a\nb: 0x\nc: !!int x\n", "x is no number"),
        ("a: 1\n--- \nb: 2\n", "line 2"),
        ("name: [a\x00]\n", "YAML"),
        ("", "a recipe is a mapping"),
        ("- a\n- b\n", "a recipe is a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_place(text, words, tmp_path):
    said = refused(tmp_path, text)
    assert words in said
    if "finding(s)" not in said:
        assert "\n" not in said


def test_all_doubled_keys_are_told_at_once(tmp_path):
    said = refused(tmp_path, "name: a\nname: b\narea: {file: x, file: y}\n")
    assert "'name'" in said
    assert "'file'" in said


def test_a_merge_key_and_an_anchor_used_twice_are_no_finding():
    text = "a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: [*a, *a]\nd: {<<: [*a, {y: 1}], <<: *a}\n"
    assert parse(text, "t")["b"] == {"x": 2}
    assert parse(text, "t")["c"] == [{"x": 1}, {"x": 1}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_other_editors_are_read(encoding, tmp_path):
    (tmp_path / "r.yaml").write_bytes(f"{BASE}publish: {{title: Süd}}\n".encode(encoding))
    assert load_recipe(tmp_path / "r.yaml").publish.title == "Süd"


def test_a_file_in_latin_1_is_told(tmp_path):
    assert "cannot be read as YAML" in refused(
        tmp_path, f"{BASE}publish: {{title: Süd}}\n", "latin-1"
    )


def test_a_folder_or_a_missing_file_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"x\.yaml: cannot be read"):
        read(tmp_path / "x.yaml")
    with pytest.raises(RecipeError, match="Is a directory"):
        read(tmp_path)


# Settings on the command line


@pytest.mark.parametrize(
    "pair", ["a=[1,", "mode", "=1", ".a=1", "a..b=1", "a={b: 1, b: 2}", "a=2022-02-30", "a=&x [*x]"]
)
def test_a_setting_that_is_none_is_one_line(pair, capsys):
    with pytest.raises(InputError, match=re.escape(repr(pair))):
        changes([pair])
    for verb in ("build", "plan", "settings"):
        assert cli.main([verb, "demo", "--set", pair]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    "pair",
    ["area=3", "layers.sentinel2.bands=7", "layers=null", "mode=other", "training.trees=many",
     "catalog.period=[2022-01-01]", "splits.fractions={a: 1}", "name=7", "name=Not Allowed",
     "name=../x", f"name={'n' * 101}", "published=1", "published.x=1", "mode.x=1", "7=1",
     "layers.label.clean=[{step: nosuch}]", "extends=nosuch", "extends=[demo]"],
)  # fmt: skip
def test_a_setting_of_a_wrong_kind_is_a_finding(pair, capsys, tmp_path):
    words = ["settings", "demo", "--output", str(tmp_path), "--set", pair]
    if pair.startswith("published"):
        words += ["--set", "mode=published"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_settings_are_read_as_yaml_and_the_last_wins():
    assert changes(["a.b=1", "a.c=[x, y]", "a.b=no", "d=a=b"]) == {
        "a": {"b": False, "c": ["x", "y"]}, "d": "a=b",
    }  # fmt: skip


# Names, and what is inherited


def test_a_recipe_needs_a_name_of_its_own(tmp_path, capsys):
    for text in ("extends: demo\n", "area: {bbox: [1, 2, 3, 4]}\n"):
        assert "add the line name: my-region" in refused(tmp_path, text)
    (tmp_path / "r.yaml").write_text("extends: demo\n")
    for verb in ("build", "plan", "settings"):
        assert cli.main([verb, str(tmp_path / "r.yaml"), "--output", str(tmp_path / "o")]) == 2
    assert not (tmp_path / "o").exists()
    assert load_recipe(tmp_path / "r.yaml", {"name": "given"}).name == "given"


def test_plain_snakemake_refuses_it_as_well(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("extends: demo\narea: {bbox: [1, 2, 3, 4]}\n")
    plain = yaml.safe_load(file.read_text())
    with pytest.raises(RecipeError, match=r"r\.yaml: a recipe needs a name"):
        workflow_recipe({"recipe": "demo", **plain}, [file])
    file.write_text("name: a\nname: b\nextends: demo\n")
    with pytest.raises(RecipeError, match="lines 1 and 2"):
        workflow_recipe({"recipe": "demo", "name": "b", "extends": "demo"}, [file])


def published(folder):
    small_recipe(folder, name="released", publish={
        "title": "Released", "description": "The one and only.", "authors": ["A. Uthor"],
        "licence": "CC0-1.0", "reference_licence": "Map of somebody",
        "deviations": ["The release lost a pixel."], "quicklooks": 3,
    })  # fmt: skip
    (folder / "small.yaml").rename(folder / "released.yaml")


def test_what_a_recipe_says_of_its_very_dataset_is_not_inherited(tmp_path):
    published(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nextends: released\n")
    about = load_recipe(tmp_path / "mine.yaml").publish
    assert (about.title, about.description, about.authors, about.deviations) == ("", "", (), ())
    assert set(CLAIMS) == {"title", "description", "authors", "deviations"}
    # the map is the same one, and so is what is wanted of the result
    assert (about.reference_licence, about.licence, about.quicklooks) == (
        "Map of somebody", "CC0-1.0", 3,
    )  # fmt: skip


def test_another_map_takes_the_licence_of_the_map_along(tmp_path):
    published(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nextends: released\nlayers: {label: {crosswalk: ocsge2_multisenge}}\n"
    )
    assert load_recipe(tmp_path / "mine.yaml").publish.reference_licence == ""


def test_the_same_name_over_other_folders_is_the_same_dataset(tmp_path):
    published(tmp_path)
    (tmp_path / "here.yaml").write_text("name: released\nextends: released\npatches: {}\n")
    assert load_recipe(tmp_path / "here.yaml").publish.title == "Released"
    assert load_recipe(tmp_path / "released.yaml", {"name": "renamed"}).publish.title == "Released"


def test_claims_pass_through_a_fragment_and_stop_at_the_next_name(tmp_path):
    published(tmp_path)
    (tmp_path / "part.yaml").write_text("extends: released\nsampling: {size_px: 16}\n")
    (tmp_path / "a.yaml").write_text("name: released\nextends: part\n")
    (tmp_path / "b.yaml").write_text("name: b\nextends: part\npublish: {title: B}\n")
    (tmp_path / "c.yaml").write_text("name: c\nextends: b\n")
    titles = [load_recipe(tmp_path / f"{name}.yaml").publish.title for name in "abc"]
    assert titles == ["Released", "B", ""]
    (tmp_path / "mine.yaml").write_text("publish: {authors: [Me]}\n")
    (tmp_path / "d.yaml").write_text("name: d\nextends: mine\narea: {bbox: [1, 2, 3, 4]}\n"
                                     "catalog: {source: simulated}\n"
                                     "layers: {s2: {kind: sentinel2}, label: {kind: labels, legend: cerradata4mm}}\n")  # fmt: skip
    assert load_recipe(tmp_path / "d.yaml").publish.authors == ("Me",)


@pytest.mark.parametrize("name", ["demo", "cerradata4mm-sample", "multisenge-sample"])
def test_shipped_samples_speak_of_themselves(name):
    about = load_recipe(name).publish
    own = yaml.safe_load((shipped_recipes() / f"{name}.yaml").read_text())["publish"]
    assert about.title == own["title"]
    assert "simulated" in about.description
    assert all("simulated" in sentence for sentence in about.deviations)
    assert "INPE" not in about.reference_licence
    assert "IGN" not in about.reference_licence


def test_what_is_merged_is_as_it_was():
    base = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert merged(base, {"a": {"c": [2]}, "e": 3}) == {"a": {"b": 1, "c": [2]}, "d": 1, "e": 3}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}
    assert resolve({"name": "x", "extends": "demo"}).name == "x"
