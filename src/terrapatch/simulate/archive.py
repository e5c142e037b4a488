# SPDX-License-Identifier: Apache-2.0
"""The embedded archive as a whole: settings in, a folder of products and their catalogue out."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .. import grid, recipe
from ..crs import GEOGRAPHIC
from ..errors import InputError
from ..files import atomic, files_below, recorded, write_record
from ..progress import bar, track
from ..vectors import read_area
from . import french, grd, references, regions, register, sentinel1, sentinel2, stac, survey, theia
from .landscape import Landscape, make_landscape, plane_of
from .safe_metadata import Product
from .schedule import passes1, passes2, processings

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from ..settings import SimulateSettings

ZONE_OVERLAP_M = 2_000.0
"""How far crops of Sentinel-2 tiles reach into the next UTM zone."""


def simulate(
    settings: str | os.PathLike[str], output: str | os.PathLike[str], *, threads: int = 1
) -> None:
    """Write the embedded archive: Sentinel-2, Sentinel-1, reference map, STAC catalogue.

    Args:
        settings: settings file of the stage (sections area, simulate).
        output: folder to write; it appears when all is whole, an old archive is replaced.
        threads: images encoded at a time; the bytes do not depend on it.

    Raises:
        InputError: no Sentinel-2 tile meets the area, it crosses the antimeridian, or no orbit
            sees it (raw Sentinel-1, near a pole).
        RecipeError: the settings file is missing or wrong.
        StorageError: the disk is full or the folder cannot be written.
    """
    given = recipe.read_settings(settings)
    geometry, crs = read_area(given.area)
    area = grid.reprojected(geometry, crs, GEOGRAPHIC)
    tiles = grid.mgrs_tiles(area)
    if not tiles:
        raise InputError(f"{settings}: no Sentinel-2 tile meets the area {area.bounds}")
    outline = _outline(area, tiles, given.simulate)
    if outline.bounds[2] - outline.bounds[0] > 180:
        raise InputError(
            f"{settings}: the area or its margin crosses the antimeridian, which the embedded "
            "archive cannot; choose an area east or west of it, or a smaller simulate.margin_m"
        )
    landscape = make_landscape(area, outline, given.simulate.seed, given.simulate.impulses)
    wanted = given.simulate
    kinds = (True, wanted.s1_format != "grd", wanted.s1_format != "rtc", True)
    made = atomic(output, ours=recorded)
    with made as folder, bar("archive", sum(kinds), "kind") as advance:
        items = _sentinel2(folder, landscape, area, outline, tiles, wanted, threads)
        advance(1)
        if wanted.s1_format != "grd":
            items += _sentinel1(folder, landscape, area, outline, tiles, wanted)
            advance(1)
        if wanted.s1_format != "rtc":
            items += _raw_sentinel1(folder, landscape, area, outline, wanted, threads)
            advance(1)
        references.write_heights(folder / "dem" / "heights.tif", landscape)
        items.append(_reference(folder, landscape, outline, wanted))
        if wanted.references == "french":
            french.write(folder, landscape, outline, tiles, wanted)
        if wanted.view == "europe":
            survey.write_survey(folder / "reference" / "lucas_2018.csv", landscape, outline)
            _europe(folder, landscape, area, outline, wanted)
        stac.write_catalogue(folder, items)
        write_record(folder, (("-", name) for name in files_below(folder)))


def _europe(
    folder: Path, landscape: Landscape, area: BaseGeometry, outline: BaseGeometry,
    wanted: SimulateSettings,
) -> None:  # fmt: skip
    """What the European view has besides its survey: parcels, and regions with finer images."""
    wide = grid.reprojected(outline, GEOGRAPHIC, landscape.crs)
    register.write_parcels(folder / "rpg", landscape, wide, wanted.year)
    inner = grid.reprojected(area, GEOGRAPHIC, landscape.crs)
    regions.write_regions(folder, landscape, inner, wanted.year)


def _outline(area: BaseGeometry, tiles: list[str], settings: SimulateSettings) -> BaseGeometry:
    """What the archive shows, in EPSG:4326: the area and its margin, or whole tiles."""
    import shapely

    if settings.whole_tiles:
        return shapely.union_all([grid.tile_footprint(tile) for tile in tiles])
    plane = plane_of(area)
    there = grid.reprojected(area, GEOGRAPHIC, plane)
    # Mitred: the margin of a box is a box again.
    wider = there.buffer(settings.margin_m, join_style="mitre") if settings.margin_m else there
    return grid.reprojected(wider, plane, GEOGRAPHIC)


def _sentinel2(
    folder: Path, landscape: Landscape, area: BaseGeometry, outline: BaseGeometry,
    tiles: list[str], settings: SimulateSettings, threads: int,
) -> list[stac.Item]:  # fmt: skip
    items = []
    lon, lat = area.centroid.x, area.centroid.y
    for number, tile in enumerate(track(tiles, "Sentinel-2", len(tiles), "tile")):
        part = _part(tile, outline, settings)
        geobox = sentinel2.scene_geobox(tile, part)
        if geobox is None:
            continue
        scenes = passes2(settings.seed, settings.year, settings.passes, lon)
        for scene in track(scenes, tile, len(scenes), "date"):
            datatake = sentinel2.make_datatake(landscape, scene, lon, lat)
            footprint = sentinel2.footprint(datatake, geobox)
            if footprint is None:
                continue
            pixels = sentinel2.render(datatake, geobox, threads)
            first, *_ = processings(scene)
            if settings.s2_format != "safe":
                theia.write_product(
                    folder / "sentinel2_theia", Product(tile, scene, first, geobox), pixels, threads
                )
            if settings.s2_format == "theia":
                continue
            # One tile has a reprocessed duplicate; the others show that this is no rule.
            for processing in processings(scene)[: 2 if number == 0 else 1]:
                product = Product(tile, scene, processing, geobox)
                content = sentinel2.write_product(
                    folder / "sentinel2", product, pixels, footprint, threads
                )
                items.append(stac.sentinel2_item(product, content))
    return items


def _part(
    tile: str, outline: BaseGeometry, settings: SimulateSettings
) -> BaseGeometry | None:  # fmt: skip
    """What a tile's scenes show; None for all of it."""
    if settings.whole_tiles:
        return None
    # Datasets on tiles want them to overlap, as they do, and one mosaic both to be needed.
    overlapping = settings.references == "french" or settings.view == "europe"
    return outline if overlapping else _zone_part(tile, outline)


