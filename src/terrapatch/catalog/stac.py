# SPDX-License-Identifier: Apache-2.0
"""STAC items of public catalogues whose files lie on this machine.

Earth Search (v0, v1, C1), Planetary Computer and CDSE describe the same products with different
asset keys and properties; one table of names serves them all. An asset whose address is remote
is looked for beside the item under the same file name.

Law: what the pixels mean is what the item says about them, in the words of its kind; see `traits`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import shapely
from shapely.geometry.base import BaseGeometry

from ..access import Access, bytes_of, first_bytes, portable
from ..errors import SceneError, remedy
from ..grid import split_at_antimeridian
from ..records import Exclusion
from .assets import Item, described
from .product import SENTINEL_LICENCE, iso_utc, platform_name
from .scene import BandFile, Scene, Transform
from .traits import TRAITS, Catalogued

_LARGEST = 16 << 20
"""Bytes; of a larger JSON file the beginning tells whether it holds items, or data."""
_HEAD = 1 << 18
_STAC = b'"stac_version"'

_SHA256 = "1220"
"""How a multihash begins that is a SHA-256."""
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def read_items(path: Path) -> tuple[list[Scene], list[Exclusion]]:
    """Scenes of a JSON file: an item, an item collection, or a list of them; else none.

    Returns:
        The scenes, and what looks like an item and is of no kind that is read.

    Raises:
        SceneError: the file says that it holds items, and they are cut off or broken.
    """
    try:
        if path.stat().st_size > _LARGEST and not _speaks_stac(path):
            return [], []
        text = bytes_of(path)
        data = json.loads(text)
        features = list(_features(data))
    except OSError as error:
        advice = remedy(path, error, "see to its folder")
        reason = f"cannot be read ({error.strerror}): {advice}"
        return [], [Exclusion(id=portable(path), sensor="other", reason=reason)]
    except (ValueError, RecursionError) as error:
        if _STAC not in text:
            return [], []  # JSON of another kind lies in many folders
        raise SceneError(f"{path}: broken STAC item(s) ({error}); fetch the items again") from error
    scenes = []
    others: dict[str, list[str]] = {}
    for feature in features:
        if "stac_version" in feature:
            scene = item_scene(feature, path)
            if scene is None:
                others.setdefault(f"of {_called(feature)}", []).append(str(feature.get("id")))
            else:
                scenes.append(scene)
        elif isinstance(feature.get("assets"), dict) and feature["assets"]:
            others.setdefault("without stac_version", []).append(str(feature.get("id")))
    return scenes, [
        Exclusion(
            id=portable(path), sensor="other",
            reason=f"{len(ids)} item(s) {what}, not read: for example {ids[0]}",
        )
        for what, ids in others.items()
    ]  # fmt: skip


def _speaks_stac(path: Path) -> bool:
    return _STAC in first_bytes(path, _HEAD)


def _features(data: Any) -> Iterator[Item]:
    if isinstance(data, list):
        for part in data:
            yield from _features(part)
    elif isinstance(data, dict):
        if isinstance(data.get("features"), list):
            yield from _features(data["features"])
        elif data.get("type") == "Feature":
            yield data


def item_scene(item: Item, path: Path) -> Scene | None:
    """The scene of an item, or None if it is of no kind that terrapatch reads.

    Args:
        item: a STAC item as plain JSON.
        path: the file that it stands in; relative addresses start from its folder.

    Raises:
        SceneError: the item lacks properties, geometry or time, or they are broken.
    """
    properties = item.get("properties")
    if not isinstance(properties, dict):
        raise SceneError(f"{path}: item {item.get('id')!r} has no properties; fetch the item again")
    if not isinstance(item.get("assets") or {}, dict):
        raise SceneError(
            f"{path}: the assets of item {item.get('id')!r} are no table; fetch the item again"
        )
    kind, words = _kind(item)
    if kind is None or words is None:
        return None
    try:
        geometry = _geometry(item)
        started = iso_utc(properties.get("start_datetime") or properties["datetime"])
        common: dict[str, Any] = {
            "id": str(item["id"]), "sensor": kind, "datetime": started, "footprint": geometry,
            "bands": _bands(item, path, kind, words), "family": "stac", "where": str(path),
            "offers": tuple(sorted(item.get("assets") or {})),
            "platform": platform_name(str(properties.get("platform") or "")) or None,
            "relative_orbit": properties.get("sat:relative_orbit"),
            "orbit_direction": properties.get("sat:orbit_state"),
            "licence": _licence(properties), "named": _local_assets(item, path),
        }  # fmt: skip
        return Scene(**(common | words.facts(item)))
    except (
        AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError,
    ) as error:  # fmt: skip
        raise SceneError(
            f"{path}: item {item.get('id')!r} lacks geometry or time, or they are broken "
            f"({error!r}); fetch the item again"
        ) from error


def _names(item: Item) -> list[str]:
    properties = item["properties"]
    names = [properties.get("constellation"), properties.get("platform"), item.get("collection")]
    return [str(name) for name in names if name]


def _called(item: Item) -> str:
    return next(iter(_names(item)), "an unknown sensor")


def _kind(item: Item) -> tuple[str, Catalogued] | tuple[None, None]:
    """What an item is of, and how items of that kind speak."""
    for name in _names(item):
        plain = re.sub(r"[-_ ]", "", name.lower())
        for kind, traits in TRAITS.items():
            if traits.items is not None and traits.items.called.match(plain):
                return kind, traits.items
    return None, None


def _geometry(item: Item) -> BaseGeometry:
    return split_at_antimeridian(shapely.from_geojson(json.dumps(item["geometry"])))


def _licence(properties: Mapping[str, Any]) -> str:
    text = properties.get("license")
    return text if text not in (None, "proprietary", "various", "other") else SENTINEL_LICENCE


def _bands(item: Item, path: Path, kind: str, words: Catalogued) -> dict[str, BandFile]:
    """Files of all bands that the item has: those that lie here, and addresses elsewhere."""
    assets: Mapping[str, Any] = item.get("assets") or {}
    found = {}
    for band in TRAITS[kind].bands:
        key = _key(assets, words.asset_names(band), path)
        if key is not None:
            whole, floating = words.numbers(item, assets[key], band, str(path))
            file = _band_file(item, assets[key], path)
            found[band] = replace(file, numbers=whole, floating=floating)
    return found


def _band_file(item: Item, asset: Mapping[str, Any], path: Path) -> BandFile:
    """Where an asset lies, and where its pixels do (STAC's extensions `proj` and `file`)."""
    stated = item["properties"] | asset
    code = stated.get("proj:code") or stated.get("proj:epsg")
    crs = f"EPSG:{code}" if isinstance(code, int) else code
    file = local_file(asset["href"], path)
    dtype, size = described(asset).get("data_type"), asset.get("file:size")
    checksum = str(asset.get("file:checksum", ""))
    place, shape = _place(stated)
    return BandFile(
        Access(asset["href"] if file is None else str(file)),
        crs=crs,
        transform=place,
        shape=shape,
        dtype=dtype if dtype in _TYPES else None,
        size=size if isinstance(size, int) else None,
        sha256=checksum.removeprefix(_SHA256) if checksum.startswith(_SHA256) else None,
    )


def _place(
    stated: Mapping[str, Any],
) -> tuple[Transform, tuple[int, int]] | tuple[None, None]:
    """Transform and shape of an asset's pixels; None where the item does not state both."""
    try:
        a, b, c, d, e, f = map(float, stated["proj:transform"][:6])
        height, width = map(int, stated["proj:shape"])
    except (KeyError, TypeError, ValueError):
        return None, None
    return (a, b, c, d, e, f), (height, width)


def _key(assets: Mapping[str, Any], names: Sequence[str], path: Path) -> str | None:
    """The asset of a band; of several (COG and JP2) the first one with a file here."""
    names = [*names, *(f"{name}-jp2" for name in names)]
    known = [n for n in names if isinstance((assets.get(n) or {}).get("href"), str)]
    for name in known:
        file = local_file(assets[name]["href"], path)
        if file is not None and file.is_file():
            return name
    return known[0] if known else None


def _local_assets(item: Item, path: Path) -> tuple[str, ...]:
    assets = (item.get("assets") or {}).values()
    hrefs = (asset.get("href") for asset in assets if isinstance(asset, dict))
    files = (local_file(href, path) for href in hrefs if isinstance(href, str))
    return tuple(os.path.abspath(file) for file in files if file is not None)


def local_file(href: str, path: Path) -> Path | None:
    """Where an address lies on this machine; None if it is remote and not beside the item.

    Addresses may be percent-escaped or not, and names on disk as well: the first form that exists.
    """
    url = urlparse(href)
    if url.scheme in ("", "file"):
        names = [href, unquote(href), unquote(url.path)] if not url.scheme else [unquote(url.path)]
        files = [path.parent / name for name in names]
        return next((file for file in files if _is_file(file)), files[-1])
    last, plain = (text.rpartition("/")[2] for text in (href, url.path))
    names = [plain, unquote(plain), unquote(url.path).rpartition("/")[2], last, unquote(last)]
    found = (path.parent / name for name in names if name)
    return next((file for file in found if _is_file(file)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # a name that is too long, or may not be looked at
