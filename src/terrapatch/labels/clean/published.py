# SPDX-License-Identifier: Apache-2.0
"""Hole filling as published: rows of the raster taken for samples. For comparison only.

A hole takes the code that the most similar row has in its column, however far away that row is.
With more neighbours than one, the codes of several rows are averaged: the mean of two classes is a
third one. Both depend on the whole raster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import RecipeError
from ...legend import NODATA

MAX_CELLS = 4096 * 4096
"""Largest raster that is accepted: there it takes 2 GB and a minute and a half."""


def fill_knn_rows(labels: NDArray[np.uint8], *, hole: int, neighbours: int) -> NDArray[np.uint8]:
    """Fill holes by scikit-learn's KNN imputer, rows as samples and columns as features.

    Args:
        labels: (y, x) uint8 codes; 255 is nodata, and takes part as the number 255.
        hole: value of holes.
        neighbours: rows whose codes are averaged, weighted by 1 / distance; published: 1.

    Returns:
        (y, x) uint8, a new array. Means are cut to whole numbers, as by the published maps'
        integer rasters; they may be no code of the legend at all.

    Raises:
        RecipeError: the raster is too large.

    Source: RECIPES §2.1 step 11.
    """
    if labels.size > MAX_CELLS:
        rows, columns = labels.shape
        minutes, gigabytes = 1.6 * rows**2 * columns / 4096**3, 2 * labels.size / MAX_CELLS
        raise RecipeError(
            f"clean: fill by knn_rows on {rows} x {columns} pixels would take about "
            f"{minutes:.0f} minutes and {gigabytes:.0f} GB; it is for comparison on at most "
            f"{MAX_CELLS} pixels. Use method: nearest, or smaller units (sampling.unit_patches)"
        )
    from sklearn.impute import KNNImputer

    values = labels.astype(float)
    values[labels == hole] = np.nan
    imputer = KNNImputer(n_neighbors=neighbours, weights="distance", keep_empty_features=True)
    result: NDArray[np.uint8] = imputer.fit_transform(values).astype(np.uint8)
    # Columns that are nothing but holes have no code to take.
    result[:, (labels == hole).all(axis=0)] = NODATA
    result[labels == NODATA] = NODATA
    return result
