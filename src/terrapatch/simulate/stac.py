# SPDX-License-Identifier: Apache-2.0
"""A static STAC catalogue of the archive, its items in the form of public APIs.

Laws:
1. Everything is relative: the folder can be moved.
2. No item says when it was made: the same archive gives the same bytes.

Source: STAC 1.0.0; field names as in the Planetary Computer's sentinel-2-l2a and sentinel-1-rtc.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_json
from .facts import rows
from .grd_metadata import RawProduct
from .safe_metadata import CONTENT, Content, Product
from .sentinel1 import POLARISATIONS, GeocodedPass
from .sentinel2 import RESOLUTIONS
from .sky import earth_sun_correction

if TYPE_CHECKING:
    from datetime import datetime

    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from .schedule import Pass1

_EXTENSIONS = "https://stac-extensions.github.io"
PROJECTION = f"{_EXTENSIONS}/projection/v1.1.0/schema.json"
EO = f"{_EXTENSIONS}/eo/v1.0.0/schema.json"
SAT = f"{_EXTENSIONS}/sat/v1.0.0/schema.json"
SAR = f"{_EXTENSIONS}/sar/v1.0.0/schema.json"
RASTER = f"{_EXTENSIONS}/raster/v1.1.0/schema.json"

SIMULATED = {"name": "terrapatch", "roles": ["producer"], "description": "Simulated data."}

COLLECTIONS = {
    "sentinel-2-l2a": ("Sentinel-2 Level-2A (simulated)", ["Sentinel-2A", "Sentinel-2B"]),
    "sentinel-1-rtc": ("Sentinel-1 terrain-corrected backscatter (simulated)", ["SENTINEL-1A"]),
    "sentinel-1-grd": ("Sentinel-1 Level-1 GRD (simulated)", ["SENTINEL-1A"]),
    "reference": ("TerraClass reference map (simulated)", None),
}
"""Title and platforms by collection."""

Item = dict[str, Any]


def _plain(value: Any) -> Any:
    """Tuples to lists, floats to a fixed number of digits."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value


def _item(
    name: str, collection: str, footprint: BaseGeometry, extensions: list[str],
    properties: dict[str, Any], assets: dict[str, Any],
) -> Item:  # fmt: skip
    from shapely.geometry.polygon import orient

    geometry = orient(footprint).__geo_interface__  # anticlockwise, as GeoJSON asks
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": {"type": geometry["type"], "coordinates": _plain(geometry["coordinates"])},
        "bbox": _plain(footprint.bounds),
        "properties": properties,
        "collection": collection,
        "assets": assets,
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "stac_extensions": extensions,
    }


def _projection(geobox: GeoBox, resolution: float) -> dict[str, Any]:
    zoomed = geobox if resolution == 10 else geobox.zoom_out(resolution / 10)
    return {
        "proj:bbox": _plain(zoomed.extent.geom.bounds),
        "proj:shape": list(zoomed.shape),
        "proj:transform": _plain(list(zoomed.affine)[:6]),
    }


