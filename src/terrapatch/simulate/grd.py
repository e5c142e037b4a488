# SPDX-License-Identifier: Apache-2.0
"""Raw Sentinel-1 GRD products of the landscape: what the radar saw, in the radar's own geometry.

Laws:
1. Each pixel shows the ground that its time and slant range meet on the relief (zero Doppler).
   Backscatter is the landscape's γ⁰ times the area that a slope turns to the radar.
2. DN² is speckle of mean 1 times (β⁰·A² + thermal noise), noise and A being those that the
   product's own tables say, digit for digit.
3. A pixel depends on its line in the datatake and its sample alone: slices continue each other,
   and neither threads nor blocks show.

Past what the archive shows lies featureless ground.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import exact, grid
from ..compiled import kernel
from ..crs import GEOGRAPHIC, transformer
from ..files import storage_error
from ..progress import track
from . import grd_metadata
from .grd_metadata import RawProduct
from .grd_tables import AMPLITUDE, Luts, luts, noise_plane
from .landscape import Landscape, feature_numbers, in_swath
from .noise import hash01
from .passage import Passage, ProductSlice, earth_fixed, geodetic, make_passage
from .relief import surface
from .sentinel1 import POLARISATIONS, speckle
from .surface import greenness, radar_ground

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from .schedule import Pass1

Floats = NDArray[np.float64]

BLOCK = 1024
"""Side of the blocks that are made at a time."""
NODE = 32
"""Spacing of the nodes between which ground places are interpolated (error < 1 cm)."""
LOOKUP_M = 5.0
"""Raster on which features are looked up."""
PLAIN = (-10.5, -17.0)
"""γ⁰ in dB of the ground past the archive, VV and VH."""

REFLECTOR = 600.0
"""β⁰ of a corner reflector at its peak; coherent, so speckle does not touch it."""
REFLECTOR_PX = 0.85
"""Its width (standard deviation) in lines and samples: 20 m at half power."""

RANGE_BORDER, AZIMUTH_BORDER = 40, 40
"""Up to how many samples and lines at the borders of a datatake are zero."""
_STEP_LINES = 1_850
"""How long a step of the range border is: one burst."""


def passage_over(landscape: Landscape, item: Pass1, outline: BaseGeometry, whole: bool) -> Passage:
    """The datatake of a pass over the landscape's centre.

    Args:
        landscape: its relief gives the heights.
        item: the pass.
        outline: what a crop shows, EPSG:4326.
        whole: full slices (about 25 400 × 17 000 pixels) instead of a crop.

    Raises:
        InputError: no orbit sees the area.
    """
    import shapely

    relief = landscape.relief
    lon, lat = transformer(landscape.crs, GEOGRAPHIC).transform(0.0, 0.0)
    height = float(np.round(relief.z.mean()))
    shown = None
    if not whole:
        ring = shapely.get_coordinates(shapely.segmentize(outline, 0.02))
        heights = np.array([relief.z.min(), relief.z.max()], float)
        x, y = np.repeat(ring, 2, axis=0).T
        shown = earth_fixed(x, y, np.tile(heights, len(ring)))
    # The orbital tube: ± 100 m around the nominal track. Source: ESA, Sentinel-1 orbit.
    shift = 200.0 * (hash01(item.orbit, item.number, landscape.seed + 9) - 0.5)
    return make_passage(item, (lon, lat), height, shown, shift)


def write_products(
    folder: Path, landscape: Landscape, passage: Passage, north: bool,
    *, threads: int = 1, slopes: bool = True,
) -> list[RawProduct]:  # fmt: skip
    """Write the two slices of a pass as SAFE folders.

    Args:
        folder: where.
        landscape: what is seen.
        passage: orbit and frame.
        north: whether the area lies on the northern hemisphere.
        threads: blocks made at a time; the bytes do not depend on it.
        slopes: slopes are brighter towards the radar (law 1); else γ⁰ alone makes brightness.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    view = View(landscape, passage, greenness(landscape, passage.item.start, north), slopes)
    slices = track(passage.slices, "slices", len(passage.slices), "slice")
    return [_write(folder, view, part, threads) for part in slices]


@dataclass(frozen=True, eq=False)
class View:
    """All that makes a pixel."""

    landscape: Landscape
    passage: Passage
    green: NDArray[np.float32]
    slopes: bool = True


