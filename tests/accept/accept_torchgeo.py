# SPDX-License-Identifier: Apache-2.0
"""Runs where torchgeo is: its readers of FLAIR-HUB, unchanged, on a dataset of ours.

python accept_torchgeo.py DATASET [WANTED.npz]

WANTED holds `{patch_id}/{sample key}` and, of labels, `{patch_id}/{dataset_type}`: the pixels that the
files were made from. Without it samples are held against the files as rasterio reads them.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import torch
from torchgeo.datasets import FLAIRHUB, FLAIRHUBToy

SPLITS = ("train", "val", "test")
BANDS = {"SENTINEL2_TS": 10, "SENTINEL2_MSK-SC": 2, "SENTINEL1-ASC_TS": 2, "SENTINEL1-DESC_TS": 2,
         "AERIAL_RGBI": 4, "AERIAL-RLT_PAN": 1, "DEM_ELEV": 2, "SPOT_RGBI": 4}  # fmt: skip
SIDES = {"AERIAL_RGBI": 512, "DEM_ELEV": 512, "AERIAL-RLT_PAN": 256, "SPOT_RGBI": 64}
LABELS = {"land_cover": ("AERIAL_LABEL-COSIA", 1), "crop_type": ("ALL_LABEL-LPIS", 1),
          "crop_type_2": ("ALL_LABEL-LPIS", 2), "crop_type_3": ("ALL_LABEL-LPIS", 3)}  # fmt: skip
"""Type of dataset → its labels, and the band of the level. Source: RECIPES §5.2.1."""

root = Path(sys.argv[1]).resolve()
wanted = np.load(sys.argv[2]) if len(sys.argv) > 2 else {}
modalities = [name for name in BANDS if any(root.glob(f"D*_{name}"))]
types = [kind for kind, (name, _) in LABELS.items() if any(root.glob(f"D*_{name}"))]
years: dict[str, list[str]] = {}
for folder in sorted(root.glob(f"D*_{LABELS[types[0]][0]}")):
    domain, _, year = folder.name.partition("_")[0].rpartition("-")
    years.setdefault(domain, []).append(year)


class Ours(FLAIRHUB):
    domain_years = years


def check(samples, kind: str) -> int:
    """Shapes and values of all samples of a dataset; returns their number."""
    for number in range(len(samples)):
        files, sample = samples.files[number], samples[number]
        patch = files["patch_id"]
        mask = sample["mask"]
        assert mask.shape == (512, 512), mask.shape
        assert mask.dtype == torch.int64
        same(mask, patch, kind, files["mask"], LABELS[kind][1])
        for name in modalities:
            key = samples.modality_key_map[name]
            image, side = sample[key], SIDES.get(name, 10)
            assert image.shape[-3:] == (BANDS[name], side, side), (name, image.shape)
            assert image.ndim == (3 if name in SIDES else 4), (name, image.shape)
            same(image, patch, key, files[name], None)
        if {"image_sentinel2", "mask_sentinel2_snowcloud"} <= set(sample):
            assert len(sample["image_sentinel2"]) == len(sample["mask_sentinel2_snowcloud"])
    return len(samples)


def same(found: torch.Tensor, patch: str, key: str, path: Path, band: int | None) -> None:
    """A tensor has the pixels that are wanted."""
    if f"{patch}/{key}" in wanted:
        truth = wanted[f"{patch}/{key}"]
    else:
        with rasterio.open(path) as file:
            truth = file.read(band)
    np.testing.assert_array_equal(
        found.numpy().reshape(truth.shape), truth, err_msg=f"{patch} {key}"
    )


seen = 0
for kind in types:
    for split in SPLITS:
        seen += check(Ours(root, split=split, dataset_type=kind, bands=modalities), kind)
radar = [name for name in modalities if name.startswith("SENTINEL")]
few = Ours(root, split="train", split_column="split_1", dataset_type=types[0], bands=radar)
assert set(few[0]) == {"mask", *(few.modality_key_map[name] for name in radar)}
with tempfile.TemporaryDirectory() as above:
    os.symlink(root, Path(above) / "FLAIR-HUB_TOY")
    toy = FLAIRHUBToy(
        above, split="train", split_column="split_1", dataset_type=types[0], bands=modalities
    )
    assert check(toy, types[0]) == len(few)
    toy.plot(toy[0])
checked = "against the arrays they were made from" if len(sys.argv) > 2 else "against their files"
assert seen
print(
    f"torchgeo: {seen} samples of {', '.join(types)} with {len(modalities)} modalities, {checked}"
)
