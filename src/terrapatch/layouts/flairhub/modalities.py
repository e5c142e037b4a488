# SPDX-License-Identifier: Apache-2.0
"""The modalities of FLAIR-HUB, which layer of a recipe is which, and what a recipe lacks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...layers import POWER
from ...settings import THEIA_10
from ..fit import Form, ImageForm

UNIT = re.compile(r"(?P<domain>D[0-9A-Za-z]+-\d{4})_(?P<roi>[0-9A-Za-z-]+)")
"""Id of a unit: its domain, which ends with a year, and its region. Readers take names apart at `_`."""
PATCH_M = 102.4
"""Side of a patch."""
HISTORIC = "195X"
"""The year of a domain in names of historic images."""
COLOURS = ("R", "G", "B", "NIR")
CLOUDS = ("SNWPRB", "CLDPRB")
"""Snow stands before cloud in the release."""
METRES = ("m", "metre", "metres", "meter", "meters")
_EXACT = 1e-6
"""Pixel sizes are equal if they differ by less than this share."""


@dataclass(frozen=True)
class Modality:
    """One kind of files."""

    name: str
    """SENSOR_DATATYPE, as it stands in names of folders and files."""
    dtype: str
    """Of the files."""
    pixel_m: float
    bands: tuple[str, ...] = ()
    """In the order of the files, of series those of a date; none of labels."""
    series: bool = False
    """Whether bands of all dates stand in one file, date by date."""
    nodata: float | None = None
    """What missing pixels have, where no other pixel has it."""
    classes: tuple[int, ...] = ()
    """Of labels: number of classes of each band; codes count from 0. The last class of each is that
    of pixels without another: undefined, or background."""
    direction: str | None = None
    """Of radar: direction of flight."""
    unit: tuple[str, ...] = ()
    """What the recipe may call the unit of its numbers; the first is asked for."""

    @property
    def size_px(self) -> int:
        """Side of a patch in pixels."""
        return round(PATCH_M / self.pixel_m)

    @property
    def sensor(self) -> str:
        """What its files of metadata are called after."""
        return self.name.partition("_")[0]

    def folder(self, domain: str) -> str:
        """Its folder of a domain, which is also how names of its files begin."""
        if self.name == HISTORIC_NAME:
            domain = f"{domain.rpartition('-')[0]}-{HISTORIC}"
        return f"{domain}_{self.name}"

    def path(self, domain: str, roi: str, place: str) -> str:
        """A file below the dataset's folder; `place` is row-column of the patch."""
        folder = self.folder(domain)
        return f"{folder}/{roi}/{folder}_{roi}_{place}.tif"


HISTORIC_NAME = "AERIAL-RLT_PAN"
MODALITIES: dict[str, Modality] = {
    "aerial": Modality("AERIAL_RGBI", "uint8", 0.2, COLOURS),
    "pan": Modality(HISTORIC_NAME, "uint8", 0.4, ("PAN",)),
    "dem": Modality("DEM_ELEV", "float32", 0.2, ("DSM", "DTM"), unit=METRES[2:] + METRES[:2]),
    "spot": Modality("SPOT_RGBI", "uint16", 1.6, COLOURS),
    "sentinel2": Modality("SENTINEL2_TS", "uint16", 10.24, THEIA_10, series=True, nodata=0),
    "sentinel2_mask": Modality("SENTINEL2_MSK-SC", "uint16", 10.24, CLOUDS, series=True),
    "sentinel1_asc": Modality(
        "SENTINEL1-ASC_TS", "float32", 10.24, ("VV", "VH"), series=True, nodata=0, direction="ascending"
    ),
    "sentinel1_desc": Modality(
        "SENTINEL1-DESC_TS", "float32", 10.24, ("VV", "VH"), series=True, nodata=0, direction="descending"
    ),
    "cosia": Modality("AERIAL_LABEL-COSIA", "uint8", 0.2, classes=(19,)),
    "lpis": Modality("ALL_LABEL-LPIS", "uint8", 0.2, classes=(23, 31, 46)),
}  # fmt: skip
"""Name of a layer in the recipe → what it becomes. Source: RECIPES §4.1 and §4.2."""

SERIES, MASK = "sentinel2", "sentinel2_mask"
LABELS = tuple(name for name, modality in MODALITIES.items() if modality.classes)
RADIOMETRY = ("aerial", "pan", "spot", "sentinel2", "sentinel1_asc", "sentinel1_desc")
"""Layers with a table of radiometric statistics, and one of dates."""


def parts_of(unit: str) -> tuple[str, str]:
    """Domain and region of a unit, whose id fits (`unfit`)."""
    found = UNIT.fullmatch(unit)
    assert found, unit
    return found["domain"], found["roi"]


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    findings = []
    if form.regions is False:
        findings.append("sampling.kind: the layout holds patches of regions; take rois")
    elif wrong := [unit for unit in form.units if not UNIT.fullmatch(unit)]:
        findings.append(
            f"sampling.path: region {wrong[0]!r}; names are DOMAIN_ROI, such as D012-2019_AF-S1-27: the "
            "domain begins with D and ends with its year, and neither has another _: rename them in the "
            "table of regions"
        )
    elif "pan" in form.images:
        findings += _historic(form.units)
    findings += _names(form)
    if not set(LABELS) & set(form.legends):
        findings.append(
            f"layers: readers look for files of labels first; give one of {', '.join(LABELS)}"
        )
    for name, modality in MODALITIES.items():
        if name in form.images and not modality.classes:
            findings += _image(name, modality, form.images[name])
        if name in form.legends and modality.classes:
            findings += _label(name, modality, form)
        if name in form.grids:
            findings += _grid(name, modality, *form.grids[name])
    if MASK in form.images and SERIES not in form.images:
        findings.append(f"layers.{MASK}: goes with layers.{SERIES}, which is not there; add it")
    if {SERIES, MASK} <= set(form.images):
        findings += _dates_of_mask(form)
    return findings


