# SPDX-License-Identifier: Apache-2.0
"""What the lock records: files, scenes, units, what was left out, and why.

Everything after the plan reads these alone; `lock` writes and reads them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .errors import IncompleteError

Reduction = Literal["first"]
"""How scenes become one image: `first` takes each pixel of the first scene that is valid there."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LockedFile(_Record):
    """A file that goes in, by itself or beside another."""

    href: str
    size: int | None = None
    sha256: str | None = None
    beside: tuple[LockedFile, ...] = ()
    """What is read with it: sidecars, and the sources of a VRT with theirs."""


class LockedAsset(_Record):
    """One file (or one band of a file) of a scene, with all that reading it takes."""

    href: str
    """Path that GDAL opens: a file, or /vsizip/… for a member of an archive."""
    band: int = 1
    """Band number inside the file, from 1."""
    size: int | None = None
    """Bytes of the file (of the archive for /vsizip/)."""
    sha256: str | None = None
    """Hash of the file (of the archive for /vsizip/), where recorded."""
    beside: tuple[LockedFile, ...] = ()
    """What is read with it: sidecars, the sources of a VRT with theirs, annotations."""
    crs: str
    """Empty for radar geometry (Sentinel-1 GRD), whose transform is the identity."""
    transform: tuple[float, float, float, float, float, float]
    """Pixel to map, in the order of `affine.Affine`; read from the file itself."""
    shape: tuple[int, int]
    """Height, width."""
    dtype: str
    nodata: float | None = None
    nodata_nan: bool = False
    """Whether NaN means missing."""
    mask: int | None = None
    """What else tells missing pixels, 0 there: 0 for the file's mask, the number of an alpha band."""
    add_offset: float = 0.0
    """To be added to the numbers in the file (Sentinel-2: RADIO/BOA_ADD_OFFSET)."""
    quantification: float = 10_000.0
    """Sentinel-2: DN + offset, divided by this, is reflectance."""
    gain: float = 1.0
    """Sentinel-1: number + offset, multiplied by this, is linear or decibel, as `scale` says."""
    scale: Literal["linear", "db"] = "linear"
    """Sentinel-1: unit of the pixels."""
    annotation: str | None = None
    """Sentinel-1 GRD: address of the product annotation of this polarisation (XML)."""
    calibration: str | None = None
    """Sentinel-1 GRD: address of the calibration annotation."""
    noise: str | None = None
    """Sentinel-1 GRD: address of the noise annotation; absent in products without one."""


class LockedItem(_Record):
    """One scene that goes into the dataset."""

    id: str
    sensor: str
    """What it is of, one of `settings.SCENES`."""
    level: str
    """L1C, L2A, RTC, GRD, map."""
    datetime: str
    """Acquisition start, ISO 8601 in UTC."""
    tile: str | None = None
    """MGRS tile with leading T, for example T31TCJ."""
    platform: str | None = None
    processor: str | None = None
    """Sentinel-2: esa or theia, where known."""
    processing_baseline: str | None = None
    relative_orbit: int | None = None
    orbit_direction: str | None = None
    cloud_percent: float | None = None
    footprint: dict[str, Any]
    """GeoJSON geometry in EPSG:4326 of the valid data."""
    licence: str | None = None
    orbit_file: str | None = None
    """Sentinel-1 GRD: the orbit file that places it, one of `Lock.orbits`; absent: its own."""
    assets: dict[str, LockedAsset]
    """By band name: B02, SCL, VV, map."""

    @property
    def raw(self) -> bool:
        """Whether it is in radar geometry, which heights and orbits place on the ground."""
        return any(asset.annotation is not None for asset in self.assets.values())


class LockedStep(_Record):
    """One image of a layer's time axis."""

    label: str
    """What it is called, in stacks and tables alike, see `times.Step`."""
    items: tuple[str, ...]
    """Ids of its scenes, best first."""
    reduce: Reduction = "first"


