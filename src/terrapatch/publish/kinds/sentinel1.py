# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1: what was done to its scenes, in sentences, and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ...layers import AMPLITUDE
from ...records import Lock, LockedItem
from ...settings import Requirement, Sentinel1Settings
from .. import pictures
from ..methods.words import (
    About,
    ProcessStep,
    coarser,
    copernicus,
    count,
    file_name,
    file_names,
    percent,
    scenes_of,
    too_few,
    unchecked,
)
from .plain import Drawn, Portrait

if TYPE_CHECKING:
    from ...stacks import StackInfo

_QUANTITIES = {
    "sigma0": "σ⁰", "beta0": "β⁰", "gamma0": "γ⁰", "gamma0_rtc": "terrain-flattened γ⁰",
}  # fmt: skip
_CALIBRATION = {
    "sigma0": "Calibrated to σ⁰ with the products' own tables.",
    "beta0": "Calibrated to β⁰ with the products' own tables.",
    "gamma0": "Calibrated to the ellipsoid's γ⁰ with the products' own tables; the terrain has no "
    "part in it.",
    "gamma0_rtc": "Terrain-flattened γ⁰: β⁰ over the illuminated area of the terrain.",
}
_VERTICAL = {
    "auto": "heights count from what the files state", "ellipsoid": "heights above the ellipsoid",
    "egm96": "heights above EGM96", "egm2008": "heights above EGM2008",
}  # fmt: skip
_EXTRAS = {
    "local_incidence": "local_incidence (degrees, to the terrain's normal)",
    "ellipsoid_incidence": "ellipsoid_incidence (degrees, to the ellipsoid's normal)",
    "layover_shadow": "layover_shadow (1 layover, 2 shadow, 3 both)",
}


def quantity(settings: Sentinel1Settings) -> str:
    """What the values are, in words, for tables and comparisons."""
    if settings.level == "GRD" and settings.radiometry == "amplitude":
        return "uncalibrated amplitude (DN)"
    unit = "dB" if settings.scale == "db" else "linear power"
    name = _QUANTITIES[settings.radiometry] if settings.level == "GRD" else "backscatter"
    return f"{name} in {unit}"


def credit(about: About) -> list[str]:
    """Whom to name, for the heights too."""
    found = copernicus(about, "sentinel1", "Sentinel-1")
    if about.lock.heights and heights_simulated(about.settings, about.lock):
        found.append("The height model is simulated.")
    elif about.lock.heights:
        names = file_names([file.href for file in about.lock.heights])
        found.append(f"Heights: {names}; see the terms of their provider.")
    return found


def sentence(about: About) -> ProcessStep:
    """From products to the stack."""
    settings: Sentinel1Settings = about.settings
    items = scenes_of(about.lock, about.name, "sentinel1")
    raw = settings.level == "GRD"
    acts_on = "digital numbers" if _amplitude(settings) else "linear power"
    return ProcessStep(
        about.titled("Sentinel-1"),
        (
            *(_raw(settings, items, about.lock) if raw else _geocoded(items)),
            f"{', '.join(settings.polarisations)}: each polarisation is sampled once onto the patch "
            f"grid, kernel {settings.kernel}, on {acts_on}; {coarser(settings.kernel, settings.coarser)}.",
            _speckle(settings),
            f"Values are {quantity(settings)}.",
            *_extras(settings),
            *unchecked(settings.check_values),
            *_time(settings, about.required),
        ),
    )


def _amplitude(settings: Sentinel1Settings) -> bool:
    return settings.level == "GRD" and settings.radiometry == "amplitude"


def _geocoded(items: Sequence[LockedItem]) -> list[str]:
    found = [
        f"{count(len(items), 'scene')} of geocoded backscatter, taken as delivered: calibration, "
        "noise removal and terrain correction are those of the products."
    ]
    gains = sorted({a.gain for item in items for a in item.assets.values()} - {1.0})
    if gains:
        named = ", ".join(f"× {gain:g}" for gain in gains)
        found.append(f"Numbers are brought to backscatter by the files' own scale ({named}).")
    decibel = sum(any(a.scale == "db" for a in item.assets.values()) for item in items)
    if decibel:
        found.append(
            f"{count(decibel, 'scene')} in dB {'was' if decibel == 1 else 'were'} turned into "
            "linear power first."
        )
    return found


def _raw(settings: Sentinel1Settings, items: Sequence[LockedItem], lock: Lock) -> list[str]:
    found = [f"{count(len(items), 'raw scene')} (GRD)."]
    if _amplitude(settings):
        found.append(
            "Amplitudes: digital numbers as they are, without calibration; thermal noise is left in."
        )
    else:
        found.append(_CALIBRATION[settings.radiometry])
        found.append(_noise(settings, items))
    found.append(_border(settings))
    if settings.geometry == "gcp":
        return [*found, "Geocoded by the products' own ground control points, without relief."]
    return [*found, _terrain(settings, lock), _orbits(items)]


