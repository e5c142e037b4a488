# SPDX-License-Identifier: Apache-2.0
"""What readers of FLAIR-HUB promise, for where they are not installed.

`FLAIRHUB` is torchgeo's way (0.10), `read_list` that of the authors' own loader: which files they look
for, what they take names apart by, and what becomes of pixels. Written from a description of both
(RECIPES §5.2); the code is ours.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import ClassVar

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio

KEYS = {
    "AERIAL_RGBI": "image_aerial_rgbi", "SPOT_RGBI": "image_spot_rgbi", "DEM_ELEV": "image_dem_elev",
    "AERIAL-RLT_PAN": "image_aerial_rlt_pan", "SENTINEL2_TS": "image_sentinel2",
    "SENTINEL2_MSK-SC": "mask_sentinel2_snowcloud", "SENTINEL1-ASC_TS": "image_sentinel1_asc",
    "SENTINEL1-DESC_TS": "image_sentinel1_desc",
}  # fmt: skip
BANDS_A_DATE = {
    "SENTINEL2_TS": 10,
    "SENTINEL2_MSK-SC": 2,
    "SENTINEL1-ASC_TS": 2,
    "SENTINEL1-DESC_TS": 2,
}
LABELS = {"land_cover": ("AERIAL_LABEL-COSIA", 1), "crop_type": ("ALL_LABEL-LPIS", 1),
          "crop_type_2": ("ALL_LABEL-LPIS", 2), "crop_type_3": ("ALL_LABEL-LPIS", 3)}  # fmt: skip


def pixels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


class FLAIRHUB:
    """torchgeo's dataset: labels are globbed, other files found by replacing the label's name."""

    domain_years: ClassVar[dict[str, list[str]]] = {}

    def __init__(self, root, split="train", split_column="split_1", bands=None,
                 dataset_type="land_cover"):  # fmt: skip
        root, bands = Path(root), list(KEYS) if bands is None else list(bands)
        assert bands
        assert set(bands) <= set(KEYS)
        self.label, self.level = LABELS[dataset_type]
        self.bands = bands
        for domain, years in self.domain_years.items():
            for year in years:
                for name in (self.label, *bands):
                    folder = (
                        root / f"{domain}-{'195X' if name == 'AERIAL-RLT_PAN' else year}_{name}"
                    )
                    if not any(folder.rglob("*.tif")):
                        raise FileNotFoundError(folder)
        table = gpd.read_file(root / "GLOBAL_ALL_MTD" / "GLOBAL_ALL_MTD_SPLIT.gpkg")
        mine = table[table[split_column] == {"val": "valid"}.get(split, split)]
        wanted = set(mine["patch_id"])
        found = [
            (path.stem.replace(f"{self.label}_", ""), path)
            for path in root.glob(f"D*_{self.label}/*/*.tif")
        ]
        self.files = [(patch, path) for patch, path in found if patch in wanted]

    def __len__(self) -> int:
        return len(self.files)

    def path(self, number: int, name: str) -> Path:
        text = str(self.files[number][1]).replace(self.label, name)
        if name == "AERIAL-RLT_PAN":
            domain = Path(text).stem.split("_")[0]
            text = text.replace(domain, domain.replace(domain[-4:], "195X"))
        return Path(text)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        sample = {"mask": pixels_of(self.files[number][1])[self.level - 1].astype(np.int64)}
        for name in self.bands:
            image = pixels_of(self.path(number, name)).astype(np.float32)
            if name in BANDS_A_DATE:
                image = image.reshape(-1, BANDS_A_DATE[name], *image.shape[-2:])
            sample[KEYS[name]] = image
        return sample


def read_list(
    path: Path, global_mtd_folder: str, inputs: list[str], label: str, classes: int
) -> list[dict]:
    """Samples of a list of files as the authors' loader has them; run in the folder of the list.

    Each has `patch_id`, `label` as one plane a class, and for each of `inputs` its pixels, with `days` of
    series (`{modality}_days`).
    """
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dates = {}
    for name in inputs:
        if name in BANDS_A_DATE and name != "SENTINEL2_MSK-SC":
            source = global_mtd_folder + f"GLOBAL_{name.split('_')[0]}_MTD_DATES.gpkg"
            table = pyogrio.read_dataframe(source, use_arrow=True)
            dates[name] = dict(zip(table["patch_id"], table["acquisition_dates"], strict=True))
    samples = []
    for row in rows:
        stem = Path(row[label]).stem
        parts = stem.split("_")
        patch = f"{parts[0]}_{parts[-2]}_{parts[-1]}"
        if stem.replace(f"_{label}", "") != patch:
            raise ValueError(f"two names of one patch: {stem.replace(f'_{label}', '')} and {patch}")
        codes = pixels_of(Path(row[label]))[0]
        sample = {"patch_id": patch, "label": codes[None] == np.arange(classes)[:, None, None]}
        for name in inputs:
            image = pixels_of(Path(row[name]))
            if name in BANDS_A_DATE:
                image = image.reshape(-1, BANDS_A_DATE[name], *image.shape[-2:])
            if name in dates:
                sample[f"{name}_days"] = list(json.loads(dates[name][patch]).values())
                if len(sample[f"{name}_days"]) != len(image):
                    raise ValueError(f"{patch}: other numbers of dates and of images")
            sample[name] = image
        samples.append(sample)
    return samples


def clear_dates(mask: np.ndarray) -> np.ndarray:
    """(date,) whether at least 95 % of the pixels have snow and cloud of at most 1 %.

    Args:
        mask: (date, 2, y, x) snow and cloud in percent.
    """
    return (mask <= 1).all(axis=1).mean(axis=(1, 2)) >= 0.95
