# SPDX-License-Identifier: Apache-2.0
"""The sections of a recipe: one frozen model a stage.

Laws:
1. Defaults live here alone; the sentence under a field is its documentation everywhere.
2. `version` of a section is raised when the same settings give other pixels.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

S2_BANDS = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
"""Sentinel-2 bands in natural order and their native pixel size in metres."""

L2A_12 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""The twelve bands of Level-2A (no B10: it is not in the product)."""

Kernel = Literal["nearest", "bilinear", "cubic"]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, sentences under fields are their docs."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class AreaSettings(Section):
    """Where the dataset lies."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees (EPSG:4326)."""
    file: str | None = None
    """Polygon file instead of a box (GeoJSON, GeoPackage …, any CRS); relative to where you run."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AreaSettings:
        if (self.bbox is None) == (self.file is None):
            raise ValueError("give either bbox (west, south, east, north) or file")
        if self.bbox is not None:
            west, south, east, north = self.bbox
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ValueError(f"bbox {self.bbox} is not west < east, south < north in degrees")
        return self


class SimulateSettings(Section):
    """The embedded archive: a seeded landscape and the products that would show it."""

    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0)] = 4
    """Seed of the landscape and of all noise."""
    year: Annotated[int, Field(ge=2015, le=2100)] = 2022
    """Year of the acquisitions and of the reference map."""
    passes: Annotated[int, Field(ge=1, le=73)] = 2
    """Sentinel-2 dates per tile: the first is clear and in mid June, the second in early January
    (with a reprocessed duplicate of one tile), the others all over the year."""
    s1_passes: Annotated[int, Field(ge=1, le=30)] = 1
    """Sentinel-1 dates per orbit direction."""
    s1_format: Literal["rtc", "grd", "both"] = "rtc"
    """Sentinel-1 as terrain-corrected backscatter, as raw GRD products in radar geometry (two
    slices a pass, and a height model in `dem/`), or both."""
    margin_m: Annotated[float, Field(ge=0, le=50_000)] = 1_000.0
    """How far the scenes reach past the area, in metres; whole tiles where `whole_tiles`."""
    whole_tiles: bool = False
    """Write full 10980 x 10980 tiles instead of crops around the area (minutes per scene)."""
    references: Literal["terraclass", "french"] = "terraclass"
    """`french`: beside TerraClass also OCSGE2, BD TOPO, and MultiSenGE's classes as they truly are."""
    impulses: tuple[tuple[float, float], ...] = ()
    """Point targets (longitude, latitude), for measuring how well the layers agree: bright in both
    sensors, a disc of urban land of 100 m radius on the map, still water around."""


class RasterSource(Section):
    """Plain georeferenced rasters of one scene, described by hand where files carry no metadata."""

    sensor: Literal["sentinel2", "sentinel1", "reference"]
    """What the rasters show."""
    path: str
    """Path of a file with all bands, or with `{band}` in it, one file a band."""
    bands: tuple[str, ...] = ()
    """Band names in the order of the file, or the values that `{band}` takes."""
    date: date
    """Acquisition date, or the date that a reference map stands for."""
    id: str | None = None
    """Name of the scene; the file's stem if absent."""
    level: Literal["L1C", "L2A"] | None = None
    """Sentinel-2 product level."""
    add_offset: float | None = None
    """Sentinel-2: what is to be added to each DN before division by 10000 (0 or −1000)."""
    scale: Literal["linear", "db"] = "linear"
    """Sentinel-1: whether the files hold linear backscatter or decibel."""
    nodata: float | None = None
    """Value of missing pixels where the files do not declare it."""
    orbit_direction: Literal["ascending", "descending"] | None = None
    """Sentinel-1 orbit direction, where known."""


