# SPDX-License-Identifier: Apache-2.0
"""The sections of a recipe: one frozen model a stage.

Laws:
1. Defaults live here alone; the sentence under a field is its documentation everywhere.
2. `version` of a section is raised when the same settings give other pixels.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .area import AreaSettings as AreaSettings
from .base import Day, read_by
from .base import Section as Section
from .cleaning import CleanStep as CleanStep
from .cleaning import ClosingStep as ClosingStep
from .cleaning import FillStep as FillStep
from .cleaning import MajorityStep as MajorityStep
from .cleaning import MmuStep as MmuStep
from .cleaning import NetworksStep as NetworksStep
from .cleaning import OpeningStep as OpeningStep
from .cleaning import SettleStep as SettleStep
from .cleaning import SieveStep as SieveStep
from .kernels import Kernel as Kernel
from .kernels import coarse_kernel as coarse_kernel
from .labels import LabelsSettings as LabelsSettings
from .layers import IMAGE_KINDS as IMAGE_KINDS
from .layers import KINDS as KINDS
from .layers import SCENES as SCENES
from .layers import AnyLayer as AnyLayer
from .layers import ImageLayer as ImageLayer
from .layers import Layered as Layered
from .layers import LayerName as LayerName
from .layouts import LayoutsSettings as LayoutsSettings
from .named import named_files as named_files
from .patches import PatchesSettings as PatchesSettings
from .patches import Requirement as Requirement
from .policy import Auxiliary as Auxiliary
from .policy import Policy as Policy
from .raster import RasterSettings as RasterSettings
from .sampling import SamplingSettings as SamplingSettings
from .sentinel1 import Sentinel1Settings as Sentinel1Settings
from .sentinel2 import L2A_12 as L2A_12
from .sentinel2 import PROBABILITIES as PROBABILITIES
from .sentinel2 import S2_BANDS as S2_BANDS
from .sentinel2 import THEIA_10 as THEIA_10
from .sentinel2 import Sentinel2Settings as Sentinel2Settings
from .simulate import SimulateSettings as SimulateSettings
from .tasks import TaskName as TaskName
from .tasks import TaskSettings as TaskSettings
from .training import TrainingSettings as TrainingSettings
from .vectors import NetworkSource as NetworkSource
from .vectors import VectorSource as VectorSource
from .views import narrowed as narrowed
from .views import section_of
from .views import seen as seen


class RasterSource(Section):
    """Plain georeferenced rasters of one scene, described by hand where files carry no metadata."""

    sensor: Literal["sentinel2", "sentinel1", "reference"]
    """What the rasters show."""
    path: str
    """Path of a file with all bands, or with `{band}` in it, one file a band."""
    bands: tuple[str, ...] | dict[str, int | str] = ()
    """Band names in the order of the file, or the values that `{band}` takes; or each name with its
    number in the file, from 1, or its description there (`{B04: 3}`). Fewer names than the file has
    bands are found by its descriptions; none at all: the bands that it describes. Of a map: the band
    with its codes, by number or description."""
    date: Day
    """Acquisition date, or the date that a reference map stands for."""
    id: str | None = None
    """Name of the scene; the file's stem if absent."""
    level: Literal["L1C", "L2A"] | None = None
    """Sentinel-2 product level."""
    add_offset: float | None = None
    """Sentinel-2: what is to be added to each DN before `scale` (0 or −1000)."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """What is measured (reflectance; backscatter in `unit`) is number · scale + offset. Absent: what
    the file's tags say, else 0.0001 (Sentinel-2) and 1 (Sentinel-1)."""
    offset: float | None = None
    """See `scale`; Sentinel-2: in reflectance (0 or −0.1), instead of `add_offset`."""
    unit: Literal["linear", "db"] | None = None
    """Sentinel-1: whether the files hold linear backscatter or decibel (`scale: db` means the same).
    Absent: what the file says, else linear."""
    nodata: float | None = None
    """Value of missing pixels where the files do not declare it."""
    orbit_direction: Literal["ascending", "descending"] | None = None
    """Sentinel-1 orbit direction, where known."""
    relative_orbit: Annotated[int, Field(ge=1, le=175)] | None = None
    """Relative orbit, where known: a series takes rasters of one orbit and day as one pass."""
    platform: str | None = None
    """Satellite, where known, for example Sentinel-1A."""

    @model_validator(mode="before")
    @classmethod
    def _unit(cls, data: Any) -> Any:
        """`scale: db` is `unit: db`."""
        if isinstance(data, dict) and data.get("scale") in ("linear", "db"):
            data = dict(data)
            unit = data.pop("scale")
            if data.setdefault("unit", unit) not in (None, unit):
                raise ValueError(f"unit {data['unit']!r} and scale {unit!r} contradict each other")
        return data

    @model_validator(mode="after")
    def _of_sensor(self) -> RasterSource:
        if self.unit == "db" and self.sensor != "sentinel1":
            raise ValueError(f"decibel are a unit of sentinel1, not of {self.sensor}")
        return self


