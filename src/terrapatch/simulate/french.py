# SPDX-License-Identifier: Apache-2.0
"""The French view of the landscape: OCSGE2 and BD TOPO as their producers deliver them, and the truth.

    reference/ocsge2_grandest_{year}.gpkg   layer ocsge2: cod_n4, cod_n5; EPSG:2154
    reference/bdtopo_{year}.gpkg            layers troncon_de_route, troncon_de_voie_ferree; EPSG:2154
    truth/{tile}.tif                        MultiSenGE's class at each pixel centre, 255 outside

Laws:
1. OCSGE2 is a partition: no place has two polygons, but for a centimetre of rounding. `cod_n5` is
   0 where a code has four digits.
2. OCSGE2 has the faults of a genuine map: slivers along borders, scraps below 2.5 ha and specks
   below 50 m² of other classes than their ground, and rings that cross themselves. The truth has
   none of them.
3. In the truth roads are what MultiSenGE makes of them: motorways 30 m and secondary roads and
   railways 10 m to each side of their line; other roads are the ground beside them.

Source: RECIPES §2.1 (steps 9, 13) and §2.2; attributes of BD TOPO 3 as IGN's own tools read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from .. import grid, rasters
from ..crs import GEOGRAPHIC, transformer
from ..vectors.geopackage import write_layers
from .facts import covers, drawn, rows
from .french_faults import lay_faults, place_rng, with_bow_ties
from .landscape import Landscape
from .sentinel2 import scene_geobox

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from ..settings import SimulateSettings

CRS = "EPSG:2154"
"""RGF93 / Lambert-93, in which both are distributed."""

NETWORK, OUTSIDE = 5, 255
BLOCK_M = 210.0
"""Side of a block of a town: 4.4 ha, more than the smallest area that MultiSenGE keeps."""
LINK_PARTS = 6
"""Pieces of a road between two towns: BD TOPO cuts roads at every crossing."""
GRAIN_M = 0.01
"""Coordinates are whole centimetres."""


@dataclass(frozen=True, eq=False)
class FrenchMap:
    """Polygons in the order in which they are laid, later ones over earlier ones."""

    geometry: NDArray[np.object_]
    """(n,) shapely polygons on the landscape's plane."""
    code: NDArray[np.int64]
    """(n,) OCSGE2 code, of four or five digits."""


@dataclass(frozen=True)
class Way:
    """What a road of the landscape is in France."""

    layer: str
    nature: str
    importance: str
    buffer_m: float | None
    """To each side, in MultiSenGE; None where it is no network there."""
    lanes: int
    width_m: float


MOTORWAY = Way("troncon_de_route", "Type autoroutier", "1", 30.0, 4, 14.0)
SECONDARY = Way("troncon_de_route", "Route à 1 chaussée", "2", 10.0, 2, 7.0)
LOCAL = Way("troncon_de_route", "Route à 1 chaussée", "4", None, 2, 5.0)
RAIL = Way("troncon_de_voie_ferree", "Voie ferrée principale", "", 10.0, 2, 9.0)
TRACK = Way("troncon_de_route", "Chemin", "6", None, 1, 3.0)
ROADS = (MOTORWAY, SECONDARY, SECONDARY, LOCAL, LOCAL, MOTORWAY, RAIL, RAIL)
"""By the number of the chain modulo 8: near the landscape's origin all kinds meet."""


def way_of(rank: int) -> Way:
    """What the roads of a chain are; `rank` as in `parcels.Ways`."""
    return ROADS[rank % len(ROADS)]


def write(
    folder: Path, landscape: Landscape, outline: BaseGeometry, tiles: Sequence[str],
    settings: SimulateSettings, *, nulls: int = 0,
) -> None:  # fmt: skip
    """Write all files of the French view.

    Args:
        folder: of the archive.
        landscape: what is mapped.
        outline: polygon in EPSG:4326 that the maps cover.
        tiles: MGRS tiles, each with a raster of the truth.
        settings: the section `simulate`.
        nulls: so many polygons of OCSGE2 have no code, which genuine editions have not.

    Raises:
        StorageError: a file cannot be written.
    """
    area = grid.reprojected(outline, GEOGRAPHIC, landscape.crs)
    ground = french_ground(landscape, area)
    reference = folder / "reference"
    write_ocsge2(
        reference / f"ocsge2_grandest_{settings.year}.gpkg", ground, landscape, area, nulls=nulls
    )
    write_bdtopo(reference / f"bdtopo_{settings.year}.gpkg", landscape, area)
    for tile in tiles:
        geobox = scene_geobox(tile, None if settings.whole_tiles else outline)
        if geobox is not None:
            codes = truth(ground, landscape, area, geobox)
            path = folder / "truth" / f"{tile.removeprefix('T')}.tif"
            rasters.write_geotiff(path, codes, geobox, nodata=OUTSIDE, tile=256)


