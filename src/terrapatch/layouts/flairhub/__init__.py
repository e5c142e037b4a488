# SPDX-License-Identifier: Apache-2.0
"""The layout of FLAIR-HUB: one GeoTIFF a patch and modality, series with all dates as bands.

    {DOMAIN}_{SENSOR}_{DATATYPE}/{ROI}/{DOMAIN}_{SENSOR}_{DATATYPE}_{ROI}_{row}-{col}.tif
    GLOBAL_ALL_MTD/GLOBAL_*.gpkg        places, modalities, splits, dates, statistics, a row a patch
    csv/{split column}_{split}.csv      files of each split

Laws:
1. A layer is a modality by its name (`modalities.MODALITIES`); each may be left out, but for one of labels.
2. The n-th entry of a patch's dates is the n-th date of its file; the mask has the dates of its series.
3. No label is missing: what has none gets the last class, undefined or background, and is counted;
   readers would take any other number for the first class.
4. Memory does not grow with the number of patches but for the tables that every layout holds.

Source: RECIPES §4.2, §4.5 and §5.2.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...layers import LayoutRecord
from ...progress import track
from ...samples import batches
from ..fit import built, refuse
from ..pace import in_order
from ..sources import Sources, layer_record, split_sizes, write_tables
from .files import Writer
from .metadata import FOLDER, LISTS, MetadataTables, domains_of
from .modalities import MODALITIES, unfit
from .series import dates_of

__all__ = ["unfit", "write"]


def write(sources: Sources, folder: Path, threads: int) -> LayoutRecord:
    """Write all files of the layout; returns what is there.

    Raises:
        RecipeError: layers, names of regions, pixels or dates do not fit the layout.
        IncompleteError: there is no table of dates, or the mask lacks dates of its series.
        StorageError: the table of dates is one of other patches.
    """
    table = sources.table
    refuse(sources.settings.name, "flairhub", unfit(built(sources)))
    infos = {name: sources.common(name) for name in (*sources.images, *sources.legends)}
    writer = Writer(folder, sources, dates_of(sources))
    tables = MetadataTables(sources, writer)
    for name in (FOLDER, LISTS):
        (folder / name).mkdir()
    for paths in writer.paths.values():
        for path in dict.fromkeys(path.rpartition("/")[0] for path in paths):
            (folder / path).mkdir(parents=True)
    tables.write(folder / FOLDER)
    tables.write_lists(folder / LISTS)
    pace = list(batches(table, sources.stacks, next(iter(infos))))
    total, filled = 0, Counter[str]()
    with (
        tables.from_pixels(folder / FOLDER) as take,
        ThreadPoolExecutor(max(1, threads)) as pool,
    ):
        done = in_order(pool, writer.write, pace, threads + 1)
        for written in track(done, "layout", len(pace), "shard"):
            take(written)
            total += written.bytes
            filled.update(written.filled)
    write_tables(folder, sources, tables.ids)
    return LayoutRecord(
        layout="flairhub", patches=len(table), splits=split_sizes(sources), bytes=total,
        layers={name: layer_record(info) for name, info in infos.items()},
        files={MODALITIES[name].name: len(table) for name in infos},
        nodata={MODALITIES[name].name: MODALITIES[name].nodata for name in infos},
        domains=domains_of([str(unit) for unit in table["unit"]]), filled=dict(filled),
    )  # fmt: skip
