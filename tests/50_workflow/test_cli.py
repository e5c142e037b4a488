# SPDX-License-Identifier: Apache-2.0
"""The command line: every verb explains itself, errors have their exit codes."""

import json
import re
import shlex
from pathlib import Path

import pytest

from terrapatch.cli import VERBS, main, parser, split_words

ROOT = Path(__file__).parents[2]
STAGES = {
    "simulate", "plan", "sampling", "stack", "patches", "splits",
    "layouts", "publish", "training", "report", "validate",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.name)
def test_every_verb_has_help_with_an_example_that_parses(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([verb.name, "--help"])
    assert stopped.value.code == 0
    assert f"example: {verb.example.split()[0]}" in capsys.readouterr().out
    words = shlex.split(verb.example.split(" > ")[0])
    assert words[0] == "terrapatch"
    assert parser().parse_args(split_words(words[1:])[0]).verb == verb.name


def test_every_rule_of_the_workflow_is_a_verb_and_the_other_way_round():
    text = "".join(p.read_text() for p in (ROOT / "workflow" / "rules").glob("*.smk"))
    rules = dict(
        re.findall(r"(?:rule|checkpoint) (\w+):.*?shell:\s+\"terrapatch (\w+)", text, re.S)
    )
    assert all(rule == verb for rule, verb in rules.items())
    assert set(rules) == STAGES
    assert {verb.name for verb in VERBS} >= STAGES


def test_recipes_legends_and_schema_print(capsys):
    assert main(["recipes"]) == 0
    assert "cerradata4mm-sample" in capsys.readouterr().out
    assert main(["legends"]) == 0
    assert "Secondary Natural Vegetation" in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["extends"]


def test_a_wrong_recipe_exits_with_2_and_says_why(tmp_path, capsys):
    file = tmp_path / "r.yaml"
    file.write_text("name: r\nextends: demo\nlayers: {sentinel2: {bnads: [B02]}}\n")
    for verb in ("build", "plan", "settings"):
        assert main([verb, str(file), *(["--output", str(tmp_path)])]) == 2
        assert "did you mean 'bands'" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_recipe_that_does_not_exist_exits_with_2(capsys):
    assert main(["build", "nosuch"]) == 2
    assert "no recipe 'nosuch'" in capsys.readouterr().err


def test_a_missing_lock_exits_with_4_and_names_the_remedy(tmp_path, capsys):
    assert main(["settings", "demo", "--output", str(tmp_path)]) == 0
    assert main(["sampling", str(tmp_path / "demo"), "b000_000"]) == 4
    assert f"run `terrapatch plan --results {tmp_path}/demo`" in capsys.readouterr().err


def test_settings_are_changed_from_the_command_line(tmp_path):
    changes = ["--set", "mode=published", "--set", "training.trees=7"]
    assert main(["settings", "demo", "--output", str(tmp_path), *changes]) == 0
    folder = tmp_path / "demo" / "settings"
    assert (
        json.loads((folder / "stack" / "sentinel2.json").read_text())["layers"]["sentinel2"][
            "harmonise"
        ]
        is False
    )
    assert json.loads((folder / "training.json").read_text())["training"]["trees"] == 7
    assert main(["settings", "demo", "--set", "mode"]) == 2


def test_plan_wants_either_a_recipe_or_a_folder(capsys):
    assert main(["plan"]) == 2
    assert main(["plan", "demo", "--results", "x"]) == 2
