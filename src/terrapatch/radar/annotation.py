# SPDX-License-Identifier: Apache-2.0
"""Annotation of Sentinel-1 images, detected (GRD) and complex (SLC), of every processor version.

Laws:
1. Times are seconds after `epoch`, the first line's time rounded down to whole seconds; all
   else is in SI units, angles in degrees.
2. What the XML says stays as it is, but for one known fault that is put right and stated: old
   processors round the times of state vectors to the millisecond (`orbit_shift_s`).
3. A file that is cut off, or lacks a part, is refused.

Source: Sentinel-1 Product Specification, S1-RS-MDA-52-7441, `s1-level-1-product.xsd`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import numpy as np

from ..errors import SceneError
from .orbit import Array, Orbit, seconds, utc

SPEED_OF_LIGHT = 299_792_458.0
"""m/s."""

_FIRST_ORBIT = {"S1A": 73, "S1B": 27}
"""Absolute orbit whose relative orbit is 1. A satellite that is moved along the orbit gets
another number here; of those after Sentinel-1B only the manifest knows."""

_CYCLE = 175


@dataclass(frozen=True, eq=False)
class GroundRange:
    """Polynomials between slant range and ground range, good around one azimuth time."""

    azimuth_s: float
    """Zero-Doppler time that they were fitted at."""
    gr0_m: float
    """Ground range that `grsr` counts from."""
    sr0_m: float
    """Slant range that `srgr` counts from."""
    srgr: Array
    """Ground range in m by powers of (slant range − sr0), lowest first."""
    grsr: Array
    """Slant range in m by powers of (ground range − gr0), lowest first."""


@dataclass(frozen=True, eq=False)
class GeolocationGrid:
    """Where the processor says that pixels are; arrays (rows along track, points across)."""

    azimuth_s: Array
    slant_range_m: Array
    line: Array
    pixel: Array
    latitude: Array
    longitude: Array
    height: Array
    incidence_deg: Array


@dataclass(frozen=True, eq=False)
class Annotation:
    """What geometry and radiometry need to know of one image."""

    platform: str
    """`S1A`, `S1B`, `S1C`, …"""
    mode: str
    """`IW`, `SM`, `EW`, …"""
    product_type: str
    """`GRD` or `SLC`."""
    swath: str
    """`IW` for a detected image, `IW1` … for a complex one, `S1` … for stripmap."""
    polarisation: str
    ipf: str
    """Version of the processor, `003.31`; it stands in the manifest only, so callers give it."""
    direction: str
    """`ascending` or `descending`."""
    relative_orbit: int
    """1 to 175; 0 where the platform's numbering is not known and no manifest told it."""
    absolute_orbit: int
    datatake: int
    slice_number: int
    """Place of this slice in the datatake, from 1; 0 if the product is not a slice."""
    epoch: np.datetime64
    """What times count from, datetime64[ns], UTC."""
    first_line_s: float
    last_line_s: float
    azimuth_interval_s: float
    """Time from line to line."""
    lines: int
    samples: int
    near_range_m: float
    """Slant range of the first sample."""
    range_spacing_m: float
    """Ground range from pixel to pixel (GRD), slant range (SLC)."""
    azimuth_spacing_m: float
    orbit: Orbit
    """State vectors of the annotation, times as put right."""
    orbit_shift_s: float
    """What was added to the annotated times of the state vectors; 0 from processor 3 on."""
    ground_range: tuple[GroundRange, ...]
    """By time; empty for SLC."""
    grid: GeolocationGrid

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last moment of the image, datetime64[ns], UTC."""
        first, last = (
            self.epoch + np.timedelta64(round(s * 1e9), "ns")
            for s in (self.first_line_s, self.last_line_s)
        )
        return first, last


class _Reader:
    """Looks things up in one XML file and names it when they are missing."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        try:
            self.root = ET.fromstring(data)  # noqa: S314
        except ET.ParseError as error:
            raise self.broken(f"cut off or damaged ({error})") from error

    def broken(self, what: str) -> SceneError:
        return SceneError(f"{self.name}: annotation {what}; fetch the product again")

    def text(self, path: str, node: ET.Element | None = None) -> str:
        found = (self.root if node is None else node).findtext(path)
        if found is None or not found.strip():
            raise self.broken(f"without {path}")
        return found.strip()

    def number(self, path: str, node: ET.Element | None = None) -> float:
        text = self.text(path, node)
        try:
            value = float(text)
        except ValueError as error:
            raise self.broken(f"with {path} = {text!r}, no number") from error
        if not np.isfinite(value):
            raise self.broken(f"with {path} = {text!r}")
        return value

    def integer(self, path: str) -> int:
        return int(self.number(path))

    def numbers(self, path: str, node: ET.Element) -> Array:
        text = self.text(path, node)
        try:
            return np.array(text.split(), np.float64)
        except ValueError as error:
            raise self.broken(f"with {path} that is no list of numbers") from error

    def time(self, path: str, node: ET.Element | None = None) -> np.datetime64:
        text = self.text(path, node)
        try:
            return utc(text)
        except ValueError as error:
            raise self.broken(f"with {path} = {text!r}, no time") from error

    def listed(self, path: str) -> list[ET.Element]:
        """Members of a list, whose `count` must be true."""
        holder = self.root.find(path)
        if holder is None:
            raise self.broken(f"without {path}")
        count = holder.get("count")
        if count is not None and count != str(len(holder)):
            raise self.broken(f"with {len(holder)} entries in {path}, announced are {count}")
        return list(holder)


