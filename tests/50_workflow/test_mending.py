# SPDX-License-Identifier: Apache-2.0
"""A finished build that was damaged or whose files were edited: what is told, and what mends it."""

import re
import shlex
import shutil
from importlib import resources
from pathlib import Path

import pytest
import shapely

from made.builds import ask
from made.door import BOX, small_recipe, terrapatch
from terrapatch.cli import main
from terrapatch.lock import read_lock
from terrapatch.recipe import load_recipe
from terrapatch.settings import named_files

AREA = "my area {unit} $(x) 'ü'.geojson"
"""A name that neither a shell nor Snakemake may read as anything else."""
ROOT = Path("results/small")


def packaged(kind: str, name: str) -> str:
    return (resources.files("terrapatch") / "data" / kind / f"{name}.csv").read_text("utf-8")


def make(folder):
    """A small dataset whose recipe names an area, a legend and a crosswalk of one's own."""
    (folder / AREA).write_text(shapely.to_geojson(shapely.box(*BOX)))
    (folder / "legend.csv").write_text(packaged("legends", "cerradata4mm"))
    (folder / "walk.csv").write_text(packaged("crosswalks", "terraclass_cerrado"))
    small_recipe(
        folder, area={"bbox": None, "file": AREA},
        label={"legend": "legend.csv", "crosswalk": "walk.csv"},
    )  # fmt: skip
    done = terrapatch("build", "small.yaml", "--cores", "1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def built(builds):
    return builds.once("mending", make)


@pytest.fixture
def here(built, tmp_path, monkeypatch):
    """A copy of one's own to damage, and the folder that one stands in."""
    copy = tmp_path / "here"
    shutil.copytree(built, copy)
    monkeypatch.chdir(copy)
    return copy


def planned_jobs(*words):
    """Rules that a build would run."""
    done = ask("build", "small.yaml", *words, "--", "--dry-run", cwd=".")
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    table = text.split("Job stats:")[1].split("total")[0] if "Job stats:" in text else ""
    return {line.split()[0] for line in table.splitlines()[3:] if line.strip()} - {"all"}


def advice(text):
    """The one command that a message names, as words."""
    (command,) = set(re.findall(r"run `terrapatch ([^`]+)`", text))
    return shlex.split(command)


# --- damage --------------------------------------------------------------------------------------


def shard(name, layer="sentinel2"):
    folder = ROOT / "stacks" / "b000_000" / f"{layer}.zarr" / name
    return next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.name == "0")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 85]) + data[middle + 1 :])


def empty(path):
    path.write_bytes(b"")


LABEL = ROOT / "stacks/b000_000/label.zarr"
TRAIN = ["training", str(ROOT)]


@pytest.mark.parametrize(
    ("damage", "of", "verb"),
    [
        (Path.unlink, lambda: shard("data"), ["layouts", str(ROOT)]),
        (Path.unlink, lambda: shard("source"), ["publish", str(ROOT)]),
        (flip, lambda: shard("data"), TRAIN),
        (shutil.rmtree, lambda: ROOT / "stacks/b000_000/sentinel1.zarr", ["report", str(ROOT)]),
        (flip, lambda: shard("data", "label"), ["layouts", str(ROOT)]),
        (shutil.rmtree, lambda: LABEL, TRAIN),
        (cut, lambda: LABEL / "zarr.json", ["report", str(ROOT)]),
        (cut, lambda: ROOT / "plan/b000_000/label.json", ["stack", str(ROOT), "b000_000", "label"]),
        (cut, lambda: ROOT / "lock.json", ["publish", str(ROOT)]),
        (empty, lambda: ROOT / "settings/stack/sentinel2.json", ["stack", str(ROOT), "b000_000", "sentinel2"]),
        (cut, lambda: ROOT / "footprints/b000_000.parquet", ["stack", str(ROOT), "b000_000", "sentinel1"]),
        (cut, lambda: ROOT / "patches/b000_000.parquet", ["splits", str(ROOT)]),
        (empty, lambda: ROOT / "manifest.parquet", ["layouts", str(ROOT)]),
        (cut, lambda: ROOT / "dates.parquet", ["splits", str(ROOT)]),
        (cut, lambda: ROOT / "dataset/statistics.json", TRAIN),
        (Path.unlink, lambda: ROOT / "dataset/.layout.json", ["publish", str(ROOT)]),
        (cut, lambda: ROOT / "validation/predictions.npz", ["report", str(ROOT)]),
        (cut, lambda: ROOT / "validation/metrics.json", ["validate", str(ROOT)]),
    ],
)  # fmt: skip
def test_one_message_names_the_file_and_a_command_that_mends_it(here, capsys, damage, of, verb):
    path = of()
    damage(path)
    code = main(verb)
    told = capsys.readouterr().err
    if (verb[0], path.name) == ("splits", "dates.parquet"):
        assert code == 0  # its own result: made anew
        return
    assert code in (2, 3, 4), told
    inside = next((p for p in path.parents if p.suffix == ".zarr"), path)
    assert str(inside) in told
    assert len([line for line in told.splitlines() if "terrapatch" in line]) == 1
    assert main(advice(told)) == 0, capsys.readouterr().err
    assert main(verb) == 0, capsys.readouterr().err


