# SPDX-License-Identifier: Apache-2.0
"""Facts that a built CerraData-4MM sample must satisfy: ids, shapes, types, ranges, alignment."""

import functools
import json
import operator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from pyproj import Geod

from terrapatch.grid import snapped_geobox
from terrapatch.legend import load_legend
from terrapatch.recipe import load_recipe
from terrapatch.tables import read_geoparquet

SAMPLE = load_recipe("cerradata4mm-sample")
FOLDERS = {
    "msi_images": (3, 12, "float32"),
    "sar_images": (3, 2, "float32"),
    "semantic_14c": (5, 1, "int32"),
    "semantic_7c": (4, 1, "int32"),
    "edge_14c": (5, 1, "int32"),
    "edge_7c": (5, 1, "int32"),
}
"""Folder → place of the id between underscores, bands, dtype (published layout)."""

TARGETS = {(1, 1): (0.37, -0.21), (2, 7): (-0.4, 0.1), (7, 2): (0.0, 0.45), (8, 8): (0.25, 0.25)}
"""Patch (row, col) → offset of a point target from the patch's centre, in pixels (y, x)."""


def target_places():
    """Longitude, latitude of the point targets."""
    area = snapped_geobox(SAMPLE.area.bbox, SAMPLE.sampling.crs, SAMPLE.sampling.resolution)
    size = SAMPLE.sampling.size_px
    return [
        area.affine @ (col * size + size / 2 + dx, row * size + size / 2 + dy)
        for (row, col), (dy, dx) in TARGETS.items()
    ]


@pytest.fixture(scope="module")
def results(builds):
    recipe = {
        "name": "sample",
        "extends": "cerradata4mm-sample",
        "simulate": {"impulses": [list(map(float, place)) for place in target_places()]},
        "training": {"models": ["forest"], "trees": 20, "required": False},
        "publish": {"quicklooks": 2},
    }
    return builds.build(recipe) / "results" / "sample"


def ids(folder: Path, place: int) -> list[str]:
    return [path.stem.split("_")[place] for path in sorted(folder.glob("*.tif"))]


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_every_folder_has_the_same_zero_padded_ids_in_the_same_order(results):
    found = [ids(results / "dataset" / name, place) for name, (place, _, _) in FOLDERS.items()]
    assert all(other == found[0] for other in found)
    assert len(found[0]) == len(set(found[0])) > 50
    assert {len(i) for i in found[0]} == {10}
    assert [int(i) for i in found[0]] == sorted(int(i) for i in found[0])


def test_shapes_types_crs_and_ranges_are_those_of_the_release(results):
    limits = {"semantic_14c": 13, "semantic_7c": 6, "edge_14c": 1, "edge_7c": 1}
    for name, (_, bands, dtype) in FOLDERS.items():
        for path in sorted((results / "dataset" / name).glob("*.tif")):
            with rasterio.open(path) as dataset:
                assert (dataset.count, dataset.height, dataset.width) == (bands, 128, 128)
                assert set(dataset.dtypes) == {dtype}
                assert dataset.crs.to_epsg() == 4326
                pixels = dataset.read()
            assert np.isfinite(pixels).all()
            assert pixels.min() >= 0
            if name in limits:
                assert pixels.max() <= limits[name]
            elif name == "msi_images":
                assert pixels.min() >= 1
                assert pixels.max() < 20_000
            else:
                assert pixels.min() > 0
                assert pixels.max() < 1000  # a point target; land is below 10


def test_all_layers_of_a_patch_lie_on_the_same_ground(results):
    folders = [sorted((results / "dataset" / name).glob("*.tif")) for name in FOLDERS]
    for paths in zip(*folders, strict=True):
        transforms = set()
        for path in paths:
            with rasterio.open(path) as dataset:
                transforms.add(tuple(dataset.transform))
        assert len(transforms) == 1


def test_masks_are_readable_by_tifffile_alone(results):
    for name in ("semantic_14c", "edge_7c"):
        for path in sorted((results / "dataset" / name).glob("*.tif"))[:5]:
            assert np.array_equal(tifffile.imread(path), read(path)[0])