def reflectors(view: View) -> tuple[Floats, Floats, Floats]:
    """Where the landscape's point targets appear: line of the datatake, sample, height.

    Real numbers; whole ones are pixel centres.
    """
    landscape = view.landscape
    x, y = landscape.impulses.T
    z = landscape.relief.heights(x, y)
    lon, lat = transformer(landscape.crs, GEOGRAPHIC).transform(x, y)
    line, sample = view.passage.image_place(earth_fixed(np.array(lon), np.array(lat), z))
    return line, sample, z


class _Terrain(NamedTuple):
    """The relief as pixels meet it."""

    lattice: tuple[float, float, float]
    """First x and y, and the distance between heights."""
    z: NDArray[np.float32]
    slopes: bool
    """See `View`."""


@kernel
def _meet(
    nodes: Floats, middle: float, first: tuple[int, int], ground: _Terrain,
    x: Floats, y: Floats, facing: NDArray[np.float32],
) -> None:  # fmt: skip
    """Where each pixel meets the relief, and β⁰ per γ⁰ there.

    Nodes hold, for x and y, the three coefficients of a parabola in height − `middle`. Their
    first derivative is the direction of look with the length cot θ: a metre of height more at
    the same slant range lies that much farther away. `first` is the line and sample of the block.
    """
    line0, sample0 = first
    place = np.empty(6)
    for r in range(x.shape[0]):
        p = (line0 + r) / NODE
        i = int(np.floor(p)) - line0 // NODE
        v = p - np.floor(p)
        for c in range(x.shape[1]):
            q = (sample0 + c) / NODE
            j = int(np.floor(q)) - sample0 // NODE
            u = q - np.floor(q)
            for k in range(6):
                top = nodes[i, j, k] * (1 - u) + nodes[i, j + 1, k] * u
                low = nodes[i + 1, j, k] * (1 - u) + nodes[i + 1, j + 1, k] * u
                place[k] = top * (1 - v) + low * v
            h = middle
            sx = sy = px = py = 0.0
            for _ in range(60):
                d = h - middle
                px = place[0] + d * (place[1] + d * place[2])
                py = place[3] + d * (place[4] + d * place[5])
                found, sx, sy = surface(px, py, ground.lattice, ground.z)
                done = abs(found - h) < 1e-3
                h = found
                if done:
                    break
            x[r, c] = px
            y[r, c] = py
            d = h - middle
            gx = place[1] + 2 * d * place[2]
            gy = place[4] + 2 * d * place[5]
            cot = np.sqrt(gx * gx + gy * gy)
            sine = 1 / np.sqrt(1 + cot * cot)
            cosine = cot * sine
            rise = (sx * gx + sy * gy) / cot if ground.slopes else 0.0
            # Lit area over slant-plane area of a facet. Source: D. Small, IEEE TGRS 49 (2011).
            lit = max(cosine + rise * sine, 0.0)
            facing[r, c] = lit / max(sine - rise * cosine, 0.05)


