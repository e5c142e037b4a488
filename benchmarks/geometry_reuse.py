# SPDX-License-Identifier: Apache-2.0
"""What it would bring to take a date's geometry from another date of the same relative orbit.

Two figures. CPU: lines and pixels of a part of the benchmark's tile, exact, beside a stored line
and slant range brought to another date by a correction per cell; and with the look-up of the
pixel, which no date can take from another, for each product has its own polynomials. Accuracy:
orbits of real annotations moved to the rim of the orbital tube (± 100 m across), their geometry
fitted by polynomials in line, slant range and height of the date that is kept.

Usage: geometry_reuse.py FOLDER ANNOTATION…   (FOLDER: that of run.py; annotations of GRD products)
"""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

import radar_scene
from terrapatch.compiled import kernel
from terrapatch.heights import read_dem
from terrapatch.radar.annotation import Annotation, read_annotation
from terrapatch.radar.doppler import ecef, line_delay, locate, project
from terrapatch.radar.orbit import Orbit
from terrapatch.sentinel1 import kernels
from terrapatch.sentinel1.geometry import GroundNodes, Heights, RangeTable, terrain

TUBE_M = 100.0
SIDE_PX = 2048


def seconds_of(work, *arguments) -> float:
    """Least CPU of four calls after one that compiles."""
    work(*arguments)
    found = []
    for _ in range(4):
        begin = time.process_time()
        work(*arguments)
        found.append(time.process_time() - begin)
    return min(found)


@kernel
def _exact(image, heights, height, line, pixel):
    v, u = np.empty(256), np.empty(256)
    for y in range(line.shape[0]):
        for x in range(0, line.shape[1], 256):
            part = slice(x, x + 256)
            row, col = image.origin[0] + y, image.origin[1] + x
            kernels.heights_of_row(heights, row, col, v, u, height[y, part])
            kernels.image_row(image, row, col, height[y, part], line[y, part], pixel[y, part])


@kernel
def _again(stored, change, table, line, slant, pixel):
    """Stored line and slant range, plus what is bilinear within cells of 32 pixels."""
    for y in range(line.shape[0]):
        i, down = y >> 5, (y & 31) / 32
        for k in range(line.shape[1] >> 5):
            x = k << 5
            for n in range(2):
                left = change[n, i, k] + (change[n, i + 1, k] - change[n, i, k]) * down
                right = change[n, i, k + 1] + (change[n, i + 1, k + 1] - change[n, i, k + 1]) * down
                step = (right - left) / 32
                target = line if n == 0 else slant
                for t in range(32):
                    target[y, x + t] = stored[n, y, x + t] + (left + step * t)
        if table.lines.size > 0:
            for x in range(0, line.shape[1], 256):
                part = slice(x, x + 256)
                kernels.pixels_at(table, line[y, part], slant[y, part], pixel[y, part])


def costs(folder: Path) -> None:
    """Print CPU ns a pixel."""
    data = radar_scene.prepare(folder)
    first = (data.geobox.shape[0] - SIDE_PX) // 2
    box = data.geobox[first : first + SIDE_PX, first : first + SIDE_PX]
    asset = data.item.assets["VV"]
    annotation = read_annotation(Path(asset.annotation).read_bytes(), "annotation")
    dem = read_dem([str(data.dem)], box)
    heights = Heights.of(dem, box)
    image = terrain(GroundNodes.of(box, dem.limits), annotation, annotation.orbit)
    height, line, pixel = (np.empty(box.shape) for _ in range(3))
    exact = seconds_of(_exact, image, heights, height, line, pixel)
    none = RangeTable.none()
    without = seconds_of(_exact, image._replace(table=none), heights, height, line, pixel)
    stored = np.stack([line, pixel])
    change = np.zeros((2, SIDE_PX // 32 + 1, SIDE_PX // 32 + 1))
    slant = np.empty_like(pixel)
    again = seconds_of(_again, stored, change, none, line, slant, pixel)
    looked = seconds_of(_again, stored, change, image.table, line, slant, pixel)
    for name, spent in (
        ("exact: heights, lines and pixels", exact), ("  of it heights, lines, slant ranges", without),
        ("kept and corrected: lines, slant ranges", again),
        ("kept and corrected: lines and pixels", looked),
    ):  # fmt: skip
        each = spent / SIDE_PX**2
        print(f"{name:42} {each * 1e9:5.1f} ns/px  {each * 115.6e6:5.2f} CPU s a tile")


def moved(orbit: Orbit, across_m: float, up_m: float) -> Orbit:
    """The orbit, moved across the track."""
    up = orbit.position / np.linalg.norm(orbit.position, axis=1, keepdims=True)
    aside = np.cross(orbit.velocity, up)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return Orbit(
        orbit.epoch, orbit.time_s, orbit.position + across_m * aside + up_m * up, orbit.velocity
    )


def misses(annotation: Annotation) -> None:
    """Print what is left of the difference between two dates, in lines and pixels."""
    a = annotation
    table = RangeTable.of(a)  # as if both products had the same polynomials
    times = np.linspace(a.first_line_s + 2, a.last_line_s - 2, 40)
    ranges = np.linspace(a.near_range_m, a.near_range_m + 0.7 * a.range_spacing_m * a.samples, 40)
    t, r = np.meshgrid(times, ranges, indexing="ij")
    lon, lat = project(a.orbit, t, r, 0.0)
    heights = np.linspace(0.0, 3000.0, 7)
    xyz = ecef(lon[None], lat[None], heights[:, None, None])

    def places(orbit: Orbit) -> tuple[np.ndarray, np.ndarray]:
        time_s, slant = locate(orbit, xyz)
        delay, slope = line_delay(a)
        line_s = time_s - delay - slope * (2 / 299_792_458.0) * slant
        line = (line_s - a.first_line_s) / a.azimuth_interval_s
        return line, table.pixel(line, slant)

    line, pixel = places(a.orbit)
    inside = (pixel > 0) & (pixel < a.samples) & (line > 0) & (line < a.lines)
    level = np.broadcast_to(heights[:, None, None], line.shape)
    terms = [
        np.ones(inside.sum()),
        *(v[inside] for v in (line / 1e4, pixel / 1e4, level / 1e3)),
    ]
    bases = {
        "shift alone": terms[:1],
        "linear": terms[:3],
        "quadratic": [p * q for p, q in itertools.combinations_with_replacement(terms[:3], 2)],
        "quadratic, linear in height": [
            p * q for p, q in itertools.combinations_with_replacement(terms, 2)
        ],
    }
    print(f"{a.platform} {a.epoch} IPF {a.ipf}: largest rest over the slice, heights 0 to 3000 m")
    for across, up in ((TUBE_M, 0.0), (0.0, TUBE_M), (TUBE_M, TUBE_M), (-TUBE_M, TUBE_M)):
        there, far = places(moved(a.orbit, across, up))
        rests = []
        for name, columns in bases.items():
            matrix = np.stack(columns, axis=1)
            left = [
                np.abs(v - matrix @ np.linalg.lstsq(matrix, v, rcond=None)[0]).max()
                for v in ((there - line)[inside], (far - pixel)[inside])
            ]
            rests.append(f"{name} {left[0]:.4f} lines {left[1]:.4f} px")
        print(f"  across {across:+.0f} m, up {up:+.0f} m: {'; '.join(rests)}")


def main() -> None:
    folder, *paths = map(Path, sys.argv[1:])
    costs(folder)
    for path in paths:
        misses(read_annotation(path.read_bytes(), path.name))


if __name__ == "__main__":
    main()
