# SPDX-License-Identifier: Apache-2.0
"""Recipes: what they may say, how they build on each other, what each stage sees."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from terrapatch.build import workflow_recipe
from terrapatch.errors import RecipeError
from terrapatch.recipe import (
    Recipe,
    load_recipe,
    read_settings,
    recipe_schema,
    resolve,
    shipped_recipes,
    write_settings,
)
from terrapatch.sections import SECTIONS, STAGES, Sections
from terrapatch.sections.views import ALL, stages_of, view_of
from terrapatch.yamlfiles import merged

SMALL = {
    "name": "x",
    "area": {"bbox": [1, 2, 3, 4]},
    "catalog": {"source": "simulated"},
}


def shipped():
    return sorted(shipped_recipes().glob("*.yaml"))


@pytest.mark.parametrize("path", shipped(), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_in_both_modes_and_named_as_their_file(path):
    for mode in ("corrected", "published"):
        recipe = load_recipe(path, {"mode": mode})
        assert recipe.name == path.stem
        assert recipe.mode == mode


@pytest.mark.parametrize("path", shipped(), ids=lambda p: p.stem)
def test_shipped_recipes_satisfy_the_published_schema(path):
    data = json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str))
    jsonschema.Draft202012Validator(recipe_schema()).validate(data)


def test_all_findings_stand_in_one_message_with_the_place_and_a_hint():
    bad = {
        "name": "X!",
        "area": {"bbox": [1, 2, 3]},
        "sentinel2": {"kernle": "cubic", "kernel": "lanczos"},
        "patchs": {},
    }
    with pytest.raises(RecipeError) as caught:
        resolve(bad)
    text = str(caught.value)
    for part in (
        "5 finding(s)", "name:", "area.bbox", "sentinel2.kernel: ", "did you mean 'kernel'",
        "did you mean 'patches'",
    ):  # fmt: skip
        assert part in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"sentinel2": {"bands": ["B02", "B10"]}}, "B10 is not in Level-2A"),
        ({"sentinel2": {"bands": ["B02", "B13"]}}, "no Sentinel-2 bands: ['B13']"),
        ({"sentinel2": {"bands": ["B02", "B02"]}}, "unique"),
        ({"sentinel2": {"scl": True}, "catalog": {"level": "L1C"}}, "no scene classification"),
        ({"catalog": {"source": "local", "paths": ["a"]}}, "period"),
        ({"catalog": {"source": "local"}}, "needs paths or rasters"),
        ({"area": {"bbox": [3, 2, 1, 4]}}, "not west < east"),
        ({"area": {}}, "either bbox"),
        ({"splits": {"fractions": [0.5, 0.5, 0.5]}}, "sum to 1"),
        ({"layouts": {"name": "cerradata4mm"}, "modalities": ["sentinel2"]}, "needs both"),
        ({"patches": {"min_valid_label": 1.5}}, "less than or equal to 1"),
        ({"simulate": {"seed": -1}}, "simulate.seed"),
    ],
)
def test_impossible_values_stop_before_any_work(change, part):
    plain = merged(SMALL, change)
    if "area" in change:
        plain["area"] = change["area"]
    with pytest.raises(RecipeError, match=part.replace("(", r"\(").replace("[", r"\[")):
        resolve(plain)


def test_a_level_1c_recipe_may_ask_for_b10():
    plain = merged(SMALL, {"catalog": {"level": "L1C"}, "sentinel2": {"bands": ["B10"]}})
    assert resolve(plain).sentinel2.bands == ("B10",)


def test_extends_is_looked_up_beside_the_file_and_among_the_shipped(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(merged(SMALL, {"name": "base"})))
    (tmp_path / "child.yaml").write_text(
        "name: child\nextends: base\nsampling: {size_px: 64}\narea: {file: a.geojson}\n"
    )
    child = load_recipe(tmp_path / "child.yaml")
    assert (child.name, child.sampling.size_px, child.catalog.source) == ("child", 64, "simulated")
    assert child.area.bbox is None  # an area is replaced as a whole
    (tmp_path / "grandchild.yaml").write_text("name: grandchild\nextends: demo\n")
    assert load_recipe(tmp_path / "grandchild.yaml").layouts.name == "cerradata4mm"


def test_a_circle_of_extends_and_a_missing_base_are_errors(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nextends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("name: b\nextends: a.yaml\n")
    with pytest.raises(RecipeError, match="circle"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("name: c\nextends: nowhere\n")
    with pytest.raises(RecipeError, match=r"no recipe 'nowhere'.*demo"):
        load_recipe(tmp_path / "c.yaml")


def test_a_file_that_is_no_yaml_mapping_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(RecipeError, match=r"a\.yaml: a recipe is a mapping"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: [\n")
    with pytest.raises(RecipeError, match=r"a\.yaml: cannot be read as YAML"):
        load_recipe(tmp_path / "a.yaml")


def test_published_mode_applies_the_recipes_own_list_of_changes():
    corrected = load_recipe("cerradata4mm")
    published = load_recipe("cerradata4mm", {"mode": "published"})
    assert (corrected.sentinel2.harmonise, published.sentinel2.harmonise) == (True, False)
    assert (corrected.splits.method, published.splits.method) == ("blocks", "published")
    assert corrected.sentinel2.bands == published.sentinel2.bands


def test_the_workflow_ignores_the_default_recipe_where_a_recipe_is_given(tmp_path):
    file = tmp_path / "mine.yaml"
    plain = merged(SMALL, {"name": "mine"})
    file.write_text(yaml.safe_dump(plain))
    recipe, output = workflow_recipe({"recipe": "demo", **plain, "output": "out"}, [file])
    assert (recipe.name, output) == ("mine", "out")
    recipe, output = workflow_recipe({"recipe": "demo", "mode": "published"}, [])
    assert (recipe.name, recipe.mode, output) == ("demo", "published", "results")


def test_settings_round_trip_and_keep_their_time_when_nothing_changed(tmp_path):
    recipe = load_recipe("demo")
    paths = write_settings(recipe, tmp_path)
    assert [p.stem for p in paths] == list(STAGES)
    times = [p.stat().st_mtime_ns for p in paths]
    assert times == [p.stat().st_mtime_ns for p in write_settings(recipe, tmp_path)]
    for path in paths:
        settings = read_settings(path)
        for section, keys in view_of(Sections, path.stem).items():
            read, whole = getattr(settings, section), getattr(recipe, section)
            for key in [] if keys == ALL else keys:
                assert getattr(read, key) == getattr(whole, key)
            assert keys != ALL or read == whole


def test_a_key_that_a_stage_does_not_read_cannot_be_touched(tmp_path):
    write_settings(load_recipe("demo"), tmp_path)
    settings = read_settings(tmp_path / "sampling.json")
    assert settings.sampling.step_px == settings.sampling.size_px == 128
    for touch in (
        lambda: settings.catalog,
        lambda: settings.sampling.resolution,
        lambda: settings.mode,
    ):
        with pytest.raises(LookupError, match="is not in the settings of this stage"):
            touch()
    with pytest.raises(AttributeError):
        _ = settings.sampling.size


def test_a_changed_section_touches_the_settings_of_its_stages_alone(tmp_path):
    before = {p.stem: p.read_text() for p in write_settings(load_recipe("demo"), tmp_path)}
    changed = load_recipe("demo", {"training": {"trees": 7}})
    after = {p.stem: p.read_text() for p in write_settings(changed, tmp_path)}
    assert {stage for stage in STAGES if before[stage] != after[stage]} == {"training"}


def test_a_settings_file_that_is_missing_or_not_ours_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="no such settings file"):
        read_settings(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text('{"name": "x", "mood": 1}')
    with pytest.raises(RecipeError, match="mood: unknown key"):
        read_settings(tmp_path / "plan.json")


def test_every_field_of_every_section_is_explained():
    for name, section in {**SECTIONS, "recipe": Recipe}.items():
        for field, info in section.model_fields.items():
            if field != "version" and field not in SECTIONS:
                assert info.description, f"{name}.{field}"


def test_every_section_but_area_has_a_version_and_a_stage():
    assert stages_of(Sections) == set(STAGES)
    read = {section for stage in STAGES for section in view_of(Sections, stage)}
    assert set(Sections.model_fields) == read
    for stage in STAGES:  # every key of a row is one of its section
        for section, keys in view_of(Sections, stage).items():
            assert keys == ALL or set(keys) <= set(SECTIONS[section].model_fields)
    assert {n for n, s in SECTIONS.items() if "version" not in s.model_fields} == {"area"}


plain_values = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
trees = st.recursive(
    plain_values, lambda t: st.dictionaries(st.sampled_from("abc"), t, max_size=3), max_leaves=6
)
mappings = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(mappings, mappings)
def test_merging_a_change_twice_is_merging_it_once(base, change):
    once = merged(base, change)
    assert merged(once, change) == once
    assert merged(base, {}) == base


def test_recipes_folder_holds_only_recipes():
    assert all(isinstance(load_recipe(Path(p)), Recipe) for p in shipped())


def test_the_schema_file_beside_the_recipes_is_that_of_the_models():
    file = shipped_recipes() / "recipe.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == recipe_schema(), (
        "run `terrapatch schema > recipes/recipe.schema.json`"
    )
    for path in shipped():
        assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