@cache
def classes() -> Mapping[int, int]:
    """OCSGE2 code → class of MultiSenGE; 0 for the surface of roads."""
    return {int(row["code"]): int(row["class"]) for row in rows("ocsge2")}


def french_ground(landscape: Landscape, area: BaseGeometry) -> FrenchMap:
    """The landscape's features with their codes; towns in blocks, railways told from roads.

    Args:
        landscape: what is mapped.
        area: polygon on its plane; features outside are left out.
    """
    features, names = landscape.features, covers().names
    inside = np.flatnonzero(shapely.intersects(features.geometry, area))
    roads = np.flatnonzero(features.cover == covers().number("road")).tolist()
    rail = {
        f for f, r in zip(roads, landscape.ways.ranks.tolist(), strict=True) if way_of(r) is RAIL
    }
    geometry: list[BaseGeometry] = []
    code: list[int] = []

    def lay(cover: str, shape: BaseGeometry) -> None:
        draw = place_rng(shape, landscape.seed, 31).random()
        geometry.append(shape)
        code.append(int(drawn("ocsge2", cover, draw)["code"]))

    for number in inside.tolist():
        cover, shape = names[features.cover[number]], features.geometry[number]
        if cover == "town":
            for part, block in town_blocks(shape, landscape.seed):
                lay(part, block)
        else:
            lay("rail" if number in rail else cover, shape)
    return FrenchMap(np.array(geometry, object), np.array(code, np.int64))


def town_blocks(town: BaseGeometry, seed: int) -> list[tuple[str, BaseGeometry]]:
    """A town cut into blocks: dense around its middle, sparse outside, some of other use."""
    from shapely import affinity

    rng = place_rng(town, seed, 32)
    left, bottom, right, top = town.bounds
    u, v = (left + right) / 2, (bottom + top) / 2
    radius, turn = max(right - left, top - bottom) / 2, float(rng.uniform(0, 90))
    steps = np.arange(-np.ceil(1.5 * radius / BLOCK_M), np.ceil(1.5 * radius / BLOCK_M)) * BLOCK_M
    found = []
    for x in steps:
        for y in steps:
            cell = shapely.box(u + x, v + y, u + x + BLOCK_M, v + y + BLOCK_M)
            block = affinity.rotate(cell, turn, origin=(u, v)).intersection(town)
            share, far = rng.random(), np.hypot(x + BLOCK_M / 2, y + BLOCK_M / 2) / radius
            part = "town_dense" if far < 0.45 else "town_sparse"
            part = "town_special" if share < 0.14 else "town_green" if share < 0.24 else part
            found += [
                (part, p)
                for p in shapely.get_parts(block)
                if p.geom_type == "Polygon" and p.area > 1
            ]
    return found


def partition(geometry: NDArray[np.object_], area: BaseGeometry) -> NDArray[np.object_]:
    """What is seen of each polygon: its part in the area that no later one covers.

    Args:
        geometry: (n,) polygons, later ones over earlier ones.
        area: polygon.

    Returns:
        (n,) polygons or multipolygons, empty where nothing is seen.
    """
    # Outlines of blobs may cross themselves; on a grid all borders meet in the same points.
    geometry = shapely.set_precision(shapely.make_valid(geometry), GRAIN_M)
    clipped = shapely.intersection(geometry, area, grid_size=GRAIN_M)
    under, over = shapely.STRtree(clipped).query(clipped, predicate="intersects")
    later = over > under
    under, over = under[later], over[later]
    order = np.lexsort((over, under))
    under, over = under[order], over[order]
    starts = np.searchsorted(under, np.arange(len(geometry) + 1))
    for number in np.unique(under).tolist():
        upper = shapely.union_all(
            geometry[over[starts[number] : starts[number + 1]]], grid_size=GRAIN_M
        )
        clipped[number] = shapely.difference(clipped[number], upper, grid_size=GRAIN_M)
    return np.asarray(clipped)


