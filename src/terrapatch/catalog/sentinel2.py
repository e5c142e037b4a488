# SPDX-License-Identifier: Apache-2.0
"""What scenes of Sentinel-2 have in common, whichever product they come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import SceneError
from ..records import since_offset
from ..settings import PROBABILITIES, S2_BANDS
from .assets import Item, described, number
from .product import iso_utc
from .repeats import Repeat
from .scene import Numbers
from .statements import SILENT, Statement, statement

CODES = ("SCL", "EDG", "CLM", "MG2")
"""Bands that hold codes or bits."""

CODED = (*CODES, *PROBABILITIES)
"""Bands whose numbers are no reflectances: codes, and percent."""

USUAL = Statement("usually", nodata=0.0)
"""What holds of their numbers where nobody says anything."""

CALLED = re.compile(r"s(?:entinel)?2")
"""How names of the satellites and of collections begin, in lower case, without signs between."""

REPEAT = Repeat(cycle_days=10, clouds=True, news_days=30)
"""One Sentinel-2: 143 orbits in 10 days. Source: SentiWiki, S2 Mission, orbit."""

COMMON_NAMES = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1",
    "B06": "rededge2", "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09",
    "B10": "cirrus", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
"""Names of bands in catalogues (STAC, Earth Search)."""

_PROBABILITY_NAMES = {"CLDPRB": "cloud", "SNWPRB": "snow"}
"""Names of their assets in catalogues (Earth Search)."""

ALSO = {"B8A": "B08"}
"""Bands that are called by another one's common name: `nir` may be the narrow one."""

_WORDS = {name: band for band, name in COMMON_NAMES.items()} | {
    "coastalaerosol": "B01", "aerosol": "B01", "ultrablue": "B01", "narrownir": "B8A",
    "nirnarrow": "B8A", "nir2": "B8A", "watervapour": "B09", "watervapor": "B09", "swir1": "B11",
    "swir2": "B12", "scl": "SCL", "sceneclassification": "SCL",
}  # fmt: skip
_BAND = re.compile(r"(?<![A-Za-z0-9])(?:B|Band[ _-]?)0?(\d{1,2})(A?)(?![A-Za-z0-9])", re.IGNORECASE)
_URI = re.compile(r"_N(?P<major>\d\d)(?P<minor>\d\d)_R(?P<orbit>\d{3})_(?P<tile>T\d{2}[A-Z]{3})_")


def band_name(text: str) -> str | None:
    """The band that a description means (`B4`, `Band 4`, `B04_10m`, `red`), if any."""
    names = {
        f"B{number:0>2}" if not a else f"B{number}A" for number, a in _BAND.findall(text.upper())
    }
    if not names:
        return _WORDS.get(re.sub(r"[^a-z0-9]", "", text.lower()))
    return names.pop() if len(names) == 1 and names <= {*S2_BANDS} else None


def asset_names(band: str) -> list[str]:
    """How items may call the asset of a band; the first one there counts."""
    names = [band, f"{band}_{S2_BANDS.get(band, 20)}m", band.lower()]
    if band in PROBABILITIES:
        return [*names, _PROBABILITY_NAMES[band]]
    return [*names, COMMON_NAMES[band]] if band in COMMON_NAMES else names


def facts(item: Item) -> dict[str, Any]:
    """What an item says in words that only items of Sentinel-2 have: fields of a `Scene`.

    Raises:
        ValueError: a number or a date is none.
    """
    properties = item["properties"]
    uri = str(properties.get("s2:product_uri", item["id"]))
    level = "L1C" if "L1C" in uri or "l1c" in str(item.get("collection")) else "L2A"
    parts = _URI.search(uri)
    code = properties.get("grid:code") or properties.get("s2:mgrs_tile") or ""
    tile = code.removeprefix("MGRS-").removeprefix("T") or (parts["tile"][1:] if parts else "")
    take = properties.get("s2:datatake_id") or properties.get("eopf:datatake_id")
    made = properties.get("s2:generation_time")
    cloud = properties.get("eo:cloud_cover")
    found: dict[str, Any] = {
        "level": level,
        "processor": "esa",
        "tile": f"T{tile}" if tile else None,
        "processing_baseline": baseline(properties),
        "cloud_percent": None if cloud is None else round(float(cloud), 6),
        "datatake": "_".join(take.split("_")[:2]) if take else None,
        "generation": iso_utc(made) if made else "",
    }
    if parts and properties.get("sat:relative_orbit") is None:
        found["relative_orbit"] = int(parts["orbit"])
    return found


def baseline(properties: Mapping[str, Any]) -> str | None:
    """Processing baseline of an item, as whichever property has it states it."""
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if properties.get(key):
            return str(properties[key])
    for key in ("s2:product_uri", "sentinel:product_id"):
        if parts := _URI.search(str(properties.get(key, ""))):
            return f"{parts['major']}.{parts['minor']}"
    return None


def numbers(
    item: Item, asset: Mapping[str, Any], band: str, where: str
) -> tuple[Numbers, Numbers | None]:
    """What an item says of an asset's whole numbers, and what of floating-point ones (None: the same)."""
    said = described(asset)
    if band in CODED:
        usual = USUAL if band in CODES else SILENT
        return Numbers((Statement(f"{where} says", number(said, "nodata")),), usual), None
    whole = _told(item, asset, where, floating=False)
    # A scale of 1 is what software writes that knows none, but for reflectances themselves.
    one = said.get("scale") == 1
    return whole, _told(item, asset, where, floating=True) if one else None


def _told(item: Item, asset: Mapping[str, Any], where: str, *, floating: bool) -> Numbers:
    try:
        stated, usual = radiometry(item, asset, where, floating=floating)
    except SceneError as error:
        return Numbers(fault=str(error))
    return Numbers((stated,), usual)


def radiometry(
    item: Item, asset: Mapping[str, Any], where: str, *, floating: bool = False
) -> tuple[Statement, Statement]:
    """What an item says about the numbers of an asset of reflectances, and what usually holds.

    In this order: `earthsearch:boa_offset_applied: true` (v0: `sentinel:`) means that the pixels
    hold the offset already; `offset` and `scale` of the asset, see `assets.described`; the baseline:
    none before 04.00, −1000 since. The baseline is no statement: it gives way to the file's own tags.

    Args:
        item: the item.
        asset: its asset.
        where: the item's file.
        floating: whether the file's numbers are floating-point.

    Raises:
        SceneError: none of these is there, or two of them contradict each other.
    """
    properties = item["properties"]
    said = described(asset)
    keys = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    applied = next((properties[key] for key in keys if properties.get(key) is not None), None)
    version = baseline(properties)
    since = since_offset(version)
    stated = statement(
        f"{where} says", scale=number(said, "scale"), offset=number(said, "offset"),
        nodata=number(said, "nodata"), reflectance=True, floating=floating,
    )  # fmt: skip
    if applied is True:
        return replace(stated, add_offset=0.0), USUAL
    if stated.add_offset is not None:
        if applied is False and since and stated.add_offset == 0:
            raise SceneError(
                f"{where}: item {item['id']!r} contradicts itself: baseline {version}, "
                "boa_offset_applied false, yet offset 0; read the SAFE product instead"
            )
        return stated, USUAL
    if since is None:
        raise SceneError(
            f"{where}: metadata without offset node: item {item['id']!r} has neither "
            f"raster:bands offset nor s2:processing_baseline (it is {version or 'absent'}); "
            "describe the files under catalog.rasters with add_offset"
        )
    return stated, replace(USUAL, add_offset=-1_000.0 if since else 0.0)
