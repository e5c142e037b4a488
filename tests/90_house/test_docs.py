# SPDX-License-Identifier: Apache-2.0
"""The docs tell what is there: commands parse, settings exist, links lead somewhere."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from made.door import small_recipe
from terrapatch.cli import VERBS, main
from terrapatch.errors import RecipeError
from terrapatch.recipe import load_recipe, resolve
from terrapatch.settings import L2A_12
from terrapatch.yamlfiles import merged, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def commands(page: Path) -> list[str]:
    """Commands of a page in its order, from blocks and from the text."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r"```sh\n(.*?)```|`((?:terrapatch|snakemake|make|pip|python|cd) [^`\n]+)`", text, re.S
    )
    lines = [line for block, inline in found for line in (block or inline).splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


def by_kind(*kinds: str) -> list[str]:
    """Commands of all pages that begin with these words, each once."""
    all_of_them = dict.fromkeys(c for page in PAGES for c in commands(page))
    verbs = {f"terrapatch {verb.name}" for verb in VERBS if verb.arguments}
    return [c for c in all_of_them if c.startswith(kinds) and c not in verbs]  # not only named


def test_no_command_of_the_docs_is_left_out_below():
    known = (
        "terrapatch ",
        "make ",
        "pip install ",
        "snakemake ",
        "python benchmarks/",
        "cd results/",
    )
    left = {c for page in PAGES for c in commands(page)} - set(by_kind(*known))
    assert {c for c in left if len(c.split()) > 2 or not c.startswith("terrapatch")} == set()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder where the docs' demo is a dataset of three small rasters that any stage makes fast."""
    small_recipe(
        tmp_path, bands=L2A_12, name="demo", layouts={"name": "cerradata4mm"},
        sampling={"crs": "EPSG:4326", "resolution": 8.983152841195215e-05},
    )  # fmt: skip
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    demo = yaml.safe_load((tmp_path / "small.yaml").read_text())
    for name in ("demo", "cerradata4mm-sample"):
        (shipped / f"{name}.yaml").write_text(yaml.safe_dump({**demo, "name": name}))
    monkeypatch.setattr("terrapatch.recipe.shipped_recipes", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_process(command: str, desk: Path) -> int:
    words = shlex.split(
        command.split(" > ", maxsplit=1)[0].replace("NAME", "demo").replace("/data/", f"{desk}/")
    )
    return main(words[1:])


def test_the_commands_run_one_after_the_other_as_printed(desk, capsys):
    """Those of the reference, in its order, up to the report; builds follow below."""
    page = ROOT / "docs" / "commands.md"
    mine = [c for c in commands(page) if not c.startswith("terrapatch build")]
    assert {c.split()[1] for c in mine} == {verb.name for verb in VERBS} - {"build"}
    # The order of the page is that of the flow, but for the plan, which `--check` does not write.
    assert main(["plan", "demo"]) == 0
    for command in mine:
        assert in_process(command, desk) in (0, 10), (command, capsys.readouterr().err)
        if command.startswith("terrapatch layouts"):
            assert list((desk / "cerradata").glob("opt_images/*.tif"))
            assert main(["layouts", "results/demo"]) == 0
    assert (desk / "results" / "demo" / "validation" / "passed").is_file()
    # What the docs say about the result is said of this one.
    (check,) = by_kind("cd results/")
    subprocess.run(["bash", "-c", check.replace("NAME", "demo")], check=True, capture_output=True)
    for code in blocks(ROOT / "docs" / "howto.md", "python"):
        exec(code, {})


@pytest.mark.parametrize(
    "command", [c for c in by_kind("terrapatch ") if not c.startswith("terrapatch build")]
)
def test_every_other_command_runs_as_printed(command, desk, capsys):
    verb = command.split()[1]
    if command in commands(ROOT / "docs" / "commands.md"):
        return  # above
    if "mine.yaml" in command:  # archives of whole regions: what the recipe says is tested below
        (desk / "mine.yaml").write_text((desk / "shipped" / "demo.yaml").read_text())
    assert verb in {v.name for v in VERBS}
    assert in_process(command, desk) in (0, 10), capsys.readouterr().err


@pytest.mark.parametrize("command", by_kind("terrapatch build "))
def test_every_build_of_the_docs_can_be_begun_as_printed(command, tmp_path):
    """With the shipped recipes; `--dry-run` where the build itself would take minutes."""
    (mine,) = (b for b in blocks(ROOT / "docs" / "howto.md", "yaml") if "cerradata4mm-mine" in b)
    (tmp_path / "mine.yaml").write_text(mine)
    command = command.replace("NAME", "demo")
    quick = re.search(r"--(dry-run|unlock|report)", command)
    words = shlex.split(command if quick else f"{command} -- --dry-run")
    done = subprocess.run(
        [sys.executable, "-m", "terrapatch.cli", *words[1:]], cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if "--report" in command:
        assert "</html>" in (tmp_path / "snakemake.html").read_text(encoding="utf-8")
    elif "--unlock" not in command:
        assert "This was a dry-run" in done.stdout + done.stderr


@pytest.mark.parametrize("command", by_kind("snakemake "))
def test_plain_snakemake_runs_as_printed(command, tmp_path):
    for name in ("Snakefile", "config.yaml", "workflow", "profiles", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--dry-run"], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "This was a dry-run" in done.stdout + done.stderr


def test_other_commands_name_what_there_is():
    for command in by_kind("make ", "pip install ", "python benchmarks/"):
        words = shlex.split(command)
        if words[0] == "make":
            done = subprocess.run(
                [*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stderr)
            assert done.stdout, command
        elif words[0] == "pip":
            extra = re.fullmatch(r"terrapatch\[(\w+)\]", words[2]).group(1)
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
                "project"
            ]
            assert extra in project["optional-dependencies"], command
        else:
            assert (ROOT / words[1]).is_file(), command


def test_no_profile_is_named_that_is_not_there():
    for page in [*PAGES, *(ROOT / "src").rglob("*.py"), ROOT / "Makefile"]:
        for name in re.findall(r"profiles/(\w+)", page.read_text(encoding="utf-8")):
            assert (ROOT / "profiles" / name).is_dir(), f"{page.name}: profiles/{name}"


def recipes(page: Path) -> list[str]:
    return blocks(page, "yaml")


@pytest.mark.parametrize(
    "text", [b for page in PAGES for b in recipes(page) if b.startswith("name:")],
    ids=lambda t: t.splitlines()[0],
)  # fmt: skip
def test_every_recipe_of_the_docs_is_one_as_printed(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    recipe = load_recipe("mine.yaml")
    assert f"name: {recipe.name}" in text
    assert recipe.publish.title == ""  # not that of a published dataset
    assert main(["settings", "mine.yaml"]) == 0


def test_every_recipe_fragment_in_the_docs_is_valid():
    for page in PAGES:
        for text in recipes(page):
            if not text.startswith("name:"):
                change = parse(text, page.name)
                whole = load_recipe(change.pop("extends", "cerradata4mm"))
                plain = whole.model_dump(mode="json", exclude_unset=True)
                left_out = {"area"} & change.keys()
                base = {key: value for key, value in plain.items() if key not in left_out}
                try:
                    resolve(merged(base, change))
                except RecipeError as error:
                    pytest.fail(f"{page.name}:\n{text}\n{error}")


def test_the_small_dataset_from_three_files_is_planned_as_printed(tmp_path, monkeypatch, capsys):
    """`tests/60_real/test_real.py` builds it from real chips; here the very text of the page is planned."""
    from rasterio.transform import from_bounds

    (text,) = (b for b in recipes(ROOT / "docs" / "howto.md") if b.startswith("name: chip"))
    (tmp_path / "chip.yaml").write_text(text)
    west, south, east, north = yaml.safe_load(text)["area"]["bbox"]
    rng = np.random.default_rng(0)
    kinds = {
        "chip_s2.tif": rng.integers(300, 3000, (13, 512, 512)).astype("uint16"),
        "chip_s1.tif": rng.uniform(-25, -5, (2, 512, 512)).astype("float32"),
        "chip_label.tif": rng.choice([11, 23], (1, 512, 512)).astype("uint8"),
    }
    for name, values in kinds.items():
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=len(values), height=512, width=512,
            dtype=values.dtype, crs="EPSG:4326",
            transform=from_bounds(west - 0.001, south - 0.001, east + 0.001, north + 0.001, 512, 512),
        ) as dataset:  # fmt: skip
            dataset.write(values)
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "chip.yaml"]) == 0, capsys.readouterr().err
    assert (tmp_path / "results" / "chip" / "lock.json").is_file()


def test_links_and_pictures_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_verb_is_described_in_the_reference():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"## {verb.name}\n" in text
        assert verb.help in text
        assert verb.example in text


def test_every_decision_is_named_where_it_is_meant():
    for file in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"docs/[\w/.-]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{file.name}: {name}"
