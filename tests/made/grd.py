"""Small raw Sentinel-1 products over a simulated landscape, and their truth."""

import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from made.recipes import resolve
from made.scenes import Unit, all_corners, centres
from terrapatch.catalog import plan
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.recipe import write_settings
from terrapatch.simulate import grd
from terrapatch.simulate.landscape import make_landscape
from terrapatch.simulate.passage import earth_fixed
from terrapatch.simulate.schedule import Pass1

LON, LAT = -47.5, -12.5
UTM = "EPSG:32723"
TARGETS = [(LON - 0.015, LAT - 0.01), (LON + 0.012, LAT + 0.013), (LON + 0.001, LAT - 0.015)]
"""Corner reflectors: longitude, latitude."""


@dataclass
class Simulated:
    """One pass in both directions, two slices each."""

    folder: Path
    landscape: object
    passages: dict
    products: dict
    """SAFE folders by direction, in order of time."""
    dem: Path
    geobox: GeoBox

    def items(self, direction, count=2, bands=("VV", "VH")):
        paths = self.products[direction][:count]
        return [locked_item(read_product(path), bands, Files(False)) for path in paths]

    def unit(self, folder, size_px=96, geobox=None):
        box = geobox or self.geobox
        return Unit(folder, box, all_corners(box.shape, size_px), size_px)

    def settings(self, **changes):
        """Settings of the stage; heights of the landscape count from the ellipsoid."""
        plain = {"level": "GRD", "radiometry": "sigma0", "dem": (str(self.dem),)}
        return plain | {"dem_vertical": "ellipsoid"} | changes

    def places(self, geobox=None):
        """Longitude, latitude and (bilinear) height of all pixel centres, in float64."""
        x, y = centres(geobox or self.geobox)
        crs = str(self.geobox.crs)
        lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
        relief = self.landscape.relief
        there = pyproj.Transformer.from_crs(crs, self.landscape.crs, always_xy=True)
        px, py = there.transform(x, y)
        r, c = (py - relief.y0) / relief.step, (px - relief.x0) / relief.step
        i, k = np.floor(r).astype(int), np.floor(c).astype(int)
        z = relief.z.astype(float)
        low = z[i, k] * (1 - c + k) + z[i, k + 1] * (c - k)
        high = z[i + 1, k] * (1 - c + k) + z[i + 1, k + 1] * (c - k)
        return lon, lat, low * (1 - r + i) + high * (r - i)

    def image_places(self, direction, geobox=None):
        """Line (from the first slice's first) and sample of all pixels by the simulator's orbit."""
        passage = self.passages[direction]
        lon, lat, height = self.places(geobox)
        place = earth_fixed(lon.ravel(), lat.ravel(), height.ravel())
        line, sample = passage.image_place(place)
        return (
            (line - passage.slices[0].first).reshape(lon.shape),
            sample.reshape(lon.shape),
        )

    def measurement(self, direction, number=0, band="vv"):
        """Digital numbers of a slice."""
        (path,) = (self.products[direction][number] / "measurement").glob(f"*-{band}-*.tiff")
        with rasterio.open(path) as dataset:
            return dataset.read(1)


def simulate(folder, lon=LON, lat=LAT, crs=UTM, targets=TARGETS):
    """Write the products; 4 × 4 km around a place, 8 small images."""
    area = shapely.box(lon - 0.02, lat - 0.02, lon + 0.02, lat + 0.02)
    land = make_landscape(area, area.buffer(0.02), 4, impulses=tuple(targets))
    passages, products = {}, {}
    for direction, hour, orbit in (("descending", 8, 43999), ("ascending", 21, 44007)):
        start = datetime(2022, 6, 18, hour, 59, 3)
        item = Pass1(0, start, direction, orbit, (orbit - 73) % 175 + 1, 0.0, None)
        passage = grd.passage_over(land, item, area.buffer(0.01), False)
        written = grd.write_products(folder / "grd", land, passage, False)
        passages[direction] = passage
        products[direction] = [folder / "grd" / w.name for w in written]
    relief = land.relief
    step, rows = relief.step, relief.z.shape[0]
    top = relief.y0 + (rows - 0.5) * step
    with rasterio.open(
        folder / "dem.tif", "w", driver="GTiff", count=1, dtype="float32", crs=land.crs,
        height=rows, width=relief.z.shape[1],
        transform=Affine(step, 0, relief.x0 - step / 2, 0, -step, top),
    ) as dataset:  # fmt: skip
        dataset.write(relief.z[::-1], 1)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    left, upper = round(x / 10) * 10 - 1920, round(y / 10) * 10 + 1920
    geobox = GeoBox((384, 384), Affine(10, 0, left, 0, -10, upper), crs)
    return Simulated(folder, land, passages, products, folder / "dem.tif", geobox)


def copy_of(product, folder):
    """A copy of a product that a test may spoil."""
    return Path(shutil.copytree(product, folder / product.name))


def redated(product, folder, day, platform="A"):
    """The same product as of another day (and satellite): all names and times are changed.

    Args:
        product: SAFE folder of a simulated product.
        folder: where the new one goes.
        day: `2022-07-01`.
        platform: letter of the satellite.
    """
    old = product.name[17:25]  # S1A_IW_GRDH_1SDV_YYYYMMDD…
    written = f"{old[:4]}-{old[4:6]}-{old[6:]}"
    take = int(day.replace("-", "")) * 10 + ord(platform)

    def renamed(name):
        name = name.replace(old, day.replace("-", ""))
        return name.replace("S1A_", f"S1{platform}_").replace("s1a-", f"s1{platform.lower()}-")

    target = Path(folder) / renamed(product.name)
    for path in sorted(p for p in product.rglob("*") if p.is_file()):
        new = target / renamed(path.relative_to(product).as_posix())
        new.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tiff":
            shutil.copyfile(path, new)
            continue
        text = renamed(path.read_text()).replace(written, day)
        text = re.sub(r"(missionDataTakeI[dD]>)\d+", rf"\g<1>{take}", text)
        text = text.replace("<missionId>S1A<", f"<missionId>S1{platform}<")
        new.write_text(re.sub(r"(number>)A(</)", rf"\g<1>{platform}\g<2>", text))
    return target


def recipe_of(simulated, folder, archive, **radar):
    """Plain recipe of a radar dataset over the landscape's middle; its map is written, too.

    Args:
        simulated: what `simulate` gave.
        folder: for the reference map.
        archive: folder of the products.
        radar: changes of the section `sentinel1`.
    """
    height, width = simulated.geobox.shape
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", count=1, dtype="uint8", height=height,
        width=width, crs=simulated.geobox.crs, transform=simulated.geobox.affine, nodata=255,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((height, width), "uint8"), 1)
    return {
        "name": "raw",
        "images": ["sentinel1"],
        "area": {"bbox": [LON - 0.012, LAT - 0.012, LON + 0.012, LAT + 0.012]},
        "catalog": {"paths": [str(archive)], "period": ["2022-06-01", "2022-06-30"],
                    "hash_files": False},
        "sampling": {"crs": UTM, "resolution": 10, "size_px": 64},
        "sentinel1": simulated.settings(**radar),
        "label": {"path": str(folder / "map.tif")},
    }  # fmt: skip


def plan_of(recipe, folder):
    """Plan a plain recipe; the lock is written to `lock.json`."""
    write_settings(resolve(recipe), folder / "settings")
    return plan(folder / "settings" / "plan.json", folder / "lock.json")
