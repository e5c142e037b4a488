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

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from ..cutting import GeocodedScene, Layer, SceneLike, UnitGrid
from ..errors import SceneError
from ..heights import read_dem
from ..places import Places, occupied
from ..radar.annotation import Annotation, with_ground_range_of
from ..radar.doppler import image_coordinates, sensing_coordinates
from ..radar.luts import NoiseLut
from ..radar.orbit import Orbit, read_eof, seconds
from ..radar.orbitfiles import best_orbit, orbit_paths
from ..radar.product import read_sidecars
from ..rasters import read_window
from ..records import LockedAsset, LockedItem
from ..times import Step
from . import border
from .averaged import Averaged, Divided, divide, parts_of
from .bands import GrdBands, NextLine, Polarisation
from .extras import TerrainBands
from .flattening import Flattening
from .footprint import Footprint
from .geometry import GroundNodes, Heights, ImageLattice, coordinates, ground_control, terrain
from .radiometry import Tables, noise_scale
from .shadow import Masks
from .surroundings import Surroundings

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..settings import Sentinel1Settings

NEXT_LINE = 0.05
"""Lines by which the next slice may be off the place of the line after the last."""

KEPT = 32
"""Most measurements whose tables are kept: those of a few passes."""


@contextmanager
def quiet() -> Iterator[None]:
    """Files in radar geometry have no CRS: that is no news. For all threads, so set once outside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(eq=False)
class GrdScene:
    """One raw scene over the unit, as the cutting's engine takes it."""

    number: int
    groups: tuple[GrdBands | Averaged | TerrainBands, ...]
    reaches: NDArray[np.bool_]
    classes: None = None

    @property
    def everything(self) -> tuple[GrdBands | Averaged | TerrainBands, ...]:
        """The groups; raw scenes have no classes."""
        return self.groups


