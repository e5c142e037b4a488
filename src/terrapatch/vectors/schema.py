# SPDX-License-Identifier: Apache-2.0
"""What products call their layers and attributes, edition by edition.

The table `data/vectors/schemas.csv` has a row for each layer, attribute and mark of a product.
Names are compared without case. A new edition is a new row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ..errors import LegendError, RecipeError, SceneError
from ..legend import table_rows

ANY = "*"
"""Layer name that stands for whatever layer a file has."""


@dataclass(frozen=True)
class Schema:
    """Names of one product in the editions of some years."""

    product: str
    layers: tuple[str, ...]
    """Names that the layer has had; `*` where every file has a name of its own."""
    codes: tuple[str, ...]
    """Attributes that hold class codes, in the order in which they are asked."""
    names: Mapping[str, tuple[str, ...]]
    """Attribute → names that it has had; others go by their own name."""
    mistaken: Mapping[str, tuple[str, ...]]
    """What the file is if it has one of these attributes instead of the product's own."""
    foreign: Mapping[str, tuple[str, ...]]
    """What the file is if it has one of these attributes, even beside all of the product's own."""
    yearly: int | None = None
    """Year whose state the file shows, of products that are another map each year."""

    def spellings(self, wanted: str, fields: Sequence[str]) -> list[str]:
        """How a file spells an attribute; several where it is not clear which one is meant.

        The exact name goes before names in other letters, the name that is asked for before the
        others that the product has had.
        """
        if wanted in fields:
            return [wanted]
        alike = [name for name in fields if name.casefold() == wanted.casefold()]
        if alike:
            return alike
        others = {name.casefold() for name in self.names.get(wanted, ())}
        return [name for name in fields if name.casefold() in others]

    def fields(self, wanted: Sequence[str], fields: Sequence[str], where: str) -> dict[str, str]:
        """How a layer spells the attributes that are wanted of it.

        Args:
            wanted: attributes as the schema, the crosswalk or the recipe names them.
            fields: attributes of the layer.
            where: file and layer, for messages.

        Raises:
            LegendError: the layer is of another product under the same name.
            SceneError: an attribute is missing, or several could be meant.
        """
        found = {name: self.spellings(name, fields) for name in wanted}
        missing = [name for name, spelled in found.items() if not spelled]
        have = {name.casefold() for name in fields}
        for kind, marks in self.foreign.items():
            seen = [mark for mark in marks if mark.casefold() in have]
            if seen:
                raise LegendError(
                    f"{where}: this is {kind}, not {self.product}: it has the attribute(s) "
                    f"{', '.join(seen)}. The two share names, and their values differ: give that "
                    "product, or rules of your own with product: custom"
                )
        if missing:
            for kind, marks in self.mistaken.items():
                seen = [mark for mark in marks if mark.casefold() in have]
                if seen:
                    raise LegendError(
                        f"{where}: this is {kind}, not {self.product}: it has the attribute(s) "
                        f"{', '.join(seen)} and lacks {', '.join(missing)}. The two share names and "
                        "little else: give the other product, or its own crosswalk (or rules) with "
                        "product: custom and fields"
                    )
            known = "".join(
                f". {self.product} is known with {' or '.join(self.names[name])}"
                for name in missing
                if name in self.names
            )
            raise SceneError(
                f"{where}: no attribute {', '.join(missing)}; it has {', '.join(fields) or 'none'}"
                ". Name the right ones under `fields`, or another layer under `layer`"
                f"{known}"
            )
        unclear = {name: spelled for name, spelled in found.items() if len(spelled) > 1}
        if unclear:
            listed = "; ".join(f"{name}: {', '.join(names)}" for name, names in unclear.items())
            raise SceneError(
                f"{where}: several attributes could be meant ({listed}). Name the right one "
                "exactly as it is spelled, under `fields` (networks: in the rules)"
            )
        return {name: spelled[0] for name, spelled in found.items()}


def schemas() -> list[str]:
    """Names of the products that the packaged table knows."""
    return sorted({row["product"] for row in table_rows("vectors", "schemas")})


def edition_of(product: str, year: int | None = None) -> tuple[str, int | None]:
    """Product and year of an entry: `rpg_2020` is the product `rpg` of 2020.

    Raises:
        RecipeError: product and year name two editions.
    """
    named = re.fullmatch(r"(\w+)_(\d{4})", product)
    if named is None or named[1] not in schemas():
        return product, year
    if year not in (None, int(named[2])):
        raise RecipeError(f"vector product {product!r} and year {year} contradict each other")
    return named[1], int(named[2])


@cache
def schema_of(product: str, year: int | None = None) -> Schema:
    """Names of a product.

    Args:
        product: name in the packaged table, alone or with a year (`rpg_2020`), or `custom` (no names
            of its own).
        year: year of the edition; absent: the latest.

    Raises:
        RecipeError: no such product, or no edition of that year.
    """
    product, year = edition_of(product, year)
    rows = [row for row in table_rows("vectors", "schemas") if row["product"] == product]
    if product == "custom":
        return Schema("custom", (ANY,), (), {}, {}, {})
    if not rows:
        raise RecipeError(
            f"no vector product {product!r}; known are {', '.join(schemas())}; or give "
            "product: custom with layer and fields"
        )
    last = max(int(row["last_year"] or 9999) for row in rows)
    at = last if year is None else year
    fitting = [r for r in rows if int(r["first_year"] or 0) <= at <= int(r["last_year"] or 9999)]
    if not any(row["role"] == "layer" for row in fitting):
        raise RecipeError(
            f"vector product {product!r}: no edition of {year} is known, but {_editions(rows)}. Leave "
            "out year, or give product: custom with layer and fields"
        )

    def named(role: str) -> dict[str, tuple[str, ...]]:
        return {r["name"]: tuple(r["variants"].split("|")) for r in fitting if r["role"] == role}

    codes = named("code")
    return Schema(
        product,
        tuple(name for variants in named("layer").values() for name in variants),
        tuple(codes),
        codes | named("attribute"),
        named("mistaken"),
        named("foreign"),
        year if named("yearly") else None,
    )


def _editions(rows: Sequence[Mapping[str, str]]) -> str:
    """What editions of a product call their code attributes, in words."""
    kinds = {row["role"] for row in rows}
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["role"] == ("code" if "code" in kinds else "attribute"):
            found.setdefault((row["first_year"], row["last_year"]), []).append(
                row["variants"].replace("|", " or ")
            )
    return "; ".join(
        f"{first and f'from {first} '}{last and f'to {last} '}with {', '.join(names)}"
        for (first, last), names in found.items()
    )