def _nodes(view: View, line0: int, sample0: int, rows: int, cols: int) -> tuple[Floats, float]:
    """Nodes of `_meet` around a block, and the height around which they are developed."""
    passage, z = view.passage, view.landscape.relief.z
    lines = np.arange(line0 // NODE, (line0 + rows) // NODE + 2) * NODE
    samples = np.arange(sample0 // NODE, (sample0 + cols) // NODE + 2) * NODE
    t = passage.time(lines)[:, None]
    slant = passage.slant(t, samples[None, :])
    low, high = float(z.min()) - 5, float(z.max()) + 5
    middle, half = (low + high) / 2, (high - low) / 2
    level = []
    for height in (low, middle, high):
        lon, lat, _ = geodetic(passage.orbit.project(t, slant, height))
        level.append(np.stack(transformer(GEOGRAPHIC, view.landscape.crs).transform(lon, lat), -1))
    first, second = (level[2] - level[0]) / (2 * half), level[2] - 2 * level[1] + level[0]
    parabola = np.stack([level[1], first, second / (2 * half**2)], axis=-1)
    return parabola.reshape(lines.size, samples.size, 6), middle


def ground_of(
    view: View, line0: int, sample0: int, rows: int, cols: int
) -> tuple[Floats, Floats, NDArray[np.float32]]:
    """What pixels see: x, y on the landscape's plane, and β⁰ per γ⁰, (rows, cols) each.

    Args:
        view: orbit, frame, relief.
        line0: first line, counted in the datatake.
        sample0: first sample.
        rows: how many lines.
        cols: how many samples.
    """
    nodes, middle = _nodes(view, line0, sample0, rows, cols)
    relief = view.landscape.relief
    x, y = np.empty((rows, cols)), np.empty((rows, cols))
    facing = np.empty((rows, cols), np.float32)
    ground = _Terrain(relief.lattice, relief.z, view.slopes)
    _meet(nodes, middle, (line0, sample0), ground, x, y, facing)
    return x, y, facing


def backscatter(view: View, x: Floats, y: Floats) -> NDArray[np.float32]:
    """γ⁰ of the ground without speckle at places on the plane: (2, *shape) float32, VV and VH."""
    landscape, relief = view.landscape, view.landscape.relief
    out = np.empty((2, *x.shape), np.float32)
    for band in range(2):
        out[band] = exact.power(10, PLAIN[band] / 10)
    right = relief.x0 + (relief.z.shape[1] - 1) * relief.step
    top = relief.y0 + (relief.z.shape[0] - 1) * relief.step
    shown = (x >= relief.x0) & (x <= right) & (y >= relief.y0) & (y <= top)
    if not shown.any():
        return out
    number = _numbers(landscape, x, y)
    found = radar_ground(landscape, x, y, number, view.green, view.passage.item.wet_db)
    return np.where(shown, found, out)


def _numbers(landscape: Landscape, x: Floats, y: Floats) -> NDArray[np.int32]:
    """Features at places, from a raster of `LOOKUP_M` anchored to the plane."""
    left, bottom, right, top = (float(v) for v in (x.min(), y.min(), x.max(), y.max()))
    m = LOOKUP_M
    bounds = (left - m, bottom - m, right + m, top + m)
    geobox = grid.snapped_geobox(bounds, landscape.crs, LOOKUP_M)
    left, top = geobox.affine.c, geobox.affine.f
    rows = ((top - y) / LOOKUP_M).astype(np.int32)
    cols = ((x - left) / LOOKUP_M).astype(np.int32)
    return np.asarray(feature_numbers(landscape, geobox)[rows, cols])


def digital_numbers(
    view: View, tables: Luts, part: ProductSlice, line0: int, sample0: int, rows: int, cols: int
) -> NDArray[np.uint16]:
    """Pixels of a block of a slice: (2, rows, cols) uint16, VV and VH; 0 outside the swath.

    Args:
        view: what makes a pixel.
        tables: noise of the slice.
        part: the slice.
        line0: first line, counted in the datatake.
        sample0: first sample.
        rows: how many lines.
        cols: how many samples.
    """
    item, landscape = view.passage.item, view.landscape
    x, y, facing = ground_of(view, line0, sample0, rows, cols)
    power = backscatter(view, x, y)
    noise = noise_plane(tables, part, line0, sample0, rows, cols)
    seed = landscape.seed * 1000 + 700 + 2 * item.number + (item.direction == "ascending")
    for band in range(2):
        power[band] *= facing * np.float32(AMPLITUDE**2)
        power[band] += noise
        power[band] *= speckle(line0, sample0, rows, cols, seed + 100 * band)
    _shine(view, line0, sample0, power)
    valid = _valid(view.passage, line0, sample0, rows, cols)
    valid &= in_swath(landscape, item.edge, x, y)
    # What is valid is at least 1: as in genuine products, 0 is nodata.
    numbers = np.clip(np.rint(np.sqrt(power)), 1, 65_535).astype(np.uint16)
    numbers[:, ~valid] = 0
    return numbers


def _shine(view: View, line0: int, sample0: int, power: NDArray[np.float32]) -> None:
    """Add the corner reflectors to a block."""
    rows, cols = power.shape[1:]
    r, c = np.arange(line0, line0 + rows)[:, None], np.arange(sample0, sample0 + cols)
    for line, sample, _ in zip(*reflectors(view), strict=True):
        if -8 < line - line0 < rows + 8 and -8 < sample - sample0 < cols + 8:
            square = ((r - line) ** 2 + (c - sample) ** 2) / (2 * REFLECTOR_PX**2)
            power += (REFLECTOR * AMPLITUDE**2 * exact.exp(-square)).astype(np.float32)


def _valid(passage: Passage, line0: int, sample0: int, rows: int, cols: int) -> NDArray[np.bool_]:
    """Where a swath has data.

    Its range borders step from burst to burst, its first and last lines from sub-swath to
    sub-swath.
    """
    lines, samples = np.arange(line0, line0 + rows), np.arange(sample0, sample0 + cols)
    burst = lines // _STEP_LINES
    near = np.array([hash01(b, 1, 5) for b in burst.tolist()]) * RANGE_BORDER
    far = passage.samples - np.array([hash01(b, 2, 5) for b in burst.tolist()]) * RANGE_BORDER
    begin, end = np.zeros(cols), np.zeros(cols)
    for number, (_, first, last) in enumerate(passage.bounds):
        own = (samples >= first) & (samples <= last)
        begin[own] = passage.first + (number * 17 + 3) % AZIMUTH_BORDER
        end[own] = passage.last - (number * 23 + 9) % AZIMUTH_BORDER
    wide = (samples >= near[:, None]) & (samples < far[:, None])
    return np.asarray(wide & (lines[:, None] >= begin) & (lines[:, None] < end))


def _write(folder: Path, view: View, part: ProductSlice, threads: int) -> RawProduct:
    passage = view.passage
    heights = partial(_height_of_pixels, view)
    product = grd_metadata.make_product(passage, part, heights)
    tables = luts(passage, part)
    root = folder / product.name
    images = {p: root / "measurement" / f"{product.file(p)}.tiff" for p in POLARISATIONS}
    (root / "measurement").mkdir(parents=True, exist_ok=True)
    sums = _write_images(view, tables, part, images, product, threads)
    grd_metadata.write_metadata(root, product, tables, sums)
    return product


def _height_of_pixels(view: View, lines: Floats, samples: Floats) -> Floats:
    """Height of the ground that pixels (n,) see, above the ellipsoid."""
    z = np.empty(lines.size)
    for k, (line, sample) in enumerate(zip(lines.astype(int), samples.astype(int), strict=True)):
        x, y, _ = ground_of(view, int(line), int(sample), 1, 1)
        z[k] = view.landscape.relief.heights(x[0], y[0])[0]
    return z


def _write_images(
    view: View,
    tables: Luts,
    part: ProductSlice,
    images: dict[str, Path],
    product: RawProduct,
    threads: int,
) -> dict[str, tuple[float, float]]:
    """Write one GeoTIFF a polarisation in strips of lines; mean and deviation of their DN."""
    import rasterio
    from rasterio.control import GroundControlPoint
    from rasterio.errors import RasterioError

    passage, grid_points = view.passage, product.points
    points = [
        GroundControlPoint(float(p.line), float(p.sample), p.lon, p.lat, p.height, str(k + 1))
        for k, p in enumerate(grid_points)
    ]
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint16", "count": 1, "width": passage.samples,
        "height": part.lines, "gcps": points, "crs": GEOGRAPHIC, "blockysize": 1,
    }  # fmt: skip
    totals = np.zeros((2, 3))
    starts = [(c, min(BLOCK, passage.samples - c)) for c in range(0, passage.samples, BLOCK)]
    opened = []
    try:
        for path in images.values():
            opened.append(rasterio.open(path, "w", **profile))
            opened[-1].update_tags(**product.tags)
        with ThreadPoolExecutor(threads) as pool:
            tops = range(0, part.lines, BLOCK)
            for top in track(tops, product.name[:26], len(tops), "strip"):
                rows = min(BLOCK, part.lines - top)
                made = pool.map(
                    lambda span, top=top, rows=rows: digital_numbers(
                        view, tables, part, part.first + top, span[0], rows, span[1]
                    ),
                    starts,
                )
                strip = np.concatenate(list(made), axis=2)
                for band, image in enumerate(opened):
                    window = rasterio.windows.Window(0, top, passage.samples, rows)
                    image.write(strip[band], 1, window=window)
                    seen = strip[band].astype(np.float64)
                    totals[band] += (seen > 0).sum(), seen.sum(), (seen**2).sum()
        for image in opened:
            image.close()
    except (RasterioError, OSError) as error:
        cause = error if isinstance(error, OSError) else OSError(5, str(error))
        raise storage_error(next(iter(images.values())), cause) from error
    finally:
        for image in opened:
            image.close()
    count, total, square = totals.T
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    return {
        p: (float(mean[k]), float(deviation[k])) for k, p in enumerate(POLARISATIONS)
    }  # fmt: skip