class Raw:
    """The raw scenes of a unit, and what they share: heights, and knowing of each other."""

    def __init__(self, settings: Sentinel1Settings, items: Sequence[LockedItem]) -> None:
        """Nothing is read before the first scene is opened.

        Args:
            settings: the recipe's section.
            items: all scenes of the unit.
        """
        self.settings = settings
        self.items = [item for item in items if item.level == "GRD"]
        self._relief_of: dict[int, tuple[Heights, GroundNodes | None]] = {}
        """By parts of a pixel, see `averaged`."""
        self._polarisations: dict[tuple[str, str], Polarisation] = {}
        self._angles: dict[str, NDArray[np.float32]] = {}
        self._surroundings: Surroundings | None = None

    def open_scene(
        self, number: int, item: LockedItem, layer: Layer, patches: Places, grid: UnitGrid
    ) -> SceneLike:
        """One scene over the unit, as `cutting.cut` asks for it; geocoded ones as they are."""
        if item.level != "GRD":
            if layer.plain:
                raise SceneError(
                    f"{item.id}: a geocoded scene has no {', '.join(layer.plain)}; take raw "
                    "products only, or leave extras out"
                )
            return GeocodedScene(number, item, layer, patches, grid)
        geobox = grid.geobox
        annotation = self._annotation(item, layer.bands[0])
        parts = 1 if self.settings.kernel == "nearest" else parts_of(geobox, annotation)
        divided = Divided(*divide(geobox, patches, parts), parts)
        bands = self._bands(item, layer, divided)
        heights, image = bands.heights, bands.image
        if parts > 1:
            heights, image = self._geometry(item, annotation, Divided(geobox, patches, 1))
        self._angles[item.id] = _angles(image, heights, annotation, patches)
        reaches = bands.needs[:, 1] > 0
        if not reaches.any():
            return GrdScene(number, (), reaches)
        box = _box(geobox, patches)
        extras = self._terrain(item, layer, bands, image, annotation, geobox, box)
        if parts == 1:
            return GrdScene(number, (bands, *extras), reaches)
        beside = []
        for other in self._siblings(item):
            there = self._annotation(other, layer.bands[0])
            if _goes_on(annotation, there) or _goes_on(there, annotation):
                more = self._bands(other, layer, divided)
                if (more.needs[:, 1] > 0).any():
                    self._terrain(other, layer, more, image, there, geobox, box)
                    beside.append(more)
        return GrdScene(number, (Averaged([bands, *beside], parts), *extras), reaches)

    def _bands(self, item: LockedItem, layer: Layer, divided: Divided) -> GrdBands:
        """The polarisations of a scene on the (divided) grid."""
        annotation = self._annotation(item, layer.bands[0])
        heights, image = self._geometry(item, annotation, divided)
        return GrdBands(
            [self._polarisation(item, band) for band in layer.bands], image, heights,
            divided.patches, self._following(item, layer.bands),
            nearest=self.settings.kernel == "nearest",
        )  # fmt: skip

    def _geometry(
        self, item: LockedItem, annotation: Annotation, divided: Divided
    ) -> tuple[Heights, ImageLattice]:
        """Heights of the unit, and the image's geometry on its (divided) grid."""
        heights, ground = self._relief(divided)
        if ground is None:
            return heights, ground_control(divided.geobox, annotation)
        orbit = _orbit(annotation, item, self.settings.orbit_files)
        return heights, terrain(ground, annotation, orbit)

    def _terrain(
        self, item: LockedItem, layer: Layer, bands: GrdBands, image: ImageLattice,
        annotation: Annotation, geobox: GeoBox, box: GeoBox,
    ) -> tuple[TerrainBands, ...]:  # fmt: skip
        """Have the bands flattened, and make the bands of terrain, where they are wanted."""
        settings = self.settings
        flatten = settings.radiometry == "gamma0_rtc"
        if not (flatten or layer.plain):
            return ()
        orbit = _orbit(annotation, item, settings.orbit_files)
        needs = bands.needs[bands.needs[:, 1] > 0]
        rows, cols = ((int(needs[:, k].min()), int(needs[:, k + 1].max())) for k in (0, 2))
        if self._surroundings is None:
            self._surroundings = Surroundings(settings, box)
        surroundings = self._surroundings
        profiles = surroundings.profiles(item.id, annotation, orbit, rows, cols)
        if flatten:
            bands.flattening = Flattening(profiles, surroundings.strips)
        if not layer.plain:
            return ()
        masks = Masks(profiles, surroundings.strips)
        dem, _ = surroundings.dem(annotation)
        first = len(layer.bands)
        return (TerrainBands(layer.plain, first, geobox, image, orbit, dem, masks),)

    def incidence(self, step: Step, patches: Places) -> NDArray[np.float32]:
        """Incidence angles on the ellipsoid at the centres of patches, for a pass.

        Args:
            step: its scenes have been opened; angles are NaN where it is no single pass.
            patches: those of the unit.

        Returns:
            (patch,) degrees from the ellipsoid's normal; NaN where no scene sees the centre.
        """
        angles = np.full(len(patches.ids), np.nan, np.float32)
        if step.facts["relative_orbit"] is not None:
            for item in step.items:
                angles = np.where(np.isnan(angles), self._angles.get(item.id, np.nan), angles)
        return angles.astype(np.float32)

    def _relief(self, divided: Divided) -> tuple[Heights, GroundNodes | None]:
        """Heights and nodes of the unit, computed with the first scene and kept for all."""
        if divided.parts not in self._relief_of:
            found: tuple[Heights, GroundNodes | None] = Heights.none(), None
            if self.settings.geometry != "gcp":
                dem = read_dem(
                    self.settings.dem, _box(divided.geobox, divided.patches),
                    vertical=self.settings.dem_vertical, geoid=self.settings.geoid,
                    sea=self.settings.dem_sea,
                )  # fmt: skip
                found = Heights.of(dem, divided.geobox), GroundNodes.of(divided.geobox, dem.limits)
            self._relief_of[divided.parts] = found
        return self._relief_of[divided.parts]

    def _polarisation(self, item: LockedItem, band: str) -> Polarisation:
        key = item.id, band
        if key not in self._polarisations:
            if len(self._polarisations) >= KEPT:  # a series has hundreds, none of use to others
                self._polarisations.pop(next(iter(self._polarisations)))
            self._polarisations[key] = _polarisation(item, band, self.settings)
        return self._polarisations[key]

    def _annotation(self, item: LockedItem, band: str) -> Annotation:
        """Annotation with what the slices before and after know of ground range."""
        own = found = self._polarisation(item, band).annotation
        for other in self._siblings(item):
            there = self._polarisation(other, band).annotation
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
                    NextLine(self._polarisation(other, b), _shift(*pair))
                    for b, pair in zip(bands, pairs, strict=True)
                ]
        return []


