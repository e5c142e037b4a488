# SPDX-License-Identifier: Apache-2.0
"""What is said and shown of a layer of any kind; each kind says beside this module what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ...layers import Values
from ...records import LockedItem
from .. import pictures
from ..methods.words import About, ProcessStep, code, codes, count, scenes_of, terms

if TYPE_CHECKING:
    from ...stacks import StackInfo


@dataclass(frozen=True)
class Drawn:
    """One picture of each of some patches, before it is brought to colours."""

    title: str
    patches: list[NDArray[Any]]
    """Per patch (1 or 3, y, x) values, NaN where missing."""
    together: bool = False
    """Whether channels share a stretch, so that colours keep their balance."""


def plain_pictures(info: StackInfo, patches: Sequence[NDArray[Any]]) -> list[Drawn]:
    """The first three bands as colours, or the first in grey."""
    (title, chosen), *_ = pictures.composites(info.bands, ())
    return [Drawn(f"{info.layer}: {title}", [patch[chosen] for patch in patches])]


def plain_sentence(about: About) -> ProcessStep:
    """How many scenes there are: all that is known of a kind without a row."""
    number = len(scenes_of(about.lock, about.name, about.settings.kind))
    return ProcessStep(
        about.name, (f"{count(number, 'file')}, sampled onto the grid of the patches.",)
    )


def plain_credit(about: About) -> list[str]:
    """The licences that scenes state."""
    stated = terms(about, about.settings.kind)
    return [f"Terms of {code(about.name)}: {codes(stated)}."] if stated else []


@dataclass(frozen=True)
class Portrait:
    """What is said of a kind and shown of its layers."""

    title: str
    """Its name for people."""
    sentence: Callable[[About], ProcessStep] = plain_sentence
    """What was done to make a layer."""
    credit: Callable[[About], list[str]] = plain_credit
    """Whom to name."""
    pictures: Callable[[StackInfo, Sequence[NDArray[Any]]], list[Drawn]] = plain_pictures
    """A stack's description and (band, y, x) pixels of some patches → their pictures."""
    quantity: Callable[[Any, Values], str] = lambda _, values: values.text
    """Settings and values of a layer → what its numbers are, in words."""
    tag: str = ""
    """Its word among the tags of a data card."""
    offsets: Callable[[Any, Sequence[LockedItem]], set[float]] | None = None
    """Settings and scenes of a layer → radiometric offsets that its values still hold, as they would
    have to be added to them; None: its scenes have none."""
    hints: Callable[[str, Any], list[str]] = lambda _title, _settings: []
    """Title and settings of a layer → what its users should know before they load it."""
