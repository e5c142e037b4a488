# SPDX-License-Identifier: Apache-2.0
"""`make bench` runs from a fresh clone: every chain that is installed, on small scenes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


SENTINEL2 = ["floor", "ours", "ours-1", "ours-small", "published", "plain"]
SENTINEL1 = ["s1", "s1-1", "s1-vv", "s1-half", "s1-quarter"]
LABELS = ["floor", "ours", "quarter", "settled", "sieve", "stage"]


@pytest.mark.parametrize(
    ("only", "chains"),
    [
        ("floor,ours,plain", ["floor", "ours", "plain"]),
        ("s1,s1-quarter", ["s1", "s1-quarter"]),
        ("plan", ["plan", "again", "dry"]),
        pytest.param("sentinel2", SENTINEL2, marks=pytest.mark.slow),
        pytest.param("sentinel1", SENTINEL1, marks=pytest.mark.slow),
        pytest.param("labels", LABELS, marks=pytest.mark.slow),
    ],
)
def test_chains_of_the_benchmarks_run(only, chains, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "run.py", "--small", "--only", only]
    docs = tmp_path / "benchmarks.md"
    docs.write_text("as it was")
    done = subprocess.run(
        [*command, "--folder", tmp_path / "b", "--output", docs], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for chain in chains:
        assert re.search(rf"^{chain} .*CPU +[0-9.]+", done.stdout, re.M), chain
    assert "| chain |" in done.stdout  # the table
    assert docs.read_text() == "as it was"
