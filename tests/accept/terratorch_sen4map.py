# SPDX-License-Identifier: Apache-2.0
"""Runs where terratorch is: its readers of Sen4Map, unchanged, on a dataset of ours.

python terratorch_sen4map.py DATASET WANTED.npz
"""

import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from terratorch.datamodules import Sen4MapLucasDataModule
from terratorch.datasets import Sen4MapDatasetMonthlyComposites

LAND_COVER = {
    "A11": 0,
    "A22": 1,
    "E20": 2,
    "B11": 3,
    "C10": 4,
    "C21": 5,
    "D10": 6,
    "G11": 7,
    "H11": 8,
}
"""Label ids. Source: RECIPES §5.1."""

dataset, wanted = Path(sys.argv[1]), np.load(sys.argv[2])
seen, labels = 0, {}
for split in ("train", "val", "test"):
    with h5py.File(dataset / "split-wise" / f"{split}.h5", "r") as file:
        samples = Sen4MapDatasetMonthlyComposites(file, crop_size=15)
        for key, sample in zip(
            samples.h5data_keys, (samples[n] for n in range(len(samples))), strict=True
        ):
            image, label = sample["image"], sample["label"]
            assert image.shape == (10, 12, 15, 15), image.shape
            assert image.dtype == torch.float32
            np.testing.assert_allclose(image.numpy(), wanted[f"{split}/{key}/image"], atol=2e-5)
            assert int(label) == int(wanted[f"{split}/{key}/label"])
            labels[file[key].attrs["lc1"]] = int(label)
            seen += 1
        keys = pickle.loads((dataset / "keys" / f"{split}_crops_keys.pkl").read_bytes())
        crops = Sen4MapDatasetMonthlyComposites(file, h5data_keys=keys, classification_map="crops")
        assert [int(crops[n]["label"]) in range(8) for n in range(len(crops))] == [True] * len(keys)
        assert keys
assert seen == len(wanted.files) // 2 > 0
assert {
    code: label for code, label in labels.items() if code in LAND_COVER
}.items() <= LAND_COVER.items()
for path in sorted((dataset / "country-wise").iterdir()):
    with h5py.File(path, "r") as file:
        whole = Sen4MapDatasetMonthlyComposites(file)
        assert len(whole) == len(file)
        assert whole[0]["image"].shape == (10, 12, 64, 64)

module = Sen4MapLucasDataModule(
    batch_size=2, num_workers=0, prefetch_factor=None, crop_size=15, resize=True, resize_to=[224, 224],
    **{f"{split}_hdf5_path": str(dataset / "split-wise" / f"{split}.h5") for split in ("train", "val", "test")},
    **{f"{split}_hdf5_keys_path": str(dataset / "keys" / f"{split}_keys.pkl")
       for split in ("train", "val", "test")},
)  # fmt: skip
module.setup("fit")
batch = next(iter(module.train_dataloader()))
assert batch["image"].shape == (2, 10, 12, 224, 224), batch["image"].shape
assert batch["label"].shape[0] == 2
print(
    f"terratorch: {seen} points in three splits, key lists, {len(labels)} codes, one batch of its data module"
)
