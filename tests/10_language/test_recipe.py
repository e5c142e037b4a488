# SPDX-License-Identifier: Apache-2.0
"""Recipes: what they may say, how they build on each other, what each stage sees."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from made.recipes import resolve, with_layers
from terrapatch.build import workflow_recipe
from terrapatch.errors import RecipeError
from terrapatch.recipe import (
    Recipe,
    load_recipe,
    read_settings,
    recipe_schema,
    shipped_recipes,
    write_settings,
)
from terrapatch.recipe import resolve as resolve_plain
from terrapatch.settings import KINDS, SECTIONS, STAGES, Sections
from terrapatch.settings.base import ALL
from terrapatch.settings.views import readers_of, stages_of
from terrapatch.yamlfiles import merged

SMALL = {
    "name": "x",
    "area": {"bbox": [1, 2, 3, 4]},
    "catalog": {"source": "simulated"},
}


LAYERED = with_layers(SMALL)


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
        "layers": {
            "sentinel2": {"kind": "sentinel2", "kernle": "cubic", "kernel": "lanczos"},
            "aerial": {"kind": "ratser"},
            "dem": {"bands": ["z"]},
            "A b": {"kind": "labels"},
        },
        "patchs": {},
    }
    with pytest.raises(RecipeError) as caught:
        resolve_plain(bad)
    text = str(caught.value)
    for part in (
        "8 finding(s)", "name:", "area.bbox", "layers.sentinel2.kernel: ", "did you mean 'kernel'",
        "layers.aerial.kind: no kind of layers 'ratser'", "layers.dem.kind: is missing; kinds of",
        "layers.A b.", "did you mean 'patches'",
    ):  # fmt: skip
        assert part in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"sentinel2": {"bands": ["B02", "B10"]}}, "B10 is not in Level-2A"),
        ({"sentinel2": {"bands": ["B02", "B13"]}}, "no Sentinel-2 bands: ['B13']"),
        ({"sentinel2": {"bands": ["B02", "B02"]}}, "unique"),
        ({"sentinel2": {"scl": True, "level": "L1C"}}, "no scene classification"),
        ({"catalog": {"source": "local", "paths": ["a"]}}, "period"),
        ({"catalog": {"source": "local"}}, "needs paths or rasters"),
        ({"area": {"bbox": [3, 2, 1, 4]}}, "not west < east"),
        ({"area": {}}, "either bbox"),
        ({"splits": {"fractions": [0.5, 0.5, 0.5]}}, "sum to 1"),
        ({"layouts": {"name": "cerradata4mm"}, "images": ["sentinel2"]}, "needs both"),
        ({"patches": {"require": {"label": {"valid": 1.5}}}}, "less than or equal to 1"),
        ({"simulate": {"seed": -1}}, "simulate.seed"),
        ({"sentinel2": {"level": "L1C"}}, "layers.sentinel2.level: the embedded archive holds"),
        ({"images": []}, "at least one layer of images"),
        ({"patches": {"require": {"sentinel3": {}}}}, "require.sentinel3: no layer 'sentinel3'"),
        ({"patches": {"require": {"label": {"dates": 2}}}}, "labels have no dates"),
        ({"training": {"inputs": ["sentinel2", "dem"]}}, "training.inputs: no layer 'dem'"),
        ({"training": {"inputs": ["label"]}}, "training.inputs: no layer 'label'"),
        ({"training": {"target": "lable"}}, "training.target: no layer 'lable' of that kind; did"),
    ],
)
def test_impossible_values_stop_before_any_work(change, part):
    plain = merged(SMALL, change)
    if "area" in change:
        plain["area"] = change["area"]
    with pytest.raises(RecipeError, match=part.replace("(", r"\(").replace("[", r"\[")):
        resolve(plain)


def test_a_level_1c_recipe_may_ask_for_b10():
    local = {
        "catalog": {"source": "local", "paths": ["in"], "period": ["2022-01-01", "2022-12-31"]}
    }
    plain = merged(SMALL | local, {"sentinel2": {"level": "L1C", "bands": ["B10"]}})
    plain |= {"label": {"path": "map.tif"}, "images": ["sentinel2"]}
    assert resolve(plain).layers["sentinel2"].bands == ("B10",)


def test_extends_is_looked_up_beside_the_file_and_among_the_shipped(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(merged(LAYERED, {"name": "base"})))
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
    assert (corrected.layers["sentinel2"].harmonise, published.layers["sentinel2"].harmonise) == (
        True,
        False,
    )
    assert (corrected.splits.method, published.splits.method) == ("blocks", "published")
    assert corrected.layers["sentinel2"].bands == published.layers["sentinel2"].bands


def test_the_workflow_ignores_the_default_recipe_where_a_recipe_is_given(tmp_path):
    file = tmp_path / "mine.yaml"
    plain = merged(LAYERED, {"name": "mine"})
    file.write_text(yaml.safe_dump(plain))
    recipe, output = workflow_recipe({"recipe": "demo", **plain, "output": "out"}, [file])
    assert (recipe.name, output) == ("mine", "out")
    recipe, output = workflow_recipe({"recipe": "demo", "mode": "published"}, [])
    assert (recipe.name, recipe.mode, output) == ("demo", "published", "results")


def test_settings_round_trip_and_keep_their_time_when_nothing_changed(tmp_path):
    recipe = load_recipe("demo")
    paths = write_settings(recipe, tmp_path)
    names = [p.relative_to(tmp_path).as_posix() for p in paths]
    stages = [s for s in STAGES if s != "stack"]
    assert [n for n in names if "/" not in n] == [f"{stage}.json" for stage in stages]
    assert [n for n in names if "/" in n] == [f"stack/{layer}.json" for layer in recipe.layers]
    times = [p.stat().st_mtime_ns for p in paths]
    assert times == [p.stat().st_mtime_ns for p in write_settings(recipe, tmp_path)]
    for path in paths:
        settings = read_settings(path)
        stage = "stack" if path.parent.name == "stack" else path.stem
        assert stage != "stack" or list(settings.layers) == [path.stem]
        for read, whole, keys in rows_of(settings, recipe, stage):
            for key in type(whole).model_fields if keys == ALL else keys:
                assert getattr(read, key) == getattr(whole, key)
            assert keys != ALL or read == whole


READERS_OF_LAYERS = {stage for kind in KINDS.values() for stage in kind.readers.keys}


def rows_of(settings, recipe, stage):
    """What a stage sees, beside what the recipe has, and the keys of its row."""
    for name, rows in readers_of(Sections).items():
        if name == "layers":
            for layer, read in settings.layers.items() if stage in READERS_OF_LAYERS else ():
                yield read, recipe.layers[layer], type(read).readers.keys[stage]
        elif name in SECTIONS and stage in rows[0].keys:
            yield getattr(settings, name), getattr(recipe, name), rows[0].keys[stage]


def test_a_key_that_a_stage_does_not_read_cannot_be_touched(tmp_path):
    write_settings(load_recipe("demo"), tmp_path)
    settings = read_settings(tmp_path / "sampling.json")
    assert settings.sampling.step_px == settings.sampling.size_px == 128
    label = read_settings(tmp_path / "patches.json").label
    for touch in (
        lambda: settings.catalog,
        lambda: settings.sampling.resolution,
        lambda: settings.mode,
        lambda: label.edges,
    ):
        with pytest.raises(LookupError, match="is not in the settings of this stage"):
            touch()
    with pytest.raises(AttributeError):
        _ = settings.sampling.size


def test_a_changed_section_touches_the_settings_of_its_stages_alone(tmp_path):
    before = {p.name: p.read_text() for p in write_settings(load_recipe("demo"), tmp_path)}
    changed = load_recipe("demo", {"training": {"trees": 7}})
    after = {p.name: p.read_text() for p in write_settings(changed, tmp_path)}
    assert {name for name in before if before[name] != after[name]} == {"training.json"}
    faster = load_recipe("demo", {"layers": {"sentinel1": {"speckle": "lee"}}})
    after = {p.name: p.read_text() for p in write_settings(faster, tmp_path)}
    changed = {name for name in before if before[name] != after[name]}
    assert "sentinel1.json" in changed
    assert not changed & {"sentinel2.json", "label.json", "sampling.json"}


def test_layers_are_merged_by_name_taken_out_and_turned_into_another_kind(tmp_path):
    demo = load_recipe("demo")
    changed = load_recipe("demo", {"layers": {"sentinel1": {"speckle": "lee"}}})
    assert list(changed.layers) == list(demo.layers) == ["sentinel2", "sentinel1", "label"]
    assert changed.layers["sentinel1"].radiometry == demo.layers["sentinel1"].radiometry
    native = {"layouts": {"name": "native"}}
    less = load_recipe("demo", {"layers": {"sentinel1": None}, **native})
    assert list(less.layers) == ["sentinel2", "label"]
    again = resolve_plain(less.model_dump(mode="json", exclude_unset=True))
    assert list(again.layers) == ["sentinel2", "label"]
    more = load_recipe("demo", {"layers": {"late": {"kind": "sentinel2"}}, **native})
    assert list(more.layers) == ["sentinel2", "sentinel1", "label", "late"]
    turned = {"layers": {"sentinel1": {"kind": "sentinel2", "bands": ["B02"]}}, **native}
    assert load_recipe("demo", turned).layers["sentinel1"].bands == ("B02",)


def test_a_recipe_without_layers_is_a_finding():
    with pytest.raises(RecipeError, match="at least one layer of images"):
        resolve_plain(SMALL)


def test_a_settings_file_that_is_missing_or_not_ours_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="no such settings file"):
        read_settings(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text('{"name": "x", "mood": 1}')
    with pytest.raises(RecipeError, match="mood: unknown key"):
        read_settings(tmp_path / "plan.json")


def test_every_field_of_every_section_is_explained():
    for name, section in {**SECTIONS, **KINDS, "recipe": Recipe}.items():
        for field, info in section.model_fields.items():
            if field != "version" and field not in SECTIONS:
                assert info.description, f"{name}.{field}"


def test_every_section_but_area_has_a_version_and_a_stage():
    assert stages_of(Sections) == set(STAGES)
    for name, rows in readers_of(Sections).items():
        assert all(row.keys for row in rows), name
    models = {**{name: [model] for name, model in SECTIONS.items()}, "layers": KINDS.values()}
    for name, some in models.items():  # every key of a row is one of its section
        for row, model in zip(readers_of(Sections)[name], some, strict=True):
            for keys in row.keys.values():
                assert keys == ALL or set(keys) <= set(model.model_fields), name
    assert all("version" in kind.model_fields for kind in KINDS.values())
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


def test_keys_without_effect_and_labels_without_a_legend_are_findings():
    with pytest.raises(RecipeError) as info:
        resolve(
            {"name": "x", "area": {"bbox": [7, 49, 8, 50]}, "label": {"legend": ""},
             "sampling": {"kind": "tiles", "crs": "EPSG:32631", "resolution": 20, "unit_patches": 3}}
        )  # fmt: skip
    said = str(info.value)
    assert [f"sampling.{key}: " in said for key in ("crs", "resolution", "unit_patches")] == [
        True
    ] * 3
    assert "layers.label.legend: labels need one: packaged (" in said