def test_the_l1_mask_is_exactly_the_image_of_l2(results):
    table = load_legend("cerradata4mm").derive("l1")
    fine = sorted((results / "dataset" / "semantic_14c").glob("*.tif"))
    coarse = sorted((results / "dataset" / "semantic_7c").glob("*.tif"))
    seen = set()
    for a, b in zip(fine, coarse, strict=True):
        labels = read(a)
        seen |= set(np.unique(labels))
        assert np.array_equal(table[labels], read(b))
    assert len(seen) >= 12


def test_edges_are_the_borders_of_the_labels(results):
    labels = sorted((results / "dataset" / "semantic_14c").glob("*.tif"))
    edges = sorted((results / "dataset" / "edge_14c").glob("*.tif"))
    for a, b in zip(labels[:10], edges[:10], strict=True):
        label, edge = read(a)[0], read(b)[0]
        right = label[:-1, :-1] != label[:-1, 1:]
        below = label[:-1, :-1] != label[1:, :-1]
        assert np.array_equal(edge[:-1, :-1], (right | below).astype(int))


def test_pixels_come_from_both_utm_zones(results):
    manifest = read_geoparquet(results / "manifest.parquet")
    tiles = {source.split("_")[5] for row in manifest["sources_sentinel2"] for source in row}
    assert tiles == {"T22MHU", "T23MJP"}


def test_splits_are_disjoint_and_do_not_touch(results):
    lists = {
        name: (results / "dataset" / "splits" / f"{name}.txt").read_text().split()
        for name in ("train", "val", "test")
    }
    assert all(lists.values())
    assert len(set(functools.reduce(operator.iadd, lists.values(), []))) == sum(
        map(len, lists.values())
    )
    leakage = json.loads((results / "splits.json").read_text())["leakage"]
    assert leakage["blocks"]["test"]["touching_train"] == 0
    assert leakage["published"]["test"]["touching_train"] > 0.9


def centroid(weights):
    """(y, x) centre of mass in pixels, counted from the corner of the first pixel."""
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(weights * y).sum(), (weights * x).sum()]) / weights.sum()


def test_point_targets_agree_within_a_tenth_of_a_pixel_in_all_layers(results):
    worst = 0.0
    for (row, col), (dy, dx) in TARGETS.items():
        name = f"{row:05d}{col:05d}"
        middle = slice(64 - 16, 64 + 16)
        truth = np.array([16 + dy, 16 + dx])
        folder = results / "dataset"
        msi = read(folder / f"msi_images/parrot_beak_ms_{name}.tif")[:, middle, middle]
        sar = read(folder / f"sar_images/parrot_beak_sar_{name}.tif")[:, middle, middle]
        label = read(folder / f"semantic_14c/parrot_beak_terraclass_classes_14c_{name}.tif")
        label = label[0, middle, middle]
        found = {f"band {i}": b - np.median(b) for i, b in enumerate(msi)}
        found |= {f"sar {i}": b - np.median(b) for i, b in enumerate(sar)}
        found = {k: np.where(v > 0.1 * v.max(), v, 0) for k, v in found.items()}
        found["label"] = (label == 5).astype(float)
        places = {key: centroid(weights) for key, weights in found.items()}
        # The map is drawn in pixels of 10 m: its disc is as exact as that allows.
        for key, place in places.items():
            error = np.abs(place - truth).max()
            worst = max(worst, error)
            assert error < 0.1, (name, key, place, truth)
    assert worst > 0  # a picture that is nothing but truth would be a mistake of this test


def test_a_patch_is_as_wide_on_the_ground_as_the_grid_says(results):
    manifest = read_geoparquet(results / "manifest.parquet")
    left, bottom, right, top = manifest.geometry.iloc[0].bounds
    width = Geod(ellps="WGS84").inv(left, bottom, right, bottom)[2]
    assert width == pytest.approx(128 * 9.95, rel=0.005)  # cos(6°) × 10 m
    assert (right - left) / 128 == pytest.approx(SAMPLE.sampling.resolution, rel=1e-6)
    assert top - bottom == pytest.approx(right - left, rel=1e-6)
