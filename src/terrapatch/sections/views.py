# SPDX-License-Identifier: Apache-2.0
"""Which stage reads which keys of a recipe, and sections with those keys alone.

Laws:
1. What a stage is told is what it can depend on: its settings hold the keys that it reads, and
   touching another one is an error, not a default.
2. Who reads what stands in one row a section, beside the section's model (`Sections`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import Field, create_model

from .base import Section

ALL = ("*",)
"""Every key of a section."""

M = TypeVar("M", bound=Section)


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


def view_of(model: type[Section], stage: str) -> dict[str, tuple[str, ...]]:
    """Sections that a stage reads, in their order, with the keys of each."""
    readers = {
        name: each.keys
        for name, field in model.model_fields.items()
        for each in field.metadata
        if isinstance(each, Readers)
    }
    return {name: keys[stage] for name, keys in readers.items() if stage in keys}


def stages_of(model: type[Section]) -> set[str]:
    """All stages that read anything."""
    fields = model.model_fields.values()
    rows = [each for field in fields for each in field.metadata if isinstance(each, Readers)]
    return {stage for row in rows for stage in row.keys}


def narrowed(plain: Mapping[str, Any], model: type[Section], stage: str) -> dict[str, Any]:
    """The part of a recipe's plain form that a stage reads."""
    found: dict[str, Any] = {}
    for name, keys in view_of(model, stage).items():
        value = plain[name]
        found[name] = value if keys == ALL else {key: value[key] for key in keys}
    return found


def seen(model: type[M], plain: Mapping[str, Any]) -> M:
    """A section that has the keys of its plain form and no others: touching one raises.

    Rules between keys are not looked at: the recipe has been through them, whole.

    Raises:
        ValidationError: a key is unknown, or a value of another type.
    """
    checked = _holder(model, frozenset(plain)).model_validate(plain)
    values = {
        name: seen(kind, value) if (kind := section_of(model, name)) else getattr(checked, name)
        for name, value in plain.items()
    }
    found = model.model_construct(set(values), **values)
    for name in set(vars(found)) - set(values):
        del vars(found)[name]
    return found


def section_of(model: type[Section], name: str) -> type[Section] | None:
    """The model of a field that holds a section; None for a value."""
    kind = model.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


@cache
def _holder(model: type[Section], names: frozenset[str]) -> type[Section]:
    """A model with some of another's fields, and none of its rules between them."""
    fields: dict[str, Any] = {}
    for name in sorted(names & model.model_fields.keys()):
        field = model.model_fields[name]
        kind = dict[str, Any] if section_of(model, name) else field.annotation
        rules = [each for each in field.metadata if not isinstance(each, Readers)]
        fields[name] = (Annotated[kind, Field(), *rules], ...)
    return create_model(model.__name__, __base__=Section, **fields)
