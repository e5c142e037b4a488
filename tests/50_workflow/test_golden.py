# SPDX-License-Identifier: Apache-2.0
"""The shipped samples publish the bytes that were recorded, in both modes.

`make golden` builds all five; `make test` the demo alone. Where a change of bytes is meant, say in
the commit which groups or columns changed and why, and record it: `make golden ARGS=--golden-write`.
"""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made import golden


@pytest.mark.parametrize(
    "name",
    ["demo"]
    + [
        pytest.param(name + mode, marks=pytest.mark.slow)
        for name in ("cerradata4mm-sample", "multisenge-sample")
        for mode in ("", "-published")
    ],
)
def test_a_build_publishes_the_recorded_bytes(name, builds, pytestconfig):
    recipe = name.removesuffix("-published")
    words = ["--set", "mode=published"] if name != recipe else []
    folder = builds.build(recipe, *words, "--", "--until", "publish")
    found = golden.sums(folder / "results" / recipe)
    if pytestconfig.getoption("--golden-write"):
        golden.record(name, found)
    said = golden.differences(golden.recorded(name), found)
    assert not said, "\n".join([f"{name} publishes other bytes:", *said])


def results(folder, mask=b"pixels", step="step", values=(1, 2)):
    """What golden.py reads of a build, with two files and two small tables."""
    (folder / "dataset" / "masks").mkdir(parents=True)
    (folder / "dataset" / "s.zarr" / "data" / "c").mkdir(parents=True)
    for name, content in {
        "masks/a.tif": mask, "s.zarr/zarr.json": b"{}", "s.zarr/data/zarr.json": b"{}",
        "s.zarr/data/c/0": b"chunk", "SHA256SUMS": b"sums",
    }.items():  # fmt: skip
        (folder / "dataset" / name).write_bytes(content)
    pq.write_table(pa.table({"unit": ["a", "b"], "valid": [0.1, None]}), folder / golden.TABLES[0])
    pq.write_table(pa.table({step: list(values)}), folder / golden.TABLES[1])
    return folder


def test_a_change_is_told_by_the_group_or_column_that_it_is_in(tmp_path):
    base = golden.sums(results(tmp_path / "base"))
    assert sorted(base) == [
        "dataset/SHA256SUMS", "dataset/masks/", "dataset/s.zarr/data: chunks",
        "dataset/s.zarr: metadata", "dates.parquet: step", "manifest.parquet: unit",
        "manifest.parquet: valid",
    ]  # fmt: skip
    assert golden.differences(base, golden.sums(results(tmp_path / "same"))) == []
    (said,) = golden.differences(base, golden.sums(results(tmp_path / "mask", mask=b"other")))
    assert said.startswith("dataset/masks/ changed: ")
    (said,) = golden.differences(base, golden.sums(results(tmp_path / "value", values=(1, 3))))
    assert said.startswith("dates.parquet: step changed: ")
    (said,) = golden.differences(base, golden.sums(results(tmp_path / "name", step="time")))
    assert said == "dates.parquet: step is called time now, with the same content"


def test_bytes_of_parquet_do_not_count(tmp_path):
    first = results(tmp_path / "first")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    table = pq.read_table(first / golden.TABLES[0])
    pq.write_table(table, second / golden.TABLES[0], compression="none")
    assert (first / golden.TABLES[0]).read_bytes() != (second / golden.TABLES[0]).read_bytes()
    assert list(golden.compare(first, second)) == []
