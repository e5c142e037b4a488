# SPDX-License-Identifier: Apache-2.0
"""Digests of all that reaches files through sums, solvers and elementary functions.

Run by test_same_bytes.py in processes of their own: `python -m made.same_bytes SIMULATED.pickle FOLDER`.
"""

import hashlib
import json
import pickle
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import shapely
from affine import Affine

from terrapatch.cutting.engine import seal
from terrapatch.cutting.layer import Layer
from terrapatch.heights.geoid import undulation
from terrapatch.publish import statistics
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.doppler import image_coordinates, project
from terrapatch.sentinel1.geometry import ground_control
from terrapatch.simulate import grd
from terrapatch.simulate.facts import _spectra, covers
from terrapatch.simulate.landscape import make_landscape
from terrapatch.simulate.schedule import Pass1


def digest(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def files(folder):
    """Digest of all files of a folder, by name."""
    found = hashlib.sha256()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()[:16]


def stacks(simulated, folder):
    """Raw scenes to stacks: terrain, control points, flattened, with layers, decibel."""
    box = simulated.geobox[96:288, 96:288]
    for name, changes in {
        "terrain": {"extras": ("local_incidence", "ellipsoid_incidence", "layover_shadow")},
        "gcp": {"geometry": "gcp", "dem": (), "radiometry": "amplitude"},
        "flattened": {"radiometry": "gamma0_rtc", "scale": "db"},
    }.items():
        unit = simulated.unit(folder / name, 96, box)
        stack = unit.build(simulated.items("descending"), **simulated.settings(**changes))
        yield f"stack {name}", files(stack.path)


def numbers(simulated):
    """Geometry, heights, statistics and the simulated world."""
    (item,) = simulated.items("ascending", count=1)
    annotation = read_annotation(Path(item.assets["VV"].annotation).read_bytes(), "a", "003.40")
    yield "orbit", digest(*annotation.orbit.state(np.linspace(-5, 30, 999)))
    yield (
        "doppler",
        digest(
            *project(
                annotation.orbit, np.linspace(0, 5, 500), np.linspace(8.0e5, 9.5e5, 500), 300.0
            ),
            *image_coordinates(annotation, np.linspace(0, 5, 500), np.linspace(8.0e5, 9.5e5, 500)),
        ),
    )
    yield "control points", digest(ground_control(simulated.geobox, annotation).nodes)
    yield "geoid", digest(
        undulation(
            lambda lon, lat: 30 * np.sin(lon) + lat**2 / 7, pyproj.CRS("EPSG:4326"),
            Affine(1e-3, 0, 10.1, 0, -1e-3, 45.3), (333, 257),
        )
    )  # fmt: skip
    rng = np.random.default_rng(0)
    power = rng.gamma(4.4, 0.03, (3, 1, 2, 50, 50)).astype(np.float32)
    seen = np.ones((3, 1, 50, 50), np.uint8)
    whole = (power * 30_000).astype(np.uint16)
    for name, data in (("floats", power), ("whole numbers", whole)):
        yield f"statistics of {name}", repr(statistics.summarise(statistics.tally(data, seen)))
    values = power[:, 0].copy()
    seal(values, seen[:, 0], Layer(("VV", "VH"), "bilinear", "float32", decibel=True))
    yield "decibel", digest(values)
    area = shapely.box(-47.52, -12.52, -47.5, -12.5)
    land = make_landscape(area, area.buffer(0.01), 4, impulses=((-47.51, -12.51),))
    yield "relief", digest(land.relief.z, land.relief.slope_x)
    yield "spectra", digest(_spectra(tuple(covers().names)))
    start = datetime(2022, 6, 18, 8, 59, 3)
    passage = grd.passage_over(
        land, Pass1(0, start, "descending", 43999, 100, 0.0, None), area.buffer(0.005), False
    )
    yield "passage", digest(*passage.conversions)


if __name__ == "__main__":
    made = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(json.dumps(dict(numbers(made)) | dict(stacks(made, Path(sys.argv[2])))))
