# SPDX-License-Identifier: Apache-2.0
"""Raw GRD scenes as sources of patches: decoded, calibrated and sampled straight onto the grid.

Laws:
1. Blocks of lines are decoded and calibrated at most once and given back when no patch needs
   them: no image is ever held whole. Heights and nodes of the unit are computed once for all
   scenes. Nothing of a scene's geometry is taken from another: a date does not depend on which
   others are in the lock.
2. All polarisations of a scene are sampled at the same coordinates.
3. Slices of a datatake are scenes of their own. Each is widened by the first line of the next
   one, so that samples between two slices have both neighbours: no seam.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from ..errors import SceneError
from ..mosaic import Grid, Layer, Patches, SceneLike
from ..mosaic import Scene as GeocodedScene
from ..radar.annotation import Annotation, read_annotation, with_ground_range_of
from ..radar.doppler import image_coordinates, sensing_coordinates
from ..radar.luts import NoiseLut, read_calibration, read_noise
from ..radar.orbit import Orbit, read_eof, seconds
from ..rasters import read_window
from ..tables import LockedAsset, LockedItem
from . import border
from .bands import Channel, GrdBands, NextLine
from .dem import read_dem
from .footprint import Footprint
from .geometry import Ground, Heights, ground_control, terrain
from .radiometry import noise_scale

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..recipe import Sentinel1Settings

NEXT_LINE = 0.05
"""Lines by which the next slice may be off the place of the line after the last."""

CHANNELS = 32
"""Most measurements whose tables are kept: those of a few passes."""

_ORBIT_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_AUX_(?P<kind>POE|RES)ORB_OPOD_\d{8}T\d{6}_"
    r"V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Files in radar geometry have no CRS: that is no news. For all threads, so set once outside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(eq=False)
class GrdScene:
    """One raw scene over the unit, as the mosaic's engine takes it."""

    number: int
    groups: tuple[GrdBands, ...]
    reaches: NDArray[np.bool_]
    classes: None = None

    @property
    def everything(self) -> tuple[GrdBands, ...]:
        """The groups; raw scenes have no classes."""
        return self.groups


def opener(
    settings: Sentinel1Settings, geobox: GeoBox, items: Sequence[LockedItem]
) -> Callable[[int, LockedItem, Layer, Patches, Grid], SceneLike]:
    """How the items of a lock are opened: raw ones (level GRD) here, geocoded ones as they are.

    Args:
        settings: the recipe's section.
        geobox: the unit.
        items: all scenes of the unit.

    Returns:
        What `mosaic.build` takes as `open_scene`; it reads the height model with the first raw
        item.
    """
    unit = _Unit(settings, geobox, [item for item in items if item.level == "GRD"])

    def open_scene(
        number: int, item: LockedItem, layer: Layer, patches: Patches, grid: Grid
    ) -> SceneLike:
        if item.level != "GRD":
            return GeocodedScene(number, item, layer, patches, grid)
        return unit.open(number, item, layer, patches)

    return open_scene


