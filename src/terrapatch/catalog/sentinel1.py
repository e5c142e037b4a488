# SPDX-License-Identifier: Apache-2.0
"""What scenes of Sentinel-1 have in common, whichever product they come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from .assets import Item, described, number
from .repeats import Mission, Repeat
from .scene import Numbers
from .statements import Statement, statement

POLARISATIONS = ("VV", "VH", "HH", "HV")

USUAL = Statement("usually", unit="linear")
"""What holds of their numbers where nobody says anything."""

CALLED = re.compile(r"s(?:entinel)?1")
"""How names of the satellites and of collections begin, in lower case, without signs between."""

REPEAT = Repeat(
    cycle_days=12,
    missions=(
        Mission("Sentinel-1A", date(2014, 10, 3), date(2026, 6, 29)),
        Mission("Sentinel-1B", date(2016, 9, 26), date(2021, 12, 23)),
        Mission("Sentinel-1C", date(2025, 3, 26)),
        Mission("Sentinel-1D", date(2026, 4, 14)),
    ),
)
"""175 orbits in 12 days; first day of open data and last day of data.

Source: SentiWiki, S1 Mission, orbit. 1A and 1B: ESA, opening of the data access on 3 October 2014
(SentiWiki, S1 production scenario) and on 26 September 2016; 1B's end: ESA, Mission ends for
Copernicus Sentinel-1B satellite, 3 August 2022 (power anomaly of 23 December 2021). 1C, 1D and 1A's
end: Copernicus Data Space news of 25 March 2025, 2 April 2026 and 28 May 2026 (orbital
reconfiguration)."""

_POLARISATION = re.compile(r"(?<![A-Za-z0-9])(VV|VH|HH|HV)(?![A-Za-z0-9])", re.IGNORECASE)
_SLICE = re.compile(r"S1[A-Z]_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}_\d{8}T\d{6}")


def band_name(text: str) -> str | None:
    """The polarisation that a description means (`Sigma0_VV_db`), if it is one."""
    found = {match.upper() for match in _POLARISATION.findall(text)}
    return found.pop() if len(found) == 1 else None


def asset_names(band: str) -> list[str]:
    """How items may call the asset of a band; the first one there counts."""
    return [band, band.lower()]


def facts(item: Item) -> dict[str, Any]:
    """What an item says in words that only items of Sentinel-1 have: fields of a `Scene`."""
    collection = str(item.get("collection", "")).lower()
    raw = collection.endswith(("grd", "slc")) and "rtc" not in str(item["id"]).lower()
    take = _SLICE.search(str(item["id"]))
    keys = {str(key).upper() for key in item.get("assets") or {}}
    return {
        "level": "GRD" if raw else "RTC",
        "datatake": take[0] if take else None,
        "generation": str(item["properties"].get("updated", "")),
        "polarisations": tuple(p for p in POLARISATIONS if p in keys),
        "unusable": "in radar geometry: geocoded backscatter is needed" if raw else None,
    }


def numbers(
    _item: Item, asset: Mapping[str, Any], _band: str, where: str
) -> tuple[Numbers, Numbers | None]:
    """What an item says of an asset's numbers, whatever their type (None: no others)."""
    said = described(asset)
    unit = str(said.get("unit", "")).lower()
    stated = statement(
        f"{where} says", scale=number(said, "scale"), offset=number(said, "offset"),
        nodata=number(said, "nodata"), unit="db" if unit == "db" else None,
    )  # fmt: skip
    return Numbers((stated,), USUAL), None
