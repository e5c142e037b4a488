# SPDX-License-Identifier: Apache-2.0
"""The landscape's farmed land as the French register of parcels has it, in the names of two editions.

    rpg/rpg_{year-1}.gpkg   layer PARCELLES_GRAPHIQUES, attributes in capitals (as editions to about 2020)
    rpg/rpg_{year}.gpkg     layer RPG_Parcelles, small letters and cat_cult_p (as the edition of 2024)

Laws:
1. A parcel is what is seen of a feature that is farmed, so parcels never overlap, but for a centimetre of
   rounding; what is no agriculture has none.
2. A parcel's crop follows from its place: of the year of the scenes it is what they show, of the year
   before what grew there in the rotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from ..crs import transformer
from ..vectors.geopackage import write_layers
from .facts import covers, drawn, rows, shared_rows
from .french import CRS, GRAIN_M, partition
from .french_faults import place_rng

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from .landscape import Landscape

SMALLEST_M2 = 100.0
"""What is less is no parcel."""


def crop_of(landscape: Landscape, feature: int) -> dict[str, str] | None:
    """Row of `data/simulate/rpg.csv` of a feature; None where it is not farmed."""
    cover = covers().names[landscape.features.cover[feature]]
    if cover not in shared_rows("rpg"):
        return None
    draw = place_rng(landscape.features.geometry[feature], landscape.seed, 61).random()
    return drawn("rpg", cover, draw)


def write_parcels(folder: Path, landscape: Landscape, area: BaseGeometry, year: int) -> None:
    """Write both editions.

    Args:
        folder: `rpg` of the archive.
        landscape: what is farmed.
        area: polygon on its plane that the register covers.
        year: of the scenes.

    Raises:
        StorageError: a file cannot be written.
    """
    import geopandas as gpd

    features = landscape.features
    inside = np.flatnonzero(shapely.intersects(features.geometry, area))
    seen, number = shapely.get_parts(partition(features.geometry[inside], area), return_index=True)
    to = transformer(landscape.crs, CRS)
    there = shapely.transform(seen, lambda xy: np.column_stack(to.transform(*xy.T)))
    there = shapely.set_precision(there, GRAIN_M)
    there, part = shapely.get_parts(there, return_index=True)
    owner = inside[number[part]]
    crops = [crop_of(landscape, int(feature)) for feature in owner]
    whole = (shapely.get_type_id(there) == 3) & (shapely.area(there) > SMALLEST_M2)
    kept = [n for n, crop in enumerate(crops) if crop is not None and whole[n]]
    found = [crop for crop in (crops[n] for n in kept) if crop is not None]
    groups = {row["code"]: row["group"] for row in rows("rpg")}
    groups |= {"CZH": "5", "ORP": "3"}
    shapes = shapely.multipolygons(there[kept], indices=np.arange(len(kept)))
    hectares = (shapely.area(shapes) / 1e4).round(2)
    for name, layer, key, when in (
        (f"rpg_{year - 1}", "PARCELLES_GRAPHIQUES", "before", str.upper),
        (f"rpg_{year}", "RPG_Parcelles", "code", str.lower),
    ):
        codes = [crop[key] for crop in found]
        columns = {
            "id_parcel": [f"{n + 1}" for n in range(len(codes))],
            "surf_parc": hectares,
            "code_cultu": codes,
            "code_group": [groups[code] for code in codes],
            "culture_d1": [None] * len(codes),
            "culture_d2": [None] * len(codes),
        }
        if key == "code":
            permanent = {"PPH", "SPH", "BOP"}
            columns["cat_cult_p"] = ["PP" if code in permanent else "TA" for code in codes]
        frame = gpd.GeoDataFrame(
            {when(column): values for column, values in columns.items()}, geometry=shapes, crs=CRS
        )
        write_layers(folder / f"{name}.gpkg", {layer: frame})