def read_annotation(
    data: bytes, name: str, ipf: str = "", relative_orbit: int | None = None
) -> Annotation:
    """Read the annotation of one image.

    Args:
        data: bytes of `annotation/s1?-*.xml`.
        name: how messages call the file.
        ipf: version of the processor as the manifest has it (`003.31`).
        relative_orbit: as the manifest has it; counted from the absolute orbit if left out.

    Returns:
        Annotation.

    Raises:
        SceneError: the XML is cut off, lacks a part, or is no annotation of a GRD or SLC image.
    """
    xml = _Reader(data, name)
    product_type = xml.text("adsHeader/productType") if xml.root.tag == "product" else xml.root.tag
    if product_type not in ("GRD", "SLC"):
        raise SceneError(
            f"{name}: expected the annotation of a GRD or SLC image, got {product_type}; "
            "give annotation/s1?-*.xml of a Sentinel-1 product of level 1"
        )
    image = "imageAnnotation/imageInformation/"
    first, last = (
        xml.time(image + "productFirstLineUtcTime"),
        xml.time(image + "productLastLineUtcTime"),
    )
    epoch = first.astype("datetime64[s]").astype("datetime64[ns]")
    first_s = float(seconds(first, epoch))
    orbit, shift = _orbit(xml, epoch, first_s)
    platform = xml.text("adsHeader/missionId")
    absolute = xml.integer("adsHeader/absoluteOrbitNumber")
    ground_range = _ground_range(xml, epoch)
    if product_type == "GRD" and not ground_range:
        raise xml.broken("of a GRD image without coordinateConversion")
    return Annotation(
        platform=platform,
        mode=xml.text("adsHeader/mode"),
        product_type=product_type,
        swath=xml.text("adsHeader/swath"),
        polarisation=xml.text("adsHeader/polarisation"),
        ipf=ipf,
        direction=xml.text("generalAnnotation/productInformation/pass").lower(),
        relative_orbit=_relative_orbit(platform, absolute)
        if relative_orbit is None
        else relative_orbit,
        absolute_orbit=absolute,
        datatake=xml.integer("adsHeader/missionDataTakeId"),
        slice_number=int(xml.root.findtext(image + "sliceNumber") or 0),
        epoch=epoch,
        first_line_s=first_s,
        last_line_s=float(seconds(last, epoch)),
        azimuth_interval_s=xml.number(image + "azimuthTimeInterval"),
        lines=xml.integer(image + "numberOfLines"),
        samples=xml.integer(image + "numberOfSamples"),
        near_range_m=xml.number(image + "slantRangeTime") * SPEED_OF_LIGHT / 2,
        range_spacing_m=xml.number(image + "rangePixelSpacing"),
        azimuth_spacing_m=xml.number(image + "azimuthPixelSpacing"),
        orbit=orbit,
        orbit_shift_s=shift,
        ground_range=ground_range,
        grid=_grid(xml, epoch),
    )


