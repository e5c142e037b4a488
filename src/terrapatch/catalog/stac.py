# SPDX-License-Identifier: Apache-2.0
"""STAC items of public catalogues whose files lie on this machine.

Earth Search (v0, v1, C1), Planetary Computer and CDSE describe the same products with different
asset keys and properties; one table of names serves them all. An asset whose address is remote
is looked for beside the item under the same file name.

Law: the radiometric offset is what the item says about its own pixels; see `radiometry`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import shapely
from shapely.geometry.base import BaseGeometry

from ..access import Access, bytes_of, first_bytes, portable
from ..errors import SceneError, remedy
from ..grid import split_at_antimeridian
from ..records import Exclusion, since_offset
from ..settings import S2_BANDS
from .bandnames import COMMON_NAMES
from .product import SENTINEL_LICENCE, iso_utc, platform_name
from .scene import BandFile, Numbers, Scene, Transform
from .statements import Statement, statement
from .traits import POLARISATIONS, TRAITS

_LARGEST = 16 << 20
"""Bytes; of a larger JSON file the beginning tells whether it holds items, or data."""
_HEAD = 1 << 18
_STAC = b'"stac_version"'

_URI = re.compile(r"_N(?P<major>\d\d)(?P<minor>\d\d)_R(?P<orbit>\d{3})_(?P<tile>T\d{2}[A-Z]{3})_")
_SHA256 = "1220"
"""How a multihash begins that is a SHA-256."""
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_SLICE = re.compile(r"S1[A-Z]_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}_\d{8}T\d{6}")

Item = Mapping[str, Any]


def read_items(path: Path) -> tuple[list[Scene], list[Exclusion]]:
    """Scenes of a JSON file: an item, an item collection, or a list of them; else none.

    Returns:
        The scenes, and what looks like an item and is of no sensor that is read.

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
                others.setdefault(f"of {_sensor_name(feature)}", []).append(str(feature.get("id")))
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
    """The scene of an item, or None if it is of no sensor that terrapatch reads.

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
    sensor = _sensor(item)
    if sensor is None:
        return None
    try:
        geometry = _geometry(item)
        started = iso_utc(properties.get("start_datetime") or properties["datetime"])
        common: dict[str, Any] = {
            "id": str(item["id"]), "sensor": sensor, "datetime": started, "footprint": geometry,
            "bands": _bands(item, path, sensor), "family": "stac", "where": str(path),
            "offers": tuple(sorted(item.get("assets") or {})),
            "platform": platform_name(str(properties.get("platform") or "")) or None,
            "relative_orbit": properties.get("sat:relative_orbit"),
            "orbit_direction": properties.get("sat:orbit_state"),
            "licence": _licence(properties), "named": _local_assets(item, path),
        }  # fmt: skip
        return Scene(**(common | _FACTS[sensor](item)))
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


def _sensor_name(item: Item) -> str:
    return next(iter(_names(item)), "an unknown sensor")


def _sensor(item: Item) -> Literal["sentinel2", "sentinel1"] | None:
    for name in _names(item):
        plain = re.sub(r"[-_ ]", "", name.lower())
        match = re.match(r"s(?:entinel)?([12])", plain)
        if match:
            return "sentinel2" if match[1] == "2" else "sentinel1"
    return None


def _geometry(item: Item) -> BaseGeometry:
    return split_at_antimeridian(shapely.from_geojson(json.dumps(item["geometry"])))


def _licence(properties: Mapping[str, Any]) -> str:
    text = properties.get("license")
    return text if text not in (None, "proprietary", "various", "other") else SENTINEL_LICENCE


def _sentinel2(item: Item) -> dict[str, Any]:
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


def _sentinel1(item: Item) -> dict[str, Any]:
    collection = str(item.get("collection", "")).lower()
    raw = collection.endswith(("grd", "slc")) and "rtc" not in str(item["id"]).lower()
    take = _SLICE.search(str(item["id"]))
    return {
        "level": "GRD" if raw else "RTC",
        "datatake": take[0] if take else None,
        "generation": str(item["properties"].get("updated", "")),
        "polarisations": tuple(p for p in POLARISATIONS if p in _keys_upper(item)),
        "unusable": "in radar geometry: geocoded backscatter is needed" if raw else None,
    }


_FACTS = {"sentinel2": _sentinel2, "sentinel1": _sentinel1}
"""What items say in the words of a sensor."""


def _keys_upper(item: Item) -> set[str]:
    return {str(key).upper() for key in item.get("assets") or {}}


def baseline(properties: Mapping[str, Any]) -> str | None:
    """Processing baseline of a Sentinel-2 item, as whichever property has it states it."""
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if properties.get(key):
            return str(properties[key])
    for key in ("s2:product_uri", "sentinel:product_id"):
        if parts := _URI.search(str(properties.get(key, ""))):
            return f"{parts['major']}.{parts['minor']}"
    return None


def _described(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What an asset says about its first band, in the plain words of STAC 1.1.

    `raster:bands` (STAC 1.0) goes before `bands` (1.1), both before the asset itself;
    `raster:scale` and `raster:offset` are the same as `scale` and `offset`.
    """
    found: dict[str, Any] = {}
    for part in (asset, *(asset.get("bands") or [])[:1], *(asset.get("raster:bands") or [])[:1]):
        for key in ("scale", "offset", "nodata", "unit", "data_type"):
            for name in (f"raster:{key}", key):
                if part.get(name) is not None:
                    found[key] = part[name]
    return found


