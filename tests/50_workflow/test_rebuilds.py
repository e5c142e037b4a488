# SPDX-License-Identifier: Apache-2.0
"""What a change makes a build do again: exactly the jobs that it must, and it says why."""

import json
import os
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import terrapatch as terrapatch_package
from made.builds import TINY, ask, terrapatch

AFTER_STACKS = {"patches", "splits", "layouts", "publish", "training", "report", "validate"}
AFTER_SPLITS = AFTER_STACKS - {"patches", "splits"}

LOCAL = {
    **TINY,
    "name": "local",
    "catalog": {"source": "local", "paths": ["scenes"], "period": ["2022-01-01", "2022-12-31"]},
    "layers": {
        "sentinel1": {"dem": ["scenes/dem/heights.tif"]},
        "label": {"path": "scenes/reference/terraclass_2022.tif", "legend": "legend.csv"},
    },
}
"""The tiny dataset from folders of its own, with a legend of one's own."""


def make(folder, builds):
    """The build `local` of the files of an embedded archive, which becomes a folder of one's own."""
    simulated = builds.build(TINY, "--", "--until", "simulate")
    archive = simulated / "results" / "tiny" / "archive"
    for name in ("sentinel2", "sentinel1_grd", "dem"):  # products alone, no catalogue of them
        shutil.copytree(archive / name, folder / "scenes" / name)
    (folder / "scenes" / "reference").mkdir()
    shutil.copy(archive / "reference" / "terraclass_2022.tif", folder / "scenes/reference")
    legend = Path(terrapatch_package.__file__).parent / "data" / "legends" / "cerradata4mm.csv"
    shutil.copy(legend, folder / "legend.csv")
    (folder / "local.yaml").write_text(yaml.safe_dump(LOCAL))
    done = terrapatch("build", "local.yaml", "--cores", "2", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def made(builds, tmp_path_factory):
    """A copy of that build, to go on from."""
    built = builds.once("rebuilds", lambda folder: make(folder, builds))
    copy = tmp_path_factory.mktemp("rebuilds") / "made"
    return Path(shutil.copytree(built, copy, symlinks=True))


def jobs(folder, *words, name="local", plan=False):
    """Stage → how many of its jobs a build would do (and has the plan done, where asked to)."""
    if plan:
        done = ask("build", f"{name}.yaml", *words, "--", "plan", cwd=folder)
        assert done.returncode == 0, done.stderr[-3000:]
    done = ask("build", f"{name}.yaml", *words, "--", "--dry-run", "--quiet", "rules", cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = dict(re.findall(r"^([a-z]+) +(\d+)$", done.stdout + done.stderr, re.M))
    return {
        s: int(n) for s, n in found.items() if s not in ("all", "total", "changed")
    }, done.stderr


def each(stages, **more):
    return {**dict.fromkeys(stages, 1), **more}


def scenes_of(folder, name="local"):
    """(unit, layer) → ids of its scenes."""
    root = folder / "results" / name / "plan"
    found = {}
    for path in root.glob("*/*.json"):
        items = json.loads(path.read_text())["items"] if "items" in path.read_text() else []
        found[path.parent.name, path.stem] = [item["id"] for item in items]
    return found


def touched(before, after):
    """How many stacks and units a new plan changes."""
    stacks = [key for key in before if before[key] != after[key]]
    return len(stacks), len({unit for unit, _ in stacks})


def state(folder):
    """Every file of the results with its size and time."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


UNITS = 4
SETTINGS = {
    "a title": ("publish.title=Mine", {"publish": 1, "report": 1}),
    "a model": ("training.trees=7", each(["training", "report", "validate"])),
    "a split seed": ("splits.seed=3", each(AFTER_SPLITS, splits=1)),
    "an edge rule": (
        "layers.label.edges=thick", each(AFTER_STACKS, stack=UNITS, patches=UNITS),
    ),
    "a speckle radius": (
        "layers.sentinel1.speckle_radius=2", each(AFTER_STACKS, stack=UNITS, patches=UNITS),
    ),
    "minimum mapping unit": (
        "layers.label.clean=[{step: mmu, area_m2: 2500}, {step: fill}]",
        each(AFTER_STACKS, stack=UNITS, patches=UNITS),
    ),
    "nothing": ("splits.seed=42", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_a_changed_setting_redoes_what_reads_it_and_says_so(made, name):
    change, expected = SETTINGS[name]
    before = state(made / "results")
    found, said = jobs(made, "--set", change)
    assert found == expected
    if expected:
        key = change.split("=")[0]
        assert re.search(rf"again.*: {re.escape(key)}", said), said
    assert state(made / "results") == before  # looking leaves no trace
    assert jobs(made)[0] == {}


def test_a_cloud_limit_redoes_the_units_that_lose_a_scene(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    lock = json.loads((folder / "results/local/lock.json").read_text())
    clouds = sorted(i["cloud_percent"] for i in lock["items"] if i["sensor"] == "sentinel2")
    change = ("--set", f"catalog.cloud_percent={clouds[-1] - 0.01}")
    assert jobs(folder, *change)[0]["plan"] == 1
    before = scenes_of(folder)
    found, _ = jobs(folder, *change, plan=True)
    stacks, units = touched(before, scenes_of(folder))
    assert 0 < stacks < 3 * UNITS
    assert found == each(AFTER_STACKS, stack=stacks, patches=units)


def test_what_is_kept_is_asked_by_the_plan_and_redoes_no_stack(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    found, _ = jobs(folder, "--set", "patches.require={sentinel2: {valid: 0.5}}", plan=True)
    assert found == each(AFTER_STACKS, patches=UNITS)


def test_an_orbit_direction_redoes_one_layer(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    before = scenes_of(folder)
    found, _ = jobs(folder, "--set", "layers.sentinel1.orbit=ascending", plan=True)
    stacks, units = touched(before, scenes_of(folder))
    assert (stacks, units) == (UNITS, UNITS)
    assert found == each(AFTER_STACKS, stack=UNITS, patches=UNITS)


def test_a_new_date_of_one_tile_redoes_the_units_in_it(made, tmp_path):
    """The scenes of one tile are taken away and found again."""
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    lock = json.loads((folder / "results/local/lock.json").read_text())
    used = Counter(i for u in lock["units"] for i in u["items"]["sentinel2"])
    scene = min(used, key=lambda name: (used[name], name))
    assert used[scene] < UNITS or len(used) > 1
    product = next(folder.glob(f"scenes/sentinel2/{scene}*"))
    product.rename(tmp_path / product.name)
    before = scenes_of(folder)
    assert terrapatch("plan", "--results", "results/local", cwd=folder).returncode == 0
    without = scenes_of(folder)
    stacks, units = touched(before, without)
    assert stacks == units == used[scene]
    assert jobs(folder)[0] == each(AFTER_STACKS, stack=stacks, patches=units)
    (tmp_path / product.name).rename(product)
    assert terrapatch("plan", "--results", "results/local", cwd=folder).returncode == 0
    assert scenes_of(folder) == before
    assert jobs(folder)[0] == {}  # as it was before: nothing that was made is of another date


def test_a_class_name_changes_no_label(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    text = (folder / "legend.csv").read_text("utf-8")
    assert ",Pasture," in text
    (folder / "legend.csv").write_text(text.replace(",Pasture,", ",Meadow,"), "utf-8")
    assert jobs(folder)[0]["plan"] == 1
    found, _ = jobs(folder, plan=True)
    assert found == each(["layouts", "publish", "training", "report", "validate"])


def test_an_archive_that_moved_makes_a_new_plan_and_no_pixel(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    (folder / "scenes").rename(folder / "elsewhere")
    change = ("--set", "catalog.paths=[elsewhere]",
              "--set", "layers.sentinel1.dem=[elsewhere/dem/heights.tif]",
              "--set", "layers.label.path=elsewhere/reference/terraclass_2022.tif")  # fmt: skip
    found, _ = jobs(folder, *change, plan=True)
    assert found == {"publish": 1, "report": 1}  # they say the lock's hash


def test_two_working_directories_with_one_output_see_the_same(made, tmp_path):
    """Snakemake's memory lies in the working directory; what results were made from does not."""
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    other = tmp_path / "other"
    other.mkdir()
    for name in ("local.yaml", "legend.csv", "scenes"):
        (other / name).symlink_to(folder / name)
    output = ("--output", str(folder / "results"))
    assert jobs(other, *output)[0] == {}
    change = ("--set", "training.trees=5")
    done = terrapatch("build", "local.yaml", *output, *change, "--cores", "2", cwd=other)
    assert done.returncode == 0, done.stderr
    assert "training again: training.trees 20 → 5" in done.stderr
    assert jobs(folder)[0] == each(["training", "report", "validate"])
    assert jobs(folder, *change)[0] == {}


def test_a_clock_that_was_ahead_hides_nothing(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    tomorrow = time.time() + 86_400
    for path in (folder / "results").rglob("*"):
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)
    change = ("--set", "training.trees=5")
    assert jobs(folder)[0] == {}
    assert jobs(folder, *change)[0] == each(["training", "report", "validate"])
    done = terrapatch("build", "local.yaml", *change, "--cores", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert jobs(folder, *change)[0] == {}


def test_a_look_at_another_plan_leaves_no_trace(made):
    before = state(made / "results")
    for words in (["--set", "catalog.cloud_percent=1"], ["--check"]):
        done = terrapatch("plan", "local.yaml", *words, cwd=made)
        assert done.returncode in (0, 4), done.stderr
    assert state(made / "results") == before
    assert jobs(made)[0] == {}


def test_a_verb_refuses_inputs_of_other_settings(made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    assert (
        terrapatch("settings", "local.yaml", "--set", "sampling.size_px=32", cwd=folder).returncode
        == 0
    )
    unit = sorted((folder / "results/local/plan").glob("*.json"))[0].stem
    done = terrapatch("stack", "results/local", unit, "label", cwd=folder)
    assert done.returncode == 4
    assert f"sampling {unit} was made from other settings (sampling.size_px 64 → 32)" in done.stderr
    assert f"run `terrapatch sampling results/local {unit}`" in done.stderr


@pytest.mark.parametrize("damage", ["gone", "version"])
def test_a_slice_that_is_missing_or_of_another_version_is_an_error(made, tmp_path, damage):
    folder = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    path = sorted((folder / "results/local/plan").glob("*/label.json"))[0]
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9}))
    done = terrapatch("stack", "results/local", path.parent.name, "label", cwd=folder)
    assert done.returncode == 4
    assert f"{path.relative_to(folder)}: no readable slice of the lock" in done.stderr
    assert "run `terrapatch plan --results results/local`" in done.stderr