def sentinel2_item(product: Product, content: Content) -> Item:
    """Item of a Sentinel-2 product that lies in `sentinel2/`."""
    scene, processing, geobox = product.scene, product.processing, product.geobox
    root = f"../../sentinel2/{product.name}"
    assets: dict[str, Any] = {}
    table = {row["band"]: row for row in rows("bands")}
    for resolution, names in (*RESOLUTIONS.items(), (20, ("SCL",))):
        for band in names:
            asset = {
                "href": f"{root}/{product.image(band, resolution)}", "type": "image/jp2",
                "roles": ["data"], "title": f"{band} - {resolution}m", "gsd": float(resolution),
                **_projection(geobox, resolution),
            }  # fmt: skip
            if band in table:
                asset["eo:bands"] = [_eo_band(table[band])]
            assets[band] = asset
    assets["visual"] = {
        "href": f"{root}/{product.image('TCI', 60)}", "type": "image/jp2", "roles": ["data"],
        "title": "True color image", "gsd": 60.0, **_projection(geobox, 60),
    }  # fmt: skip
    for key, path in (
        ("safe-manifest", "manifest.safe"),
        ("granule-metadata", f"{product.granule}/MTD_TL.xml"),
        ("inspire-metadata", "INSPIRE.xml"),
        ("product-metadata", "MTD_MSIL2A.xml"),
        ("datastrip-metadata", f"{product.datastrip_folder}/MTD_DS.xml"),
    ):
        assets[key] = {"href": f"{root}/{path}", "type": "application/xml", "roles": ["metadata"]}
    properties = {
        "datetime": f"{scene.sensing:%Y-%m-%dT%H:%M:%S}.024000Z",
        "platform": f"Sentinel-{scene.platform[1:]}",
        "constellation": "Sentinel 2",
        "instruments": ["msi"],
        "eo:cloud_cover": content.cloud,
        "proj:epsg": geobox.crs.to_epsg(),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": scene.relative_orbit,
        "s2:mgrs_tile": product.tile.removeprefix("T"),
        "s2:product_uri": product.name,
        "s2:granule_id": product.operational("TL"),
        "s2:datastrip_id": product.operational("DS"),
        "s2:datatake_id": product.datatake,
        "s2:datatake_type": "INS-NOBS",
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": processing.baseline,
        "s2:generation_time": f"{processing.generated:%Y-%m-%dT%H:%M:%S}.000000Z",
        "s2:reflectance_conversion_factor": round(earth_sun_correction(scene.sensing), 12),
    }
    # As real APIs do: the percentages of the product's metadata, in lower case.
    for tag, percent in zip(CONTENT, content.percent, strict=True):
        properties[f"s2:{tag.lower()}"] = percent
    start = product.name.removesuffix(".SAFE").split("_")
    name = "_".join([*start[:3], *start[4:]])  # such identifiers leave the baseline out
    return _item(
        name, "sentinel-2-l2a", content.footprint, [EO, SAT, PROJECTION], properties, assets
    )


def _eo_band(row: dict[str, str]) -> dict[str, Any]:
    return {
        "name": row["band"], "common_name": row["common_name"],
        "center_wavelength": round(float(row["central_nm"]) / 1000, 4),
        "full_width_half_max": float(row["width_um"]),
    }  # fmt: skip


_TRANSMITTED = {
    "VV": "vertical transmit, vertical receive",
    "VH": "vertical transmit, horizontal receive",
}


def _radar(item: Pass1, start: datetime, end: datetime) -> dict[str, Any]:
    """Properties that corrected and raw products share."""
    return {
        "datetime": f"{start:%Y-%m-%dT%H:%M:%S}Z",
        "start_datetime": f"{start:%Y-%m-%dT%H:%M:%S}Z",
        "end_datetime": f"{end:%Y-%m-%dT%H:%M:%S}Z",
        "platform": "SENTINEL-1A",
        "constellation": "Sentinel-1",
        "sar:instrument_mode": "IW",
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:product_type": "GRD",
        "sar:polarizations": list(POLARISATIONS),
        "sar:looks_equivalent_number": 4.4,
        "sar:pixel_spacing_range": 10,
        "sar:pixel_spacing_azimuth": 10,
        "sar:observation_direction": "right",
        "sat:orbit_state": item.direction,
        "sat:absolute_orbit": item.orbit,
        "sat:relative_orbit": item.relative_orbit,
    }


def grd_item(product: RawProduct) -> Item:
    """Item of a raw Sentinel-1 product that lies in `sentinel1_grd/`."""
    root = f"../../sentinel1_grd/{product.name}"
    assets: dict[str, Any] = {}
    for polarisation in POLARISATIONS:
        key, stem = polarisation.lower(), product.file(polarisation)
        assets[key] = {
            "href": f"{root}/measurement/{stem}.tiff", "type": "image/tiff; application=geotiff",
            "roles": ["data"], "title": f"{polarisation}: {_TRANSMITTED[polarisation]}",
        }  # fmt: skip
        for name, path in (
            ("schema-product", f"annotation/{stem}.xml"),
            ("schema-calibration", f"annotation/calibration/calibration-{stem}.xml"),
            ("schema-noise", f"annotation/calibration/noise-{stem}.xml"),
        ):
            assets[f"{name}-{key}"] = {
                "href": f"{root}/{path}", "type": "application/xml", "roles": ["metadata"],
            }  # fmt: skip
    assets["safe-manifest"] = {
        "href": f"{root}/manifest.safe", "type": "application/xml", "roles": ["metadata"],
    }  # fmt: skip
    passage, part = product.passage, product.part
    properties = {
        **_radar(passage.item, product.start, product.stop),
        "s1:shape": [part.lines, passage.samples],
        "s1:slice_number": str(part.number),
        "s1:total_slices": str(len(passage.slices)),
        "s1:datatake_id": str(product.datatake),
        "s1:processing_level": "1",
        "s1:resolution": "high",
    }
    name = product.name.removesuffix(".SAFE")
    return _item(name, "sentinel-1-grd", product.footprint, [SAR, SAT], properties, assets)