def with_ground_range_of(annotation: Annotation, neighbour: Annotation) -> Annotation:
    """The annotation of a slice, with what its neighbour knows of ground range further on.

    Slices of old processors end 0.7 s after their last record; the next slice has the missing
    one, without which pixels jump where the slices meet.

    Args:
        annotation: of one slice.
        neighbour: of the slice before or after it in the same datatake.

    Returns:
        Annotation that differs in `ground_range` only: records of the neighbour that are half a
        second or more before its own first, or after its own last one, are added.
    """
    own = annotation.ground_range
    if not own:
        return annotation
    shift = float(seconds(neighbour.epoch, annotation.epoch))
    others = [replace(r, azimuth_s=r.azimuth_s + shift) for r in neighbour.ground_range]
    before = [r for r in others if r.azimuth_s <= own[0].azimuth_s - 0.5]
    after = [r for r in others if r.azimuth_s >= own[-1].azimuth_s + 0.5]
    return replace(annotation, ground_range=(*before, *own, *after))


def _relative_orbit(platform: str, absolute: int) -> int:
    first = _FIRST_ORBIT.get(platform)
    return 0 if first is None else (absolute - first) % _CYCLE + 1


def _orbit(xml: _Reader, epoch: np.datetime64, first_line_s: float) -> tuple[Orbit, float]:
    nodes = xml.listed("generalAnnotation/orbitList")
    for node in nodes:
        if node.findtext("frame") != "Earth Fixed":
            raise xml.broken("with state vectors that are not Earth Fixed")
    times = seconds([xml.time("time", node) for node in nodes], epoch)
    shift = _orbit_shift(times, first_line_s)
    vectors = [
        np.array([[xml.number(f"{what}/{axis}", node) for axis in "xyz"] for node in nodes])
        for what in ("position", "velocity")
    ]
    try:
        return Orbit(epoch, times + shift, *vectors), shift
    except ValueError as error:
        raise xml.broken(f"with an unusable orbit ({error})") from error


def _orbit_shift(times: Array, first_line_s: float) -> float:
    """What old processors rounded off the times of state vectors, in s.

    Processor 2.36 resamples the orbit to whole seconds before and after the first line, and
    then writes the times of these vectors with milliseconds only. The vectors belong to the
    unrounded times: with the written ones every point lies up to 3.8 m too late along track, or
    too early, the same for the whole image.
    """
    millisecond = np.abs(times * 1e3 - np.round(times * 1e3)).max(initial=0.0) < 1e-5
    every_second = times.size > 1 and np.abs(np.diff(times) - 1.0).max() < 1e-9
    away = first_line_s - times[:1]
    rounded_off = away - np.round(away)
    if not (millisecond and every_second and np.abs(rounded_off).max() <= 0.000_501):
        return 0.0
    return float(rounded_off[0])


def _ground_range(xml: _Reader, epoch: np.datetime64) -> tuple[GroundRange, ...]:
    records = [
        GroundRange(
            azimuth_s=float(seconds(xml.time("azimuthTime", node), epoch)),
            gr0_m=xml.number("gr0", node),
            sr0_m=xml.number("sr0", node),
            srgr=xml.numbers("srgrCoefficients", node),
            grsr=xml.numbers("grsrCoefficients", node),
        )
        for node in xml.listed("coordinateConversion/coordinateConversionList")
    ]
    return tuple(sorted(records, key=lambda record: record.azimuth_s))


def _grid(xml: _Reader, epoch: np.datetime64) -> GeolocationGrid:
    nodes = xml.listed("geolocationGrid/geolocationGridPointList")
    lines = np.array([xml.number("line", node) for node in nodes])
    width = int((lines == lines[0]).sum()) if lines.size else 0
    if width < 2 or lines.size % width or (np.diff(lines.reshape(-1, width), axis=1) != 0).any():
        raise xml.broken("with a geolocation grid of no regular rows")

    def column(tag: str) -> Array:
        return np.array([xml.number(tag, node) for node in nodes]).reshape(-1, width)

    azimuth = seconds([xml.time("azimuthTime", node) for node in nodes], epoch)
    return GeolocationGrid(
        azimuth_s=azimuth.reshape(-1, width),
        slant_range_m=column("slantRangeTime") * SPEED_OF_LIGHT / 2,
        line=lines.reshape(-1, width),
        pixel=column("pixel"),
        latitude=column("latitude"),
        longitude=column("longitude"),
        height=column("height"),
        incidence_deg=column("incidenceAngle"),
    )
