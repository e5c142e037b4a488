# SPDX-License-Identifier: Apache-2.0
"""The embedded archive: one landscape, seen alike by all products, in forms that others open."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import Resampling, reproject

from made.recipes import resolve
from terrapatch import grid
from terrapatch.crs import GEOGRAPHIC
from terrapatch.errors import InputError
from terrapatch.legend import load_crosswalk
from terrapatch.recipe import write_settings
from terrapatch.settings import SimulateSettings
from terrapatch.simulate import archive as archive_module
from terrapatch.simulate import landscape as ground
from terrapatch.simulate import (
    noise,
    parcels,
    relief,
    schedule,
    sentinel1,
    sentinel2,
    simulate,
    sky,
    stac,
)
from terrapatch.simulate.facts import FILE_BANDS, covers, districts
from terrapatch.simulate.surface import greenness

DEMO = (-48.055, -6.055, -47.945, -5.945)
"""At the border of the UTM zones 22 and 23 south."""

SMALL = (-48.013, -6.013, -47.987, -5.987)

TARGETS = ((-48.0012, -6.0009), (-47.9931, -5.9947))


def settings_file(folder, bbox=SMALL, catalog=None, sentinel2=None, **simulated):
    recipe = resolve(
        {
            "name": "sim",
            "area": {"bbox": list(bbox)},
            "catalog": {"source": "simulated", **(catalog or {})},
            "sentinel2": sentinel2 or {},
            "simulate": {"margin_m": 300, **simulated},
        }
    )
    write_settings(recipe, folder)
    return folder / "simulate.json"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    simulate(settings_file(folder / "s", s1_passes=2), folder / "out", threads=2)
    return folder / "out"


@pytest.fixture(scope="module")
def demo_ground():
    area = shapely.box(*DEMO)
    return ground.make_landscape(area, area.buffer(0.01), 4)


@pytest.fixture(scope="module")
def june(demo_ground):
    return sentinel2.make_datatake(demo_ground, schedule.passes2(4, 2022, 1, -48.0)[0], -48.0, -6.0)


@pytest.fixture(scope="module")
def corner():
    """Some 1.8 km of tile T23MJP in the middle of the demo area."""
    box = sentinel2.scene_geobox("T23MJP", shapely.box(-48.008, -6.008, -47.992, -5.992))
    assert box is not None
    return box


def products(archive):
    return sorted((archive / "sentinel2").iterdir())


def image(product, band, resolution):
    (path,) = product.glob(f"GRANULE/*/IMG_DATA/R{resolution}m/*_{band}_{resolution}m.jp2")
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


# The landscape


@pytest.mark.parametrize("seed", [4, 5, 77])
def test_every_class_occurs_in_an_area_of_the_demo_size_and_little_is_unobserved(seed):
    area = shapely.box(*DEMO)
    land = ground.make_landscape(area, area, seed)
    codes = ground.map_codes(land, grid.snapped_geobox(DEMO, "EPSG:4674", 1.8e-4))
    share = np.bincount(codes.ravel(), minlength=26) / codes.size
    kept = [c for c, to in load_crosswalk("terraclass_cerrado").codes.items() if to != 255]
    assert len(kept) == 14
    assert min(share[kept]) > 0.0015
    assert 0 < share[25] < 0.003
    assert share[kept].sum() + share[25] == pytest.approx(1)
    assert 0.25 < share[1] < 0.6
    assert 0.12 < share[11] < 0.5


def test_another_seed_is_another_landscape_and_the_same_seed_the_same():
    area = shapely.box(*SMALL)
    box = grid.snapped_geobox(SMALL, "EPSG:4674", 1e-4)
    first, again, other = (
        ground.map_codes(ground.make_landscape(area, area, s), box) for s in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).mean() > 0.3


def test_any_crop_of_a_grid_shows_the_same_ground(demo_ground, corner):
    rows, cols = slice(31, 97), slice(5, 140)
    whole, part = (
        (ground.map_codes(demo_ground, b), *ground.ground_places(demo_ground, b))
        for b in (corner, corner[rows, cols])
    )
    for large, small in zip(whole, part, strict=True):
        assert (large[rows, cols] == small).all()


def test_places_on_the_plane_are_those_of_proj(demo_ground):
    for crs, resolution in (("EPSG:32722", 10.0), ("EPSG:4674", 9e-5)):
        box = grid.snapped_geobox(
            grid.reprojected(shapely.box(*SMALL), GEOGRAPHIC, crs).bounds, crs, resolution
        )
        x, y = ground.ground_places(demo_ground, box)
        rows, cols = np.meshgrid(*(np.arange(0, n, 17) for n in box.shape), indexing="ij")
        east = box.affine.c + (cols + 0.5) * box.affine.a
        north = box.affine.f + (rows + 0.5) * box.affine.e
        there = Transformer.from_crs(crs, demo_ground.crs, always_xy=True).transform(east, north)
        assert np.abs(x[::17, ::17] - there[0]).max() < 0.002
        assert np.abs(y[::17, ::17] - there[1]).max() < 0.002


def test_pixels_show_the_last_feature_over_their_centre(demo_ground, corner):
    box = corner[40:52, 60:75]
    numbers = ground.feature_numbers(demo_ground, box)
    x, y = ground.ground_places(demo_ground, box)
    for row, col in np.ndindex(*box.shape):
        point = shapely.Point(x[row, col], y[row, col])
        over = np.flatnonzero(shapely.contains(demo_ground.features.geometry, point))
        assert numbers[row, col] == over.max()


def test_parcels_tile_a_district_without_gap_or_overlap():
    for i in range(6):
        quad = parcels.district_outline(i, 2, 4)
        layers = parcels.Pile()
        parcels._parcels(layers, quad, parcels.district_kind(i, 2, 4), np.random.default_rng(i))
        outline = shapely.Polygon(quad)
        total = sum(g.area for g in layers.geometry)
        assert total == pytest.approx(outline.area, rel=1e-9)
        assert shapely.union_all(layers.geometry).area == pytest.approx(outline.area, rel=1e-9)


def test_every_group_of_districts_has_all_kinds():
    names = sorted(parcels.district_kind(i, j, 9).name for i in range(3) for j in range(-3, 0))
    assert names == sorted(d.name for d in districts())


def test_all_water_reaches_the_river_and_runs_downhill():
    river = relief.main_river(4, 6_000.0)
    made, courses = relief.make_relief((-4_000, -4_000, 4_000, 4_000), 4, river)
    outlets = np.zeros(made.z.shape, bool)
    outlets[0, 0] = True
    order, parent = relief._flow(made.z.astype(float), outlets)
    assert sorted(order) == list(range(made.z.size))
    assert parent[0] == -1
    assert (parent[1:] >= 0).all()
    km2 = relief._accumulate(order, parent, made.z.size, 1.0)
    assert km2[0] == made.z.size
    assert all(c.km2 > relief.STREAM_KM2 for c in courses)
    # the upper end of a stream lies higher than its lower end, but for filled hollows
    ends = np.array([made.at(made.z, c.points[[0, -1], 0], c.points[[0, -1], 1]) for c in courses])
    assert (ends[:, 0] > ends[:, 1] - 3).mean() > 0.9


def test_noise_is_centred_bounded_and_smooth():
    x, y = np.meshgrid(np.arange(0, 900.0), np.arange(0, 300.0))
    field = noise.fractal_field(x, y, 40.0, 1, 3)
    assert abs(field.mean()) < 0.02
    assert np.abs(field).max() < 1.07
    assert 0.2 < field.std() < 0.5
    assert np.abs(np.diff(field, axis=1)).max() < 0.12


def test_tables_hold_together():
    table = covers()
    known = load_crosswalk("terraclass_cerrado").codes
    assert set(table.codes.tolist()) <= {c for c, to in known.items() if to != 255}
    assert table.spectra.min() > 0
    assert table.spectra.max() < 0.6
    assert (table.backscatter[:, 0] > table.backscatter[:, 1]).all()
    for kind in districts():
        assert sum(kind.shares) == pytest.approx(1)
        assert set(kind.uses) <= set(table.names)


# What sensors see


def test_crops_of_the_truth_are_the_truth_of_crops(june, corner):
    whole, haze = sentinel2.truth(june, corner)
    part, part_haze = sentinel2.truth(june, corner[60:121, 12:80])
    np.testing.assert_array_equal(whole[:, 60:121, 12:80], part)
    np.testing.assert_array_equal(haze[:, 60:121, 12:80], part_haze)


def test_vegetation_is_green_water_is_dark_and_forest_scatters_most(demo_ground, june):
    box = sentinel2.scene_geobox("T22MHU", shapely.box(-48.03, -6.02, -47.97, -6.005))
    reflectance, _ = sentinel2.truth(june, box)
    band = dict(zip(FILE_BANDS, reflectance, strict=True))
    ndvi = (band["B08"] - band["B04"]) / (band["B08"] + band["B04"])
    item = schedule.passes1(4, 2022, 1, -48.0)[0]
    green = greenness(demo_ground, item.start, north=False)
    vv, vh = 10 * np.log10(sentinel1.backscatter(demo_ground, item, box, green))
    kind = np.array(covers().names)[
        demo_ground.features.cover[ground.feature_numbers(demo_ground, box)]
    ]
    assert np.median(ndvi[kind == "forest"]) > 0.7
    assert 0.2 < np.median(ndvi[kind == "pasture"]) < 0.6
    assert np.median(ndvi[kind == "river"]) < 0
    assert np.median(band["B11"][kind == "river"]) < 0.05
    assert np.median(vv[kind == "forest"]) - np.median(vv[kind == "pasture"]) > 2
    assert np.median(vv[kind == "river"]) < -18
    assert 4 < np.median(vv - vh) < 9


def test_crops_follow_their_calendar(demo_ground):
    def mean(name, month, north=False):
        green = greenness(demo_ground, datetime(2022, month, 18, tzinfo=UTC), north)
        return green[demo_ground.features.cover == covers().number(name)].mean()

    assert mean("temporary1", 1) > 0.7
    assert mean("temporary1", 6) < 0.3
    assert mean("temporary2", 4) > 0.6
    assert mean("temporary1", 5) < 0.3
    assert mean("pasture", 2) > mean("pasture", 8) + 0.3
    assert abs(mean("forest", 2) - mean("forest", 8)) < 0.12
    assert mean("pasture", 8, north=True) > mean("pasture", 2, north=True) + 0.3


def test_classes_can_be_learnt_but_not_perfectly(demo_ground, june):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import f1_score

    box = sentinel2.scene_geobox("T22MHU", shapely.box(*DEMO))
    rng = np.random.default_rng(0)
    table = load_crosswalk("terraclass_cerrado").codes
    pixels, labels = [], []
    for top in range(0, box.shape[0] - 24, 96):
        strip = box[top : top + 24, :]
        pixels.append(sentinel2.truth(june, strip)[0].reshape(12, -1).T)
        codes = ground.map_codes(demo_ground, strip).ravel()
        labels.append(np.array([table[c] for c in range(26) if c in table])[
            np.searchsorted(sorted(table), codes)])  # fmt: skip
    x, y = np.concatenate(pixels), np.concatenate(labels)
    x, y = x[y != 255], y[y != 255]
    train = np.concatenate(
        [rng.choice(np.flatnonzero(y == c), min(300, (y == c).sum() // 2)) for c in range(14)]
    )
    test = rng.choice(len(y), 8_000, replace=False)
    forest = RandomForestClassifier(30, random_state=0).fit(x[train], y[train])
    f1 = f1_score(y[test], forest.predict(x[test]), average="macro")
    assert 0.45 < f1 < 0.93


def test_speckle_has_the_looks_that_it_claims():
    field = sentinel1.speckle(5, 9, 500, 500, 3)
    assert field.mean() == pytest.approx(1, abs=0.01)
    assert 1 / field.var() == pytest.approx(sentinel1.LOOKS, rel=0.05)
    assert 0.2 < np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1] < 0.7
    np.testing.assert_array_equal(sentinel1.speckle(8, 20, 30, 40, 3), field[3:33, 11:51])


def test_the_sun_stands_where_genuine_metadata_say(shared_data):
    found = 0
    for path in sorted((shared_data / "s2_l2a_safe_metadata").glob("*/GRANULE/*/MTD_TL.xml")):
        root = ElementTree.parse(path).getroot()
        epsg = root.findtext(".//HORIZONTAL_CS_CODE")
        x, y = (float(root.findtext(f".//Geoposition[1]/{k}")) for k in ("ULX", "ULY"))
        lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(
            x + 54_900, y - 54_900
        )
        when = datetime.fromisoformat(root.findtext(".//SENSING_TIME").replace("Z", "+00:00"))
        zenith, azimuth = sky.sun_position(when, lon, lat)
        mean = root.find(".//Mean_Sun_Angle")
        if mean.findtext("ZENITH_ANGLE") != "NaN":
            assert zenith == pytest.approx(float(mean.findtext("ZENITH_ANGLE")), abs=0.3)
            assert azimuth == pytest.approx(float(mean.findtext("AZIMUTH_ANGLE")), abs=1.5)
        product = ElementTree.parse(path.parents[2] / "MTD_MSIL2A.xml").getroot()
        u = float(product.findtext(".//Reflectance_Conversion/U"))
        assert sky.earth_sun_correction(when) == pytest.approx(u, abs=3e-4)
        found += 1
    assert found == 4


def test_clouds_cover_what_is_asked_and_shadows_fall_away_from_the_sun():
    clouds = sky.make_sky(5, 0.3, 0.0, (40.0, 45.0), (6_000.0,))
    x, y = np.meshgrid(np.arange(-6_000.0, 6_000.0, 40), np.arange(-6_000.0, 6_000.0, 40))
    cloud, dark, thin = sky.veil(clouds, x, y)
    assert 0.2 < (cloud > 0.5).mean() < 0.4
    assert clouds.shadow[0] < 0
    assert clouds.shadow[1] < 0
    assert (dark > 0.3).any()
    assert not thin.any()
    assert not sky.veil(sky.make_sky(5, 0, 0, (40.0, 45.0), (6_000.0,)), x, y).any()


# Products


def test_names_and_places_are_those_of_esa(archive):
    pattern = re.compile(
        r"S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\d{2}[A-Z]{3}_\d{8}T\d{6}\.SAFE"
    )
    names = [p.name for p in products(archive)]
    assert len(names) == 5
    assert all(pattern.fullmatch(name) for name in names)
    assert {name[38:44] for name in names} == {"T22MHU", "T23MJP"}
    assert {name[28:32] for name in names} == {"0301", "0400", "0500"}
    for product in products(archive):
        files = {p.relative_to(product).parts[0] for p in product.rglob("*")}
        assert files == {"GRANULE", "DATASTRIP", "manifest.safe", "MTD_MSIL2A.xml", "INSPIRE.xml"}
        bands = {p.name.split("_")[2] + "_" + p.parent.name for p in product.rglob("R*m/*.jp2")}
        native = {f"{b}_R{r}m" for r, names in sentinel2.RESOLUTIONS.items() for b in names}
        assert bands == native | {"SCL_R20m", "SCL_R60m", "TCI_R60m"}


def test_gdal_reads_the_product_through_its_metadata(archive):
    for product in products(archive):
        with pytest.warns(NotGeoreferencedWarning):  # the pixels are in the subdatasets
            dataset = rasterio.open(product / "MTD_MSIL2A.xml")
        with dataset:
            assert dataset.driver == "SENTINEL2"
            parts = dataset.subdatasets
        sizes = {"10m": 4, "20m": 6, "60m": 2, "TCI": 3}
        assert len(parts) == 4
        for part in parts:
            kind = next(k for k in sizes if f":{k}:" in part)
            with rasterio.open(part) as dataset:
                assert dataset.count >= sizes[kind]
                if kind == "10m":
                    ours = image(product, "B04", 10)
                    with rasterio.open(ours) as plain:
                        assert dataset.transform == plain.transform
                        assert dataset.crs == plain.crs
                        assert (dataset.read(1) == plain.read(1)).all()


def tags_of(root):
    """All paths of tags, names without namespace."""
    found = set()

    def walk(node, path):
        here = f"{path}/{node.tag.split('}')[-1]}"
        found.add(here)
        for child in node:
            walk(child, here)

    walk(root, "")
    return found


def test_metadata_have_no_node_that_genuine_ones_lack_and_all_that_matter(archive, shared_data):
    genuine = shared_data / "s2_l2a_safe_metadata"
    for ours, theirs in (("N0301", "N0214"), ("N0400", "N0400"), ("N0500", "N0509")):
        (real,) = genuine.glob(f"*_{theirs}_*")
        product = next(p for p in products(archive) if ours in p.name)
        for name in ("MTD_MSIL2A.xml", "GRANULE/*/MTD_TL.xml"):
            made = tags_of(ElementTree.parse(next(product.glob(name))).getroot())
            known = tags_of(ElementTree.parse(next(real.glob(name))).getroot())
            assert made - known == set()
            must = "IMAGE_FILE|OFFSET|QUANT|FOOTPRINT|SPECIAL|Geoposition|Size|ANGLE|PERCENTAGE|URI"
            missing = {t for t in known - made if re.search(must, t) and "Viewing" not in t}
            assert not {t for t in missing if "OVER_LAND" not in t}


def test_the_offset_stands_in_the_metadata_from_baseline_0400_on(archive):
    for product in products(archive):
        root = ElementTree.parse(product / "MTD_MSIL2A.xml").getroot()
        offsets = [node.text for node in root.iter("BOA_ADD_OFFSET")]
        assert offsets == ([] if "_N0301_" in product.name else ["-1000"] * 13)
        assert root.findtext(".//BOA_QUANTIFICATION_VALUE") == "10000"
        assert root.findtext(".//PRODUCT_URI") == product.name


def test_geopositions_are_the_true_ones_of_the_files(archive):
    for product in products(archive):
        root = ElementTree.parse(next(product.glob("GRANULE/*/MTD_TL.xml"))).getroot()
        whole = grid.mgrs_tile_geobox(product.name[38:44])
        for resolution, band in ((10, "B02"), (20, "SCL"), (60, "B09")):
            size = root.find(f".//Size[@resolution='{resolution}']")
            place = root.find(f".//Geoposition[@resolution='{resolution}']")
            with rasterio.open(image(product, band, resolution)) as dataset:
                t = dataset.transform
                assert (int(size.findtext("NROWS")), int(size.findtext("NCOLS"))) == dataset.shape
                assert (t.c, t.f) == (int(place.findtext("ULX")), int(place.findtext("ULY")))
                assert (t.a, t.e) == (int(place.findtext("XDIM")), int(place.findtext("YDIM")))
                assert root.findtext(".//HORIZONTAL_CS_CODE") == f"EPSG:{dataset.crs.to_epsg()}"
                assert (t.c - whole.affine.c) % 60 == 0
                assert (whole.affine.f - t.f) % 60 == 0


def test_the_manifest_lists_every_file_with_its_size_and_hash(archive):
    for product in products(archive):
        root = ElementTree.parse(product / "manifest.safe").getroot()
        listed = {}
        for stream in root.iter("byteStream"):
            path = stream.find("fileLocation").get("href").removeprefix("./")
            listed[path] = (int(stream.get("size")), stream.find("checksum"))
        there = {str(p.relative_to(product)) for p in product.rglob("*") if p.is_file()}
        assert set(listed) == there - {"manifest.safe"}
        for path, (size, checksum) in listed.items():
            data = (product / path).read_bytes()
            kind = {"MD5": hashlib.md5, "SHA3-256": hashlib.sha3_256}[checksum.get("checksumName")]
            assert (len(data), kind(data).hexdigest()) == (size, checksum.text)


def test_files_hold_exactly_the_truth_and_coarse_bands_its_block_means(archive):
    area = shapely.box(*SMALL)
    product = next(p for p in products(archive) if "_N0400_" in p.name)
    with rasterio.open(image(product, "B04", 10)) as dataset:
        box = GeoBox(dataset.shape, dataset.transform, str(dataset.crs))
    plane = ground.plane_of(area)
    outline = grid.reprojected(
        grid.reprojected(area, GEOGRAPHIC, plane).buffer(300, join_style="mitre"),
        plane, GEOGRAPHIC,
    )  # fmt: skip
    land = ground.make_landscape(area, outline, 4)
    lon, lat = area.centroid.x, area.centroid.y
    datatake = sentinel2.make_datatake(land, schedule.passes2(4, 2022, 2, lon)[0], lon, lat)
    reflectance, _ = sentinel2.truth(datatake, box)
    for resolution, names in sentinel2.RESOLUTIONS.items():
        side = resolution // 10
        for band in names:
            fine = reflectance[FILE_BANDS.index(band)].astype(float)
            height, width = fine.shape
            mean = fine.reshape(height // side, side, width // side, side).mean(axis=(1, 3))
            expected = np.rint(np.maximum(mean.astype(np.float32) * np.float32(10_000), 1)) + 1000
            # float32 rounding of a mean may fall on the other side of a half
            off = np.abs(read(image(product, band, resolution)) - expected)
            assert off.max() <= (0 if side == 1 else 1)
            assert (off > 0).mean() < 1e-4


def test_products_of_one_datatake_differ_by_the_offset_alone(archive):
    old, new = (
        next(p for p in products(archive) if b in p.name and "T22MHU" in p.name)
        for b in ("_N0301_", "_N0500_")
    )
    assert old.name[:26] == new.name[:26]
    assert old.name[-20:] < new.name[-20:]
    assert read(image(old, "B08", 10)).min() == 0
    for resolution, names in sentinel2.RESOLUTIONS.items():
        for band in names:
            plain, shifted = (read(image(p, band, resolution)).astype(int) for p in (old, new))
            assert (plain == np.where(shifted > 0, shifted - 1000, 0)).all()
            assert plain[plain > 0].min() >= 1
    assert (read(image(old, "SCL", 20)) == read(image(new, "SCL", 20))).all()


def test_the_first_pass_is_clear_and_whole_and_the_second_has_a_swath_edge(archive):
    for product in products(archive):
        root = ElementTree.parse(product / "MTD_MSIL2A.xml").getroot()
        cloud = float(root.findtext(".//Cloud_Coverage_Assessment"))
        nodata = float(root.findtext(".//NODATA_PIXEL_PERCENTAGE"))
        if "_2022061" in product.name:
            assert cloud < 1
            assert nodata == 0
        else:
            assert cloud > 5
            assert 3 < nodata < 40


def test_scene_classes_agree_with_the_bands_and_with_the_metadata(archive):
    for product in products(archive):
        classes = read(image(product, "SCL", 20))
        near = read(image(product, "B8A", 20))
        assert ((classes == 0) == (near == 0)).all()
        assert set(np.unique(classes)) <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10}
        root = ElementTree.parse(next(product.glob("GRANULE/*/MTD_TL.xml"))).getroot()
        cloud = np.isin(classes, (8, 9, 10)).sum() / (classes > 0).sum() * 100
        assert float(root.findtext(".//CLOUDY_PIXEL_PERCENTAGE")) == pytest.approx(cloud, abs=1e-4)
        blue = read(image(product, "B02", 10)).astype(float)
        blue = blue.reshape(classes.shape[0], 2, -1, 2).mean(axis=(1, 3))
        if (classes == 9).sum() > 50:
            assert np.median(blue[classes == 9]) > 3 * np.median(blue[classes == 4])


def test_both_zones_show_the_same_ground(archive):
    west, east = (
        next(p for p in products(archive) if "_N0400_" in p.name and t in p.name)
        for t in ("T22MHU", "T23MJP")
    )
    for band, resolution in (("B08", 10), ("B04", 10), ("B11", 20)):
        with rasterio.open(image(west, band, resolution)) as dataset:
            there = np.zeros(dataset.shape, np.float32)
            here = dataset.read(1).astype(float)
            with rasterio.open(image(east, band, resolution)) as other:
                reproject(
                    rasterio.band(other, 1), there, dst_transform=dataset.transform,
                    dst_crs=dataset.crs, resampling=Resampling.bilinear, src_nodata=0,
                )  # fmt: skip
        both = (there > 0) & (here > 0)
        assert both.mean() > 0.9
        assert np.corrcoef(here[both], there[both])[0, 1] > 0.97
        assert np.median(np.abs(here[both] - there[both])) < 120


def test_radar_scenes_lie_in_both_zones_with_nan_outside_the_swath(archive):
    files = sorted((archive / "sentinel1").iterdir())
    assert len(files) == 8
    pattern = re.compile(r"S1A_IW_GRDH_1SDV_(\d{8}T\d{6}_){2}\d{6}_[0-9A-F]{6}_rtc_v[vh]\.tif")
    zones, directions, missing = set(), set(), []
    for path in files:
        assert pattern.fullmatch(path.name)
        with rasterio.open(path) as dataset:
            assert dataset.dtypes == ("float32",)
            assert np.isnan(dataset.nodata)
            assert dataset.res == (10, 10)
            assert dataset.transform.c % 10 == 0
            zones.add(dataset.crs.to_epsg())
            directions.add(dataset.tags()["ORBIT_DIRECTION"])
            pixels = dataset.read(1)
        missing.append(np.isnan(pixels).mean())
        assert np.nanmin(pixels) > 0
    assert zones == {32722, 32723}
    assert directions == {"ascending", "descending"}
    assert sorted(m > 0 for m in missing) == [False] * 4 + [True] * 4


def test_the_map_has_genuine_codes_in_its_own_system(archive):
    with rasterio.open(archive / "reference" / "terraclass_2022.tif") as dataset:
        assert dataset.crs.to_epsg() == 4674
        assert (dataset.nodata, dataset.dtypes) == (0, ("uint8",))
        codes = dataset.read(1)
        assert dataset.colormap(1)[23][:3] == (0, 0, 255)
        left, bottom, right, top = dataset.bounds
    assert left < SMALL[0]
    assert bottom < SMALL[1]
    assert right > SMALL[2]
    assert top > SMALL[3]
    assert set(np.unique(codes).tolist()) <= set(load_crosswalk("terraclass_cerrado").codes)
    assert (codes[3:-3, 3:-3] > 0).all()


def test_pystac_opens_the_catalogue_and_every_file_is_there(archive):
    import pystac

    catalogue = pystac.Catalog.from_file(archive / "catalog.json")
    assert {c.id for c in catalogue.get_children()} == set(stac.COLLECTIONS) - {"sentinel-1-grd"}
    items = list(catalogue.get_items(recursive=True))
    assert len(items) == 5 + 4 + 1
    for item in items:
        assert item.get_collection().id == item.collection_id
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href()).is_file()
        item.stac_extensions.clear()  # the core schema comes with pystac, the others do not
        item.validate()
    for collection in catalogue.get_children():
        collection.validate()
    catalogue.validate()


def test_heights_are_there_whatever_the_radar_products_are(archive):
    assert not list(archive.glob("*grd*"))
    with rasterio.open(archive / "dem" / "heights.tif") as image:
        assert np.ptp(image.read(1)) > 10


def test_items_have_the_fields_of_real_ones(archive, shared_data):
    real = json.loads((shared_data / "stac" / "sentinel-2-l2a-pc.json").read_text())[0]
    known = set(real["properties"])
    for path in (archive / "sentinel-2-l2a").glob("*/*.json"):
        item = json.loads(path.read_text())
        assert known - set(item["properties"]) <= {
            "s2:mean_solar_zenith", "s2:mean_solar_azimuth", "s2:degraded_msi_data_percentage",
        }  # fmt: skip
        assert set(FILE_BANDS) | {"SCL", "visual", "product-metadata"} <= set(item["assets"])
        for band in ("B02", "B05", "B01"):
            asset = item["assets"][band]
            with rasterio.open(path.parent / asset["href"]) as dataset:
                assert list(dataset.transform)[:6] == asset["proj:transform"]
                assert list(dataset.shape) == asset["proj:shape"]
        assert shapely.geometry.shape(item["geometry"]).is_valid
    real = json.loads((shared_data / "stac" / "mspc-s1-rtc.json").read_text())
    for path in (archive / "sentinel-1-rtc").glob("*/*.json"):
        item = json.loads(path.read_text())
        assert set(item["assets"]) == {"vv", "vh"}
        assert {k for k in real["properties"] if k.startswith(("proj:", "sat:orb", "sar:pol"))} <= (
            set(item["properties"])
        )


def test_footprints_outline_the_valid_pixels(archive):
    from rasterio.features import geometry_mask

    for path in (archive / "sentinel-2-l2a").glob("*/*.json"):
        item = json.loads(path.read_text())
        outline = shapely.geometry.shape(item["geometry"])
        with rasterio.open(path.parent / item["assets"]["B02"]["href"]) as dataset:
            valid = dataset.read(1) > 0
            crs = str(dataset.crs)
            moved = grid.reprojected(outline, GEOGRAPHIC, crs)
            inside = geometry_mask([moved], valid.shape, dataset.transform, invert=True)
        assert (inside == valid).mean() > 0.99


def test_archives_are_equal_whatever_the_threads_and_nothing_else_lies_beside(tmp_path):
    bbox = (-48.006, -6.006, -47.994, -5.994)
    settings = settings_file(tmp_path / "s", bbox, margin_m=0, seed=8)
    for name, threads in (("one", 1), ("two", 2)):
        simulate(settings, tmp_path / name, threads=threads)
    one, two = (
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "s", "two"]
    assert not [name for name in one if name.endswith(".aux.xml")]


# Agreement to a fraction of a pixel


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    settings = settings_file(folder / "s", passes=1, margin_m=600, impulses=TARGETS)
    simulate(settings, folder / "out", threads=2)
    return folder / "out"


def around(path, lon, lat):
    """Pixels of a raster, and how far each lies east and north of a place, in metres."""
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1).astype(float)
        rows, cols = np.indices(pixels.shape) + 0.5
        east = dataset.transform.c + cols * dataset.transform.a
        north = dataset.transform.f + rows * dataset.transform.e
        crs = dataset.crs
    if crs.is_geographic:
        plane = f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84"
        return pixels, *Transformer.from_crs(crs, plane, always_xy=True).transform(east, north)
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    return pixels, east - x, north - y


@pytest.mark.parametrize("place", TARGETS)
def test_point_targets_lie_where_they_were_put_in_both_sensors(targets, place):
    found = {}
    for product in products(targets):
        for band, resolution in (("B04", 10), ("B08", 10), ("B12", 20), ("B8A", 20), ("B01", 60)):
            found[f"{product.name[38:44]} {band}"] = image(product, band, resolution)
    found |= {
        path.name[17:25] + path.name[-7:-4]: path for path in (targets / "sentinel1").iterdir()
    }
    assert len(found) == 10 + 4
    for name, path in found.items():
        pixels, east, north = around(path, *place)
        distance = np.hypot(east, north)
        background = np.median(pixels[(distance > 160) & (distance < 260)])
        weight = np.where(distance < 200, np.maximum(pixels - background, 0), 0)
        weight[weight < 0.03 * weight.max()] = 0
        offset = [(weight * axis).sum() / weight.sum() for axis in (east, north)]
        assert np.hypot(*offset) < 1.0, (name, offset)  # 0.1 px of 10 m, in every band


@pytest.mark.parametrize("place", TARGETS)
def test_the_map_has_a_round_disc_at_each_target(targets, place):
    codes, east, north = around(targets / "reference" / "terraclass_2022.tif", *place)
    distance = np.hypot(east, north)
    assert (codes[distance < 99.7] == 17).all()
    assert (codes[(distance > 100.3) & (distance < 299)] == 23).all()


# Plans and settings


def test_passes_begin_in_june_and_january_and_bring_both_baselines():
    first, second, *others = schedule.passes2(4, 2022, 73, -48.0)
    assert (first.sensing.month, second.sensing.month) == (6, 1)
    assert first.edge is None
    assert second.edge is not None
    days = [p.sensing.date() for p in (first, second, *others)]
    assert len(set(days)) == 73
    assert {d.year for d in days} == {2022}
    assert [p.baseline for p in schedule.processings(first)] == ["04.00"]
    assert [p.baseline for p in schedule.processings(second)] == ["03.01", "05.00"]
    assert [p.offset for p in schedule.processings(second)] == [0, 1000]
    late = schedule.processings(schedule.passes2(4, 2024, 2, -48.0)[1])
    assert [p.baseline for p in late] == ["05.10", "05.11"]
    assert all(p.generated > second.sensing for p in late)


def test_radar_passes_come_in_both_directions_with_the_local_hours_of_the_orbit():
    found = schedule.passes1(4, 2022, 3, 120.0)
    assert [p.direction for p in found] == ["descending"] * 3 + ["ascending"] * 3
    for item in found:
        local = (item.start + timedelta(hours=8)).hour
        assert local == (5 if item.direction == "descending" else 17)
    assert len({p.start.date() for p in found[:3]}) == 3


def test_a_whole_tile_is_a_whole_tile_and_a_crop_keeps_to_its_grid():
    whole = sentinel2.scene_geobox("T23MJP", None)
    crop = sentinel2.scene_geobox("T23MJP", shapely.box(*SMALL))
    assert whole.shape == (10_980, 10_980)
    assert [n % 6 for n in crop.shape] == [0, 0]
    assert ((crop.affine.c - whole.affine.c) % 60, (crop.affine.f - whole.affine.f) % 60) == (0, 0)
    assert sentinel2.scene_geobox("T31TCJ", shapely.box(*SMALL)) is None
    inside = grid.reprojected(shapely.box(*SMALL), GEOGRAPHIC, str(crop.crs))
    assert crop.extent.geom.contains(inside)
    assert inside.area > 0.95 * crop.extent.geom.area


def test_crops_of_two_zones_cover_the_area_only_together():
    outline = archive_module._outline(shapely.box(*DEMO), ["T22MHU", "T23MJP"], SimulateSettings())
    parts = []
    for tile in ("T22MHU", "T23MJP"):
        box = sentinel2.scene_geobox(tile, archive_module._zone_part(tile, outline))
        parts.append(grid.reprojected(box.extent.geom, str(box.crs), GEOGRAPHIC))
    assert shapely.union_all(parts).buffer(1e-9).covers(shapely.box(*DEMO))
    assert not any(part.covers(shapely.box(*DEMO)) for part in parts)
    assert parts[0].intersection(parts[1]).area > 0.1 * outline.area
    foreign = archive_module._zone_part("T24MTU", outline)
    assert sentinel2.scene_geobox("T24MTU", foreign) is None


@pytest.mark.parametrize(
    ("bbox", "catalog", "message"),
    [
        ((179.98, 10.0, 179.9999, 10.02), {}, "antimeridian"),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_any_file(tmp_path, bbox, catalog, message):
    settings = settings_file(tmp_path / "s", bbox, catalog)
    with pytest.raises(InputError, match=message):
        simulate(settings, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]
