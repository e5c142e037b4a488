# SPDX-License-Identifier: Apache-2.0
"""The workflow as people run it: from nothing to a report, again, changed, killed, on more cores."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from made.builds import TERRAPATCH, TINY, ask
from terrapatch.build import UNIT_STAGES
from terrapatch.recipe import load_recipe

ROOT = Path(__file__).parents[2]
STAGES = [
    "simulate", "plan", *UNIT_STAGES, "splits", "layouts", "publish", "training", "report",
    "validate",
]  # fmt: skip


def run(command, cwd, check=True):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def result_digests(root: Path) -> dict[str, str]:
    """What the promise of equal bytes is about."""
    return {**digests(root / "dataset"), "manifest": digests(root)["manifest.parquet"]}


@pytest.fixture(scope="session")
def shared(builds):
    """A tiny dataset, built by the command that people use; all tests read this one."""
    return builds.build(TINY)


@pytest.fixture(scope="module")
def built(builds, tmp_path_factory):
    """The same as a copy, to go on from."""
    return builds.copy(tmp_path_factory.mktemp("copy") / "tiny", TINY)


def test_the_build_leaves_what_the_contract_names(shared):
    root = shared / "results" / "tiny"
    for name in (
        "lock.json", "manifest.parquet", "splits.json", "deviations.json",
        "dataset/README.md", "dataset/statistics.json", "dataset/SHA256SUMS",
        "report/index.html", "validation/metrics.json", "settings/stack/sentinel2.json",
    ):  # fmt: skip
        assert (root / name).stat().st_size > 0, name
    for name in ("footprints", "plan", "stacks", "stamps", "logs"):
        assert any((root / name).iterdir()), name


def test_the_build_says_a_line_a_stage_and_keeps_the_rest_in_logs(shared):
    assert (shared / "stdout.txt").read_text() == "report: results/tiny/report/index.html\n"
    said = (shared / "stderr.txt").read_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", said)  # no control characters
    finished = [line.split() for line in said.splitlines() if "%" not in line]
    assert sorted(words[0] for words in finished) == sorted(STAGES)
    units = len(json.loads((shared / "results/tiny/lock.json").read_text())["units"])
    layers = len(load_recipe(shared / "tiny.yaml").layers)
    for name, *words in finished:
        count = str(units * (layers if name == "stack" else 1) if name in UNIT_STAGES else 1)
        assert words[:3] == [count, "of", count]
    logs = shared / "results" / "tiny" / "logs" / "build"
    assert "Finished jobid" in (logs / "snakemake.log").read_text()
    assert [path.name for path in logs.iterdir()] == ["snakemake.log"]


def test_the_checksums_hold(shared):
    folder = shared / "results" / "tiny" / "dataset"
    listed = dict(
        reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    actual = digests(folder)
    actual.pop("SHA256SUMS")
    assert listed == actual


def test_no_path_of_the_machine_is_in_the_dataset(shared):
    folder = shared / "results" / "tiny"
    for path in [
        *(folder / "dataset").rglob("*"),
        folder / "lock.json",
        folder / "report/index.html",
    ]:
        if path.is_file() and path.suffix in {".md", ".json", ".html", ".txt", ".csv"}:
            assert str(shared) not in path.read_text(encoding="utf-8"), path


def test_a_second_run_does_nothing(built):
    before = digests(built / "results" / "tiny")
    done = run([*TERRAPATCH, "build", "tiny.yaml", "--cores", "1"], built)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert "Building DAG" not in done.stdout + done.stderr
    done = run([*TERRAPATCH, "build", "tiny.yaml", "--cores", "1", "--verbose"], built)
    assert "Building DAG" in done.stderr
    after = digests(built / "results" / "tiny")
    for found in (before, after):
        found.pop("logs/build/snakemake.log")
    assert before == after


def planned_jobs(folder, *changes):
    """Rules that a dry run would run."""
    done = ask("build", "tiny.yaml", *changes, "--", "--dry-run", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    table = text.split("Job stats:")[1].split("total")[0] if "Job stats:" in text else ""
    return {line.split()[0] for line in table.splitlines()[3:] if line.strip()} - {"all", "changed"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("training.trees=7", {"training", "report", "validate"}),
        ("splits.seed=3", {"splits", "layouts", "publish", "training", "report", "validate"}),
    ],
)
def test_a_changed_setting_redoes_only_what_follows(built, change, expected):
    assert planned_jobs(built, "--set", change) == expected
    assert planned_jobs(built) == set()  # and changing it back leaves nothing to do


def test_two_builds_on_different_core_counts_are_byte_identical(shared, tmp_path):
    lock = "results/tiny/lock.json"
    (tmp_path / "tiny.yaml").write_text((shared / "tiny.yaml").read_text())
    run([*TERRAPATCH, "build", "tiny.yaml", "--cores", "1"], tmp_path)
    assert (shared / lock).read_bytes() == (tmp_path / lock).read_bytes()
    first, second = (result_digests(f / "results" / "tiny") for f in (shared, tmp_path))
    assert first == second


def test_a_killed_build_resumes_to_the_same_bytes(shared, tmp_path):
    (tmp_path / "tiny.yaml").write_text((shared / "tiny.yaml").read_text())
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*TERRAPATCH, "build", "tiny.yaml", "--cores", "2"], cwd=tmp_path, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    stacks = tmp_path / "results" / "tiny" / "stacks"
    deadline = time.monotonic() + 300
    while not any(stacks.glob("*/.sentinel2*")) and not any(
        stacks.glob("*/sentinel2.zarr/zarr.json")
    ):
        assert time.monotonic() < deadline, "no stack was begun"
        assert process.poll() is None, "the build ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results" / "tiny" / "report").exists()
    run([*TERRAPATCH, "build", "tiny.yaml", "--unlock"], tmp_path)
    run([*TERRAPATCH, "build", "tiny.yaml", "--cores", "2"], tmp_path)
    first, second = (result_digests(f / "results" / "tiny") for f in (shared, tmp_path))
    assert first == second


def test_plan_check_says_by_exit_code_whether_the_archive_changed(built, tmp_path):
    assert run([*TERRAPATCH, "plan", "tiny.yaml", "--check"], built).returncode == 0
    changes = ["--set", "layers.sentinel1.orbit=ascending"]
    done = run([*TERRAPATCH, "plan", "tiny.yaml", "--check", *changes], built, check=False)
    assert done.returncode == 10
    assert "S1A" in done.stdout
    run([*TERRAPATCH, "settings", "tiny.yaml"], built)  # put the settings back


def test_a_failing_stage_gives_its_exit_code_and_its_message(built, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        yaml.safe_dump({**TINY, "name": "bad", "catalog": {"cloud_percent": 0}})
    )
    done = run([*TERRAPATCH, "build", "bad.yaml", "--cores", "1"], tmp_path, check=False)
    assert done.returncode == 4
    assert "terrapatch plan:" in done.stderr
    assert "cloud" in done.stderr
    log = tmp_path / done.stderr.splitlines()[-1].removeprefix("log: ")
    assert "cloud" in log.read_text()
    assert not (tmp_path / "results" / "bad" / "lock.json").exists()


def test_plain_snakemake_builds_the_demo_and_a_recipe_file_by_configfile(tmp_path):
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    done = run([*snakemake, "--dry-run", "--cores", "1"], tmp_path)
    assert "terrapatch simulate results/demo" in done.stdout
    sample = ROOT / "recipes" / "cerradata4mm-sample.yaml"
    done = run([*snakemake, "--dry-run", "--cores", "1", "--configfile", str(sample)], tmp_path)
    assert "terrapatch simulate results/cerradata4mm-sample" in done.stdout


def test_the_validation_is_written_for_both_metrics(shared):
    metrics = json.loads((shared / "results" / "tiny" / "validation" / "metrics.json").read_text())
    forest = metrics["models"]["forest"]
    assert set(forest["baselines"]) == {"majority", "shuffled"}
    assert 0 <= forest["miou"] <= forest["macro_f1"] <= 1
