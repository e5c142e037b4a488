# SPDX-License-Identifier: Apache-2.0
"""What all sections of a recipe share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ALL = ("*",)
"""Every key of a section."""


@dataclass(frozen=True)
class Readers:
    """The stages that read a section, with the keys that each of them reads."""

    keys: Mapping[str, tuple[str, ...]]


def read_by(whole: str = "", /, **some: str) -> Readers:
    """The row of a section.

    Args:
        whole: stages that read all of it, apart by blanks.
        some: stage → the keys that it reads, apart by blanks.
    """
    return Readers(
        dict.fromkeys(whole.split(), ALL) | {s: tuple(k.split()) for s, k in some.items()}
    )


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, sentences under fields are their docs."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    readers: ClassVar[Readers] = Readers({})
    """Which stages read which of its keys, where a model is a kind of layers."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Fields that are not there were left out of a stage's settings, see `views`."""
            if name in type(self).model_fields:
                raise LookupError(
                    f"{type(self).__name__}.{name} is not in the settings of this stage; a stage "
                    "that reads it says so in its row of settings.Sections"
                )
            return super().__getattr__(name)


class LayerSettings(Section):
    """What the kinds of layers have in common."""

    scenes: ClassVar[str] = ""
    """What the lock calls the kind of its scenes."""

    version: Literal[1] = 1
    pixel_m: Annotated[float, Field(gt=0)] | None = None
    """Side of the layer's pixels in metres, on the same footprints; the grid's own if absent. Patches,
    their steps and units must be whole numbers of them; grids in degrees have only their own."""

    @property
    def decibel(self) -> bool:
        """Whether the stack's values are decibel."""
        return False

    @property
    def apart(self) -> bool:
        """Whether scenes of two directions of flight never share an image."""
        return False

    @property
    def stack_classes(self) -> bool:
        """Whether a classification of the scene is kept beside the bands."""
        return False

    @property
    def stack_offsets(self) -> bool:
        """Whether the stack's numbers keep the offset of their product."""
        return False

    @property
    def stack_unit(self) -> str:
        """Unit of the stack's numbers, where the recipe says it; nothing otherwise."""
        return ""

    @property
    def stack_directions(self) -> frozenset[str]:
        """Directions of flight that may be in the stack; none where they do not matter."""
        return frozenset()

    @property
    def named(self) -> tuple[str, ...]:
        """Files that the plan reads for themselves, besides scenes."""
        return ()

    @property
    def shared(self) -> tuple[str, ...]:
        """Keys that a plan has once for all such layers; layers without any are of another sort."""
        return ()

    @property
    def lacking(self) -> list[str]:
        """What is to be named beside its scenes, a sentence each that begins with the key."""
        return []


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdecimal()):
        raise ValueError(f"{value} is no day; write it as 2022-01-31")
    return value


Day = Annotated[date, BeforeValidator(_no_number)]
"""A day of the calendar; a bare number (20220131) would be taken for seconds since 1970."""
