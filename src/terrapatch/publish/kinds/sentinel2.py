# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2: what was done to its scenes, in sentences, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ...records import LockedItem
from ...settings import S2_BANDS, Requirement, SamplingSettings, Sentinel2Settings
from .. import pictures
from ..methods.words import (
    About,
    ProcessStep,
    coarser,
    copernicus,
    count,
    percent,
    scenes_of,
    too_few,
    unchecked,
)
from .plain import Drawn, Portrait

if TYPE_CHECKING:
    from ...stacks import StackInfo

COMPOSITES = (
    ("True colour", ("B04", "B03", "B02")),
    ("False colour", ("B08", "B04", "B03")),
)
"""What a composite of these very bands is called."""

_PROCESSORS = {"esa": "ESA (Sen2Cor)", "theia": "Theia (MAJA)"}
_LEVELS = {"L1C": "top-of-atmosphere reflectance", "L2A": "surface reflectance"}
_SCL = (
    "no data", "saturated or defective", "dark areas", "cloud shadows", "vegetation", "bare soil",
    "water", "unclassified", "cloud, medium probability", "cloud, high probability", "thin cirrus",
    "snow or ice",
)  # fmt: skip
_CLM = (
    "clouds and shadows", "clouds", "clouds by one date", "clouds by several dates",
    "thinnest clouds", "cloud shadows inside the image", "cloud shadows from outside", "high clouds",
)  # fmt: skip
_MG2 = (
    "water", "clouds", "snow", "cloud shadows", "relief shadows", "ground hidden by relief",
    "sun too low", "tangent sun",
)  # fmt: skip
_DTYPES = {
    "uint16": "Values are rounded to uint16; valid ones are 1 or more.",
    "int16": "Values are rounded to int16; zero and negative reflectances are kept.",
    "float32": "Values are float32 and not rounded; valid ones are 1 or more.",
}

_PERCENT = (
    "Values are percent of probability (SNWPRB: snow, CLDPRB: clouds) as the products' masks state them, "
    "uint8; 0 is a value.",
    "Pixels that the scene classification calls no data are missing.",
)


def baselines(items: Sequence[LockedItem]) -> list[str]:
    """Processing baselines with the offsets that their products state."""
    found = {
        (item.processing_baseline or "unknown", offset)
        for item in items
        for offset in _offsets([item])
    }
    return [f"{baseline} (offset {offset:g})" for baseline, offset in sorted(found)]


def _offsets(items: Sequence[LockedItem]) -> set[float]:
    """Offsets of the bands; classes and masks have none."""
    return {
        asset.add_offset
        for item in items
        for band, asset in item.assets.items()
        if band in S2_BANDS
    }


def keeps_offset(settings: Sentinel2Settings, items: Sequence[LockedItem]) -> set[float]:
    """Offsets that the values of the dataset still hold, as they would have to be added to them."""
    return _offsets(items) if settings.stack_offsets else {0.0}


def loaders(title: str, settings: Sentinel2Settings) -> list[str]:
    """What loaders must know of the radiometric offset."""
    if settings.probabilities:
        return []
    if settings.harmonise:
        return [
            f"{title} has no +1000 offset: models and loaders that carry statistics of harmonised "
            "products, or of those before baseline 04.00, fit it. For others build with "
            "`harmonise: false`, or scale by `statistics.json`."
        ]
    return [
        f"{title} keeps the +1000 offset of products from baseline 04.00 on: models and loaders that "
        "carry statistics of harmonised products do not fit it. For those build with "
        "`harmonise: true`, or scale by `statistics.json`."
    ]


def credit(about: About) -> list[str]:
    """Whom to name."""
    return copernicus(about, "sentinel2", "Sentinel-2")


def sentence(about: About) -> ProcessStep:
    """From products to the stack."""
    settings: Sentinel2Settings = about.settings
    items = scenes_of(about.lock, about.name, "sentinel2")
    return ProcessStep(
        about.titled("Sentinel-2"),
        (
            *_products(settings, items),
            *(_PERCENT if settings.probabilities else _measured(settings, items)),
            _sampling(settings, about.sampling),
            *_masks(settings, items),
            *unchecked(settings.check_values or settings.probabilities),
            *_time(settings, about.required),
        ),
    )


