# SPDX-License-Identifier: Apache-2.0
"""Plain rasters: what was done to their files, in sentences."""

from __future__ import annotations

from ...settings import RasterSettings
from ..methods.words import About, ProcessStep, coarser, codes, count, file_name, scenes_of
from .plain import Portrait, plain_credit


def sentence(about: About) -> ProcessStep:
    """From files to the stack."""
    settings: RasterSettings = about.settings
    files = scenes_of(about.lock, about.name, settings.kind)
    texts = [f"{count(len(files), 'file')}, sampled onto the grid of the patches."]
    if settings.index is not None:
        texts.append(f"Files are those of the tile index {file_name(settings.index)}.")
    if settings.date is not None:
        texts.append(f"Date of the images, as the recipe states it: {settings.date}.")
    if settings.numbers:
        chosen = ", ".join(map(str, settings.numbers))
        texts.append(f"Bands {chosen} of the files are taken as {codes(settings.bands)}.")
    texts.append(
        f"Each band is sampled once, kernel {settings.kernel}; "
        f"{coarser(settings.kernel, settings.coarser)}."
    )
    whole = "rounded to" if settings.dtype != "float32" else "stored as"
    texts.append(f"Values are {whole} {settings.dtype}; `source` tells what is missing.")
    if settings.nodata is not None:
        texts.append(f"Where files do not declare it, {settings.nodata:g} is missing.")
    if len(files) > 1:
        order = (
            "as listed in the recipe" if not isinstance(settings.path, str) else "of their names"
        )
        order = "of their names" if settings.index is not None else order
        texts.append(
            f"Where files overlap, a pixel comes from the first one, in the order {order}, that has a "
            "value in all bands."
        )
    return ProcessStep(about.name, tuple(texts))


PORTRAIT = Portrait("raster", sentence, plain_credit)
