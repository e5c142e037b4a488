# SPDX-License-Identifier: Apache-2.0
"""From stacks and labels to the files of the dataset, in its published layout or the native one.

Laws:
1. Every kept patch is written, with or without a split; the split files name those with one.
2. `dataset/` appears whole or not at all, and has the same bytes on any number of threads.
3. A layout is one module with the same functions as its siblings (`Layout`), and one row in
   `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError
from ..files import RECORD, atomic, files_below, read_record, write_json, write_record
from ..layers import LayoutRecord
from ..paths import PUBLISHED, Built
from ..recipe import read_settings
from ..samples import check_series
from ..sums import sha256_of
from . import cerradata4mm, flairhub, multisenge, native, sen4map
from .fit import Form, planned, refuse
from .sources import Sources, open_sources

if TYPE_CHECKING:
    from ..records import Lock


class Layout(Protocol):
    """What every layout's module has."""

    def write(self, sources: Sources, folder: Path, threads: int) -> LayoutRecord:
        """Write all files; returns what is there."""
        ...

    def unfit(self, form: Form) -> list[str]:
        """What the layout cannot hold, a sentence each with the setting that mends it."""
        ...


LAYOUTS: dict[str, Layout] = {
    "native": native, "cerradata4mm": cerradata4mm, "multisenge": multisenge, "sen4map": sen4map,
    "flairhub": flairhub,
}  # fmt: skip
"""Name in the recipe → its module."""

__all__ = ["LAYOUTS", "check_plan", "layouts"]


def check_plan(settings: Path, lock: Lock | None = None) -> None:
    """Hold a plan against the recipe's layout, before any pixel is made.

    Args:
        settings: settings file of the stage `layouts`.
        lock: what the plan found; absent before it looks for anything.

    Raises:
        RecipeError: the layout cannot hold what the plan leads to; says all of it.
    """
    wanted = read_settings(settings)
    name = wanted.layouts.name
    refuse(wanted.name, name, LAYOUTS[name].unfit(planned(wanted, lock)))


def layouts(
    built: Built, settings: Path, output: Path, *, threads: int = 1, folders: str | None = None
) -> None:
    """Write the dataset's image and label files, its tables, `.layout.json`, and their hashes.

    Args:
        built: manifest and stacks; with a table of dates its rows of published patches go into the
            dataset; the layout `multisenge` takes the cloud share of scenes from the lock, `sen4map`
            their times.
        settings: settings file of the stage.
        output: the dataset's folder; of an old dataset what its record lists is replaced.
        threads: files are written by so many threads.
        folders: other folder names of the layout than the recipe's: `kaggle` or `loader`.

    Raises:
        IncompleteError: no patch is kept.
        RecipeError: the layout cannot hold such data.
        InputError: `folders` for a layout that has only one form; or the folder holds files that
            are not a dataset of ours.
        StorageError: an input is damaged, or the folder cannot be written.
    """
    wanted = read_settings(settings)
    if folders is not None:
        if wanted.layouts.name != "cerradata4mm":
            raise InputError(
                f"--layout {folders}: the layout {wanted.layouts.name!r} has one form only; "
                "leave the option out, or set layouts.name: cerradata4mm"
            )
        changed = wanted.layouts.model_copy(update={"folders": folders})
        wanted = wanted.model_copy(update={"layouts": changed})
    sources = open_sources(built, wanted)
    if built.dates is not None:
        for layer in sources.images:
            check_series(sources.table, built.stacks, layer, built.dates, threads)
    with atomic(output, ours=_ours) as folder:
        folder.mkdir(parents=True)
        written = LAYOUTS[wanted.layouts.name].write(sources, folder, threads)
        write_json(folder / ".layout.json", written.model_dump(mode="json"))
        names = files_below(folder)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            hashes = pool.map(lambda name: sha256_of(folder / name), names)
            write_record(folder, zip(hashes, names, strict=True))


def _ours(folder: Path) -> Callable[[str], bool]:
    """What is ours in a dataset's folder: what its record lists, and what `publish` adds."""
    listed = read_record(folder)
    if not listed:  # before there was a record: Snakemake takes `.layout.json` away beforehand
        published = read_record(folder, "SHA256SUMS")
        listed = published if ".layout.json" in published else {}
    return {*listed, *(PUBLISHED if listed else ()), *([RECORD] if listed else ())}.__contains__
