# SPDX-License-Identifier: Apache-2.0
"""What terratorch's generic reader of several sensors promises, for where it is not installed.

Names and behaviour are those of terratorch 1.2.13, `terratorch/datasets/generic_multimodal_dataset.py`,
class `GenericMultimodalSegmentationDataset`: which arguments there are, how a line of a split file
finds its files, and what becomes of missing pixels and labels. The code is ours.
"""

from __future__ import annotations

import glob
from pathlib import Path

import numpy as np
import rioxarray

KEYWORDS = (
    "data_root", "num_classes", "label_data_root", "image_grep", "label_grep", "split",
    "image_modalities", "rgb_indices", "allow_missing_modalities", "allow_substring_file_names",
    "skip_file_checks", "dataset_bands", "output_bands", "class_names", "constant_scale", "transform",
    "no_data_replace", "no_label_replace", "expand_temporal_dimension", "reduce_zero_label",
    "channel_position", "concat_bands", "prefix", "temporal_channel_major", "scalar_label",
    "data_with_sample_dim",
)  # fmt: skip
"""Arguments of the constructor; the last four are those of its base class."""

REQUIRED = ("data_root", "num_classes")
"""Arguments without a default. `image_modalities` has None, and fails with it (version 1.2.13)."""


class GenericMultimodalSegmentationDataset:
    """Samples of a split as {"image": {modality: (band, y, x)}, "mask": (y, x)}."""

    def __init__(self, **given):
        unknown = set(given) - set(KEYWORDS)
        lost = {*REQUIRED, "image_modalities"} - set(given)
        if unknown or lost:
            raise TypeError(f"unexpected {sorted(unknown)}, missing {sorted(lost)}")
        self.data = given.get("no_data_replace")
        self.label = given.get("no_label_replace", -1)
        self.shift = int(given.get("reduce_zero_label", False))
        assert given.get("allow_substring_file_names", False), "else lines are whole names"
        lines = Path(given["split"]).read_text("utf-8").splitlines()
        self.samples = []
        for line in lines:
            found = {
                key: sorted(glob.glob(f"{folder}/{line}{grep}"))
                for key, folder, grep in (
                    *((m, given["data_root"][m], given["image_grep"][m])
                      for m in given["image_modalities"]),
                    ("mask", given["label_data_root"], given["label_grep"]),
                )
            }  # fmt: skip
            if all(found.values()):
                # Of several the last, as in the original.
                self.samples.append({key: names[-1] for key, names in found.items()})
        if not self.samples:
            raise ValueError("No samples found for multimodal dataset")

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        images = {}
        for key, path in self.samples[index].items():
            with rioxarray.open_rasterio(path, masked=True) as file:
                values = file.to_numpy()
            replacement = self.label if key == "mask" else self.data
            if replacement is not None:
                values = np.nan_to_num(values, nan=replacement)
            images[key] = values
        mask = images.pop("mask")[0] - self.shift
        return {"image": images, "mask": mask.astype(np.int64), "filename": self.samples[index]}
