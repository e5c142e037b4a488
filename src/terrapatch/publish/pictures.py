# SPDX-License-Identifier: Apache-2.0
"""Pictures of patches: arrays in, PNG files in memory out.

Laws:
1. A stretch is chosen once for all patches shown, so that brightness can be compared.
2. Missing pixels are grey, in every picture.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..legend import NODATA, Level

Stretch = NDArray[np.float64]
"""(channel, 2) lowest and highest value shown."""

_MISSING = (214, 218, 224)
_MOST_PX = 256
"""Patches larger than this are thinned out: a report is looked at, not measured."""


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of an (y, x, 3) uint8 image. Source: PNG specification, W3C, 5 and 11."""
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + width * 3), np.uint8)  # each row begins with filter 0: none
    rows[:, 1:] = image.reshape(height, -1)
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@dataclass(frozen=True)
class Picture:
    """A picture as a page holds it."""

    uri: str
    width: int
    height: int


def embedded(image: NDArray[np.uint8]) -> Picture:
    """An (y, x, 3) uint8 image inside of the page, with its size."""
    step = -(-max(image.shape[:2]) // _MOST_PX)
    shown = np.ascontiguousarray(image[::step, ::step])
    uri = "data:image/png;base64," + base64.b64encode(encode_png(shown)).decode("ascii")
    return Picture(uri, shown.shape[1], shown.shape[0])


def stretch(layers: Sequence[NDArray[np.floating]], *, together: bool = False) -> Stretch:
    """The 1st and 99th percentile of each channel: the median of those of all patches shown.

    The median, so that one patch under a cloud leaves the others their colours.

    Args:
        layers: (channel, y, x) arrays, NaN where missing.
        together: one range for all channels, so that their colours keep their balance.
    """
    found = []
    for channel in range(layers[0].shape[0]):
        values = (layer[channel][np.isfinite(layer[channel])] for layer in layers)
        ends = [np.percentile(part, (1, 99)) for part in values if part.size]
        found.append(np.median(ends, axis=0) if ends else (0.0, 1.0))
    limits = np.array(found, np.float64)
    if together:
        limits[:] = limits[:, 0].min(), limits[:, 1].max()
    return limits


def colour(layer: NDArray[np.floating], limits: Stretch, gamma: float = 1.0) -> NDArray[np.uint8]:
    """(1 or 3, y, x) values → (y, x, 3) uint8."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    share = np.clip((layer - low) / np.maximum(high - low, 1e-12), 0, 1) ** gamma
    missing = ~np.isfinite(layer).all(axis=0)
    image = (np.nan_to_num(share) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    image[missing] = _MISSING
    return np.ascontiguousarray(image)


def composites(
    bands: Sequence[str], wanted: Sequence[tuple[str, Sequence[str]]]
) -> list[tuple[str, list[int]]]:
    """Captions and positions of the bands of each picture.

    Args:
        bands: those of the stack.
        wanted: a caption and three bands each; where none of them is there, the first three (or
            the first) bands stand in under their own names.
    """
    found = [
        (f"{caption} ({', '.join(names)})", [list(bands).index(name) for name in names])
        for caption, names in wanted
        if all(name in bands for name in names)
    ]
    first = list(range(3 if len(bands) >= 3 else 1))
    return found or [(", ".join(bands[k] for k in first), first)]


def radar(layer: NDArray[np.floating], *, decibel: bool) -> NDArray[np.float64]:
    """First and second polarisation and their ratio in dB; one polarisation stays alone."""
    values = layer.astype(np.float64)
    if not decibel:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(values > 0, 10 * np.log10(values), np.nan)
    if len(values) < 2:
        return values[:1]
    return np.stack([values[0], values[1], values[0] - values[1]])


def label_picture(codes: NDArray[np.uint8], level: Level) -> NDArray[np.uint8]:
    """(y, x) codes in the colours of the legend → (y, x, 3) uint8."""
    table = np.full((256, 3), _MISSING, np.uint8)
    for entry in level.classes:
        table[entry.code] = entry.rgb
    return table[codes]


def edge_picture(edges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(y, x) edges, 0 or more, in dark on white → (y, x, 3) uint8."""
    known = edges != NODATA
    top = max(1, int(edges[known].max(initial=0)))
    share = np.where(known, edges, 0) / top
    grey = (255 - 225 * share).round().astype(np.uint8)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    image[~known] = _MISSING
    return image


def error_picture(
    truth: NDArray[np.uint8], guess: NDArray[np.uint8], level: Level
) -> NDArray[np.uint8]:
    """Where a prediction is wrong: its colour there, almost white where it is right."""
    image = label_picture(guess, level)
    image[guess == truth] = (247, 248, 250)
    image[truth == NODATA] = _MISSING
    return image