class LockedUnit(_Record):
    """One unit with its grid and the scenes that it is made from."""

    id: str
    geobox: dict[str, Any]
    """See `grid.geobox_to_dict`."""
    first_row: int
    first_col: int
    items: dict[str, tuple[str, ...]]
    """Item ids by layer, best first: where scenes overlap, the first with a valid pixel wins."""
    steps: dict[str, tuple[LockedStep, ...]] = {}
    """Time steps by layer of images; a layer without scenes here has steps, too."""
    vectors: tuple[str, ...] = ()
    """Ids of the polygon layers that have features here, in the order of the recipe."""
    windows: tuple[tuple[str, int, int], ...] | None = None
    """Name, first row and first column of each patch, where a table says where patches are."""


class Exclusion(_Record):
    """What was found and not used: a scene, or files of which no scene was made."""

    id: str
    """The scene's; of other things the path, as a scene's addresses have it."""
    sensor: str
    """What it is of; `other`: of no kind that is read, or nothing tells it."""
    layer: str | None = None
    """The layer that does not use it; absent: none could."""
    reason: str


class Gap(_Record):
    """A stretch of the period in which a track was seen less often than usual."""

    sensor: str
    """What the scenes of the series are of."""
    layer: str | None = None
    """The layer whose series it is in."""
    relative_orbit: int | None = None
    """The track; absent: all scenes of the layer together."""
    orbit_direction: str | None = None
    start: str
    """Day of the last pass before, or the first day of the period."""
    end: str
    """Day of the first pass after, or the last day of the period."""
    usual_days: int
    """From pass to pass in the rest of the series (12 where it is too short to tell)."""
    longest_days: int
    """The longest interval within."""
    visits: int = 0
    """Passes within; more than none where they are only fewer than usual."""
    units: tuple[str, ...] = ()
    """Units with this gap; none named: all that the track sees."""
    reason: str | None = None
    """What happened to the satellites, where that explains it."""

    @property
    def track(self) -> str:
        """The track in short, for example `R103 desc`; empty where all scenes are one series."""
        orbit = "" if self.relative_orbit is None else f"R{self.relative_orbit:03d}"
        return f"{orbit} {(self.orbit_direction or '')[:4]}".strip()

    def words(self, units: int) -> str:
        """What is missing, where and why; `units` is how many the lock has."""
        if self.visits:
            count = f"{self.visits} pass{'' if self.visits == 1 else 'es'}"
            what = f"{count}, up to {self.longest_days} days apart instead of {self.usual_days}"
        else:
            what = f"none for {self.longest_days} days instead of {self.usual_days}"
        if self.units:
            some = ", ".join(self.units[:3]) + (", …" if len(self.units) > 3 else "")
            what += f", in {len(self.units)} of {units} units ({some})"
        return f"{what}: {self.reason}" if self.reason else what


class LockedVector(_Record):
    """One vector file of a reference."""

    id: str
    """Layer, entry and number of its file: `label.vectors.0.1`, `label.networks.0.0`."""
    href: str
    """Path of the vector file, or of the archive that holds it."""
    layer: str
    crs: str
    fields: dict[str, str]
    """Attribute as the recipe, the product or the crosswalk names it → as the file spells it."""
    features: int
    """Features of the layer that lie around the area and count."""
    left_out: dict[str, int] = {}
    """Why other features around the area do not count, with their number."""
    files: tuple[LockedFile, ...]
    """All files that are read: `href`, or the parts of a shapefile."""

    @property
    def kind(self) -> str:
        """`vectors` or `networks`."""
        return self.id.split(".")[-3]

    @property
    def source(self) -> int:
        """Number of the entry in the recipe's list."""
        return int(self.id.split(".")[-2])

    @property
    def label(self) -> str:
        """Name of the layer of labels."""
        return ".".join(self.id.split(".")[:-3])

    @property
    def entry(self) -> str:
        """The same without the layer: `vectors.0.1`."""
        return ".".join(self.id.split(".")[-3:])


