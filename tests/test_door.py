# SPDX-License-Identifier: Apache-2.0
"""The door: folders of any name, faults that were not foreseen, what a build says."""

import re
import sys
from pathlib import Path

import pytest

from helpers_door import small_recipe, terrapatch
from terrapatch.errors import InputError, RecipeError
from terrapatch.recipe import workflow_recipe
from terrapatch.results import Results

ROOT = Path(__file__).parents[1]
UGLY = "out put/$(touch pwned); 'x\" `touch pwned` & [a-c]*?#%20ü"


def shell_commands(text):
    return [
        line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("Shell command: t")
    ]


def test_nothing_in_the_rules_reaches_a_shell_unquoted():
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        for command in re.findall(r"shell:\s+\"(.*)\"", file.read_text()):
            fields = re.findall(r"{([^}]*)}", command)
            assert fields
            assert all(f.endswith(":q") or f == "threads" for f in fields), command


@pytest.mark.parametrize("output", [UGLY, "-x", "1e3", ""])
def test_a_folder_of_any_name_reaches_the_verbs_as_it_is(output, tmp_path):
    import shlex

    small_recipe(tmp_path)
    done = terrapatch(
        "build", "small.yaml", f"--output={output}", "--cores", "1", "--", "--dry-run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    commands = shell_commands(done.stdout + done.stderr)
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command)
        folder = words[words.index("--results") + 1] if words[1] == "plan" else words[2]
        assert not folder.startswith("-")
        assert (tmp_path / folder).resolve() == (tmp_path / output / "small").resolve()
    assert (tmp_path / output / "small" / "settings" / "plan.json").is_file()
    assert not (tmp_path / "pwned").exists()


def test_stages_write_under_a_folder_of_any_name(tmp_path):
    small_recipe(tmp_path)
    done = terrapatch(
        "build", "small.yaml", f"--output={UGLY}", "--cores", "1", "--", "--until", "plan",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = tmp_path / UGLY / "small"
    assert (root / "lock.json").is_file()
    assert "s2" in (root / "logs" / "plan" / "all.log").read_text()
    assert {p.name for p in tmp_path.iterdir()} - {".snakemake"} == {
        "small.yaml", "s1.tif", "s2.tif", "map.tif", "out put",
    }  # fmt: skip


@pytest.mark.parametrize("output", ["a{b}c", "{unit}", "a\nb", "a\udcffb"])
def test_a_folder_that_snakemake_would_misread_is_refused(output, tmp_path):
    with pytest.raises(InputError, match="give another one"):
        Results.of(output, "x")
    small_recipe(tmp_path)
    for verb in ("build", "plan", "settings"):
        done = terrapatch(verb, "small.yaml", f"--output={output}", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("output", "root"), [("a//b/", "a/b/x"), ("./c", "c/x"), (".", "x"), ("", "x"), ("-d", "-d/x")]
)
def test_names_are_those_that_snakemake_wants(output, root):
    assert Results.of(output, "x").root == root
    assert Path(Results.of(output, "x").argument) == Path(root)


def test_home_is_found_in_an_option_too(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert Results.of("~/sets", "x").root == "/somewhere/sets/x"


@pytest.mark.parametrize("output", [7, 1e3, True, None])
def test_an_output_that_snakemake_took_for_a_number_is_refused(output):
    with pytest.raises(RecipeError, match=r"output=\./NAME"):
        workflow_recipe({"recipe": "demo", "output": output}, [])


def test_plain_snakemake_writes_under_a_folder_of_any_name(tmp_path):
    import subprocess

    small_recipe(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
               "--configfile", "small.yaml", "--config", "output=$(touch pwned) x;",
               "--cores", "1", "--dry-run"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "terrapatch plan --results '$(touch pwned) x;/small'" in done.stdout + done.stderr