class CatalogSettings(Section):
    """Which scenes may be used, and which of them are."""

    version: Literal[1] = 1
    source: Literal["simulated", "local"] = "local"
    """`simulated` writes the embedded archive first; `local` reads what lies in folders."""
    paths: tuple[str, ...] = ()
    """Folders (searched downwards) or single products: SAFE, zipped SAFE, STAC items, GeoTIFF."""
    rasters: tuple[RasterSource, ...] = ()
    """Rasters without metadata of their own."""
    period: tuple[date, date] | None = None
    """First and last day of acquisition, both included; required for folders."""
    level: Literal["L1C", "L2A"] = "L2A"
    """Sentinel-2 product level."""
    cloud_percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """Scenes with more cloud (product metadata) are left out."""
    scenes_per_tile: Annotated[int, Field(ge=1)] | None = None
    """Keep only the best so many Sentinel-2 dates per tile (least cloud, then earliest)."""
    orbit_direction: Literal["ascending", "descending", "both"] = "both"
    """Sentinel-1 orbit directions to use."""
    hash_files: bool = True
    """Record the SHA-256 of every file that will be read."""


class SamplingSettings(Section):
    """How patches are placed."""

    version: Literal[1] = 1
    kind: Literal["mosaic", "tiles"] = "mosaic"
    """`mosaic`: windows over the area on one grid; `tiles`: windows in each MGRS tile."""
    crs: str = "EPSG:4326"
    """CRS of the mosaic grid (tiles: always the tile's UTM zone)."""
    resolution: Annotated[float, Field(gt=0)] = 8.983152841195215e-05
    """Pixel size in units of `crs`; the default is 10 m at the equator in degrees."""
    size_px: Annotated[int, Field(ge=8, le=2048)] = 128
    """Side of a patch in pixels."""
    stride_px: Annotated[int, Field(ge=1, le=8192)] | None = None
    """Step from patch to patch; the side of a patch if absent."""
    unit_patches: Annotated[int, Field(ge=1, le=512)] = 64
    """Patches along the side of a unit (one job). Memory hardly grows with it; small units decode
    the blocks at their edges more than once (64: 1.3 times the pixels of a whole tile)."""
    area_rule: Literal["within", "intersects"] = "within"
    """Whether patches must lie inside the area or may reach over its edge."""

    @property
    def step_px(self) -> int:
        """The stride in force."""
        return self.stride_px or self.size_px


class Sentinel2Settings(Section):
    """From Sentinel-2 products to a stack."""

    version: Literal[1] = 1
    bands: tuple[str, ...] = L2A_12
    """Bands in the order of the stack."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid (and of 20 m and 60 m bands on a UTM tile grid)."""
    upsample_first: Kernel | None = None
    """Bring 20 m and 60 m bands to 10 m with this kernel before the warp (SNAP's order of steps);
    absent: each band is sampled once, from its own pixels."""
    harmonise: bool = True
    """Add the product's radiometric offset, so that DN = 10000 × reflectance for all baselines."""
    dtype: Literal["uint16", "float32"] = "uint16"
    """Pixel type of the stack; uint16 rounds to whole DN. 0 is nodata, valid pixels are ≥ 1."""
    scl: bool = False
    """Keep the scene classification (nearest) beside the bands (Level-2A only)."""
    mask_scl: tuple[Annotated[int, Field(ge=0, le=11)], ...] = ()
    """Scene classes to treat as missing, for example 3, 8, 9, 10 (shadow, clouds, cirrus)."""

    @model_validator(mode="after")
    def _known_bands(self) -> Sentinel2Settings:
        unknown = [b for b in self.bands if b not in S2_BANDS]
        if unknown:
            raise ValueError(f"no Sentinel-2 bands: {unknown}; known are {list(S2_BANDS)}")
        if len(set(self.bands)) != len(self.bands) or not self.bands:
            raise ValueError(f"bands must be unique and at least one: {list(self.bands)}")
        return self