def _names(form: Form) -> Iterator[str]:
    """Layers that are no modality."""
    for name in (*form.images, *form.legends):
        if name not in MODALITIES:
            yield (
                f"layers.{name}: the layout has no modality of this name; it has "
                f"{', '.join(MODALITIES)}: rename the layer, or leave it out"
            )
        elif (name in LABELS) != (name in form.legends):
            kind = "labels" if name in LABELS else "one of images"
            yield f"layers.{name}.kind: {MODALITIES[name].name} is of another kind; take {kind}"


def _historic(units: Sequence[str]) -> Iterator[str]:
    """Regions whose historic images would have the same names, which hold no year."""
    first: dict[str, str] = {}
    for unit in units:
        domain, roi = parts_of(unit)
        other = first.setdefault(f"{MODALITIES['pan'].folder(domain)}/{roi}", unit)
        if other != unit:
            yield (
                f"sampling.path: {other} and {unit} are one name in files of {HISTORIC_NAME}, where domains "
                f"have no year: give the regions different names, or leave layers.pan out"
            )
            return


def _image(name: str, modality: Modality, images: ImageForm) -> Iterator[str]:
    """What is wrong with a layer of images."""
    if images.bands != modality.bands:
        yield (
            f"layers.{name}: bands {', '.join(images.bands)}; {modality.name} has "
            f"{', '.join(modality.bands)}: name these alone, in this order"
        )
    # Percents fit into a byte.
    if images.dtype not in {modality.dtype, "uint8" if name == MASK else modality.dtype}:
        yield f"layers.{name}.dtype: {images.dtype}; {modality.name} has {modality.dtype}: take that"
    if modality.series and not images.series:
        yield f"layers.{name}.time: {modality.name} has all dates; take series"
    if not modality.series and (most := max((len(t) for t in images.times), default=1)) > 1:
        yield f"layers.{name}.time: {most} dates; {modality.name} has one image: take single"
    if name == SERIES and images.offsets:
        yield f"layers.{name}.harmonise: {modality.name} holds reflectances without an offset; set true"
    if modality.direction:
        yield from _radar(name, modality, images)
    if modality.unit and images.unit and images.unit not in modality.unit:
        yield (
            f"layers.{name}.unit: {images.unit!r}; {modality.name} has {modality.unit[0]}: convert the "
            f"files, and set unit: {modality.unit[0]}"
        )
    for unit_times in images.times if modality.series else ():
        if len(years := sorted({label[:4] for label in unit_times})) > 1:
            yield (
                f"layers.{name}: dates of {', '.join(years)} in one region; readers count days within "
                "one year: set catalog.period to one"
            )
            return


def _radar(name: str, modality: Modality, images: ImageForm) -> Iterator[str]:
    if images.decibel:
        yield f"layers.{name}.scale: {modality.name} has linear power; take linear"
    elif images.unit and images.unit != POWER:
        yield f"layers.{name}.radiometry: {images.unit}; {modality.name} has power: take sigma0"
    if images.directions - {modality.direction}:
        yield f"layers.{name}.orbit: {modality.name} is of one direction; take {modality.direction}"


def _label(name: str, modality: Modality, form: Form) -> Iterator[str]:
    """What is wrong with a layer of labels."""
    legend = form.legends[name]
    wanted = modality.classes[::-1]  # finest first, as in a legend
    if len(wanted) > 1 and len(legend.levels) != len(wanted):
        yield (
            f"layers.{name}.legend: {legend.name!r} has {len(legend.levels)} levels; {modality.name} has "
            f"{len(wanted)}: take legend: flairhub_{name}"
        )
        return
    for level, count in zip(legend.levels, wanted, strict=False):
        if other := [code for code in level.codes if code >= count]:
            yield (
                f"layers.{name}.legend: {legend.name!r} has a code {other[0]} on level {level.name}; "
                f"{modality.name} has 0 to {count - 1} there: take legend: flairhub_{name}"
            )


def _grid(name: str, modality: Modality, pixel: float, size_px: int) -> Iterator[str]:
    """What is wrong with the pixels of a layer."""
    if abs(pixel / modality.pixel_m - 1) > _EXACT:
        yield (
            f"layers.{name}.pixel_m: pixels of {pixel:g} m; {modality.name} has {modality.pixel_m:g} m: "
            f"set pixel_m: {modality.pixel_m:g}"
        )
    elif size_px != modality.size_px:
        yield (
            f"sampling.size_px: {name} has patches of {size_px * pixel:g} m; those of the layout are "
            f"{PATCH_M:g} m wide: set sampling.resolution: 10.24 and size_px: 10"
        )


def _dates_of_mask(form: Form) -> Iterator[str]:
    """Where the mask lacks dates of the series that it goes with."""
    for number, (dates, masks) in enumerate(
        zip(form.images[SERIES].times, form.images[MASK].times, strict=True)
    ):
        if lost := sorted(set(dates) - set(masks)):
            yield (
                f"layers.{MASK}: has no image of {', '.join(lost[:3])} in {form.units[number]}, which "
                f"{SERIES} has ({len(dates)} dates, {len(masks)} of the mask): give both layers the same "
                "level, processor and limits of cloud"
            )
            return