def test_a_cut_lock_is_told_before_anything_starts_and_planned_again(here, built):
    cut(here / ROOT / "lock.json")
    done = terrapatch("build", "small.yaml", "--cores", "1", cwd=here)
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1
    assert "results/small/lock.json: no readable lock" in done.stderr
    done = terrapatch(*advice(done.stderr), cwd=here)
    assert done.returncode == 0, done.stderr
    assert (here / ROOT / "lock.json").read_bytes() == (built / ROOT / "lock.json").read_bytes()
    assert planned_jobs() == set()


def test_stacks_and_labels_that_were_taken_away_are_made_again_where_they_are_needed(here):
    shutil.rmtree(ROOT / "stacks")
    assert planned_jobs() == set()  # nothing asks for them
    made = {"stack"}
    assert made | {"publish", "training", "report"} <= planned_jobs("--set", "publish.title=Other")
    assert made | {"training", "report"} <= planned_jobs("--set", "training.trees=3")


# --- files that a recipe names -------------------------------------------------------------------


def test_files_that_a_recipe_names_stand_in_the_lock(here):
    lock = read_lock(ROOT / "lock.json")
    assert [file.href for file in lock.named] == [AREA, "legend.csv", "walk.csv"]
    assert all(len(file.sha256) == 64 for file in lock.named)
    assert str(here) not in (ROOT / "lock.json").read_text()


@pytest.mark.parametrize(
    ("name", "old", "new", "stage", "follows"),
    [
        (AREA, "44.99", "44.9901", "sampling", {"sampling", "stack", "patches"}),
        (
            "legend.csv",
            "level,",
            "# a comment\nlevel,",
            "stack",
            {"layouts", "publish", "report"},  # it changes no code
        ),
        ("walk.csv", "11,", " 11,", "stack", {"stack", "patches"}),
    ],
)
def test_an_edit_rebuilds_what_follows_and_the_check_names_it(
    here, capsys, name, old, new, stage, follows
):
    path = Path(name)
    text = path.read_text("utf-8")
    path.write_text(text)  # written again, and the same
    assert main(["plan", "small.yaml", "--check"]) == 0
    assert planned_jobs() == set()
    capsys.readouterr()
    assert old in text
    path.write_text(text.replace(old, new))
    words = [stage, str(ROOT), "b000_000", *(["label"] if stage == "stack" else [])]
    assert main(words) == 3
    told = capsys.readouterr().err
    assert f"{name}: changed since it was planned" in told
    assert main(["plan", "small.yaml", "--check"]) == 10
    assert f"changed: what the recipe names: {name}" in capsys.readouterr().out
    assert "plan" in planned_jobs()
    assert main(advice(told)) == 0
    assert follows <= planned_jobs()
    assert main(words) == 0


def test_a_file_that_the_recipe_names_and_that_is_gone_is_told_by_the_plan(here, capsys):
    Path("walk.csv").unlink()
    assert main(["plan", "small.yaml"]) == 2
    assert "walk.csv: no such file, and the recipe names it" in capsys.readouterr().err


def test_which_stage_reads_which_file(here):
    Path("a.shp").touch()
    Path("a.dbf").touch()
    changes = {
        "area": {"file": "a.shp"},
        "layers": {"label": {
            "vectors": [{"path": "v.gpkg", "fields": ["code"], "crosswalk": "own.csv"}],
            "networks": [{"path": "n.gpkg", "code": 7, "rules": "rules.csv"},
                         {"path": "m.gpkg", "code": 7, "product": "bdtopo-roads", "rules": None}],
        }},
    }  # fmt: skip
    recipe = load_recipe("small.yaml", changes)
    tables = ("legend.csv", "walk.csv", "own.csv", "rules.csv")
    assert named_files(recipe, "plan") == ("a.shp", "a.dbf", *tables)
    assert named_files(recipe, "stack") == tables
    assert named_files(recipe, "sampling") == named_files(recipe, "simulate") == ("a.shp", "a.dbf")
    for stage in ("patches", "splits", "layouts", "publish", "training"):
        assert named_files(recipe, stage) == ("legend.csv",)