def radiometry(
    item: Item, asset: Mapping[str, Any], where: str, *, floating: bool = False
) -> tuple[Statement, Statement]:
    """What an item says about the numbers of a Sentinel-2 asset, and what usually holds.

    In this order: `earthsearch:boa_offset_applied: true` (v0: `sentinel:`) means that the pixels
    hold the offset already; `offset` and `scale` of the asset, see `_described`; the baseline: none
    before 04.00, −1000 since. The baseline is no statement: it gives way to the file's own tags.

    Args:
        item: the item.
        asset: its asset.
        where: the item's file.
        floating: whether the file's numbers are floating-point.

    Raises:
        SceneError: none of these is there, or two of them contradict each other.
    """
    properties = item["properties"]
    described = _described(asset)
    keys = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    applied = next((properties[key] for key in keys if properties.get(key) is not None), None)
    version = baseline(properties)
    since = since_offset(version)
    who = f"{where} says"
    stated = statement(
        who, scale=_number(described, "scale"), offset=_number(described, "offset"),
        nodata=_number(described, "nodata"), reflectance=True, floating=floating,
    )  # fmt: skip
    if applied is True:
        return replace(stated, add_offset=0.0), _USUAL
    if stated.add_offset is not None:
        if applied is False and since and stated.add_offset == 0:
            raise SceneError(
                f"{where}: item {item['id']!r} contradicts itself: baseline {version}, "
                "boa_offset_applied false, yet offset 0; read the SAFE product instead"
            )
        return stated, _USUAL
    if since is None:
        raise SceneError(
            f"{where}: metadata without offset node: item {item['id']!r} has neither "
            f"raster:bands offset nor s2:processing_baseline (it is {version or 'absent'}); "
            "describe the files under catalog.rasters with add_offset"
        )
    return stated, replace(_USUAL, add_offset=-1_000.0 if since else 0.0)


_USUAL = TRAITS["sentinel2"].usual


def _number(described: Mapping[str, Any], key: str) -> float | None:
    """A number of an item; `nan` may stand as text."""
    return float(described[key]) if key in described else None


def _bands(
    item: Item, path: Path, sensor: Literal["sentinel2", "sentinel1"]
) -> dict[str, BandFile]:
    """Files of all bands that the item has: those that lie here, and addresses elsewhere."""
    assets: Mapping[str, Any] = item.get("assets") or {}
    found = {}
    for band in TRAITS[sensor].bands:
        key = _key(assets, band, path)
        if key is not None:
            asset, file = assets[key], _band_file(item, assets[key], path)
            if TRAITS[sensor].power:
                found[band] = replace(file, numbers=_backscatter(asset, str(path)))
            elif band == "SCL":
                found[band] = replace(file, numbers=_classes(asset, str(path)))
            else:
                whole, floating = _reflectance(item, asset, str(path))
                found[band] = replace(file, numbers=whole, floating=floating)
    return found


def _band_file(item: Item, asset: Mapping[str, Any], path: Path) -> BandFile:
    """Where an asset lies, and where its pixels do (STAC's extensions `proj` and `file`)."""
    stated = item["properties"] | asset
    code = stated.get("proj:code") or stated.get("proj:epsg")
    crs = f"EPSG:{code}" if isinstance(code, int) else code
    file = local_file(asset["href"], path)
    dtype, size = _described(asset).get("data_type"), asset.get("file:size")
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


def _reflectance(
    item: Item, asset: Mapping[str, Any], where: str
) -> tuple[Numbers, Numbers | None]:
    """What an item says of whole numbers, and what of floating-point ones (None: the same)."""
    whole = _told(item, asset, where, floating=False)
    # A scale of 1 is what software writes that knows none, but for reflectances themselves.
    one = _described(asset).get("scale") == 1
    return whole, _told(item, asset, where, floating=True) if one else None


def _told(item: Item, asset: Mapping[str, Any], where: str, *, floating: bool) -> Numbers:
    try:
        stated, usual = radiometry(item, asset, where, floating=floating)
    except SceneError as error:
        return Numbers(fault=str(error))
    return Numbers((stated,), usual)


def _classes(asset: Mapping[str, Any], where: str) -> Numbers:
    said = Statement(f"{where} says", _number(_described(asset), "nodata"))
    return Numbers((said,), _USUAL)


def _backscatter(asset: Mapping[str, Any], where: str) -> Numbers:
    described = _described(asset)
    unit = str(described.get("unit", "")).lower()
    stated = statement(
        f"{where} says", scale=_number(described, "scale"), offset=_number(described, "offset"),
        nodata=_number(described, "nodata"), unit="db" if unit == "db" else None,
    )  # fmt: skip
    return Numbers((stated,), TRAITS["sentinel1"].usual)


def _key(assets: Mapping[str, Any], band: str, path: Path) -> str | None:
    """The asset of a band; of several (COG and JP2) the first one with a file here."""
    native = 20 if band == "SCL" else S2_BANDS.get(band)
    names = [band, f"{band}_{native}m", band.lower()]
    if band in COMMON_NAMES:
        names.append(COMMON_NAMES[band])
    names += [f"{name}-jp2" for name in names]
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