def _zone_part(tile: str, outline: BaseGeometry) -> BaseGeometry:
    """The part of the outline in the tile's own UTM zone, and a little of the next.

    Tiles of two zones overlap widely. Cropped like this they must both be used.
    """
    import shapely

    zone = grid.mgrs_tile_geobox(tile).crs.to_epsg() % 100
    _, south, _, north = outline.bounds
    over = ZONE_OVERLAP_M / (111_320 * math.cos(math.radians((south + north) / 2)))
    first = zone * 6 - 186
    return outline.intersection(shapely.box(first - over, south, first + 6 + over, north))


def _sentinel1(
    folder: Path, landscape: Landscape, area: BaseGeometry, outline: BaseGeometry,
    tiles: list[str], settings: SimulateSettings,
) -> list[stac.Item]:  # fmt: skip
    zones = sorted({str(grid.mgrs_tile_geobox(tile).crs) for tile in tiles})
    # Frames of the two directions have their centres in different places, so where the area lies
    # on a zone's border they come in different zones.
    zone = {"descending": zones[0], "ascending": zones[-1]}
    lon, lat = area.centroid.x, area.centroid.y
    items = []
    passes = passes1(settings.seed, settings.year, settings.s1_passes, lon)
    for item in track(passes, "Sentinel-1", len(passes), "pass"):
        crs = zone[item.direction]
        scene = sentinel1.GeocodedPass(item, sentinel1.scene_geobox(outline, crs))
        seen = sentinel1.write_scene(folder / "sentinel1", landscape, scene, lat > 0)
        if seen is not None:
            items.append(stac.sentinel1_item(scene, seen))
    return items


def _raw_sentinel1(
    folder: Path, landscape: Landscape, area: BaseGeometry, outline: BaseGeometry,
    settings: SimulateSettings, threads: int,
) -> list[stac.Item]:  # fmt: skip
    items = []
    lon, lat = area.centroid.x, area.centroid.y
    passes = passes1(settings.seed, settings.year, settings.s1_passes, lon)
    for item in track(passes, "Sentinel-1 GRD", len(passes), "pass"):
        passage = grd.passage_over(landscape, item, outline, settings.whole_tiles)
        found = grd.write_products(
            folder / "sentinel1_grd", landscape, passage, lat > 0, threads=threads
        )
        items += [stac.grd_item(product) for product in found]
    return items


def _reference(
    folder: Path, landscape: Landscape, outline: BaseGeometry, settings: SimulateSettings
) -> stac.Item:
    path = folder / "reference" / f"terraclass_{settings.year}.tif"
    geobox = references.write_map(path, landscape, outline)
    return stac.reference_item(settings.year, geobox, outline)
