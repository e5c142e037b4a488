# SPDX-License-Identifier: Apache-2.0
"""What card and report say and show of a layer, by its kind: one row a kind.

Law: a kind that has no row is told and shown by its values alone, as any georeferenced raster is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..layers import AMPLITUDE, Values
from . import pictures
from .methods import labels, optical, radar
from .methods.words import About, ProcessStep, code, codes, count, scenes_of, terms

if TYPE_CHECKING:
    from ..stacks import StackInfo

COMPOSITES = (
    ("True colour", ("B04", "B03", "B02")),
    ("False colour", ("B08", "B04", "B03")),
)
"""What a composite of these very bands is called."""


@dataclass(frozen=True)
class Drawn:
    """One picture of each of some patches, before it is brought to colours."""

    title: str
    patches: list[NDArray[Any]]
    """Per patch (1 or 3, y, x) values, NaN where missing."""
    together: bool = False
    """Whether channels share a stretch, so that colours keep their balance."""


def optical_pictures(info: StackInfo, patches: Sequence[NDArray[Any]]) -> list[Drawn]:
    """True and false colours, as far as the bands allow."""
    return [
        Drawn(title, [patch[chosen] for patch in patches], title.startswith(COMPOSITES[0][0]))
        for title, chosen in pictures.composites(info.bands, COMPOSITES)
    ]


def radar_pictures(info: StackInfo, patches: Sequence[NDArray[Any]]) -> list[Drawn]:
    """Two polarisations and their ratio; angles and masks behind them are no backscatter."""
    shown = [pictures.radar(patch[info.measured], decibel=info.values.decibel) for patch in patches]
    return [Drawn(radar_title(info, shown[0].shape[0]), shown)]


def radar_title(info: StackInfo, channels: int) -> str:
    """Bands of a radar picture, and how they are shown: amplitudes are no backscatter."""
    first = [info.bands[k] for k in info.measured[:2]]
    bands = [*first, f"{first[0]}/{first[1]}"] if channels == 3 else first[:1]
    how = "amplitude, logarithmic" if info.values.unit == AMPLITUDE else "dB"
    return f"Radar ({', '.join(bands)}; {how})"


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
    offsets: bool = False
    """Whether its scenes have radiometric offsets that a person wants to see."""
    hints: Callable[[str, Any], list[str]] = lambda _title, _settings: []
    """Title and settings of a layer → what its users should know before they load it."""


KINDS = {
    "sentinel2": Portrait(
        "Sentinel-2", optical.optical, optical.credit, optical_pictures, tag="sentinel-2", offsets=True,
        hints=optical.loaders,
    ),
    "sentinel1": Portrait(
        "Sentinel-1", radar.radar, radar.credit, radar_pictures, tag="sentinel-1",
        quantity=lambda settings, _: radar.quantity(settings),
    ),
    "labels": Portrait("Reference map", labels.labels, labels.credit),
}  # fmt: skip
"""Kinds with a row of their own."""

REFERENCE = "reference"
"""What the lock calls the scenes of labels."""


def kind_of(name: str) -> Portrait:
    """The row of a kind, or of what the lock calls the scenes of one."""
    return KINDS.get("labels" if name == REFERENCE else name) or Portrait(name)
