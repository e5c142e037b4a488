# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of every file of the dataset, in the form of `sha256sum -c`.

Law: a file stands in the list only if it is as it was written. What was cut, lost or added since is
an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import StorageError
from ..files import RECORD, files_below, read_record, write_text
from ..paths import PUBLISHED, remedy
from ..sums import sha256_of

NAME = "SHA256SUMS"


def checked(folder: Path, threads: int = 1) -> dict[str, str]:
    """Hashes of the files that the layout wrote, each held against the layout's record.

    Raises:
        StorageError: a file is missing, changed, or none of ours; all of them are told.
    """
    written = read_record(folder)
    if not written:
        raise StorageError(
            f"{folder / RECORD}: no record of the dataset's files; {remedy(folder)} and build again"
        )
    there = [name for name in files_below(folder) if name not in (*PUBLISHED, RECORD)]
    hashes = _hashes(folder, [name for name in there if name in written], threads)
    wrong = [f"{folder / name}: missing" for name in written if name not in hashes]
    wrong += [
        f"{folder / name}: not as it was written: cut or changed"
        for name, digest in hashes.items()
        if digest != written[name]
    ]
    stray = [name for name in there if name not in written]
    findings = _first(wrong) + _first([f"{folder / name}: not a file of ours" for name in stray])
    if wrong:
        findings.append(f"{remedy(folder)} and build again")
    if stray:
        findings.append("move what is not ours out of the dataset's folder and build again")
    if findings:
        raise StorageError("\n".join(findings))
    return hashes


def _first(lines: list[str], most: int = 5) -> list[str]:
    more = [f"… and {len(lines) - most} more"] if len(lines) > most else []
    return lines[:most] + more


def _hashes(folder: Path, names: Sequence[str], threads: int = 1) -> dict[str, str]:
    try:
        with ThreadPoolExecutor(max(1, threads)) as pool:
            found = pool.map(lambda name: sha256_of(folder / name), names)
            return dict(zip(names, found, strict=True))
    except OSError as error:
        raise StorageError(f"{folder}: a file cannot be read for its checksum: {error}") from error


def write_checksums(folder: Path, layout: dict[str, str]) -> None:
    """Write the list; it is the last file of a dataset, so it stands for the whole.

    Args:
        folder: the dataset.
        layout: hashes of the layout's files, see `checked`.
    """
    own = [name for name in (*PUBLISHED, RECORD) if name != NAME and (folder / name).is_file()]
    hashes = layout | _hashes(folder, own)
    write_text(folder / NAME, "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)))