class Lock(_Record):
    """Exactly which products go in; all later stages read this alone, or the slice of their job."""

    version: Literal[1] = 1
    name: str
    source: str
    units: tuple[LockedUnit, ...]
    items: tuple[LockedItem, ...]
    """Scenes and maps of all layers, each once."""
    scenes: dict[str, str] = {}
    """Layer → what its scenes are of; absent: what it is called."""
    heights: tuple[LockedFile, ...] = ()
    """Height model for the terrain correction of raw scenes."""
    geoid: LockedFile | None = None
    """Raster of geoid heights, where the recipe names one."""
    orbits: tuple[LockedFile, ...] = ()
    """Orbit files that place raw scenes, see `LockedItem.orbit_file`."""
    vectors: tuple[LockedVector, ...] = ()
    """Polygons and networks of the reference, in the order of the recipe."""
    named: tuple[LockedFile, ...] = ()
    """Files that the recipe names and stages read themselves: area, legend, crosswalks, rules."""
    excluded: tuple[Exclusion, ...] = ()
    places_left_out: dict[str, tuple[str, ...]] = {}
    """Why points of the table are in no unit → their ids."""
    units_left_out: dict[str, str] = {}
    """Units that the area has and no job makes, with the reason: a layer has no scene there."""
    latitude: float | None = None
    """Middle of the area of a grid in degrees: lengths and areas in metres are settled there once,
    for all units (absent in locks of before: the middle of all units)."""
    gaps: tuple[Gap, ...] = ()
    """Where the series of passes has holes; for people, no stage reads it."""
    notes: tuple[str, ...] = ()
    """What else was found and is not used, or was repaired; for people, no stage reads it."""
    layer: str | None = None
    """Of a slice, which has one unit alone: the layer whose job reads it."""

    @property
    def beside(self) -> tuple[LockedFile, ...]:
        """All files that raw scenes need besides their own."""
        return (*self.heights, *([self.geoid] if self.geoid else []), *self.orbits)

    def unit(self, unit_id: str) -> LockedUnit:
        """The unit of that id."""
        for unit in self.units:
            if unit.id == unit_id:
                return unit
        raise IncompleteError(
            f"the lock has no unit {unit_id!r}; it has {[u.id for u in self.units]}"
        )

    def scenes_of(self, layer: str) -> list[LockedItem]:
        """All scenes of a layer, in the order of the lock."""
        kind = self.scenes.get(layer, layer)
        used = {item_id for unit in self.units for item_id in unit.items.get(layer, ())}
        return [item for item in self.items if item.sensor == kind and item.id in used]

    def items_of(self, unit_id: str, layer: str) -> list[LockedItem]:
        """Scenes of a unit and layer, best first."""
        kind = self.scenes.get(layer, layer)
        by_id = {item.id: item for item in self.items if item.sensor == kind}
        return [by_id[item_id] for item_id in self.unit(unit_id).items.get(layer, ())]

    def steps_of(self, unit_id: str, layer: str) -> tuple[LockedStep, ...]:
        """Time steps of a unit and layer of images."""
        steps = self.unit(unit_id).steps
        if layer not in steps:
            raise IncompleteError(
                f"the lock has no time steps of layer {layer!r} in unit {unit_id!r}; plan again"
            )
        return steps[layer]

    def maps_of(self, unit_id: str) -> list[LockedItem]:
        """Reference maps of a unit, best first; a slice has those of its own layer."""
        by_id = {item.id: item for item in self.items if item.sensor == "reference"}
        ids = (item_id for ids in self.unit(unit_id).items.values() for item_id in ids)
        return [by_id[item_id] for item_id in dict.fromkeys(ids) if item_id in by_id]

    def vectors_of(self, unit_id: str) -> list[LockedVector]:
        """Polygon layers of a unit, in the order of the recipe."""
        here = set(self.unit(unit_id).vectors)
        return [vector for vector in self.vectors if vector.id in here]


_FIRST_WITH_OFFSET = (4, 0)
_NO_BASELINE = (99, 99)
"""What Sen2Cor writes outside of ESA's ground segment: it tells nothing about offsets."""


def baseline_number(text: str | None) -> tuple[int, int] | None:
    """A processing baseline as a number to compare: (5, 9) of `05.09`, `5.9`, `N0509`; None: none."""
    digits = (text or "").strip().upper().removeprefix("N")
    if digits.isdigit() and len(digits) == 4:
        return int(digits[:2]), int(digits[2:])
    major, _, minor = digits.partition(".")
    if not major.isdigit() or (minor and not minor.isdigit()):
        return None
    return int(major), int(minor or 0)


def since_offset(text: str | None) -> bool | None:
    """Whether products of a baseline have a radiometric offset; None where it is no baseline."""
    number = baseline_number(text)
    return None if number in (None, _NO_BASELINE) else number >= _FIRST_WITH_OFFSET
