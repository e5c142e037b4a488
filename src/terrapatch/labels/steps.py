# SPDX-License-Identifier: Apache-2.0
"""Where cleaning steps meet the label raster: their halo, and their run.

Where no steps are given, networks are burnt over the labels; else where the step `networks` stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..grid import pixel_size_m
from ..legend import NODATA, Legend
from ..lock import unit_geobox
from ..records import Lock
from ..settings import LabelsSettings

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


def pixel_of(lock: Lock, geobox: GeoBox) -> tuple[float, float]:
    """Height and width of a pixel of a unit in metres, the same for all units on a grid in degrees.

    A unit's own latitude would give a mapping unit of 2.5 ha another number of pixels from one row
    of units to the next, and labels that depend on where units are cut.
    """
    latitude = lock.latitude
    if latitude is None:
        extents = [unit_geobox(one).boundingbox for one in lock.units]
        latitude = (min(e.bottom for e in extents) + max(e.top for e in extents)) / 2
    return pixel_size_m(geobox, latitude)


def clean_halo(wanted: LabelsSettings, pixel_m: tuple[float, float]) -> int:
    """Pixels around a unit that its cleaned labels depend on."""
    if not wanted.clean:
        return 0
    from . import clean

    return clean.halo_px(wanted.clean, pixel_m)


def bounded(wanted: LabelsSettings) -> bool:
    """Whether a pixel's label depends on no more than `clean_halo` pixels around it."""
    if not wanted.clean:
        return True
    from . import clean

    return clean.bounded(wanted.clean)


def cleaned(
    labels: NDArray[np.uint8],
    network: NDArray[np.uint8] | None,
    wanted: LabelsSettings,
    legend: Legend,
    pixel_m: tuple[float, float],
) -> NDArray[np.uint8]:
    """Labels after the recipe's cleaning steps and with the network.

    Args:
        labels: (y, x) uint8 with the halo; 255 is nodata.
        network: (y, x) uint8, 255 where there is none; None without networks in the recipe.
        wanted: the stage's settings.
        legend: its finest level is that of `labels`.
        pixel_m: height and width of a pixel, see `pixel_of`.

    Returns:
        (y, x) uint8.
    """
    if wanted.clean:
        from . import clean

        return clean.run(
            labels, wanted.clean, pixel_m=pixel_m, codes=legend.finest.codes,
            protect=wanted.protect, network=network,
        )  # fmt: skip
    if network is not None:
        np.copyto(labels, network, where=network != NODATA)
    return labels
