# SPDX-License-Identifier: Apache-2.0
"""The reference stage on a full tile from polygons and roads, beside GDAL's commands.

`bench_labels.py` calls this: `write` puts its landscape into a GeoPackage with the lock and settings
of a unit, `stage` runs the stage on it, `gdal` the nearest that GDAL's commands do.
"""

import json
import subprocess
from pathlib import Path

LEFT, TOP = 300_000, 4_900_020
"""Corner of tile T31TCJ in EPSG:32631."""
CRS = "EPSG:32631"


def write(folder: Path, shapes: list, codes: list[int], roads: list, side: int) -> None:
    """GeoPackage, crosswalk, rules, lock and settings of one unit."""
    import geopandas as gpd
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from shapely import affinity, box

    from terrapatch.catalog.files import Files
    from terrapatch.catalog.references import find_vectors
    from terrapatch.grid import Unit, geobox_to_dict
    from terrapatch.lock import write_lock
    from terrapatch.places import patch_windows
    from terrapatch.records import Lock, LockedUnit
    from terrapatch.sampling import footprints
    from terrapatch.settings import LabelsSettings
    from terrapatch.tables import write_geoparquet

    def placed(lines: list) -> list:
        return [affinity.affine_transform(line, [10, 0, 0, -10, LEFT, TOP]) for line in lines]

    frame = gpd.GeoDataFrame(
        {"code": [str(code) for code in codes], "place": range(len(codes))},
        geometry=placed(shapes), crs=CRS,
    )  # fmt: skip
    frame.to_file(folder / "tile.gpkg", layer="parcels", driver="GPKG")
    ways = gpd.GeoDataFrame(
        {"importance": "2"}, geometry=placed(list(roads)), crs=CRS, index=range(len(roads))
    )
    ways.to_file(folder / "tile.gpkg", layer="roads", driver="GPKG")
    names = "".join(f"{code},Class {code},{code}\n" for code in range(1, 15))
    (folder / "codes.csv").write_text(f"source_code,source_name,code\n{names}")
    rows = "".join(
        f"l1,{code},C{code},Class {code},,#{code * 15:02x}8080\n" for code in range(1, 15)
    )
    (folder / "legend.csv").write_text(f"level,code,abbrev,name,parent,color\n{rows}")
    (folder / "rules.csv").write_text(
        "field,value,action,kind,buffer_m\nimportance,2,select,road,15\n"
    )
    plain = {
        "legend": str(folder / "legend.csv"), "crosswalk": str(folder / "codes.csv"), "edges": "none",
        "vectors": [{"path": str(folder / "tile.gpkg"), "layer": "parcels", "fields": ["code"],
                     "order_field": "place"}],
        "networks": [{"path": str(folder / "tile.gpkg"), "product": "custom", "layer": "roads",
                      "rules": str(folder / "rules.csv"), "code": 5}],
        "clean": [{"step": "mmu", "area_m2": 25000}, {"step": "fill"},
                  {"step": "closing", "size_m": [40, 50]}, {"step": "networks"}],
        "protect": [5],
    }  # fmt: skip
    wanted = LabelsSettings(**plain)
    geobox = GeoBox((side, side), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    area = box(LEFT, TOP - 10 * side, LEFT + 10 * side, TOP)
    found = find_vectors(wanted, area, CRS, Files(False), archive=None, unpack_to=folder)
    unit = LockedUnit(
        id="T31TCJ", geobox=geobox_to_dict(geobox), first_row=0, first_col=0, items={},
        vectors=found.around(geobox),
    )  # fmt: skip
    placed_unit = Unit("T31TCJ", geobox, 0, 0)
    windows = patch_windows(placed_unit, size_px=256, stride_px=256)
    write_geoparquet(footprints(placed_unit, windows, "tiles"), folder / "footprints.parquet")
    write_lock(
        Lock(name="bench", source="local", units=(unit,), items=(), vectors=found.vectors),
        folder / "lock.json",
    )
    layers = {"label": wanted.model_dump(mode="json")}
    stage_settings = {"name": "bench", "mode": "corrected", "layers": layers}
    (folder / "settings.json").write_text(json.dumps(stage_settings))


def stage(folder: Path) -> None:
    """The stage as the workflow calls it."""
    from terrapatch.labels import labels

    labels(
        folder / "lock.json", "T31TCJ", folder / "footprints.parquet", folder / "settings.json",
        folder / "stage.zarr",
    )  # fmt: skip


def gdal(folder: Path) -> None:
    """Burn, sieve, burn the buffered roads."""
    side = 10 * json.loads((folder / "lock.json").read_text())["units"][0]["geobox"]["shape"][0]
    extent = [LEFT, TOP - side, LEFT + side, TOP]
    source, burnt, sieved = (str(folder / name) for name in ("tile.gpkg", "burnt.tif", "gdal.tif"))
    grid = ["-te", *map(str, extent), "-tr", "10", "10", "-ot", "Byte", "-a_nodata", "255"]
    order = "SELECT CAST(code AS INTEGER) AS code, geom FROM parcels ORDER BY place"
    roads = "SELECT ST_Buffer(geom, 15) AS geom FROM roads"
    for path in (burnt, sieved):
        Path(path).unlink(missing_ok=True)
    for command in (
        ["gdal_rasterize", "-q", "-a", "code", "-sql", order, *grid, "-co", "COMPRESS=DEFLATE", source, burnt],
        ["gdal_sieve.py", "-q", "-8", "-st", "250", burnt, sieved],
        ["gdal_rasterize", "-q", "-burn", "5", "-dialect", "sqlite", "-sql", roads, source, sieved],
    ):  # fmt: skip
        subprocess.run(command, check=True)
