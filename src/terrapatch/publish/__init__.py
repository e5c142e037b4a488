# SPDX-License-Identifier: Apache-2.0
"""What makes a folder of files a dataset: statistics, card, deviations, checksums, report.

Laws:
1. No times and no machine in any output: the same inputs give the same bytes.
2. `SHA256SUMS` is written last: where it stands, the dataset is whole.
"""

from __future__ import annotations

from pathlib import Path

from ..batches import check_series, published
from ..sections import named_files
from ..sums import check_named
from ..tables import write_json, write_text
from .report import report

__all__ = ["publish", "report"]


def publish(
    manifest: Path,
    splits_summary: Path,
    stacks: Path,
    dataset: Path,
    lock: Path,
    settings: Path,
    deviations: Path,
    *,
    threads: int = 1,
    dates: Path | None = None,
) -> None:
    """Write `statistics.json`, `README.md` and `SHA256SUMS` of a dataset, and its deviations.

    Args:
        manifest: GeoParquet with one row a patch and its split.
        splits_summary: what the splits stage says of itself.
        stacks: folder with UNIT/LAYER.zarr.
        dataset: folder that `layouts` wrote.
        lock: the lock.
        settings: settings file of the stage.
        deviations: where the comparison with the published dataset goes (JSON).
        threads: shards read, and files hashed, at a time.
        dates: table of dates; the one beside the manifest if absent.

    Raises:
        IncompleteError: nothing in the train split to make statistics from.
        StorageError: an input is missing or damaged, or the folder cannot be written.
    """
    from dataclasses import replace

    from . import statistics
    from .card import card
    from .checksums import checked, write_checksums
    from .deviations import deviations as compare
    from .facts import read_facts

    facts = read_facts(manifest, splits_summary, lock, dataset, settings)
    check_named(named_files(facts.settings, "publish"), facts.lock, lock)
    hashes = checked(dataset, threads)
    dates = dates or manifest.with_name("dates.parquet")
    one_a_day = facts.settings.layouts.one_a_day
    shown = {
        layer: published(facts.kept, stacks, layer, dates, one_a_day=one_a_day)
        for layer in facts.settings.images
    }
    train = facts.kept[facts.kept["split"] == "train"].reset_index(drop=True)
    for layer in facts.settings.images if len(train) else ():
        check_series(train, stacks, layer, dates, threads)
    figures = {
        "split": "train",
        "layers": {
            layer: statistics.band_statistics(facts.kept, stacks, layer, threads, part)
            for layer, part in shown.items()
        },
        "classes": {
            layer: statistics.class_statistics(facts.kept, layer, legend)
            for layer, legend in facts.legends.items()
        },
        "patches": facts.split_sizes,
    }
    facts = replace(facts, statistics=figures)
    compared = compare(facts.settings, facts.legends, facts.layout, figures, facts.used)
    write_json(dataset / "statistics.json", figures)
    write_text(dataset / "README.md", card(facts, compared))
    write_json(deviations, compared)
    write_checksums(dataset, hashes)