class _Unit:
    """What the raw scenes of a unit share: heights, and knowing of each other."""

    def __init__(
        self, settings: Sentinel1Settings, geobox: GeoBox, items: Sequence[LockedItem]
    ) -> None:
        self.settings, self.geobox, self.items = settings, geobox, items
        self._heights: Heights | None = None
        self._ground: Ground | None = None
        self._channels: dict[tuple[str, str], Channel] = {}

    def open(self, number: int, item: LockedItem, layer: Layer, patches: Patches) -> GrdScene:
        """One scene over the unit."""
        channels = [self._channel(item, band) for band in layer.bands]
        annotation, settings = self._annotation(item, layer.bands[0]), self.settings
        heights, ground = self._relief()
        if ground is None:
            image = ground_control(self.geobox, annotation)
        else:
            image = terrain(ground, annotation, _orbit(annotation, item, settings.orbit_files))
        shape = annotation.lines + 1, annotation.samples
        reaches = image.needed(patches.corners, patches.size_px, shape)[:, 1] > 0
        if not reaches.any():
            return GrdScene(number, (), reaches)
        following = self._following(item, layer.bands)
        bands = GrdBands(
            channels, image, heights, patches, following, nearest=settings.kernel == "nearest",
        )  # fmt: skip
        return GrdScene(number, (bands,), bands.needs[:, 1] > 0)

    def _relief(self) -> tuple[Heights, Ground | None]:
        """Heights and nodes of the unit, computed with the first scene and kept for all."""
        if self._heights is None:
            if self.settings.geometry == "gcp":
                self._heights = Heights.none()
            else:
                dem = read_dem(
                    self.settings.dem, self.geobox, vertical=self.settings.dem_vertical,
                    geoid=self.settings.geoid, sea=self.settings.dem_sea,
                )  # fmt: skip
                self._heights = Heights.of(dem, self.geobox)
                self._ground = Ground.of(self.geobox, dem.limits)
        return self._heights, self._ground

    def _channel(self, item: LockedItem, band: str) -> Channel:
        key = item.id, band
        if key not in self._channels:
            if len(self._channels) >= CHANNELS:  # a series has hundreds, none of use to others
                self._channels.pop(next(iter(self._channels)))
            self._channels[key] = _channel(item, band, self.settings)
        return self._channels[key]

    def _annotation(self, item: LockedItem, band: str) -> Annotation:
        """Annotation with what the slices before and after know of ground range."""
        own = found = self._channel(item, band).annotation
        for other in self._siblings(item):
            there = self._channel(other, band).annotation
            if _goes_on(own, there) or _goes_on(there, own):
                found = with_ground_range_of(found, there)
        return found

    def _siblings(self, item: LockedItem) -> list[LockedItem]:
        """Other scenes of the same platform and orbit within a minute."""
        near = np.timedelta64(60, "s")
        when = np.datetime64(item.datetime.removesuffix("Z"), "ms")
        return [
            other
            for other in self.items
            if other.id != item.id
            and (other.platform, other.relative_orbit) == (item.platform, item.relative_orbit)
            and abs(np.datetime64(other.datetime.removesuffix("Z"), "ms") - when) < near
        ]

    def _following(self, item: LockedItem, bands: Sequence[str]) -> list[NextLine]:
        """The first lines of the slice that goes on where this one ends, if it is in the lock."""
        for other in self._siblings(item):
            pairs = [(self._annotation(item, b), self._annotation(other, b)) for b in bands]
            if all(_goes_on(*pair) for pair in pairs):
                return [
                    NextLine(self._channel(other, b), _shift(*pair))
                    for b, pair in zip(bands, pairs, strict=True)
                ]
        return []


def _goes_on(first: Annotation, second: Annotation) -> bool:
    """Whether the second image begins one line after the first one ends."""
    if first.absolute_orbit != second.absolute_orbit:
        return False
    start_s = float(seconds(second.epoch, first.epoch)) + second.first_line_s
    step = (start_s - first.last_line_s) / first.azimuth_interval_s
    return abs(step - 1) < NEXT_LINE


def _shift(first: Annotation, second: Annotation) -> NDArray[np.float64]:
    """What to add to pixels of the first image to find them in the second, where both meet."""
    pixels = np.arange(first.samples, dtype=np.float64)
    time_s, slant_m = sensing_coordinates(first, float(first.lines), pixels)
    time_s = time_s - float(seconds(second.epoch, first.epoch))
    return np.asarray(image_coordinates(second, time_s, slant_m)[1] - pixels)


