# SPDX-License-Identifier: Apache-2.0
"""Vector files of every format, and units that read them."""

import zipfile

import geopandas as gpd
import numpy as np
import shapely

from made.patches import settings_folder
from terrapatch.catalog.files import Files
from terrapatch.catalog.references import find_vectors
from terrapatch.crs import GEOGRAPHIC
from terrapatch.grid import geobox_to_dict, reprojected
from terrapatch.labels.stack import Maker
from terrapatch.lock import write_lock
from terrapatch.recipe import read_settings
from terrapatch.records import Lock, LockedUnit

DRIVERS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}


def write_vectors(path, table, **options):
    """A table in the format that the path's suffix says; .zip and .7z hold a shapefile and a
    GeoPackage."""
    suffix = path.suffix
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".parquet":
        table.to_parquet(path, **options)
    elif suffix == ".zip":
        inner = write_vectors(path.with_suffix("") / f"{path.stem}.shp", table)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(inner.parent.iterdir()):
                archive.write(part, f"deep/er/{part.name}")
    elif suffix == ".7z":
        import py7zr

        inner = write_vectors(path.with_suffix("") / f"{path.stem}.gpkg", table)
        with py7zr.SevenZipFile(path, "w") as archive:
            archive.write(inner, f"1_DONNEES/{inner.name}")
    else:
        table.to_file(path, driver=DRIVERS[suffix], engine="pyogrio", **options)
    return path


def table_of(geometries, crs, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs)


class Unit:
    """A unit without scenes, whose labels come from vectors (and maps)."""

    def __init__(self, folder, geobox, *, items=(), **wanted):
        self.folder, self.geobox, self.items = folder, geobox, list(items)
        self.settings = settings_folder(folder / "settings", label=wanted)
        self.wanted = read_settings(self.settings / "stack" / "label.json").label

    def find(self):
        """What the plan finds."""
        outline = reprojected(self.geobox.extent.geom, str(self.geobox.crs), GEOGRAPHIC)
        return find_vectors(
            self.wanted, outline, GEOGRAPHIC, Files(False), archive=None,
            unpack_to=self.folder / "unpacked",
        )  # fmt: skip

    def lock(self, geobox=None, found=None):
        found = found or self.find()
        part = self.geobox if geobox is None else geobox
        unit = LockedUnit(
            id="u1", geobox=geobox_to_dict(part), first_row=0, first_col=0,
            items={"reference": tuple(i.id for i in self.items)} if self.items else {},
            vectors=found.around(part),
        )  # fmt: skip
        lock = Lock(
            name="small", source="local", units=(unit,), items=tuple(self.items),
            vectors=found.vectors,
        )  # fmt: skip
        write_lock(lock, self.folder / "lock.json")
        return self.folder / "lock.json"

    def build(self, geobox=None, found=None):
        """(band, y, x) uint8, and the record of the stage."""
        maker = Maker(self.lock(geobox, found), "u1", self.wanted)
        return maker.whole().layers, maker.record() or None


def stars(rng, count, box, size, holes=True):
    """Random simple polygons, some with holes."""
    made = []
    while len(made) < count:
        corners = int(rng.integers(3, 20))
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(0.3, 1, corners) * rng.uniform(*size)
        x, y = rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])
        star = shapely.Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)])
        if not star.is_valid or star.area == 0:
            continue
        if holes and len(made) % 3 == 0:
            star = star.difference(star.centroid.buffer(size[0] / 3))
        if star.geom_type == "Polygon":
            made.append(star)
    return made