def write_ocsge2(
    path: Path, ground: FrenchMap, landscape: Landscape, area: BaseGeometry, *, nulls: int = 0
) -> None:
    """Write OCSGE2 with its faults, see laws 1 and 2; arguments as in `write`."""
    import geopandas as gpd

    faults, codes = lay_faults(ground.geometry, ground.code, area, landscape.seed)
    geometry = np.concatenate([ground.geometry, faults])
    code = np.concatenate([ground.code, codes])
    seen, number = shapely.get_parts(partition(geometry, area), return_index=True)
    to = transformer(landscape.crs, CRS)
    there = shapely.transform(seen, lambda xy: np.column_stack(to.transform(*xy.T)))
    there, part = shapely.get_parts(shapely.set_precision(there, GRAIN_M), return_index=True)
    number = number[part]
    whole = (shapely.get_type_id(there) == 3) & (shapely.area(there) > 0.1)
    there, number = there[whole], number[whole]
    broken = with_bow_ties(there, landscape.seed)
    code = code[number]
    natural = code < 10_000
    frame = gpd.GeoDataFrame(
        {
            "cod_n4": _integers(np.where(natural, code, code // 10), nulls),
            "cod_n5": _integers(np.where(natural, 0, code), nulls),
        },
        geometry=shapely.multipolygons(broken, indices=np.arange(len(broken))), crs=CRS,
    )  # fmt: skip
    write_layers(path, {"ocsge2": frame})


def _integers(values: NDArray[np.int64], nulls: int) -> Any:
    """Whole numbers, the first `nulls` of them missing."""
    import pandas as pd

    return pd.arrays.IntegerArray(values.astype(np.int32), np.arange(values.size) < nulls)


def write_bdtopo(path: Path, landscape: Landscape, area: BaseGeometry) -> None:
    """Write roads, tracks and railways as lines with heights; arguments as in `write`."""
    import geopandas as gpd

    lines: list[tuple[Way, BaseGeometry]] = []
    for rank, line in zip(landscape.ways.ranks.tolist(), landscape.ways.roads, strict=True):
        points = shapely.get_coordinates(line)
        cuts = np.linspace(0, len(points) - 1, LINK_PARTS + 1).round().astype(int)
        lines += [(way_of(rank), shapely.LineString(points[a : b + 1])) for a, b in pairwise(cuts)]
    lines += [(TRACK, line) for line in landscape.ways.tracks]
    lines = [(way, line) for way, line in lines if line.intersects(area)]
    to = transformer(landscape.crs, CRS)
    layers: dict[str, Any] = {}
    for layer, mark in (("troncon_de_route", "TRONROUT"), ("troncon_de_voie_ferree", "TRONVFER")):
        members = [(way, line) for way, line in lines if way.layer == layer]
        shapes = []
        for _, line in members:
            x, y = shapely.get_coordinates(line).T
            east, north = to.transform(x, y)
            height = landscape.relief.heights(x, y)
            shapes.append(shapely.LineString(np.column_stack([east, north, height]).round(2)))
        ways = [way for way, _ in members]
        columns: dict[str, Any] = {
            "cleabs": [f"{mark}{n + 1:016d}" for n in range(len(members))],
            "nature": [way.nature for way in ways],
            "etat_de_l_objet": ["En service"] * len(members),
            "position_par_rapport_au_sol": ["0"] * len(members),
        }
        if layer == "troncon_de_route":
            columns |= {
                "importance": [way.importance for way in ways],
                "fictif": [False] * len(members),
                "nombre_de_voies": np.array([way.lanes for way in ways], np.int32),
                "largeur_de_chaussee": [way.width_m for way in ways],
                "cpx_classement_administratif": [
                    "Autoroute"
                    if way is MOTORWAY
                    else "Départementale"
                    if way is SECONDARY
                    else None
                    for way in ways
                ],
            }
        layers[layer] = gpd.GeoDataFrame(columns, geometry=np.array(shapes, object), crs=CRS)
    write_layers(path, layers)


def truth(
    ground: FrenchMap, landscape: Landscape, area: BaseGeometry, geobox: GeoBox
) -> NDArray[np.uint8]:
    """MultiSenGE's classes as they are: (y, x) uint8, 255 outside the area."""
    from rasterio.features import geometry_mask, rasterize

    from .landscape import _RASTERIZE

    to = transformer(landscape.crs, str(geobox.crs))

    def moved(geometry: Any) -> Any:
        return shapely.transform(geometry, lambda xy: np.column_stack(to.transform(*xy.T)))

    networks = [
        shapely.buffer(line, way.buffer_m)
        for rank, line in zip(landscape.ways.ranks.tolist(), landscape.ways.roads, strict=True)
        if (way := way_of(rank)).buffer_m is not None and line.intersects(area)
    ]
    values = [classes()[int(code)] for code in ground.code]
    shapes = [(g, v) for g, v in zip(moved(ground.geometry), values, strict=True) if v]
    shapes += [(g, NETWORK) for g in moved(np.array(networks, object))]
    codes = np.zeros(geobox.shape, np.uint8)
    with _RASTERIZE:
        rasterize(shapes, out=codes, transform=geobox.affine)
        codes[geometry_mask([moved(area)], geobox.shape, geobox.affine)] = OUTSIDE
    return codes