class Sentinel1Settings(Section):
    """From Sentinel-1 backscatter to a stack."""

    version: Literal[1] = 1
    polarisations: tuple[Literal["VV", "VH", "HH", "HV"], ...] = ("VV", "VH")
    """Bands in the order of the stack."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid; it acts on linear power."""
    scale: Literal["linear", "db"] = "linear"
    """Unit of the stack: linear power or 10·log10 of it."""
    level: Literal["RTC", "GRD"] = "RTC"
    """`RTC`: geocoded backscatter, taken as it is; `GRD`: raw products in radar geometry, which
    all following entries are about."""
    radiometry: Literal["sigma0", "beta0", "gamma0", "amplitude"] = "gamma0"
    """What becomes of digital numbers (GRD): calibrated power, or the numbers as they are."""
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
    time: Literal["mosaic", "series"] = "mosaic"
    """`mosaic`: all passes in one image, the first with a pixel wins; `series`: an image a pass."""
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

    @model_validator(mode="after")
    def _raw_products(self) -> Sentinel1Settings:
        if self.level == "GRD" and self.kernel == "cubic":
            raise ValueError("raw products are sampled by kernel nearest or bilinear, not cubic")
        if self.radiometry == "amplitude" and self.scale == "db":
            raise ValueError("amplitudes have no decibel: set sentinel1.scale: linear")
        if self.speckle == "multitemporal" and self.time != "series":
            raise ValueError("a multitemporal filter needs a series: set sentinel1.time: series")
        if self.speckle != "none" and self.radiometry == "amplitude" and self.level == "GRD":
            raise ValueError("speckle filters act on power: set another sentinel1.radiometry")
        return self


class ReferenceSettings(Section):
    """From a reference map to label rasters."""

    version: Literal[1] = 1
    path: str | None = None
    """Raster of source codes; absent with the source `simulated`."""
    crosswalk: str = "terraclass_cerrado"
    """Packaged crosswalk, or a CSV with source_code, source_name, code."""
    legend: str = "cerradata4mm"
    """Packaged legend, or a CSV with level, code, abbrev, name, parent, color."""
    edges: Literal["none", "thin", "inner", "outer", "thick", "distance"] = "thin"
    """Edge layer per level: `thin` marks pixels that differ from their right or lower neighbour."""


class PatchesSettings(Section):
    """Which patches are complete enough to keep."""

    version: Literal[1] = 1
    min_valid_sentinel2: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Smallest share of observed Sentinel-2 pixels of a date (of a series, or of the mosaic)."""
    min_valid_sentinel1: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Smallest share of observed Sentinel-1 pixels of a date."""
    min_valid_label: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Smallest share of labelled pixels."""
    min_dates_sentinel2: Annotated[int, Field(ge=1)] = 1
    """Fewest Sentinel-2 dates that reach `min_valid_sentinel2`; other dates are left out."""
    min_dates_sentinel1: Annotated[int, Field(ge=1)] = 1
    """Fewest Sentinel-1 dates that reach `min_valid_sentinel1`; other dates are left out."""


class SplitsSettings(Section):
    """Which patches are for training, validation and test."""

    version: Literal[1] = 1
    method: Literal["blocks", "published"] = "blocks"
    """`blocks`: square blocks with an exclusion buffer; `published`: random, 90/10 then 80/20."""
    fractions: tuple[float, float, float] = (0.72, 0.18, 0.10)
    """Wanted shares of train, val, test (`blocks`)."""
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of a block in metres."""
    buffer_m: Annotated[float, Field(ge=0)] = 1_280.0
    """Patches of one split nearer than this to another split are excluded, in metres."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Seed of the test split (and of the blocks)."""
    val_seed: Annotated[int, Field(ge=0)] = 666
    """Seed of the train/val split (`published`)."""
    overlap: Literal["none", "polygons", "published"] = "none"
    """Patches of neighbouring tiles on one ground: `polygons` keeps that of the tile which comes
    first in `tile_priority`; `published` does as MultiSenGE's release, tile pair by tile pair."""
    tile_priority: tuple[Annotated[str, Field(pattern=r"^\d{2}[C-X][A-Z]{2}$")], ...] = ()
    """Tiles whose patches stay, the first wins; tiles that are not named follow by name."""

    @model_validator(mode="after")
    def _sum(self) -> SplitsSettings:
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6 or not self.fractions[0]:
            raise ValueError(f"fractions must be ≥ 0, sum to 1, with train > 0: {self.fractions}")
        return self


class LayoutsSettings(Section):
    """The form in which the dataset is published."""

    version: Literal[1] = 1
    name: Literal["native", "cerradata4mm", "multisenge"] = "native"
    """Layout of `dataset/`."""
    folders: Literal["kaggle", "loader"] = "kaggle"
    """cerradata4mm: folder names of the release (`msi_images`) or of its loaders (`opt_images`)."""
    compression: Literal["none", "lzw", "deflate", "zstd"] = "zstd"
    """Compression of GeoTIFF images (masks: always one that every reader has). zstd takes a quarter
    of deflate's time and half of lzw's, and is the smallest; GDAL reads it from version 2.3 on."""


