# SPDX-License-Identifier: Apache-2.0
"""What a stage sees of a recipe: sections with the keys that it reads, and with no others.

Laws:
1. What a stage is told is what it can depend on: its settings hold the keys that it reads, and
   touching another one is an error, not a default.
2. Who reads what stands in one row: at the section's field of `Sections`, or, for a kind of
   layers, at its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import Field, create_model

from .base import ALL, Readers, Section

M = TypeVar("M", bound=Section)

LAYERS = "layers"
"""The field whose rows stand at the kinds' models."""


@cache
def kinds_of(model: type[Section]) -> dict[str, type[Section]]:
    """The kinds of layers that a model with a field `layers` knows."""
    kind = model.model_fields[LAYERS].annotation if LAYERS in model.model_fields else None
    if get_origin(kind) is not dict:
        return {}
    union, *_ = get_args(get_args(kind)[1])
    return {each.model_fields["kind"].default: each for each in get_args(union)}


def readers_of(model: type[Section]) -> dict[str, tuple[Readers, ...]]:
    """The rows of each field: one; of the layers one a kind."""
    rows = {
        name: tuple(each for each in field.metadata if isinstance(each, Readers))
        for name, field in model.model_fields.items()
    }
    return {**rows, LAYERS: tuple(kind.readers for kind in kinds_of(model).values())}


def stages_of(model: type[Section]) -> set[str]:
    """All stages that read anything."""
    return {stage for rows in readers_of(model).values() for row in rows for stage in row.keys}


def narrowed(
    plain: Mapping[str, Any], model: type[Section], stage: str, layer: str | None = None
) -> dict[str, Any]:
    """The part of a recipe's plain form that a stage reads; of its layers one alone, if named."""
    found: dict[str, Any] = {}
    kinds = kinds_of(model)
    for name, rows in readers_of(model).items():
        if not any(stage in row.keys for row in rows):
            continue
        if name != LAYERS:
            found[name] = _part(plain[name], rows[0].keys[stage])
            continue
        found[name] = {
            each: _part(value, keys[stage])
            for each, value in plain[name].items()
            if layer in (None, each) and stage in (keys := kinds[value["kind"]].readers.keys)
        }
    return found


def _part(value: Any, keys: tuple[str, ...]) -> Any:
    return value if keys == ALL else {key: value[key] for key in keys}


def seen(model: type[M], plain: Mapping[str, Any]) -> M:
    """A section that has the keys of its plain form and no others: touching one raises.

    Rules between keys are not looked at: the recipe has been through them, whole.

    Raises:
        ValidationError: a key is unknown, or a value of another type.
    """
    checked = _holder(model, frozenset(plain)).model_validate(plain)
    values = {name: _value(model, name, getattr(checked, name)) for name in plain}
    found = model.model_construct(set(values), **values)
    for name in set(vars(found)) - set(values):
        del vars(found)[name]
    return found


def _value(model: type[Section], name: str, checked: Any) -> Any:
    kind = section_of(model, name)
    if kind is not None:
        return seen(kind, checked)
    if name == LAYERS and (kinds := kinds_of(model)):
        return {layer: seen(kinds[value["kind"]], value) for layer, value in checked.items()}
    return checked


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
        if name == LAYERS and kinds_of(model):
            kind = dict[str, dict[str, Any]]
        rules = [each for each in field.metadata if not isinstance(each, Readers)]
        fields[name] = (Annotated[kind, Field(), *rules], ...)
    return create_model(model.__name__, __base__=Section, **fields)