def sentinel1_item(scene: GeocodedPass, footprint: BaseGeometry) -> Item:
    """Item of a Sentinel-1 pass that lies in `sentinel1/`."""
    item = scene.item
    assets = {
        polarisation.lower(): {
            "href": f"../../sentinel1/{scene.file(polarisation)}",
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "title": f"{polarisation}: {_TRANSMITTED[polarisation]}",
            "raster:bands": [
                {"nodata": "nan", "data_type": "float32", "spatial_resolution": 10, "unit": "1"}
            ],
        }
        for polarisation in POLARISATIONS
    }
    properties = {
        **_radar(item, item.start, scene.end),
        "proj:epsg": scene.geobox.crs.to_epsg(),
        **_projection(scene.geobox, 10),
    }
    extensions = [SAR, SAT, PROJECTION, RASTER]
    return _item(scene.name, "sentinel-1-rtc", footprint, extensions, properties, assets)


def reference_item(year: int, geobox: GeoBox, footprint: BaseGeometry) -> Item:
    """Item of the reference map that lies in `reference/`."""
    assets = {
        "map": {
            "href": f"../../reference/terraclass_{year}.tif",
            "type": "image/tiff; application=geotiff",
            "roles": ["data", "labels"],
            "title": f"TerraClass codes {year}",
            "raster:bands": [{"nodata": 0, "data_type": "uint8"}],
        }
    }
    properties = {
        "datetime": f"{year}-07-01T00:00:00Z",
        "start_datetime": f"{year}-01-01T00:00:00Z",
        "end_datetime": f"{year}-12-31T23:59:59Z",
        "proj:epsg": geobox.crs.to_epsg(),
        **_projection(geobox, 10),
    }
    name = f"terraclass_{year}"
    return _item(name, "reference", footprint, [PROJECTION, RASTER], properties, assets)


def write_catalogue(folder: Path, items: list[Item]) -> None:
    """Write `catalog.json`, a folder a collection, and in it one a item.

    Args:
        folder: the archive.
        items: of any of `COLLECTIONS`.
    """
    links = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    for name in COLLECTIONS:
        own = sorted((i for i in items if i["collection"] == name), key=lambda i: str(i["id"]))
        if not own:
            continue
        links.append(
            {"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"}
        )
        write_json(folder / name / "collection.json", _collection(name, own))
        for item in own:
            write_json(folder / name / item["id"] / f"{item['id']}.json", item)
    write_json(
        folder / "catalog.json",
        {
            "type": "Catalog", "id": "terrapatch-simulated", "stac_version": "1.0.0",
            "title": "terrapatch: the embedded archive",
            "description": "A seeded, simulated landscape as seen by Sentinel-2 and Sentinel-1, "
            "and its reference map.",
            "links": links, "stac_extensions": [],
        },
    )  # fmt: skip


def _collection(name: str, items: list[Item]) -> dict[str, Any]:
    title, platforms = COLLECTIONS[name]
    boxes = [item["bbox"] for item in items]
    times = [item["properties"] for item in items]
    first = min(str(t.get("start_datetime", t["datetime"])) for t in times)
    last = max(str(t.get("end_datetime", t["datetime"])) for t in times)
    box = [
        min(b[0] for b in boxes), min(b[1] for b in boxes),
        max(b[2] for b in boxes), max(b[3] for b in boxes),
    ]  # fmt: skip
    link = {"type": "application/json"}
    collection: dict[str, Any] = {
        "type": "Collection", "id": name, "stac_version": "1.0.0", "title": title,
        "description": f"{title}: made by terrapatch, not observed.", "license": "Apache-2.0",
        "providers": [SIMULATED], "stac_extensions": [],
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[first, last]]}},
        "links": [
            {"rel": "root", "href": "../catalog.json", **link},
            {"rel": "parent", "href": "../catalog.json", **link},
            *(
                {"rel": "item", "href": f"./{i['id']}/{i['id']}.json", "type": "application/geo+json"}
                for i in items
            ),
        ],
    }  # fmt: skip
    if platforms:
        collection["summaries"] = {"platform": platforms}
    assert math.isfinite(sum(box))
    return collection
