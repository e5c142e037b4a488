# SPDX-License-Identifier: Apache-2.0
"""Where cleaning steps meet the label raster: their halo, and their run.

Networks are burnt last: over the cleaned labels where steps are given, else over the labels.
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
    steps = getattr(wanted, "clean", ())
    if not steps:
        return 0
    from . import clean  # type: ignore[attr-defined]

    return int(clean.halo_px(steps, pixel_size_m(geobox)))


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
    steps = getattr(wanted, "clean", ())
    if steps:
        from . import clean  # type: ignore[attr-defined]

        result: NDArray[np.uint8] = clean.run(
            labels, steps, pixel_m=pixel_size_m(geobox), codes=legend.finest.codes, network=network
        )
        return result
    if network is not None:
        np.copyto(labels, network, where=network != NODATA)
    return labels
