# SPDX-License-Identifier: Apache-2.0
"""Names, tables and XML of simulated GRD products, in the form of genuine ones (IPF 3.40).

Law: nothing says when a product was made: the same settings give the same bytes.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441) for names, elements and units.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from .grd_tables import AMPLITUDE, Luts
from .passage import MOTION, Passage, ProductSlice, geodetic
from .safe_metadata import template
from .sentinel1 import POLARISATIONS

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]

IPF = "003.40"
LIGHT = 299_792_458.0
GRID_LINES, GRID_SAMPLES = 10, 21
"""Points of the geolocation grid."""
_STATE_MARGIN, _STATE_STEP = 70, 10


@dataclass(frozen=True)
class GridPoint:
    """A point of the geolocation grid."""

    line: int
    """In the slice."""
    sample: int
    seconds: float
    slant: float
    lon: float
    lat: float
    height: float
    incidence: float
    elevation: float


@dataclass(frozen=True, eq=False)
class RawProduct:
    """One slice of a pass and its names."""

    passage: Passage
    part: ProductSlice
    points: tuple[GridPoint, ...]

    @property
    def start(self) -> datetime:
        """Time of the first line."""
        return self.moment(self.part.first * self.passage.interval)

    @property
    def stop(self) -> datetime:
        """Time of the last line."""
        return self.moment((self.part.last - 1) * self.passage.interval)

    def moment(self, seconds: float) -> datetime:
        """A time of the passage, to the microsecond."""
        return self.passage.epoch + timedelta(microseconds=round(seconds * 1e6))

    @property
    def datatake(self) -> int:
        """Number of the datatake: the same for all slices of a pass."""
        return (self.passage.item.orbit * 7919 + 351) % 999_983 + 1

    @property
    def name(self) -> str:
        """Name of the SAFE folder."""
        stem = (
            f"S1A_IW_GRDH_1SDV_{self.start:%Y%m%dT%H%M%S}_{self.stop:%Y%m%dT%H%M%S}_"
            f"{self.passage.item.orbit:06d}_{self.datatake:06X}"
        )
        return f"{stem}_{zlib.crc32(f'{stem}{self.start}'.encode()) & 0xFFFF:04X}.SAFE"

    def file(self, polarisation: str) -> str:
        """Stem of the files of one polarisation."""
        number = POLARISATIONS.index(polarisation) + 1
        times = f"{self.start:%Y%m%dt%H%M%S}-{self.stop:%Y%m%dt%H%M%S}"
        orbit = f"{self.passage.item.orbit:06d}-{self.datatake:06x}"
        return f"s1a-iw-grd-{polarisation.lower()}-{times}-{orbit}-{number:03d}"

    @property
    def tags(self) -> dict[str, str]:
        """What the measurement files say of themselves."""
        return {
            "TIFFTAG_IMAGEDESCRIPTION": "Sentinel-1A IW GRD HR L1",
            "TIFFTAG_SOFTWARE": f"Sentinel-1 IPF {IPF}",
            "TIFFTAG_DATETIME": f"{self.stop:%Y:%m:%d %H:%M:%S}",
        }

    @property
    def ring(self) -> list[GridPoint]:
        """Corners of the image: last line first as genuine products have them."""
        wide = GRID_SAMPLES
        return [self.points[k] for k in (-wide, -1, wide - 1, 0)]

    @property
    def footprint(self) -> BaseGeometry:
        """Outline of the image in EPSG:4326, its points a tenth of an image apart."""
        import shapely

        grid = [self.points[k : k + GRID_SAMPLES] for k in range(0, len(self.points), GRID_SAMPLES)]
        ring = [*grid[0], *(row[-1] for row in grid[1:-1]), *grid[-1][::-1]]
        ring += [row[0] for row in grid[-2:0:-1]]
        return shapely.Polygon([(p.lon, p.lat) for p in ring])


def make_product(
    passage: Passage, part: ProductSlice, heights: Callable[[Floats, Floats], Floats]
) -> RawProduct:
    """A slice with its geolocation grid.

    Args:
        passage: orbit and frame.
        part: the slice.
        heights: height of the ground that pixels see, from lines of the datatake and samples.
    """
    lines = np.rint(np.linspace(0, part.lines - 1, GRID_LINES)).astype(int)
    samples = np.rint(np.linspace(0, passage.samples - 1, GRID_SAMPLES)).astype(int)
    line, sample = (a.ravel() for a in np.meshgrid(lines, samples, indexing="ij"))
    t = passage.time(line + part.first)
    slant = passage.slant(t, sample)
    height = heights((line + part.first).astype(float), sample.astype(float))
    place = passage.orbit.project(t, slant, height)
    lon, lat, height = geodetic(place)
    incidence, elevation = passage.orbit.angles(t, place)
    columns = (line, sample, t, slant, lon, lat, height, incidence, elevation)
    return RawProduct(
        passage,
        part,
        tuple(GridPoint(*(v.item() for v in row)) for row in zip(*columns, strict=True)),
    )


def _sci(value: float, digits: int = 15) -> str:
    return f"{value:.{digits}e}"


def _many(values: Any, digits: int = 6) -> str:
    return " ".join(_sci(float(v), digits) for v in values)


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"


def write_metadata(
    root: Path, product: RawProduct, tables: Luts, sums: dict[str, tuple[float, float]]
) -> None:
    """Write annotation, calibration, noise and manifest of a product whose images are there.

    Args:
        root: the SAFE folder.
        product: the slice.
        tables: what its pixels were made with.
        sums: mean and standard deviation of DN by polarisation.
    """
    facts = _facts(product, tables)
    paths = []
    for polarisation in POLARISATIONS:
        stem = product.file(polarisation)
        own = facts | {
            "polarisation": polarisation, "number": stem[-3:],
            "mean": _sci(sums[polarisation][0], 6), "deviation": _sci(sums[polarisation][1], 6),
        }  # fmt: skip
        own["header"] = _safe(template("s1_header.xml").render(own))
        for name, path in (
            ("annotation", f"annotation/{stem}.xml"),
            ("noise", f"annotation/calibration/noise-{stem}.xml"),
            ("calibration", f"annotation/calibration/calibration-{stem}.xml"),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            text = template(f"s1_{name}.xml").render(own) + "\n"
            (root / path).write_text(text, encoding="utf-8")
            paths.append((name, polarisation, path))
        paths.append(("measurement", polarisation, f"measurement/{stem}.tiff"))
    files = [_file(root, kind, path, product.file(p)) for kind, p, path in paths]
    manifest = template("s1_manifest.safe").render(facts, files=files, polarisations=POLARISATIONS)
    (root / "manifest.safe").write_text(manifest + "\n", encoding="utf-8")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by a template already, which has escaped what it put in


_SCHEMAS = {"annotation": "Product", "noise": "Noise", "calibration": "Calibration",
            "measurement": "Measurement"}  # fmt: skip


def _file(root: Path, kind: str, path: str, stem: str) -> dict[str, Any]:
    plain = stem.replace("-", "")
    prefix = {"annotation": "product", "measurement": ""}.get(kind, kind)
    about = [f"{k}{plain}Annotation" for k in ("product", "noise", "calibration")]
    image = kind == "measurement"
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return {
        "id": f"{prefix}{plain}", "schema": f"s1Level1{_SCHEMAS[kind]}Schema",
        "unit": "Measurement Data Unit" if image else "Metadata Unit",
        "about": " ".join(about) if image else "",
        "mime": "application/octet-stream" if image else "text/xml",
        "size": (root / path).stat().st_size, "href": path, "checksum": digest.hexdigest(),
    }  # fmt: skip


def _facts(product: RawProduct, tables: Luts) -> dict[str, Any]:
    passage, part = product.passage, product.part
    item, orbit = passage.item, passage.orbit
    begin, end = (float(passage.time(np.array(k))) for k in (part.first, part.last - 1))
    node = -((orbit.argument + MOTION * begin) % (2 * math.pi)) / MOTION + begin
    seconds = list(range(math.floor(begin) - 2, math.ceil(end) + 3))
    middle = product.points[len(product.points) // 2]
    whole = passage.slices
    return {
        "start": _iso(product.start), "stop": _iso(product.stop),
        "processed": _iso(product.stop + timedelta(hours=3)),
        "orbit": item.orbit, "relative_orbit": item.relative_orbit, "cycle": item.orbit // 175 + 1,
        "datatake": product.datatake, "ipf": IPF, "direction": item.direction.capitalize(),
        "heading": _sci(_heading(passage, (begin + end) / 2)),
        "node_time": _iso(product.moment(node)), "anchor": _iso(product.moment(
            whole[0].first * passage.interval)),
        "start_anx": _sci((begin - node) * 1e3, 6), "stop_anx": _sci((end - node) * 1e3, 6),
        "near_time": _sci(2 * passage.near / LIGHT), "interval": _sci(passage.interval),
        "frequency": _sci(1 / passage.interval), "samples": passage.samples, "lines": part.lines,
        "incidence": _sci(middle.incidence), "slice": part.number,
        "swaths": [
            {"swath": name, "first": first, "last": last} for name, first, last in passage.bounds
        ],
        "pieces": [
            {"number": s.number, "start": _iso(product.moment(s.first * passage.interval)),
             "stop": _iso(product.moment((s.last - 1) * passage.interval))} for s in whole
        ],
        "states": _states(product, begin, end), "terrain": _sci(passage.height),
        "attitude_times": [_iso(product.moment(t)) for t in seconds],
        "terrain_times": [_iso(product.moment(t)) for t in seconds],
        "fm_rates": _fm_rates(product, seconds), "points": _points(product),
        "conversions": _conversions(product, begin, end),
        "footprint": " ".join(f"{p.lat:.6f},{p.lon:.6f}" for p in product.ring),
        **_tables(product, tables),
    }  # fmt: skip


def _heading(passage: Passage, t: float) -> float:
    """Course of the track over the ground, degrees from north."""
    position = passage.orbit.state(np.array([t - 0.5, t + 0.5]))[0]
    lon, lat, _ = (np.radians(a) for a in geodetic(position))
    return math.degrees(math.atan2((lon[1] - lon[0]) * math.cos(lat.mean()), lat[1] - lat[0]))


def _states(product: RawProduct, begin: float, end: float) -> list[dict[str, Any]]:
    t = np.arange(
        math.floor(begin) - _STATE_MARGIN, math.ceil(end) + _STATE_MARGIN + 1, _STATE_STEP
    ).astype(float)
    position, velocity, _ = product.passage.orbit.state(t)
    return [
        {"time": _iso(product.moment(s)), "position": [_sci(round(x, 6)) for x in p],
         "velocity": [_sci(round(x, 6)) for x in v]}
        for s, p, v in zip(t.tolist(), position.tolist(), velocity.tolist(), strict=True)
    ]  # fmt: skip


def _fm_rates(product: RawProduct, seconds: list[int]) -> list[dict[str, str]]:
    """Doppler rate over slant range time, a parabola. Source: −2 v²/(λ R) with v² ≈ 7.1²."""
    passage = product.passage
    slant = np.linspace(passage.near, passage.slant_end, 50)
    delay = 2 * (slant - passage.near) / LIGHT
    rate = -2 * 7.1e3**2 / (LIGHT / 5.405e9 * slant)
    span = float(delay[-1])
    curve = exact.fit(np.vander(delay / span, 3, increasing=True), rate)
    curve /= np.array([1.0, span, span * span])
    text = _many(curve, 15)
    return [{"time": _iso(product.moment(t)), "polynomial": text} for t in seconds]


def _points(product: RawProduct) -> list[dict[str, Any]]:
    return [
        {"time": _iso(product.moment(p.seconds)), "slant_time": _sci(2 * p.slant / LIGHT),
         "line": p.line, "sample": p.sample, "lat": _sci(p.lat), "lon": _sci(p.lon),
         "height": _sci(p.height), "incidence": _sci(p.incidence),
         "elevation": _sci(p.elevation)}
        for p in product.points
    ]  # fmt: skip


def _conversions(product: RawProduct, begin: float, end: float) -> list[dict[str, str]]:
    times, forth, back = product.passage.conversions
    near = product.passage.near
    return [
        {"time": _iso(product.moment(t)), "slant_time": _sci(2 * near / LIGHT),
         "sr0": _sci(near), "srgr": _many(b, 15), "gr0": _sci(0.0), "grsr": _many(f, 15)}
        for t, f, b in zip(times.tolist(), forth, back, strict=True)
        if begin - 2 <= t <= end + 2
    ]  # fmt: skip


def _tables(product: RawProduct, tables: Luts) -> dict[str, Any]:
    passage, first = product.passage, product.part.first

    def moment(line: int) -> str:
        return _iso(product.moment((line + first) * passage.interval))

    pixel = " ".join(map(str, tables.samples))
    flat = [AMPLITUDE] * tables.samples.size
    dn = [402.0] * tables.samples.size
    calibration = [
        {"time": moment(line), "line": line, "count": tables.samples.size, "pixel": pixel,
         "sigma": _many(s), "beta": _many(flat), "gamma": _many(g), "dn": _many(dn)}
        for line, s, g in zip(tables.lines.tolist(), tables.sigma, tables.gamma, strict=True)
    ]  # fmt: skip
    noise_pixel = " ".join(map(str, tables.noise_samples))
    noise_range = [
        {"time": moment(line), "line": line, "count": tables.noise_samples.size,
         "pixel": noise_pixel, "lut": _many(v)}
        for line, v in zip(tables.noise_lines.tolist(), tables.noise, strict=True)
    ]  # fmt: skip
    lines = " ".join(map(str, tables.azimuth_lines))
    noise_azimuth = [
        {"swath": name, "first": low, "last": high, "count": tables.azimuth_lines.size,
         "line": lines, "lut": _many(v)}
        for (name, low, high), v in zip(tables.bounds, tables.azimuth, strict=True)
    ]  # fmt: skip
    return {
        "calibration": calibration, "noise_range": noise_range, "noise_azimuth": noise_azimuth,
    }  # fmt: skip
