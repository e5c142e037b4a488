# SPDX-License-Identifier: Apache-2.0
"""Names and metadata files of Sentinel-2 Level-2A products in the SAFE form.

Laws:
1. Metadata state what was written: sizes and corners of the crops, not those of the whole tile.
2. Every time is derived from the sensing time: no clock is read.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .facts import rows
from .schedule import Pass2, Processing
from .sky import earth_sun_correction, sun_position

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

CENTRE = "2APS"
"""Processing centre that products name."""

CONTENT = (
    "NODATA_PIXEL_PERCENTAGE", "SATURATED_DEFECTIVE_PIXEL_PERCENTAGE",
    "DARK_FEATURES_PERCENTAGE", "CLOUD_SHADOW_PERCENTAGE", "VEGETATION_PERCENTAGE",
    "NOT_VEGETATED_PERCENTAGE", "WATER_PERCENTAGE", "UNCLASSIFIED_PERCENTAGE",
    "MEDIUM_PROBA_CLOUDS_PERCENTAGE", "HIGH_PROBA_CLOUDS_PERCENTAGE", "THIN_CIRRUS_PERCENTAGE",
    "SNOW_ICE_PERCENTAGE",
)  # fmt: skip
"""Tags of Image_Content_QI by scene class 0..11."""

SCENE_CLASSES = (
    "NODATA", "SATURATED_DEFECTIVE", "DARK_FEATURE_SHADOW", "CLOUD_SHADOW", "VEGETATION",
    "NOT_VEGETATED", "WATER", "UNCLASSIFIED", "CLOUD_MEDIUM_PROBA", "CLOUD_HIGH_PROBA",
    "THIN_CIRRUS", "SNOW_ICE",
)  # fmt: skip

CHECKS = (
    "FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY", "L2A_QUALITY",
    "RADIOMETRIC_QUALITY", "SENSOR_QUALITY",
)  # fmt: skip


@dataclass(frozen=True)
class Product:
    """One product: a datatake over a tile, processed once."""

    tile: str
    """With leading T."""
    scene: Pass2
    processing: Processing
    geobox: GeoBox
    """10 m grid of what is written."""

    @property
    def _baseline(self) -> str:
        return "N" + self.processing.baseline.replace(".", "")

    @property
    def _generated(self) -> str:
        return f"{self.processing.generated:%Y%m%dT%H%M%S}"

    @property
    def name(self) -> str:
        """Name of the SAFE folder."""
        scene = self.scene
        return (
            f"{scene.platform}_MSIL2A_{scene.stamp}_{self._baseline}_R{scene.relative_orbit:03d}_"
            f"{self.tile}_{self._generated}.SAFE"
        )

    @property
    def granule(self) -> str:
        """Folder of the granule."""
        return f"GRANULE/L2A_{self.tile}_A{self.scene.orbit:06d}_{self.tile_sensing:%Y%m%dT%H%M%S}"

    @property
    def tile_sensing(self) -> datetime:
        """When the tile was seen: a little after the datatake began."""
        return self.scene.sensing + timedelta(seconds=9, microseconds=846358)

    @property
    def datatake(self) -> str:
        """Identifier of the datatake; the baseline is part of it."""
        scene = self.scene
        return f"G{scene.platform}_{scene.stamp}_{scene.orbit:06d}_N{self.processing.baseline}"

    def operational(self, kind: str) -> str:
        """Identifier of a part of the product (DS: datastrip, TL: tile)."""
        start = f"{self.scene.platform}_OPER_MSI_L2A_{kind}_{CENTRE}_{self._generated}"
        middle = {
            "DS": f"S{self.tile_sensing:%Y%m%dT%H%M%S}",
            "TL": f"A{self.scene.orbit:06d}_{self.tile}",
        }[kind]
        return f"{start}_{middle}_N{self.processing.baseline}"

    @property
    def datastrip_folder(self) -> str:
        """Folder of the datastrip's metadata."""
        return f"DATASTRIP/DS_{CENTRE}_{self._generated}_S{self.tile_sensing:%Y%m%dT%H%M%S}"

    def image(self, band: str, resolution: int) -> str:
        """Path of an image inside the product."""
        file = f"{self.tile}_{self.scene.stamp}_{band}_{resolution}m.jp2"
        return f"{self.granule}/IMG_DATA/R{resolution}m/{file}"

    @property
    def preview(self) -> str:
        """Path of the preview image inside the product."""
        return f"{self.granule}/QI_DATA/{self.tile}_{self.scene.stamp}_PVI.jp2"


@dataclass(frozen=True)
class Content:
    """What a product shows, as shares of its pixels."""

    percent: tuple[float, ...]
    """By scene class 0..11: nodata in percent of all pixels, the rest in percent of the valid."""
    footprint: BaseGeometry
    """Outline of the valid pixels in EPSG:4326."""
    masks: tuple[tuple[str, str], ...]
    """Kind and path of the quality masks."""

    @property
    def cloud(self) -> float:
        """Cloud of any kind in percent of the valid pixels."""
        return round(sum(self.percent[k] for k in (8, 9, 10)), 6)


