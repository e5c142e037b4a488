# SPDX-License-Identifier: Apache-2.0
"""The form in which a dataset is published, and the layers that published forms are made of."""

from __future__ import annotations

from typing import Literal

from .base import Section

IMAGES = {"cerradata4mm": ("sentinel2", "sentinel1")}
"""Layouts that hold just these layers of images, all of them."""


class LayoutsSettings(Section):
    """The form in which the dataset is published."""

    version: Literal[1] = 1
    name: Literal["native", "cerradata4mm", "multisenge", "sen4map", "flairhub"] = "native"
    """Layout of `dataset/`."""
    folders: Literal["kaggle", "loader"] = "kaggle"
    """cerradata4mm: folder names of the release (`msi_images`) or of its loaders (`opt_images`)."""
    compression: Literal["none", "lzw", "deflate", "zstd"] = "zstd"
    """Compression of GeoTIFF images (masks: always one that every reader has). zstd takes a quarter
    of deflate's time and half of lzw's, and is the smallest; GDAL reads it from version 2.3 on. HDF5
    (sen4map) has `none`, or deflate whatever else is asked for: more takes a plugin."""

    @property
    def one_a_day(self) -> bool:
        """Whether names hold the day alone, so that of two images of a day one has the file."""
        return self.name == "multisenge"

    @property
    def one_grid(self) -> bool:
        """Whether all layers have the pixels of the sampling."""
        return self.name not in ("native", "flairhub")

    @property
    def images(self) -> tuple[str, ...]:
        """The layers of images that the layout is made of; none where it takes any."""
        return IMAGES.get(self.name, ())
