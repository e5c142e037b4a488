# SPDX-License-Identifier: Apache-2.0
"""Layers of Sentinel-1: what a recipe says of one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import LayerSettings, Readers, read_by
from .kernels import Coarser, Kernel
from .policy import Auxiliary, Policy


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
        layouts="kind pixel_m orbit polarisations extras scale time",
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
    def stack_directions(self) -> frozenset[str]:
        """Directions of flight that may be in the stack."""
        both = ("ascending", "descending")
        return frozenset(both if self.orbit == "both" else (self.orbit,))

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

    @property
    def shared(self) -> tuple[str, ...]:
        """Keys that a plan has once for all such layers."""
        raw = ("geometry", "dem", "dem_vertical", "dem_sea", "geoid", "orbit_files")
        return raw if self.policy.raw else ()

    @property
    def lacking(self) -> list[str]:
        """What is to be named beside its scenes; the embedded archive has it."""
        if (self.level, self.geometry) != ("GRD", "terrain") or self.dem:
            return []
        return [
            "dem: terrain correction needs a height model; name its files, or set geometry: gcp"
        ]
