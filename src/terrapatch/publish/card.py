# SPDX-License-Identifier: Apache-2.0
"""The data card: README.md of the dataset, with the head that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from .facts import Facts
from .kinds import kind_of
from .pages import render

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(patches: int) -> str:
    """Size of a dataset in the words of dataset cards."""
    return next((name for least, name in _SIZES if patches < least), "1M<n<10M")


def head(facts: Facts) -> str:
    """The card's YAML head."""
    settings = facts.settings
    data = {
        "pretty_name": facts.title,
        "license": settings.publish.licence.lower(),
        "task_categories": ["image-segmentation"] if settings.labels else [],
        "size_categories": [size_category(len(facts.kept))],
        "tags": [
            "earth-observation", "remote-sensing",
            *(["land-cover", "semantic-segmentation"] if settings.labels else []),
            *dict.fromkeys(filter(None, (kind_of(layer.kind).tag for layer in settings.images.values()))),
            *(["simulated"] if facts.simulated else []),
        ],
    }  # fmt: skip
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).strip()


def card(facts: Facts, compared: Mapping[str, Any]) -> str:
    """The whole card in Markdown.

    Args:
        facts: with the statistics.
        compared: what `deviations.json` says.
    """
    bounds = [round(float(v), 4) for v in facts.kept.total_bounds]
    return render("card.md.j2", facts=facts, head=head(facts), compared=compared, bounds=bounds)
