# SPDX-License-Identifier: Apache-2.0
"""Words that sentences of all sections share; `…` in backticks is code, in the card and the report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ...legend import Legend, Level
from ...records import Lock, LockedItem
from ...settings import Kernel, Requirement, SamplingSettings, coarse_kernel
from ...settings.kernels import Coarser


@dataclass(frozen=True)
class ProcessStep:
    """One step of the making."""

    name: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All its sentences."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class About:
    """All that the sentence of a layer is made from."""

    name: str
    """The layer's."""
    settings: Any
    """The layer's, of its kind."""
    sampling: SamplingSettings
    required: Requirement
    lock: Lock
    alone: bool = True
    """Whether the dataset has no other layer of this kind."""
    legend: Legend | None = None
    """Of labels."""
    years: tuple[str, ...] = ()
    """Of the acquisitions."""
    reference_licence: str = ""
    """What the recipe says of the references' licence."""

    def titled(self, title: str) -> str:
        """The kind's title, with the layer's name where there are several of the kind."""
        return title if self.alone else f"{title} ({self.name})"


def code(text: object) -> str:
    """Text as it stands in a file or a setting: nothing in it is markup."""
    return "`" + re.sub(r"\s+", " ", str(text).replace("`", "'")).strip() + "`"


def codes(texts: Iterable[object]) -> str:
    """Several of them."""
    return ", ".join(code(text) for text in texts)


def file_name(href: str) -> str:
    """The name of a file without the folders of one machine; members of archives keep theirs."""
    return code(PurePosixPath(href.replace("\\", "/")).name)


def file_names(hrefs: Sequence[str], most: int = 4) -> str:
    """Names of files, the first ones of many."""
    names = sorted({file_name(href) for href in hrefs})
    some = ", ".join(names[:most])
    return some if len(names) <= most else f"{some} and {len(names) - most} more"


def count(number: int, word: str, plural: str = "") -> str:
    """`1 scene`, `2 scenes`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def coarser(kernel: Kernel, on_coarser: Coarser) -> str:
    """What holds where the grid is coarser than the pixels of a scene."""
    if kernel == "nearest":
        return "on a grid coarser than the scene a single pixel is taken"
    if coarse_kernel(kernel, on_coarser) == "average":
        return "on a grid coarser than the scene the mean over each pixel's area"
    return "on a grid coarser than the scene the kernel is widened to it"


def unchecked(check_values: bool) -> list[str]:
    """Whether nobody looked if the first pixels of each scene are what its metadata say."""
    return [] if check_values else ["Values were not held against what the scenes say of them."]


def too_few(least: int) -> str:
    """What patches are dropped for where so many dates are needed."""
    return "without such a date" if least == 1 else f"with fewer than {least} such dates"


def times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def metres(value: float) -> str:
    """A length."""
    return f"{value:,.10g} m"


def percent(share: float) -> str:
    """A share in as many digits as it has."""
    return f"{100 * share:.6g} %"


def class_names(level: Level, wanted: Iterable[int]) -> str:
    """Classes by code and name; a code of no class stays a code."""
    names = {entry.code: entry.name for entry in level.classes}
    return ", ".join(code(f"{c} {names[c]}" if c in names else c) for c in wanted)


def terms(about: About, sensor: str) -> list[str]:
    """Licences that the scenes of a layer state."""
    return sorted({i.licence for i in scenes_of(about.lock, about.name, sensor) if i.licence})


def copernicus(about: About, sensor: str, title: str) -> list[str]:
    """Whom to name for scenes of a Sentinel mission; nobody for simulated ones."""
    if about.lock.source == "simulated":
        return []
    found = [f"Contains modified Copernicus Sentinel data [{', '.join(about.years)}]."]
    stated = terms(about, sensor)
    return found + ([f"Terms of the {title} products: {codes(stated)}."] if stated else [])


def scenes_of(lock: Lock, name: str, sensor: str) -> list[LockedItem]:
    """Scenes of a layer in the lock.

    Args:
        lock: what went in.
        name: of the layer: units name their scenes by it.
        sensor: what the lock calls the scenes of its kind; all of them, where no unit has the layer.
    """
    mine = {item for unit in lock.units for item in unit.items.get(name, ())}
    of_kind = [item for item in lock.items if item.sensor == sensor]
    return [item for item in of_kind if item.id in mine] if mine else of_kind
