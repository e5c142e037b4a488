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
from ..recipe import ReferenceSettings

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


def clean_halo(wanted: ReferenceSettings, geobox: GeoBox) -> int:
    """Pixels around a unit that its cleaned labels depend on."""
    if not wanted.clean:
        return 0
    from . import clean

    return clean.halo_px(wanted.clean, pixel_size_m(geobox))


def cleaned(
    labels: NDArray[np.uint8],
    network: NDArray[np.uint8] | None,
    wanted: ReferenceSettings,
    legend: Legend,
    geobox: GeoBox,
) -> NDArray[np.uint8]:
    """Labels after the recipe's cleaning steps and with the network.

    Args:
        labels: (y, x) uint8 with the halo; 255 is nodata.
        network: (y, x) uint8, 255 where there is none; None without networks in the recipe.
        wanted: the stage's settings.
        legend: its finest level is that of `labels`.
        geobox: the unit, without halo.

    Returns:
        (y, x) uint8.
    """
    if wanted.clean:
        from . import clean

        return clean.run(
            labels, wanted.clean, pixel_m=pixel_size_m(geobox), codes=legend.finest.codes,
            protect=wanted.protect, network=network,
        )  # fmt: skip
    if network is not None:
        np.copyto(labels, network, where=network != NODATA)
    return labels