def _products(settings: Sentinel2Settings, items: Sequence[LockedItem]) -> list[str]:
    found = []
    kinds = sorted({(item.level, item.processor or "") for item in items})
    for level, processor in kinds:
        number = sum((i.level, i.processor or "") == (level, processor) for i in items)
        maker = f" of {_PROCESSORS.get(processor, processor)}" if processor else ""
        meaning = f" ({_LEVELS[level]})" if level in _LEVELS else ""
        found.append(f"{count(number, 'scene')} of level {level}{maker}{meaning}.")
    if any(item.processor == "theia" for item in items):
        how = "with" if settings.reflectance == "FRE" else "without"
        found.append(
            f"Theia's {settings.reflectance}: reflectance {how} the correction of slope effects."
        )
    return found


def _measured(settings: Sentinel2Settings, items: Sequence[LockedItem]) -> list[str]:
    return [*_radiometry(settings, items), _DTYPES[settings.dtype]]


def _radiometry(settings: Sentinel2Settings, items: Sequence[LockedItem]) -> list[str]:
    listed = baselines(items)
    found = [f"Processing baselines: {'; '.join(listed)}."] if listed else []
    steps = {a.quantification for i in items for b, a in i.assets.items() if b in S2_BANDS}
    if others := sorted(steps - {10_000.0}):
        named = ", ".join(f"{step:g}" for step in others)
        found.append(f"Numbers of products with quantification value {named} are brought to 10000.")
    stated = _offsets(items)
    if not any(stated):
        found.append("No product states a radiometric offset: values are 10000 × reflectance.")
    elif settings.harmonise:
        found.append(
            "The radiometric offset that each product states is applied: values are "
            "10000 × reflectance for all baselines."
        )
    else:
        found.append(
            "The radiometric offset is **not** applied: values are DN as delivered, and "
            "reflectance is (DN + offset of the product) / 10000."
        )
    return found


def _sampling(settings: Sentinel2Settings, sampling: SamplingSettings) -> str:
    first = ""
    if settings.upsample_first:
        first = f", after 20 m and 60 m bands were brought to 10 m ({settings.upsample_first})"
    finer = coarser(settings.kernel, settings.coarser)
    if sampling.of_tiles:
        return (
            "On the grid of a scene's own tile 10 m bands keep their pixels; the others are sampled "
            f"once, kernel {settings.kernel}{first}; {finer}."
        )
    return (
        f"Each band is sampled once onto the patch grid, kernel {settings.kernel}{first}; {finer}."
    )


def _masks(settings: Sentinel2Settings, items: Sequence[LockedItem]) -> list[str]:
    found, theia = [], any(item.processor == "theia" for item in items)
    if settings.mask_scl:
        found.append(f"Scene classes treated as missing: {_named(settings.mask_scl, _SCL)}.")
    if theia and settings.mask_edg:
        found.append("Pixels outside the image (edge mask EDG) are missing.")
    elif theia:
        found.append("The edge mask EDG is not used: nodata alone says what is missing.")
    if settings.mask_clm:
        found.append(
            f"Bits of the cloud mask CLM treated as missing: {_named(settings.mask_clm, _CLM)}."
        )
    if settings.mask_mg2:
        found.append(
            f"Bits of the geophysical mask MG2 treated as missing: {_named(settings.mask_mg2, _MG2)}."
        )  # fmt: skip
    if not (settings.mask_scl or settings.mask_clm or settings.mask_mg2):
        found.append("No cloud mask is applied.")
    if settings.scl:
        found.append("The scene classification is kept beside the bands (nearest).")
    return found


def _named(numbers: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(f"{number} {names[number]}" for number in numbers)


def _time(settings: Sentinel2Settings, required: Requirement) -> list[str]:
    if settings.time == "series":
        return [
            "A series: one image a pass.",
            f"A date of a patch is published where at least {percent(required.valid)} "
            f"of its pixels are observed; patches {too_few(required.dates)} are dropped.",
        ]
    return [
        "One image of all dates: where scenes overlap, a pixel comes from the first one that has a "
        "value in all bands; least cloud goes first, then the earlier date."
    ]


def drawn(info: StackInfo, patches: Sequence[NDArray[Any]]) -> list[Drawn]:
    """True and false colours, as far as the bands allow."""
    return [
        Drawn(title, [patch[chosen] for patch in patches], title.startswith(COMPOSITES[0][0]))
        for title, chosen in pictures.composites(info.bands, COMPOSITES)
    ]


PORTRAIT = Portrait(
    "Sentinel-2", sentence, credit, drawn, tag="sentinel-2", offsets=keeps_offset, hints=loaders
)
