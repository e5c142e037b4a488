# SPDX-License-Identifier: Apache-2.0
"""Which band of a reference map holds the codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import RecipeError
from ..rasters import Header


def map_band(path: str, header: Header, wanted: int | str | None, *, setting: str = "band") -> int:
    """Number of the band that is meant, from 1.

    Args:
        path: the map, for messages.
        header: its header.
        wanted: number, or what the file calls the band; None: the only one (alpha does not count).
        setting: where the recipe says it, for messages.

    Raises:
        RecipeError: several could be meant, or there is no such band.
    """
    numbers = [
        number
        for number, kind in enumerate(header.interpretations, start=1)
        if kind != "alpha" or header.count == 1
    ]
    texts = {number: (header.descriptions[number - 1] or "").strip() for number in numbers}
    listed = ", ".join(f"{n} {text!r}" if text else str(n) for n, text in texts.items())
    if wanted is None:
        if len(numbers) == 1:
            return numbers[0]
        raise RecipeError(
            f"{path}: the map has {len(numbers)} bands ({listed}); say which one holds the codes, "
            f"by its number or description, under {setting}"
        )
    text = str(wanted).strip()
    if isinstance(wanted, str):
        found = [n for n in numbers if texts[n] == text]
        found = found or [n for n in numbers if texts[n].casefold() == text.casefold()]
        if len(found) == 1:
            return found[0]
        if len(numbers) == 1 and not texts[numbers[0]]:
            return numbers[0]  # the only band, without a name of its own
    if text.isdigit() and int(text) in numbers:
        return int(text)
    raise RecipeError(f"{path}: the map has no band {wanted!r} ({setting}); its bands are {listed}")


def named_band(bands: Sequence[str] | Mapping[str, int | str], setting: str) -> int | str | None:
    """The band that an entry of `catalog.rasters` names for a map.

    Raises:
        RecipeError: it names several.
    """
    names = list(bands.values()) if isinstance(bands, Mapping) else list(bands)
    if len(names) > 1:
        raise RecipeError(
            f"{setting}: a map has one band of codes; name one of {', '.join(map(str, names))}, and "
            "give each further date an entry of its own"
        )
    return names[0] if names else None