def _channel(item: LockedItem, band: str, settings: Sentinel1Settings) -> Channel:
    asset = item.assets[band]
    if asset.annotation is None or asset.calibration is None:
        raise SceneError(
            f"{asset.href}: the lock names no annotation of this raw product; run "
            "`terrapatch plan` again"
        )
    ipf = item.processing_baseline or ""
    annotation = read_annotation(
        read_file(asset.annotation), asset.annotation, ipf, item.relative_orbit
    )
    if (annotation.lines, annotation.samples) != asset.shape:
        raise SceneError(
            f"{asset.href}: has {asset.shape[0]} x {asset.shape[1]} pixels, its annotation says "
            f"{annotation.lines} x {annotation.samples}; fetch the product again"
        )
    if annotation.polarisation != band:
        raise SceneError(
            f"{asset.annotation}: annotation of {annotation.polarisation}, expected {band}; "
            "the product's files are mixed up: fetch it again"
        )
    calibration = read_calibration(read_file(asset.calibration), asset.calibration)
    wants_noise = settings.denoise and settings.radiometry != "amplitude"
    noise = None
    if wants_noise and asset.noise is not None:
        noise = read_noise(read_file(asset.noise), asset.noise)
    elif wants_noise:
        raise SceneError(
            f"{item.id}: no noise annotation of {band}; fetch the product again, or set "
            "sentinel1.denoise: false"
        )
    scale = 1.0
    if noise is not None:
        dn_scale = float(calibration.tables["dn"].values[0][0])
        scale = noise_scale(ipf, annotation.mode, dn_scale)
    return Channel(
        asset, annotation, calibration, noise, scale, settings.radiometry,
        _footprint(asset, ipf, noise, scale),
    )  # fmt: skip


def _footprint(asset: LockedAsset, ipf: str, noise: NoiseLut | None, scale: float) -> Footprint:
    def read(rows: slice, cols: slice) -> NDArray[np.uint16]:
        return read_window(asset, (rows, cols)).astype(np.uint16, copy=False)

    low: NDArray[np.float32] | float = border.LOW_DN
    if noise is not None:
        middle = np.array([asset.shape[0] // 2])
        low = border.threshold(noise.window(middle, np.arange(asset.shape[1]))[0] * scale)
    return Footprint(read, asset.shape, ipf, low_dn=low)


def _orbit(annotation: Annotation, item: LockedItem, files: Sequence[str]) -> Orbit:
    """The annotated orbit, or that of the best file for the scene's time."""
    if not files:
        return annotation.orbit
    start, stop = (
        annotation.epoch + np.timedelta64(round(s * 1e9), "ns")
        for s in (annotation.first_line_s, annotation.last_line_s)
    )
    candidates = [path for path in _orbit_paths(files) if _covers(path, annotation, start, stop)]
    if not candidates:
        raise SceneError(
            f"{item.id}: none of the {len(_orbit_paths(files))} orbit files is of "
            f"{annotation.platform} and its time ({start}), for example "
            f"{next(iter(_orbit_paths(files)), files[0])}; give the right .EOF file in "
            "sentinel1.orbit_files, or leave that out to take the annotated orbit"
        )
    best = sorted(candidates, key=lambda path: ("POEORB" not in path.name, path.name))[0]
    return read_eof(best, start, stop, annotation.platform).since(annotation.epoch)


def _orbit_paths(files: Sequence[str]) -> list[Path]:
    paths = []
    for name in files:
        path = Path(name)
        paths += sorted(path.rglob("*.EOF")) if path.is_dir() else [path]
    return paths


def _covers(path: Path, annotation: Annotation, start: np.datetime64, stop: np.datetime64) -> bool:
    match = _ORBIT_NAME.match(path.name)
    if match is None:
        return True  # a name of its own: the file itself will tell
    first, last = (_moment(match[k]) for k in ("start", "stop"))
    return bool(match["platform"] == annotation.platform and first <= start and stop <= last)


def _moment(text: str) -> np.datetime64:
    return np.datetime64(
        f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}", "ns"
    )


def read_file(href: str) -> bytes:
    """Bytes of a file, or of a member of an archive (/vsizip/…).

    Raises:
        SceneError: missing or damaged.
    """
    try:
        if not href.startswith("/vsizip/"):
            return Path(href).read_bytes()
        inside = Path(href.removeprefix("/vsizip/"))
        for parent in inside.parents:
            if parent.suffix.lower() == ".zip" and parent.is_file():
                with zipfile.ZipFile(parent) as archive:
                    return archive.read(inside.relative_to(parent).as_posix())
        raise FileNotFoundError(href)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SceneError(
            f"{href.removeprefix('/vsizip/')}: cannot be read ({error}); fetch the product again"
        ) from error
