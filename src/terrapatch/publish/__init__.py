# SPDX-License-Identifier: Apache-2.0
"""What makes a folder of files a dataset: statistics, card, deviations, checksums, report.

Laws:
1. No times and no machine in any output: the same inputs give the same bytes.
2. `SHA256SUMS` is written last: where it stands, the dataset is whole.
"""

from __future__ import annotations

from pathlib import Path

from ..files import write_json, write_text
from ..paths import Built
from ..samples import check_series, published
from ..settings import named_files
from ..sums import check_named
from .report import report

__all__ = ["publish", "report"]


def publish(built: Built, settings: Path, *, threads: int = 1) -> None:
    """Write `statistics.json`, `README.md` and `SHA256SUMS` of a dataset, and its deviations.

    Args:
        built: all that was made, but for what the training stage makes.
        settings: settings file of the stage.
        threads: shards read, and files hashed, at a time.

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

    facts = read_facts(built, settings)
    check_named(named_files(facts.settings, "publish"), facts.lock, built.lock)
    hashes = checked(built.dataset, threads)
    stacks, dates = built.stacks, built.known_dates
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
    write_json(built.statistics, figures)
    write_text(built.dataset / "README.md", card(facts, compared))
    write_json(built.deviations, compared)
    write_checksums(built.dataset, hashes)
