# SPDX-License-Identifier: Apache-2.0
"""Layers of the two sensors: what a recipe says of one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import LayerSettings, Readers, read_by
from .policy import Auxiliary, Policy

S2_BANDS = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
"""Sentinel-2 bands in natural order and their native pixel size in metres."""

THEIA_10 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""The ten bands of Theia's Level-2A, in natural order."""

L2A_12 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""The twelve bands of Level-2A (no B10: it is not in the product)."""

Kernel = Literal["nearest", "bilinear", "cubic", "average"]
Coarser = Literal["average", "widen"]


def coarse_kernel(kernel: Kernel, coarser: Coarser) -> Kernel:
    """The kernel on a grid coarser than the band; `nearest` stays what it is."""
    return "average" if coarser == "average" and kernel != "nearest" else kernel


class Sentinel2Settings(LayerSettings):
    """A layer of Sentinel-2: from products to a stack."""

    readers: ClassVar[Readers] = read_by(
        "publish",
        plan="kind level processor bands reflectance time scl mask_scl mask_edg mask_clm mask_mg2",
        stack="kind version pixel_m bands kernel coarser upsample_first harmonise dtype check_values time "
        "scl mask_scl mask_edg mask_clm mask_mg2",
        patches="kind",
        splits="kind",
        layouts="kind bands dtype time scl harmonise",
        training="kind",
    )

    scenes: ClassVar[str] = "sentinel2"

    kind: Literal["sentinel2"] = "sentinel2"
    """Where the pixels of the layer come from."""
    level: Literal["L1C", "L2A"] = "L2A"
    """Level of the products to use."""
    processor: Literal["esa", "theia"] = "esa"
    """Who made the products to use: ESA (Sen2Cor) or Theia (MAJA, Level-2A only)."""
    bands: tuple[str, ...] = L2A_12
    """Bands in the order of the stack."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid (and of 20 m and 60 m bands on a UTM tile grid);
    `average` is bilinear where the grid is not coarser than the band."""
    coarser: Coarser = "average"
    """Where the grid is coarser than the band: the mean over each pixel's area, or `kernel` widened
    to it (`widen`); `nearest` takes a single pixel on any grid."""
    upsample_first: Literal["nearest", "bilinear", "cubic"] | None = None
    """Bring 20 m and 60 m bands to 10 m with this kernel before the warp (SNAP's order of steps);
    absent: each band is sampled once, from its own pixels."""
    harmonise: bool = True
    """Add the product's radiometric offset, so that DN = 10000 × reflectance for all baselines."""
    dtype: Literal["uint16", "int16", "float32"] = "uint16"
    """Pixel type of the stack; whole numbers are rounded. Valid pixels are ≥ 1 and 0 is nodata, but
    for int16: it keeps zero and negative reflectances, and `source` alone tells what is missing."""
    check_values: bool = True
    """Refuse scenes whose numbers cannot be what product or recipe say: reflectances taken for DN,
    an offset that is missing or added twice, blocks of exact zeros that are not nodata."""
    reflectance: Literal["FRE", "SRE"] = "FRE"
    """Theia: with (`FRE`) or without (`SRE`) the correction of slope effects."""
    time: Literal["single", "series"] = "single"
    """`single`: all dates in one image, the first with a pixel wins; `series`: an image a date."""
    scl: bool = False
    """Keep the scene classification (nearest) beside the bands (Level-2A only)."""
    mask_scl: tuple[Annotated[int, Field(ge=0, le=11)], ...] = ()
    """Scene classes to treat as missing, for example 3, 8, 9, 10 (shadow, clouds, cirrus)."""
    mask_edg: bool = True
    """Theia: pixels outside the image (edge mask) are missing; false: nodata alone decides."""
    mask_clm: tuple[Annotated[int, Field(ge=0, le=7)], ...] = ()
    """Theia: bits of the cloud mask to treat as missing; 0: clouds and shadows, 1: clouds,
    4: thinnest clouds, 5 and 6: shadows, 7: high clouds."""
    mask_mg2: tuple[Annotated[int, Field(ge=0, le=7)], ...] = ()
    """Theia: bits of the geophysical mask to treat as missing; 0: water, 1: clouds, 2: snow,
    3: shadows of clouds, 4: of relief, 5: hidden, 6: sun too low, 7: tangent sun."""

    @model_validator(mode="after")
    def _known_bands(self) -> Sentinel2Settings:
        unknown = [b for b in self.bands if b not in S2_BANDS]
        if unknown:
            raise ValueError(f"no Sentinel-2 bands: {unknown}; known are {list(S2_BANDS)}")
        if len(set(self.bands)) != len(self.bands) or not self.bands:
            raise ValueError(f"bands must be unique and at least one: {list(self.bands)}")
        if findings := [*self._of_level(), *self._of_processor()]:
            raise ValueError("\n".join(findings))
        return self

    @property
    def policy(self) -> Policy:
        """Which scenes the layer may be made of."""
        return Policy(
            self.scenes, level=self.level, processor=self.processor, clouds=True, own_tile=True,
            reflectance=self.reflectance if self.processor == "theia" else None,
        )  # fmt: skip

    def wanted(self, processor: str | None) -> tuple[str, ...]:
        """Assets of a scene that the layer reads; masks are those of Theia's products."""
        classes = ("SCL",) if self.scl or self.mask_scl else ()
        used = {"EDG": self.mask_edg, "CLM": self.mask_clm, "MG2": self.mask_mg2}
        masks = tuple(name for name, wants in used.items() if wants)
        return (*self.bands, *classes, *(masks if processor == "theia" else ()))

    @property
    def stack_bands(self) -> tuple[str, ...]:
        """Bands of the stack."""
        return self.bands

    @property
    def stack_dtype(self) -> str:
        """Pixel type of the stack."""
        return self.dtype

    def _of_level(self) -> list[str]:
        """What does not fit to the level of the products."""
        found = []
        if "B10" in self.bands and self.level == "L2A":
            found.append("bands: B10 is not in Level-2A products; leave it out or set level: L1C")
        if (self.scl or self.mask_scl) and self.level == "L1C":
            found.append("scl, mask_scl: Level-1C products have no scene classification")
        return found

    def _of_processor(self) -> list[str]:
        """What does not fit to who made the products."""
        if self.processor == "esa":
            if self.mask_clm or self.mask_mg2:
                return ["mask_clm, mask_mg2: masks of Theia; ESA's products have mask_scl"]
            return []
        found = []
        if self.level == "L1C":
            found.append("level: Theia's products are L2A")
        if self.scl or self.mask_scl:
            found.append(
                "scl, mask_scl: Theia's products have no scene classification; use mask_clm and "
                "mask_mg2"
            )
        if lacking := [band for band in self.bands if band not in THEIA_10]:
            found.append(
                f"bands: Theia's products have no {', '.join(lacking)}; they have "
                f"{', '.join(THEIA_10)}"
            )
        return found


class Sentinel1Settings(LayerSettings):
    """A layer of Sentinel-1: from backscatter to a stack."""

    readers: ClassVar[Readers] = read_by(
        "publish",
        plan="kind orbit polarisations level time directions radiometry denoise geometry dem dem_vertical "
        "geoid dem_sea orbit_files",
        stack="kind version pixel_m polarisations kernel coarser scale check_values level radiometry "
        "denoise geometry dem_vertical geoid dem_sea orbit_files border_cut "
        "border_cut_range_px border_cut_azimuth_px time speckle speckle_radius looks "
        "extras",
        patches="kind",
        splits="kind",
        layouts="kind polarisations extras scale time",
        training="kind",
    )

    scenes: ClassVar[str] = "sentinel1"

    kind: Literal["sentinel1"] = "sentinel1"
    """Where the pixels of the layer come from."""
    orbit: Literal["both", "ascending", "descending"] = "both"
    """Directions of flight to use."""
    polarisations: tuple[Literal["VV", "VH", "HH", "HV"], ...] = ("VV", "VH")
    """Bands in the order of the stack."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid; it acts on linear power. `average` is bilinear where
    the grid is not coarser than the image."""
    coarser: Coarser = "average"
    """Where the grid is coarser than the image: the mean power over each pixel's area, or `kernel`
    widened to it (`widen`, geocoded scenes); `nearest` takes a single pixel on any grid."""
    scale: Literal["linear", "db"] = "linear"
    """Unit of the stack: linear power or 10·log10 of it."""
    check_values: bool = True
    """Refuse geocoded scenes whose numbers cannot be what product or recipe say: decibel taken for
    linear power or the other way round, blocks of exact 0 dB."""
    level: Literal["RTC", "GRD"] = "RTC"
    """`RTC`: geocoded backscatter, taken as it is; `GRD`: raw products in radar geometry, which
    all following entries are about."""
    radiometry: Literal["sigma0", "beta0", "gamma0", "gamma0_rtc", "amplitude"] = "gamma0"
    """What becomes of digital numbers (GRD): calibrated power, or the numbers as they are.
    `gamma0` is the ellipsoid's; `gamma0_rtc` is β⁰ over the illuminated area of the terrain."""
    denoise: bool = True
    """Subtract the thermal noise that the product states (GRD)."""
    geometry: Literal["terrain", "gcp"] = "terrain"
    """`terrain`: range-Doppler terrain correction with `dem`; `gcp`: the product's own grid of
    ground control points, without relief (GRD)."""
    dem: tuple[str, ...] = ()
    """Height files (GeoTIFF, SRTM .hgt, VRT) on one common grid; relative to where you run. With the
    source `simulated` the archive's own heights stand in where none is named."""
    dem_vertical: Literal["auto", "ellipsoid", "egm96", "egm2008"] = "auto"
    """What heights count from; `auto`: as the file's CRS says, an error where it does not."""
    geoid: str | None = None
    """Raster of geoid heights in metres (GeoTIFF, GTX), where PROJ's own grid is not installed."""
    dem_sea: bool = False
    """Take sea level where no height file reaches or has a void, instead of refusing the unit."""
    orbit_files: tuple[str, ...] = ()
    """Precise or restituted orbits (.EOF), one for every scene; absent: the annotated orbits."""
    border_cut: Literal["none", "s1tiling"] = "none"
    """`s1tiling`: besides the borders that are found, S1Tiling's fixed cuts (GRD)."""
    border_cut_range_px: Annotated[int, Field(ge=0)] = 1000
    """`s1tiling`: pixels cut at near and far range of products of before IPF 2.90."""
    border_cut_azimuth_px: Annotated[int, Field(ge=0)] = 1600
    """`s1tiling`: lines cut at an end of a slice that begins or ends without image."""
    time: Literal["single", "series"] = "single"
    """`single`: all passes in one image, the first with a pixel wins; `series`: an image a pass."""
    directions: Literal["together", "apart"] = "together"
    """`apart`: ascending and descending passes never share an image; the ascending ones come
    first in time order, then the descending ones."""
    speckle: Literal["none", "boxcar", "lee", "refined_lee", "multitemporal"] = "none"
    """Speckle filter on the grid of the patches; `multitemporal` (Quegan and Yu) needs a series,
    and takes all passes of one direction together."""
    speckle_radius: Annotated[int, Field(ge=1, le=7)] = 1
    """Radius of the filter's square window in pixels (`refined_lee`: always 3)."""
    looks: Annotated[float, Field(gt=0)] = 4.4
    """Equivalent number of looks before filtering, for `lee` and `refined_lee` (IW GRDH: 4.4)."""
    extras: tuple[Literal["local_incidence", "ellipsoid_incidence", "layover_shadow"], ...] = ()
    """Bands of the stack behind the polarisations (GRD): angles between the line of sight and the
    normal of the terrain or of the ellipsoid in degrees; 1 for layover, 2 for shadow, 3 for both."""

    @model_validator(mode="after")
    def _raw_products(self) -> Sentinel1Settings:
        if self.level == "GRD" and self.kernel == "cubic":
            raise ValueError("raw products are sampled by kernel nearest or bilinear, not cubic")
        if self.level == "GRD" and self.coarser == "widen":
            raise ValueError("raw products are averaged on coarser grids: set coarser: average")
        if self.radiometry == "amplitude" and self.scale == "db":
            raise ValueError("amplitudes have no decibel: set scale: linear")
        if self.speckle == "multitemporal" and self.time != "series":
            raise ValueError("a multitemporal filter needs a series: set time: series")
        if self.speckle != "none" and self.radiometry == "amplitude" and self.level == "GRD":
            raise ValueError("speckle filters act on power: set another radiometry")
        if self.radiometry == "gamma0_rtc" or self.extras:
            wanted = "radiometry: gamma0_rtc" if self.radiometry == "gamma0_rtc" else "extras"
            if self.level != "GRD" or self.geometry != "terrain":
                raise ValueError(f"{wanted} needs level: GRD and geometry: terrain")
        if len(set(self.extras)) != len(self.extras):
            raise ValueError(f"extras must be unique: {list(self.extras)}")
        return self

    @property
    def policy(self) -> Policy:
        """Which scenes the layer may be made of."""
        needs = Auxiliary(
            self.polarisations, noise=self.subtracts_noise, terrain=self.geometry == "terrain",
            heights=self.dem, vertical=self.dem_vertical, geoid=self.geoid, sea=self.dem_sea,
            orbits=self.orbit_files,
        )  # fmt: skip
        return Policy(
            self.scenes, level=self.level, polarisations=self.polarisations, orbit=self.orbit,
            raw=self.level == "GRD", auxiliary=needs,
        )  # fmt: skip

    def wanted(self, _processor: str | None) -> tuple[str, ...]:
        """Assets of a scene that the layer reads."""
        return self.polarisations

    @property
    def stack_bands(self) -> tuple[str, ...]:
        """Bands of the stack."""
        return (*self.polarisations, *self.extras)

    @property
    def stack_dtype(self) -> str:
        """Pixel type of the stack."""
        return "float32"

    @property
    def decibel(self) -> bool:
        """Whether the stack's values are decibel."""
        return self.scale == "db"

    @property
    def apart(self) -> bool:
        """Whether scenes of two directions of flight never share an image."""
        return self.directions == "apart"

    @property
    def subtracts_noise(self) -> bool:
        """Whether noise annotations are needed; amplitudes keep their noise."""
        return self.denoise and self.radiometry != "amplitude"