class PublishSettings(Section):
    """What the data card and the report say beyond what the data say themselves."""

    version: Literal[1] = 1
    title: str = ""
    """Title of the dataset."""
    description: str = ""
    """A paragraph about it."""
    licence: str = "CC-BY-4.0"
    """Licence of the result (SPDX)."""
    authors: tuple[str, ...] = ()
    """Who publishes it."""
    reference_licence: str = ""
    """Licence and attribution of the reference map."""
    deviations: tuple[str, ...] = ()
    """Known differences to the published dataset that no count shows, a sentence each."""
    quicklooks: Annotated[int, Field(ge=0, le=64)] = 12
    """Patches shown in the report."""


class TrainingSettings(Section):
    """The small models that validate the output."""

    version: Literal[1] = 1
    level: str | None = None
    """Legend level to learn; the coarsest if absent."""
    models: tuple[Literal["forest", "unet"], ...] = ("forest", "unet")
    """Models to train; `unet` runs only where PyTorch (the extra `train`) is installed."""
    inputs: tuple[Literal["sentinel2", "sentinel1"], ...] = ("sentinel2", "sentinel1")
    """Modalities that the models see."""
    seed: Annotated[int, Field(ge=0)] = 666
    """Seed of samples, weights and shuffles."""
    margin_f1: Annotated[float, Field(ge=0, le=1)] = 0.10
    """By how much macro F1 must exceed both the majority baseline and the shuffled control."""
    margin_miou: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The same for mIoU."""
    pixels_per_class: Annotated[int, Field(ge=10)] = 2_000
    """forest: training pixels drawn per class."""
    trees: Annotated[int, Field(ge=1)] = 60
    """forest: number of trees."""
    max_patches: Annotated[int, Field(ge=1)] = 512
    """unet: train patches at most, drawn by seed (a quarter as many of val); they lie in memory."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """unet: passes over the train patches, a random crop of each per pass."""
    crop_px: Annotated[int, Field(ge=8, le=2048)] = 64
    """unet: side of the crops in pixels; the whole patch where it is smaller."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """unet: crops per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """unet: Adam learning rate."""
    width: Annotated[int, Field(ge=4, le=128)] = 16
    """unet: channels of the first level."""
    class_weights: bool = False
    """unet: weigh classes by inverse frequency in the train split."""
    normalisation: Literal["none", "minmax", "standard", "log"] = "standard"
    """unet: scaling of inputs by statistics of the train split."""
    required: bool = True
    """Fail the build when a model does not beat its baselines."""


SECTIONS: dict[str, type[Section]] = {
    "area": AreaSettings,
    "simulate": SimulateSettings,
    "catalog": CatalogSettings,
    "sampling": SamplingSettings,
    "sentinel2": Sentinel2Settings,
    "sentinel1": Sentinel1Settings,
    "reference": ReferenceSettings,
    "patches": PatchesSettings,
    "splits": SplitsSettings,
    "layouts": LayoutsSettings,
    "publish": PublishSettings,
    "training": TrainingSettings,
}
"""All sections by name."""

STAGES: dict[str, tuple[str, ...]] = {
    "simulate": ("area", "simulate", "catalog"),
    "plan": ("area", "catalog", "sampling", "sentinel2", "sentinel1", "reference"),
    "sampling": ("area", "sampling"),
    "sentinel2": ("sampling", "sentinel2"),
    "sentinel1": ("sampling", "sentinel1"),
    "reference": ("sampling", "reference"),
    "patches": ("patches", "reference"),
    "splits": ("splits",),
    "layouts": ("layouts", "reference"),
    "publish": (
        "publish",
        "reference",
        "splits",
        "layouts",
        "sampling",
        "sentinel2",
        "sentinel1",
        "patches",
    ),
    "training": ("training", "reference"),
}
"""Which sections each stage sees. Adding one here makes its changes rebuild that stage."""