def _box(geobox: GeoBox, patches: Places) -> GeoBox:
    """What the patches take up: heights are asked for there alone, not in a whole tile."""
    return occupied(geobox, [(int(y), int(x)) for y, x in patches.corners], patches.size_px)


def _angles(
    image: ImageLattice, heights: Heights, annotation: Annotation, patches: Places
) -> NDArray[np.float32]:
    """Annotated incidence angle at the centre of each patch, bilinear; NaN outside the image."""
    from scipy.interpolate import RegularGridInterpolator

    grid, half = annotation.grid, patches.size_px // 2
    centres = np.array([
        np.ravel(coordinates(image, heights, (int(y) + half, int(x) + half), (1, 1))[:2])
        for y, x in patches.corners
    ]).reshape(-1, 2)  # fmt: skip
    lookup = RegularGridInterpolator(
        (grid.line[:, 0], grid.pixel[0]), grid.incidence_deg, bounds_error=False
    )
    # The grid ends on the first and last lines; pixels reach half a line beyond their centres.
    last = annotation.lines - 1, annotation.samples - 1
    inside = (centres >= -1) & (centres <= np.array(last) + 1)
    found = lookup(np.clip(centres, 0, last))
    return np.where(inside.all(axis=1), found, np.nan).astype(np.float32)


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


def _polarisation(item: LockedItem, band: str, settings: Sentinel1Settings) -> Polarisation:
    asset = item.assets[band]
    ipf = item.processing_baseline or ""
    found = read_sidecars(
        asset, band, ipf=ipf, relative_orbit=item.relative_orbit,
        noise=settings.subtracts_noise,
    )  # fmt: skip
    annotation, calibration, noise = found.annotation, found.calibration, found.noise
    scale = 1.0
    if noise is not None:
        dn_scale = float(calibration.tables["dn"].values[0][0])
        scale = noise_scale(ipf, annotation.mode, dn_scale)
    return Polarisation(
        asset, annotation, Tables(calibration, noise, scale),
        "beta0" if settings.radiometry == "gamma0_rtc" else settings.radiometry,
        _footprint(asset, ipf, noise, scale, settings),
    )  # fmt: skip


def _footprint(
    asset: LockedAsset, ipf: str, noise: NoiseLut | None, scale: float, settings: Sentinel1Settings
) -> Footprint:
    def read(rows: slice, cols: slice) -> NDArray[np.uint16]:
        return read_window(asset, (rows, cols)).astype(np.uint16, copy=False)

    low: NDArray[np.float32] | float = border.LOW_DN
    if noise is not None:
        middle = np.array([asset.shape[0] // 2])
        low = border.threshold(noise.window(middle, np.arange(asset.shape[1]))[0] * scale)
    cut = border.Cut()
    if settings.border_cut == "s1tiling":
        lines, samples = asset.shape
        start, end = (
            read(slice(line, line + 1), slice(0, samples))[0]
            for line in (min(100, lines - 1), max(lines - 100, 0))
        )
        cut = border.s1tiling_cut(
            start, end, ipf, range_px=settings.border_cut_range_px,
            azimuth_px=settings.border_cut_azimuth_px,
        )  # fmt: skip
    return Footprint(read, asset.shape, ipf, low_dn=low, cut=cut)


def _orbit(annotation: Annotation, item: LockedItem, files: Sequence[str]) -> Orbit:
    """The annotated orbit, or that of the file in the lock, or of the best one for the time."""
    if not files and item.orbit_file is None:
        return annotation.orbit
    start, stop = annotation.span
    if item.orbit_file is not None:
        path = Path(item.orbit_file)
    else:
        path = best_orbit(orbit_paths(files), item.id, annotation.platform, start, stop)
    return read_eof(path, start, stop, annotation.platform).since(annotation.epoch)
