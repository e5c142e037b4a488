# SPDX-License-Identifier: Apache-2.0
"""Digests of what a build publishes, and in words what differs between two builds.

    python tests/made/golden.py sums RESULTS              digests of a build
    python tests/made/golden.py check demo RESULTS        against those recorded here
    python tests/made/golden.py write demo RESULTS        record them
    python tests/made/golden.py compare RESULTS RESULTS   two builds: files, columns, first rows

RESULTS is a folder as `results/demo`. Builds are named `RECIPE` or `RECIPE-published`. What is
recorded are groups: the files of one folder of `dataset/` by name and content (of a Zarr store its
chunks and its metadata apart), and each column of `manifest.parquet` and `dates.parquet` by content
alone, so that a renamed column is seen as one, and other bytes of Parquet are none.
"""

import argparse
import hashlib
import json
import struct
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import rasterio

RECORDED = Path(__file__).with_name("golden.json")
TABLES = ("manifest.parquet", "dates.parquet")


def plain(value):
    """A cell as what JSON can say, without loss."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def columns(path):
    """Cells of each column, in the order of the file."""
    table = pq.read_table(path)
    return {name: plain(table[name].to_pylist()) for name in table.column_names}


def group(name):
    """Group of a file of the dataset, by its name below `dataset/`."""
    parts = name.split("/")
    if len(parts) == 1:
        return name
    store = next((i for i, part in enumerate(parts) if part.endswith(".zarr")), None)
    if store is None:
        return f"{parts[0]}/"
    if parts[-1] == "zarr.json":
        return "/".join(parts[: store + 1]) + ": metadata"
    return name.split("/c/")[0] + ": chunks"


def files(results):
    """SHA-256 of each file of the dataset."""
    folder = Path(results) / "dataset"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def sums(results):
    """Digest of each group of files and each column.

    Args:
        results: folder of a build, as `results/demo`.

    Returns:
        name of a group or column → SHA-256; for the checksum file, that of its bytes.
    """
    groups = defaultdict(list)
    for name, found in files(results).items():
        groups[f"dataset/{group(name)}"].append((name, found))
    told = {
        name: digest(members) if name.endswith(("/", ": metadata", ": chunks")) else members[0][1]
        for name, members in sorted(groups.items())
    }
    for table in TABLES:
        for name, cells in columns(Path(results) / table).items():
            told[f"{table}: {name}"] = digest(cells)
    return told


def differences(before, after):
    """What differs between two sets of digests: a sentence each, renamed columns as such."""
    said = []
    gone = {name: before[name] for name in before.keys() - after.keys()}
    come = {name: after[name] for name in after.keys() - before.keys()}
    for name in sorted(gone):
        table = name.split(": ")[0]
        same = [n for n in sorted(come) if come[n] == gone[name] and n.split(": ")[0] == table]
        if same:
            del come[same[0]]
            said.append(f"{name} is called {same[0].split(': ')[-1]} now, with the same content")
        else:
            said.append(f"{name} is gone")
    said += [f"{name} is new" for name in sorted(come)]
    said += [
        f"{name} changed: {before[name][:12]} → {after[name][:12]}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    return said


def pixels(name, first, second):
    """Whether a raster that both builds have holds other numbers, or was only written otherwise."""
    paths = [Path(root) / "dataset" / name for root in (first, second)]
    if not name.endswith(".tif") or not all(path.is_file() for path in paths):
        return ""
    found = []
    for path in paths:
        with rasterio.open(path) as dataset:
            found.append(dataset.read())
    return ", the same pixels" if np.array_equal(*found, equal_nan=True) else ", OTHER PIXELS"


def compare(first, second):
    """What differs between two builds: files by name, columns with their first row that differs."""
    yield from differences(sums(first), sums(second))
    one, two = files(first), files(second)
    for names, words in (
        (one.keys() - two.keys(), "only in the first"),
        (two.keys() - one.keys(), "only in the second"),
        ({n for n in one.keys() & two.keys() if one[n] != two[n]}, "other bytes"),
    ):
        # Pixels of all are looked at, and those that differ are told first.
        found = [(pixels(name, first, second), name) for name in sorted(names)]
        for said, name in sorted(found, key=lambda pair: "OTHER" not in pair[0])[:20]:
            many = f" (one of {len(names)})" if len(names) > 20 else ""
            yield f"dataset/{name}: {words}{many}{said}"
    for table in TABLES:
        left, right = (columns(Path(root) / table) for root in (first, second))
        for name in left.keys() & right.keys():
            rows = [
                i for i, (a, b) in enumerate(zip(left[name], right[name], strict=False)) if a != b
            ]
            if rows:
                a, b = left[name][rows[0]], right[name][rows[0]]
                yield f"{table}: {name}: {len(rows)} rows, row {rows[0]}: {a!r} → {b!r}"


def recorded(name):
    return json.loads(RECORDED.read_text(encoding="utf-8"))[name]


def record(name, found):
    """Write the digests of one build into the records."""
    known = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {}
    known = dict(sorted((known | {name: found}).items()))
    text = json.dumps(known, indent=1, ensure_ascii=False)
    RECORDED.write_text(text + "\n", encoding="utf-8")


def main(words=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["sums", "check", "write", "compare"])
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args(words)
    if asked.command == "sums":
        print(json.dumps(sums(*asked.words), indent=1))
    elif asked.command == "write":
        record(asked.words[0], sums(asked.words[1]))
    elif asked.command == "check":
        said = differences(recorded(asked.words[0]), sums(asked.words[1]))
        print("\n".join(said) or "as recorded")
        return int(bool(said))
    else:
        said = list(compare(*asked.words))
        print("\n".join(said) or "the same")
        return int(bool(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