class CatalogSettings(Section):
    """Which scenes may be used, and which of them are."""

    version: Literal[1] = 1
    source: Literal["simulated", "local"] = "local"
    """`simulated` writes the embedded archive first; `local` reads what lies in folders."""
    paths: tuple[str, ...] = ()
    """Folders (searched downwards) or single products: SAFE and Theia folders and zips, STAC items,
    GeoTIFF."""
    rasters: tuple[RasterSource, ...] = ()
    """Rasters without metadata of their own."""
    period: tuple[Day, Day] | None = None
    """First and last day of acquisition, both included; required for folders."""
    cloud_percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """Scenes with more cloud (product metadata) are left out."""
    cloud_limit: Literal["at_most", "below"] = "at_most"
    """`below`: scenes with exactly `cloud_percent` are left out, too."""
    require_full_cover: bool = False
    """Leave out Sentinel-2 products that do not show all of the area that their grid covers: by
    the edge mask (Theia), or by the footprint, good to 500 m (SAFE); unknown passes."""
    scenes_per_tile: Annotated[int, Field(ge=1)] | None = None
    """Keep only the best so many Sentinel-2 dates per tile (least cloud, then earliest)."""
    missing_slices: Literal["error", "allow"] = "error"
    """Raw Sentinel-1 slice that lies between two others over the area and is not there: an error, or
    no matter, as where an archive was thinned out on purpose; its pixels are then missing."""
    hash_files: bool = True
    """Record the SHA-256 of every file that will be read."""


class SplitsSettings(Section):
    """Which patches are for training, validation and test."""

    version: Literal[1] = 1
    method: Literal["blocks", "published", "stratified"] = "blocks"
    """`blocks`: square blocks with an exclusion buffer; `published`: random, 90/10 then 80/20;
    `stratified`: random within each value of the column `by`."""
    fractions: tuple[float, float, float] = (0.72, 0.18, 0.10)
    """Wanted shares of train, val, test (`blocks`, `stratified`)."""
    by: str | None = None
    """Column of the manifest, one of the table of places for example, within each value of which
    `stratified` splits; patches of one place stay together."""
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of a block in metres."""
    buffer_m: Annotated[float, Field(ge=0)] = 1_280.0
    """Patches of one split nearer than this to another split are excluded, in metres."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Seed of the test split (and of the blocks)."""
    val_seed: Annotated[int, Field(ge=0)] = 666
    """Seed of the train/val split (`published`)."""
    stratify: str | None = None
    """Layer of labels whose finest classes the splits share out (`blocks`); the first if absent."""
    overlap: Literal["none", "polygons", "published"] = "none"
    """Patches of neighbouring tiles on one ground: `polygons` keeps that of the tile which comes
    first in `tile_priority`; `published` does as MultiSenGE's release, tile pair by tile pair."""
    tile_priority: tuple[Annotated[str, Field(pattern=r"^\d{2}[C-X][A-Z]{2}$")], ...] = ()
    """Tiles whose patches stay, the first wins; tiles that are not named follow by name."""

    @model_validator(mode="after")
    def _sum(self) -> SplitsSettings:
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6 or not self.fractions[0]:
            raise ValueError(f"fractions must be ≥ 0, sum to 1, with train > 0: {self.fractions}")
        if (self.method == "stratified") != (self.by is not None):
            raise ValueError(
                "by names the column of method: stratified; give both, or none of them"
            )
        return self


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


class Sections(Section, Layered):
    """The registry: one row a section, with its model and which stages read which of its keys.

    A key named in a row makes its changes rebuild that stage. Rows of layers stand at their kinds.
    """

    name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100),
        read_by("plan layouts publish training"),
    ]
    """Name of the dataset and of its folder under results/."""
    mode: Annotated[Literal["published", "corrected"], read_by("publish")] = "corrected"
    """`published` repeats what the paper's release did, defects included."""
    area: Annotated[AreaSettings, read_by("simulate plan sampling")]
    simulate: Annotated[SimulateSettings, read_by("simulate")] = SimulateSettings()
    catalog: Annotated[CatalogSettings, read_by("plan")] = CatalogSettings()
    sampling: Annotated[
        SamplingSettings,
        read_by(
            "plan publish",
            sampling="version kind size_px stride_px area_rule",
            splits="kind rename",
            layouts="kind resolution size_px stride_px",
        ),
    ] = SamplingSettings()
    layers: dict[LayerName, AnyLayer] = Field(default_factory=dict)
    """The rasters of a sample by name; their order is that of stacks, tables and pages."""
    patches: Annotated[PatchesSettings, read_by("patches publish", plan="require")] = (
        PatchesSettings()
    )
    tasks: Annotated[dict[TaskName, TaskSettings], read_by("plan splits publish training")] = Field(
        default_factory=dict
    )
    """What is to be learnt of the places of a table, by name: a class from a code in one of its columns.
    The manifest has it as `class_NAME`, −1 for places that the legend leaves out."""
    splits: Annotated[SplitsSettings, read_by("splits publish")] = SplitsSettings()
    layouts: Annotated[LayoutsSettings, read_by("layouts publish", training="name")] = (
        LayoutsSettings()
    )
    publish: Annotated[PublishSettings, read_by("publish")] = PublishSettings()
    training: Annotated[TrainingSettings, read_by("training")] = TrainingSettings()
    published: Annotated[dict[str, Any], read_by("publish")] = Field(default_factory=dict)
    """What `mode: published` changes, in the form of a recipe; each entry is reported."""


STAGES = (
    "simulate", "plan", "sampling", "stack", "patches", "splits", "layouts", "publish", "training",
)  # fmt: skip
"""Stages that have settings, in the order of the flow; `stack` has one file a layer, with that
layer alone."""

SECTIONS: dict[str, type[Section]] = {
    name: kind for name in Sections.model_fields if (kind := section_of(Sections, name))
}
"""All sections by name."""
