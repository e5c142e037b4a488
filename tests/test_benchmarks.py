# SPDX-License-Identifier: Apache-2.0
"""`make bench` runs from a fresh clone: every chain that is installed, on small scenes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kind", "chains"),
    [
        ("sentinel2", ["floor", "ours", "ours-1", "ours-small", "published", "plain"]),
        ("sentinel1", ["s1", "s1-1", "s1-vv", "s1-half", "s1-quarter"]),
        ("labels", ["floor", "ours", "quarter", "settled", "sieve", "stage"]),
    ],
)
def test_every_chain_of_the_benchmarks_runs(kind, chains, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "run.py", "--small", "--only", kind]
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
