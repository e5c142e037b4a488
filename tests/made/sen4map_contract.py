# SPDX-License-Identifier: Apache-2.0
"""What terratorch's reader of Sen4Map promises, for where it is not installed.

Names and behaviour are those of terratorch 1.2.13, `terratorch/datasets/sen4map.py`, class
`Sen4MapDatasetMonthlyComposites`: which arguments there are, what it looks for in a file, and what it
makes of it. The code is ours: NumPy in the place of PyTorch.
"""

from __future__ import annotations

import numpy as np

FIELDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
"""Bands in the order of the images that it gives."""
LOW = (67, 122, 93.27, 158.5, 160.77, 174.27, 162.27, 149, 84.5, 66.27)
HIGH = (2089, 2598.45, 3214.5, 3620.45, 4033.61, 4613, 4825.45, 4945.72, 5140.84, 4414.45)
"""Numbers of each band that become 0 and 1."""
CLOUDS = 9
"""The least class of the scene classification that is masked."""
KEYWORDS = (
    "h5data_keys", "crop_size", "dataset_bands", "input_bands", "resize", "resize_to",
    "resize_interpolation", "resize_antialiasing", "reverse_tile", "reverse_tile_size",
    "save_keys_path", "classification_map",
)  # fmt: skip
"""Arguments of the constructor besides the file, which stands first."""


def land_cover(code: str) -> int:
    """Class of a LUCAS code by its group. KeyError where there is none."""
    table = {
        "": 9, "A": 0, "A22": 1, "F": 1, "E": 2, "B5": 2, "B1": 3, "B2": 3, "B3": 3, "B4": 3,
        "B7": 3, "B8": 3, "BX1": 3, "BX2": 3, "C10": 4, "C2": 5, "C3": 5, "CXX": 5, "D": 6, "G": 7,
        "H": 8,
    }  # fmt: skip
    if code in table:
        return table[code]
    return table[next((p for p in (code[:2], code[:1], code[:3]) if p in table), code)]


def crops(code: str) -> int:
    """Class of a LUCAS code among crops. KeyError where there is none: readers need key lists."""
    groups = (
        ("B11", "B12", "B13", "B14", "B15", "B16", "B17", "B18", "B19"),
        ("B21", "B22", "B23"),
        ("B31", "B32", "B33", "B34", "B35", "B36", "B37"),
        ("B41", "B42", "B43", "B44", "B45"),
        ("B51", "B52", "B53", "B54"),
        ("F10", "F20", "F30", "F40"),
        ("B71", "B72", "B73", "B74", "B75", "B76", "B77", "B81", "B82", "B83", "B84", "C10", "C21",
         "C22", "C23", "C31", "C32", "C33", "D10", "D20"),
        ("B55", "E10", "E20", "E30"),
    )  # fmt: skip
    return {name: number for number, group in enumerate(groups) for name in group}[code]


class Sen4MapDatasetMonthlyComposites:
    """Samples as {"image": (band, month, y, x) float32 in 0..1, "label": int}."""

    def __init__(self, h5py_file_object, **given):
        if unknown := set(given) - set(KEYWORDS):
            raise TypeError(f"unexpected {sorted(unknown)}")
        self.file = h5py_file_object
        keys = given.get("h5data_keys")
        self.keys = list(self.file.keys()) if keys is None else list(keys)
        self.crop = given.get("crop_size")
        self.label_of = {"land-cover": land_cover, "crops": crops}[
            given.get("classification_map", "land-cover")
        ]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        point = self.file[self.keys[index]]
        image = np.stack([*monthly(point)], axis=1)
        low, high = (np.array(v, np.float32)[:, None, None, None] for v in (LOW, HIGH))
        image = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
        if self.crop:
            y, x = (side // 2 - self.crop // 2 for side in image.shape[-2:])
            image = image[:, :, y : y + self.crop, x : x + self.crop]
        label = point.attrs["lc1"]
        assert isinstance(label, str)
        return {"image": image, "label": self.label_of(label)}


def monthly(point):
    """(band, y, x) float32 of each month: the lower median of its dates, clouds taken as 0; of a month
    without dates that of the year."""
    clear = point["SCL"] < CLOUDS  # on the grid of the bands, or this fails
    bands = np.stack([np.where(clear, point[name], 0) for name in FIELDS], axis=1)
    names = point.attrs["Image_ID"].tolist()
    months = [[n for n, name in enumerate(names) if f"2018{m:02d}" in name] for m in range(1, 13)]
    year = [n for month in months for n in month]
    for month in months:
        chosen = np.sort(bands[month or year], axis=0)
        yield chosen[(len(chosen) - 1) // 2].astype(np.float32)