def _noise(settings: Sentinel1Settings, items: Sequence[LockedItem]) -> str:
    if not settings.subtracts_noise:
        return "Thermal noise is left in."
    without = sum(
        any(band in item.assets and item.assets[band].noise is None for band in settings.polarisations)
        for item in items
    )  # fmt: skip
    if not without:
        return "Thermal noise, as the products state it, is subtracted."
    return (
        "Thermal noise is subtracted where the products state it: "
        f"{without} of {count(len(items), 'scene')} do not."
    )


def _border(settings: Sentinel1Settings) -> str:
    if settings.border_cut == "none":
        return "Borders without image are found in each scene and are missing."
    return (
        "Borders without image are found in each scene and are missing; besides, S1Tiling's fixed "
        f"cuts: {settings.border_cut_range_px:,} pixels at near and far range of products of before "
        f"IPF 2.90, {settings.border_cut_azimuth_px:,} lines at an end of a slice that begins or "
        "ends without image."
    )


def heights_simulated(settings: Sentinel1Settings, lock: Lock) -> bool:
    """Whether heights are the embedded archive's own."""
    return lock.source == "simulated" and not settings.dem


def _terrain(settings: Sentinel1Settings, lock: Lock) -> str:
    names = file_names([file.href for file in lock.heights])
    own = " (the embedded archive's own)" if heights_simulated(settings, lock) else ""
    parts = [f"Terrain-corrected by range and Doppler with the heights of {names}{own}"]
    parts.append(_VERTICAL[settings.dem_vertical])
    if lock.geoid is not None:
        parts.append(f"geoid {file_name(lock.geoid.href)}")
    if settings.dem_sea:
        parts.append("sea level where no file reaches")
    return "; ".join(parts) + "."


def _orbits(items: Sequence[LockedItem]) -> str:
    placed = sum(item.orbit_file is not None for item in items)
    if not placed:
        return "Orbits are those annotated in the products."
    return f"Orbit files place {placed} of {count(len(items), 'scene')}."


def _speckle(settings: Sentinel1Settings) -> str:
    side = 2 * settings.speckle_radius + 1
    window = f"{side} × {side} px"
    return {
        "none": "No speckle filter.",
        "boxcar": f"Speckle filter on the patch grid: boxcar, {window}.",
        "lee": f"Speckle filter on the patch grid: Lee, {window}, {settings.looks:g} looks.",
        "refined_lee": "Speckle filter on the patch grid: refined Lee, 7 × 7 px, "
        f"{settings.looks:g} looks.",
        "multitemporal": f"Speckle filter on the patch grid: multitemporal (Quegan and Yu), {window}, "
        "all passes of one direction together.",
    }[settings.speckle]  # fmt: skip


def _extras(settings: Sentinel1Settings) -> list[str]:
    if not settings.extras:
        return []
    return [f"Bands behind the polarisations: {', '.join(_EXTRAS[x] for x in settings.extras)}."]


def _time(settings: Sentinel1Settings, required: Requirement) -> list[str]:
    apart = settings.directions == "apart"
    if settings.time == "series":
        order = "ascending passes first, then descending ones" if apart else "in order of time"
        return [
            f"A series: one image a pass, joined from its slices, {order}.",
            f"A date of a patch is published where at least {percent(required.valid)} "
            f"of its pixels are observed; patches {too_few(required.dates)} are dropped.",
        ]
    images = "One image a direction, ascending first" if apart else "One image of all passes"
    return [
        f"{images}: where scenes overlap, a pixel comes from the earliest one that has a value in "
        "all bands."
    ]


def drawn(info: StackInfo, patches: Sequence[NDArray[Any]]) -> list[Drawn]:
    """Two polarisations and their ratio; angles and masks behind them are no backscatter."""
    shown = [pictures.radar(patch[info.measured], decibel=info.values.decibel) for patch in patches]
    return [Drawn(radar_title(info, shown[0].shape[0]), shown)]


def radar_title(info: StackInfo, channels: int) -> str:
    """Bands of a radar picture, and how they are shown: amplitudes are no backscatter."""
    first = [info.bands[k] for k in info.measured[:2]]
    bands = [*first, f"{first[0]}/{first[1]}"] if channels == 3 else first[:1]
    how = "amplitude, logarithmic" if info.values.unit == AMPLITUDE else "dB"
    return f"Radar ({', '.join(bands)}; {how})"


PORTRAIT = Portrait(
    "Sentinel-1", sentence, credit, drawn, lambda settings, _: quantity(settings), "sentinel-1"
)