def write_metadata(folder: Path, product: Product, content: Content, images: list[str]) -> None:
    """Write all metadata files of a product whose images lie in `folder` already.

    Args:
        folder: the SAFE folder.
        product: its names and grid.
        content: what its images show.
        images: paths of all image files inside the product.
    """
    facts = _facts(product, content, images)
    texts = {
        "MTD_MSIL2A.xml": "MTD_MSIL2A.xml",
        "INSPIRE.xml": "INSPIRE.xml",
        f"{product.granule}/MTD_TL.xml": "MTD_TL.xml",
        f"{product.datastrip_folder}/MTD_DS.xml": "MTD_DS.xml",
    }
    for path, name in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(template(name).render(facts) + "\n", encoding="utf-8")
    paths = [*texts, *images, *(path for _, path in content.masks), product.preview]
    files = [_file(folder, path, product) for path in paths]
    manifest = template("manifest.safe").render(facts, files=files)
    (folder / "manifest.safe").write_text(manifest + "\n", encoding="utf-8")


@cache
def template(name: str) -> Any:
    """Template `data/simulate/NAME.j2`; everything that is put in is escaped."""
    from jinja2 import Environment, StrictUndefined, select_autoescape

    path = resources.files("terrapatch") / "data" / "simulate" / f"{name}.j2"
    environment = Environment(undefined=StrictUndefined, autoescape=select_autoescape(default=True))
    return environment.from_string(path.read_text(encoding="utf-8"))


def _file(folder: Path, path: str, product: Product) -> dict[str, Any]:
    data = (folder / path).read_bytes()
    modern = product.processing.baseline >= "04.00"
    digest = hashlib.sha3_256(data) if modern else hashlib.md5(data, usedforsecurity=False)
    image = path.endswith(".jp2")
    return {
        "id": Path(path).name.replace(".", "_").replace("MTD_MSIL2A_xml", "S2_Level-2A_Product_Metadata"),
        "unit": "Measurement Data Unit" if image else "Metadata Unit",
        "mime": "application/octet-stream" if image else "text/xml",
        "size": len(data),
        "href": path,
        "checksum_name": "SHA3-256" if modern else "MD5",
        "checksum": digest.hexdigest(),
    }  # fmt: skip


def _facts(product: Product, content: Content, images: list[str]) -> dict[str, Any]:
    scene, processing, geobox = product.scene, product.processing, product.geobox
    epsg = geobox.crs.to_epsg()
    sun, grids = sun_angles(product)
    values = [f"{p:.6f}" for p in content.percent]
    bands = rows("bands")
    for number, band in enumerate(bands):
        band["view_zenith"] = f"{5.2 + 0.03 * number:.4f}"
        band["view_azimuth"] = f"{104.0 + 0.4 * number:.4f}"
    points = [f"{lat:.10f} {lon:.10f}" for lon, lat in content.footprint.exterior.coords]
    return {
        "name": product.name,
        "sensing_ms": f"{scene.sensing:%Y-%m-%dT%H:%M:%S}.024Z",
        "tile_sensing_us": f"{product.tile_sensing:%Y-%m-%dT%H:%M:%S.%f}Z",
        "generated_us": f"{processing.generated:%Y-%m-%dT%H:%M:%S}.000000Z",
        "baseline": processing.baseline, "offset": processing.offset,
        "datatake": product.datatake, "spacecraft": f"Sentinel-{scene.platform[1:]}",
        "orbit": f"{scene.orbit:06d}", "relative_orbit": scene.relative_orbit,
        "datastrip": product.operational("DS"), "granule_id": product.operational("TL"),
        "l1c_id": product.operational("TL").replace("_L2A_", "_L1C_"), "centre": CENTRE,
        "images": [image.removesuffix(".jp2") for image in images],
        "bands": bands, "u": earth_sun_correction(scene.sensing),
        "scene_classes": SCENE_CLASSES, "checks": CHECKS, "footprint": " ".join(points),
        "cloud": f"{content.cloud:.6f}", "content": list(zip(CONTENT, values, strict=True)),
        "zone": f"{epsg % 100}{'N' if epsg < 32700 else 'S'}", "crs": f"EPSG:{epsg}",
        "ulx": round(geobox.affine.c), "uly": round(geobox.affine.f),
        "sizes": [
            {"resolution": r, "rows": geobox.shape[0] * 10 // r, "cols": geobox.shape[1] * 10 // r}
            for r in (10, 20, 60)
        ],
        "sun": sun, "sun_grids": grids, "masks": content.masks, "pvi": product.preview,
    }  # fmt: skip


def sun_angles(product: Product) -> tuple[tuple[float, float], list[tuple[str, list[str]]]]:
    """Mean sun angles, and the grids of every 5 km."""
    from pyproj import Transformer

    geobox = product.geobox
    degrees = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    height, width = (side * 10 for side in geobox.shape)
    left, top = geobox.affine.c, geobox.affine.f

    def at(x: float, y: float) -> tuple[float, float]:
        return sun_position(product.tile_sensing, *degrees.transform(x, y))

    lines = [
        [at(left + 5000 * c, top - 5000 * r) for c in range(math.ceil(width / 5000) + 1)]
        for r in range(math.ceil(height / 5000) + 1)
    ]
    grids = [
        (name, [" ".join(f"{node[part]:.4f}" for node in line) for line in lines])
        for part, name in enumerate(("Zenith", "Azimuth"))
    ]
    return at(left + width / 2, top - height / 2), grids
