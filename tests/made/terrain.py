# SPDX-License-Identifier: Apache-2.0
"""Mountains under a simulated pass, and what a radar sees of them, by brute force.

Nothing here shares code with flattening, shadow or layers: points are put on the bilinear surface
much denser than pixels, each is located exactly, its facet's normal comes from a cross product in
Earth-fixed coordinates, and rays are walked.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.interpolate import BarycentricInterpolator
from scipy.ndimage import gaussian_filter

from made.grd import LAT, LON, UTM, copy_of
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.doppler import (
    ecef,
    geodetic,
    image_coordinates,
    locate,
    project,
    sensing_coordinates,
)  # fmt: skip
from terrapatch.radar.luts import read_calibration
from terrapatch.simulate.grd import REFLECTOR_PX

TO_DEGREES = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
CENTRE = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(LON, LAT)
POST = 30.0
"""Metres between heights."""


@dataclass
class Mountains:
    """Heights on a grid of `POST` metres around the middle of the simulated area."""

    heights: np.ndarray
    """(y, x) float32, north first."""

    @classmethod
    def of(cls, function, side_m=8000.0):
        """Heights of a function of metres east and north of the middle."""
        n = int(side_m / POST)
        axis = (np.arange(n) - (n - 1) / 2) * POST
        return cls(
            function(axis[None, :], -axis[:, None]).astype(np.float32) + np.zeros((n, n), "f4")
        )

    @property
    def transform(self):
        half = len(self.heights) * POST / 2
        return Affine(POST, 0, CENTRE[0] - half, 0, -POST, CENTRE[1] + half)

    def write(self, path):
        """As a GeoTIFF."""
        with rasterio.open(
            path, "w", driver="GTiff", count=1, dtype="float32", crs=UTM, transform=self.transform,
            height=len(self.heights), width=len(self.heights),
        ) as dataset:  # fmt: skip
            dataset.write(self.heights, 1)
        return str(path)

    def at(self, x, y):
        """Bilinear heights at map coordinates; the outermost ones beyond."""
        col, row = ~self.transform * (x, y)
        n = len(self.heights)
        row, col = (np.clip(a - 0.5, 0, n - 1.001) for a in (row, col))
        r, c = np.floor(row).astype(int), np.floor(col).astype(int)
        z = self.heights.astype(float)
        upper = z[r, c] * (1 - col + c) + z[r, c + 1] * (col - c)
        lower = z[r + 1, c] * (1 - col + c) + z[r + 1, c + 1] * (col - c)
        return upper * (1 - row + r) + lower * (row - r)

    def places(self, x, y):
        """Earth-fixed coordinates of the surface: (…, 3)."""
        return ecef(*TO_DEGREES.transform(x, y), self.at(x, y))


def box(side_px=200, size=10.0, dx=0, dy=0):
    """A unit around the middle of the simulated area, moved by whole pixels."""
    left, top = (round(c / size) * size for c in CENTRE)
    half = side_px // 2 * size
    return GeoBox(
        (side_px, side_px),
        Affine(size, 0, left - half + dx * size, 0, -size, top + half - dy * size), UTM,
    )  # fmt: skip


def annotation_of(product):
    (path,) = (Path(product) / "annotation").glob("*-vv-*.xml")
    return read_annotation(path.read_bytes(), path.name, "003.40")


def facets(mountains, annotation, spacing=4.0, side_m=5200.0):
    """Line, pixel, projected area (m²) and cosine of incidence of dense facets, flat arrays."""
    n = int(side_m / spacing)
    axis = (np.arange(n + 1) - n / 2) * spacing
    x, y = CENTRE[0] + axis[None] + 0 * axis[:, None], CENTRE[1] - axis[:, None] + 0 * axis[None]
    corners = mountains.places(x, y)
    one, two = corners[1:, 1:] - corners[:-1, :-1], corners[:-1, 1:] - corners[1:, :-1]
    normal = np.cross(one, two) / 2
    middle = (corners[1:, 1:] + corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:]) / 4
    normal *= np.sign((normal * middle).sum(-1))[..., None]
    time_s, slant_m = locate(annotation.orbit, middle)
    sight = (annotation.orbit.state(time_s)[0] - middle) / slant_m[..., None]
    shown = (normal * sight).sum(-1)
    line, pixel = image_coordinates(annotation, time_s, slant_m)
    cosine = shown / np.linalg.norm(normal, axis=-1)
    return line.ravel(), pixel.ravel(), shown.ravel(), cosine.ravel()


def splat(annotation, line, pixel, weight):
    """Sum of weights in the pixels of the image, each given to its four neighbours."""
    total = np.zeros((annotation.lines, annotation.samples))
    r, c = np.floor(line).astype(int), np.floor(pixel).astype(int)
    for dr in (0, 1):
        for dc in (0, 1):
            part = weight * np.abs(1 - dr - (line - r)) * np.abs(1 - dc - (pixel - c))
            i, k = r + dr, c + dc
            good = (i >= 0) & (k >= 0) & (i < annotation.lines) & (k < annotation.samples)
            np.add.at(total, (i[good], k[good]), part[good])
    return total


def cell_size(annotation):
    """Slant range by azimuth of the pixels of an image in m², from places of neighbours."""
    rows = np.arange(0, annotation.lines + 15, 16)
    line, pixel = np.meshgrid(rows, np.arange(annotation.samples) + 0.0, indexing="ij")
    _, near = sensing_coordinates(annotation, line, pixel - 0.5)
    _, far = sensing_coordinates(annotation, line, pixel + 0.5)
    places = []
    for step in (-8, 8):
        time_s, slant_m = sensing_coordinates(annotation, line + step, pixel)
        places.append(ecef(*project(annotation.orbit, time_s, slant_m, 300.0), 300.0))
    along = np.linalg.norm(places[1] - places[0], axis=-1) / 16
    return np.repeat((far - near) * along, 16, axis=0)[: annotation.lines]


def even_ground(product, mountains, folder, gamma=0.1):
    """A copy of a product that shows the mountains under one γ⁰, without speckle or noise."""
    copy = copy_of(Path(product), folder)
    annotation = annotation_of(copy)
    line, pixel, shown, _ = facets(mountains, annotation)
    area = splat(annotation, line, pixel, np.maximum(shown, 0)) / cell_size(annotation)
    seen = splat(annotation, line, pixel, np.ones(line.size)) > 0
    # The response of the radar, 20 m at half power, less what the four neighbours have done.
    area = gaussian_filter(area, np.sqrt(REFLECTOR_PX**2 - 1 / 6))
    incidence = float(annotation.grid.incidence_deg.mean())
    area[~seen] = 1 / np.tan(np.radians(incidence))  # beyond the mountains
    (image,) = (copy / "measurement").glob("*-vv-*.tiff")
    (path,) = (copy / "annotation" / "calibration").glob("calibration-*-vv-*.xml")
    rows, cols = np.arange(annotation.lines), np.arange(annotation.samples)
    factor = read_calibration(path.read_bytes(), "c").window("beta0", rows, cols)
    numbers = np.maximum(np.rint(factor * np.sqrt(gamma * area)), 1)
    with rasterio.open(image, "r+") as dataset:
        dataset.write(numbers.astype("uint16"), 1)
    return locked_item(read_product(copy), ("VV",), Files(False)), annotation


def ridges(east, north):
    """Relief with slopes up to 38 degrees in all directions, 500 m high."""
    waves = np.sin(east / 330 + 0.3 * np.sin(north / 700)) * np.cos(north / 410)
    return 500 + 180 * waves + 60 * np.sin((east + 2 * north) / 290)


def saw(east, north, sign):
    """Ridges whose steep side (up to 49 degrees) lies over; `sign` 1 turns it to the west."""
    place = ((sign * east + 80 * np.sin(north / 300)) / 900) % 1
    ridge = np.where(place < 0.25, place / 0.25, (1 - place) / 0.75)
    return 300 + 260 * (0.6 + 0.4 * np.cos(north / 800)) * ridge


def radar_frame(annotation, places):
    """Unit vectors (…, 3) at Earth-fixed places: to the satellite, across (p), along flight."""
    time_s, slant_m = locate(annotation.orbit, places)
    position, velocity, _ = annotation.orbit.state(time_s)
    sight = (position - places) / slant_m[..., None]
    along = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    return sight, np.cross(sight, along), along


def smooth(path, steps, nodes=9):
    """What a function of one number is at each of many steps, through its values at a few.

    Paths along the ellipsoid and along rays are as good as straight over some kilometres: the
    polynomial through Chebyshev's nodes is off by less than the check below allows.

    Args:
        path: function of a distance in m; an array.
        steps: distances in m, (n,).

    Yields:
        The arrays of all steps.
    """
    middle, half = (steps[0] + steps[-1]) / 2, (steps[-1] - steps[0]) / 2
    places = middle + half * np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
    curve = BarycentricInterpolator(places, np.stack([path(place) for place in places]))
    for off in steps[:: len(steps) // 3]:
        np.testing.assert_allclose(curve(off), path(off), rtol=1e-10, atol=1e-8)
    for off in steps:
        yield curve(off)


def walked(mountains, annotation, x, y, reach_m=3000.0, step_m=4.0):
    """Layover and shadow of map points by walking: two bool arrays of their shape.

    Layover: ground elsewhere in the zero-Doppler plane on the other side in range than it is in
    place. Shadow: the straight ray to the satellite passes below the ground.
    """
    places = mountains.places(x, y)
    time_s, slant_m = locate(annotation.orbit, places)
    position = annotation.orbit.state(time_s)[0]
    lon, lat = TO_DEGREES.transform(x, y)
    ground = locate(annotation.orbit, ecef(lon, lat, 0.0))[1]
    over, dark = np.zeros(x.shape, bool), np.zeros(x.shape, bool)
    back = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)

    def on_ellipsoid(off):
        there = project(annotation.orbit, time_s, ground + off, 0.0)
        return np.stack([*there, *back.transform(*there)])

    def on_ray(far):
        *there, height = geodetic(places + far * sight)
        return np.stack([*back.transform(*there), height])

    sight = (position - places) / slant_m[:, None]
    steps = np.arange(step_m, reach_m, step_m)
    offs = steps * 0.6
    for side in (-1, 1):
        for there_lon, there_lat, *there in smooth(on_ellipsoid, side * offs):
            other = ecef(there_lon, there_lat, mountains.at(*there))
            over |= (np.linalg.norm(other - position, axis=-1) - slant_m) * side <= 0
    for ray_x, ray_y, height in smooth(on_ray, steps):
        dark |= mountains.at(ray_x, ray_y) > height
    return over, dark
