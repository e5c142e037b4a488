# SPDX-License-Identifier: Apache-2.0
"""Raw Sentinel-1 input that is broken, incomplete or mixed up: what plan and stage say of it.

Each test breaks a product, runs the plan (or the stage after a good plan) and looks for one clear
error with the file's name, and for nothing half-written.
"""

import json
import re
import shutil
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from made.grd import LAT, LON, copy_of, plan_of, recipe_of, redated, simulate
from made.heights import write_dem
from made.orbits import write_orbit
from made.recipes import with_layers
from made.scenes import all_corners, write_footprints
from terrapatch.catalog.checks import missing_slices
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.cli import main
from terrapatch.errors import GridError, IncompleteError, InputError, SceneError, SourceError
from terrapatch.kinds import stack
from terrapatch.lock import read_lock, unit_geobox
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.orbit import read_eof
from terrapatch.stacks import open_stack
from terrapatch.yamlfiles import merged


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


@pytest.fixture
def archive(simulated, tmp_path):
    """A folder with both slices of the descending pass, to be spoilt."""
    for product in simulated.products["descending"]:
        copy_of(product, tmp_path / "in")
    return tmp_path / "in"


def planned(simulated, archive, **radar):
    recipe = recipe_of(simulated, archive.parent, archive, **radar)
    return plan_of(recipe, archive.parent)


def stage(folder, lock):
    """Run the stage on the planned unit."""
    (unit,) = lock.units
    geobox = unit_geobox(unit)
    write_footprints(folder / "footprints.parquet", all_corners(geobox.shape, 64), 64)
    out = folder / "stacks" / "out.zarr"
    settings = folder / "settings" / "stack" / "sentinel1.json"
    stack(folder / "lock.json", unit.id, "sentinel1", folder / "footprints.parquet", settings, out)
    return open_stack(out)


def first(archive, pattern):
    return sorted(archive.glob(f"*.SAFE/{pattern}"))[0]


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Found by the plan -------------------------------------------------------------------------------

VV, VH = "annotation/s1a-*-vv-*.xml", "annotation/s1a-*-vh-*.xml"
CALIBRATION = "annotation/calibration/calibration-*-vv-*.xml"
NOISE = "annotation/calibration/noise-*-vh-*.xml"
IMAGE = "measurement/*-vv-*.tiff"


@pytest.mark.parametrize(
    ("pattern", "change", "says"),
    [
        (IMAGE, Path.unlink, r"lacks the band\(s\) VV \(it has VH\).*fetch the product again"),
        (IMAGE, halved, r"-vv-.*\.tiff: cannot be read .*truncated.*fetch the product again"),
        (IMAGE, lambda p: p.write_bytes(b""), r"-vv-.*\.tiff: cannot be read .*fetch"),
        (VV, halved, r"-vv-.*\.xml: annotation cut off or damaged .*fetch the product again"),
        (VH, Path.unlink, r"no annotation of VH in the product; fetch it again"),
        (CALIBRATION, halved, r"calibration-.*-vv-.*: not readable as XML.*fetch the product"),
        (CALIBRATION, Path.unlink, r"no calibration of VV in the product; fetch it again"),
        (NOISE, halved, r"noise-.*-vh-.*: not readable as XML.*truncated.*fetch the product"),
        (
            NOISE,
            Path.unlink,
            r"no noise annotation of VH in the product.*denoise: false",
        ),
        ("manifest.safe", halved, r"manifest\.safe: broken metadata.*fetch the product again"),
    ],
)
def test_a_broken_product_fails_the_plan(simulated, archive, pattern, change, says):
    change(first(archive, pattern))
    with pytest.raises(SceneError, match=says) as info:
        planned(simulated, archive)
    assert ".SAFE" in str(info.value)
    assert not (archive.parent / "lock.json").exists()


def test_all_that_is_wrong_is_told_at_once(simulated, archive, tmp_path, capsys):
    one, two = sorted(archive.glob("*.SAFE"))
    halved(first(archive, VV))
    (noise,) = two.glob(NOISE)
    halved(noise)
    recipe = recipe_of(
        simulated, tmp_path, archive, dem=(str(tmp_path / "none.tif"),),
        orbit_files=(str(tmp_path / "none.EOF"),),
    )  # fmt: skip
    (tmp_path / "raw.yaml").write_text(json.dumps(with_layers(recipe)))
    assert main(["plan", str(tmp_path / "raw.yaml"), "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    for what in (f"{one.name}/annotation", noise.name, "none.tif: no such", "none.EOF: no such"):
        assert told.count(what) == 1, what
    assert not (tmp_path / "out" / "raw" / "lock.json").exists()


def test_all_broken_manifests_are_told_at_once(simulated, archive):
    for manifest in archive.glob("*/manifest.safe"):
        halved(manifest)
    with pytest.raises(SceneError) as info:
        planned(simulated, archive)
    assert str(info.value).count("manifest.safe: broken metadata") == 2


def test_without_noise_removal_no_noise_is_needed(simulated, archive):
    first(archive, NOISE).unlink()
    assert planned(simulated, archive, denoise=False).items


@pytest.mark.parametrize("kind", ["noise", "calibration"])
def test_tables_of_another_product_are_refused(simulated, archive, kind):
    pattern = f"annotation/calibration/{kind}-*-vv-*.xml"
    path = first(archive, pattern)
    (other,) = simulated.products["ascending"][0].glob(pattern)
    shutil.copyfile(other, path)
    with pytest.raises(SceneError, match=r"of another product than .*-vv-.*absoluteOrbit") as info:
        planned(simulated, archive)
    assert str(path) in str(info.value)


def test_tables_of_the_other_slice_are_refused(simulated, archive):
    one, two = (next(p.glob(CALIBRATION)) for p in sorted(archive.glob("*.SAFE")))
    shutil.copyfile(two, one)
    with pytest.raises(SceneError, match=r"of another product than .*startTime"):
        planned(simulated, archive)


def test_annotations_of_the_other_polarisation_are_refused(simulated, archive):
    shutil.copyfile(first(archive, VH), first(archive, VV))
    with pytest.raises(SceneError, match=r"annotation of VH, expected VV; .*mixed up"):
        planned(simulated, archive)


def test_a_measurement_of_another_size_is_refused(simulated, archive):
    path = first(archive, IMAGE)
    with rasterio.open(path) as dataset:
        numbers, profile = dataset.read(1)[:-7], dataset.profile
        points, crs = dataset.gcps
    del profile["transform"]
    profile |= {"gcps": points, "crs": crs, "height": len(numbers)}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(numbers, 1)
    rows, cols = numbers.shape
    says = rf"-vv-.*\.tiff: has {rows} x {cols} pixels, its annotation says {rows + 7} x {cols}"
    with pytest.raises(SceneError, match=says):
        planned(simulated, archive)


def test_a_genuine_measurement_that_broke_off_is_named(shared_data, tmp_path):
    """Genuine files have their header first: they open well whatever is missing at their end."""
    (product,) = (shared_data / "s1_grd_safe").glob("*.SAFE")
    copy = tmp_path / product.name
    shutil.copytree(product, copy, copy_function=shutil.copyfile)
    assert locked_item(read_product(copy), ["VV"], Files(False)).assets["VV"].shape[0] == 16705
    (path,) = copy.glob("measurement/*-vv-*.tiff")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SceneError, match=r"-vv-.*\.tiff: cannot be read \(.*failed.*fetch") as info:
        locked_item(read_product(copy), ["VV"], Files(False))
    assert "previous exception" not in str(info.value)


def test_a_damaged_member_of_an_archive_is_named(simulated, archive):
    product = sorted(archive.glob("*.SAFE"))[0]
    path = archive / product.with_suffix(".zip").name
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(p for p in product.rglob("*") if p.is_file()):
            packed.write(file, f"{product.name}/{file.relative_to(product)}")
        where = packed.getinfo(f"{product.name}/{first(archive, IMAGE).relative_to(product)}")
    shutil.rmtree(product)
    data = bytearray(path.read_bytes())
    middle = where.header_offset + where.file_size // 2
    data[middle : middle + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(SceneError, match=r"\.zip: the member .*-vv-.*tiff' is broken .*fetch the"):
        planned(simulated, archive)


def test_single_polarisation_products_are_left_out_by_name_where_two_are_wanted(simulated, archive):
    for manifest in archive.glob("*/manifest.safe"):
        text = manifest.read_text()
        start = text.index("<s1sarl1:transmitterReceiverPolarisation>VH")
        manifest.write_text(text[:start] + text[text.index("\n", start) :])
    with pytest.raises(IncompleteError, match=r"S1A_IW_GRDH_1SDV\w+: has VV, lacks VH") as info:
        planned(simulated, archive)
    assert str(info.value).count("has VV, lacks VH") == 2
    lock = planned(simulated, archive, polarisations=("VV",))
    assert {name for item in lock.items_of(lock.units[0].id, "sentinel1") for name in item.assets} == {"VV"}  # fmt: skip


# Found by the stage ------------------------------------------------------------------------------


def test_a_measurement_without_a_signal_is_named(simulated, archive):
    lock = planned(simulated, archive)
    path = first(archive, IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.zeros(dataset.shape, "uint16"), 1)
    with pytest.raises(SceneError, match=r"-vv-.*\.tiff: .*no pixel with a signal"):
        stage(archive.parent, lock)
    assert not list((archive.parent / "stacks").glob("*"))


def test_pixels_that_break_in_the_middle_are_named(simulated, archive):
    """Compressed, so that damage shows; the file keeps its size and its end."""
    path = first(archive, IMAGE)
    with rasterio.open(path) as dataset:
        numbers, profile = dataset.read(1), dataset.profile
        points, crs = dataset.gcps
    del profile["transform"]
    profile |= {"gcps": points, "crs": crs}
    with rasterio.open(path, "w", **profile | {"compress": "deflate", "blockysize": 1}) as dataset:
        dataset.write(numbers, 1)
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 4, len(data) * 3 // 4, 2_000):
        data[place : place + 200] = bytes(200)
    path.write_bytes(data)
    lock = planned(simulated, archive)
    with pytest.raises(SceneError, match=r"-vv-.*\.tiff: cannot be read .*fetch the product"):
        stage(archive.parent, lock)
    assert not list((archive.parent / "stacks").glob("*"))


# Heights -----------------------------------------------------------------------------------------


def cut_dem(simulated, path, change):
    with rasterio.open(simulated.dem) as dataset:
        profile, heights = dataset.profile, dataset.read(1)
    profile, heights = change(profile, heights)
    profile |= {"height": heights.shape[0], "width": heights.shape[1]}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(heights, 1)
    return str(path)


def test_heights_that_end_inside_the_unit_fail_the_plan(simulated, archive, tmp_path):
    dem = cut_dem(simulated, tmp_path / "half.tif", lambda p, z: (p, z[:, : z.shape[1] // 2]))
    with pytest.raises(GridError, match=r"half\.tif: .*does not cover the unit \(\d+% of it"):
        planned(simulated, archive, dem=(dem,))
    assert planned(simulated, archive, dem=(dem,), dem_sea=True).heights[0].href == dem


def test_units_without_heights_are_one_finding(simulated, archive, tmp_path):
    dem = cut_dem(simulated, tmp_path / "rim.tif", lambda p, z: (p, z[:, : z.shape[1] // 3]))
    recipe = recipe_of(simulated, tmp_path, archive, dem=(dem,))
    recipe["sampling"]["unit_patches"] = 1
    with pytest.raises(GridError, match=r"unit b\d+_\d+ and \d+ other units: .*rim\.tif") as info:
        plan_of(recipe, tmp_path)
    assert "\n" not in str(info.value)


def test_heights_of_an_unknown_datum_fail_the_plan(simulated, archive):
    with pytest.raises(GridError, match=r"dem\.tif: its CRS does not say .*dem_vertical"):
        planned(simulated, archive, dem_vertical="auto")


def test_heights_of_several_datums_fail_the_plan(simulated, archive, tmp_path):
    at = Affine(0.01, 0, LON - 0.5, 0, -0.01, LAT + 0.5)
    files = [
        write_dem(tmp_path / f"{n}.tif", np.zeros((100, 100), "f4"), at, crs)
        for n, crs in enumerate(("EPSG:9707", "EPSG:4979"))
    ]
    with pytest.raises(GridError, match=r"several vertical systems \(.*0\.tif: egm96, .*1\.tif: e"):
        planned(simulated, archive, dem=files, dem_vertical="auto")


def test_heights_above_a_geoid_that_is_not_installed_fail_the_plan(
    simulated, archive, tmp_path, monkeypatch
):
    import pyproj

    monkeypatch.setattr(
        pyproj.Transformer, "from_pipeline",
        lambda *_: (_ for _ in ()).throw(pyproj.exceptions.ProjError("no grid")),
    )  # fmt: skip
    with pytest.raises(GridError, match=r"need its geoid.*projsync.*geoid"):
        planned(simulated, archive, dem_vertical="egm2008")


def test_a_geoid_raster_is_locked_like_the_heights(simulated, archive, tmp_path):
    at = Affine(0.5, 0, LON - 5, 0, -0.5, LAT + 5)
    geoid = write_dem(tmp_path / "geoid.tif", np.full((20, 20), -12.5, "f4"), at)
    radar = {"dem_vertical": "egm96", "geoid": geoid}
    lock = planned(simulated, archive, **radar)
    assert lock.geoid.href == geoid
    Path(geoid).write_bytes(Path(geoid).read_bytes() + b" ")
    with pytest.raises(SourceError, match=r"geoid\.tif: changed since it was planned"):
        stage(tmp_path, lock)
    Path(geoid).unlink()
    with pytest.raises(InputError, match=r"geoid\.tif: no such geoid raster; .*geoid"):
        planned(simulated, archive, **radar)


def test_heights_of_nothing_but_voids_are_named(simulated, archive, tmp_path):
    dem = cut_dem(simulated, tmp_path / "void.tif", lambda p, z: (p, np.full_like(z, -32768)))
    lock = planned(simulated, archive, dem=(dem,))
    with pytest.raises(GridError, match=r"void\.tif: nothing but voids.*dem"):
        stage(tmp_path, lock)


def test_pixels_beside_a_void_are_missing_and_counted(simulated, archive, tmp_path):
    def pierced(profile, heights):
        heights[tuple(n // 2 for n in heights.shape)] = -32768
        return profile, heights

    plain = stage(tmp_path, planned(simulated, archive))
    full = plain.read(slice(None), "source") > 0
    dem = cut_dem(simulated, tmp_path / "pierced.tif", pierced)
    holed = stage(tmp_path, planned(simulated, archive, dem=(dem,)))
    missing = holed.read(slice(None), "source") == 0
    assert full.all()
    assert 100 < missing.sum() < 300  # four cells of 60 m


# Orbits ------------------------------------------------------------------------------------------

RIGHT = "S1A_OPER_AUX_POEORB_OPOD_20220708T092352_V20220617T225942_20220619T005942.EOF"


@pytest.fixture
def orbit(simulated, tmp_path):
    """A precise orbit of the day, from the vectors of both slices' annotations."""
    path = next(simulated.products["descending"][0].glob("annotation/*-vv-*.xml"))
    (tmp_path / "eof").mkdir()
    annotation = read_annotation(path.read_bytes(), "a", "003.40")
    return Path(write_orbit(tmp_path / "eof" / RIGHT, annotation))


def test_the_lock_names_the_orbit_of_each_scene_with_its_hash(simulated, archive, orbit):
    recipe = merged(
        recipe_of(simulated, archive.parent, archive, orbit_files=(str(orbit.parent),)),
        {"catalog": {"hash_files": True}},
    )
    lock = plan_of(recipe, archive.parent)
    (found,) = lock.orbits
    assert (Path(found.href), found.size) == (orbit, orbit.stat().st_size)
    assert len(found.sha256) == 64
    raw = [i for i in lock.items if i.sensor == "sentinel1"]
    assert [i.orbit_file for i in raw] == [found.href] * 2
    assert read_lock(archive.parent / "lock.json") == lock
    # a newer file of the same time in the same folder is another plan, the old lock stays good
    newer = orbit.with_name(RIGHT.replace("20220708", "20230101"))
    shutil.copyfile(orbit, newer)
    assert stage(archive.parent, lock).info.items
    assert plan_of(recipe, archive.parent / "again").orbits[0].href == str(newer)


def test_annotated_orbits_need_no_entry(simulated, archive):
    lock = planned(simulated, archive)
    assert lock.orbits == ()
    text = (archive.parent / "lock.json").read_text()
    assert "orbit_file" not in text
    assert '"orbits"' not in text


def test_the_stage_takes_the_orbit_of_the_lock(simulated, archive, orbit, tmp_path):
    """The file decides, not what the folder holds later: pixels move with the locked orbit."""
    plain = stage(tmp_path, planned(simulated, archive, radiometry="amplitude"))
    before = plain.read(slice(None))
    path = next(simulated.products["descending"][0].glob("annotation/*-vv-*.xml"))
    annotation = read_annotation(path.read_bytes(), "a", "003.40")
    write_orbit(orbit, annotation, late_s=20 * annotation.azimuth_interval_s)
    radar = {"radiometry": "amplitude", "orbit_files": (str(orbit.parent),)}
    lock = planned(simulated, archive, **radar)
    write_orbit(orbit.with_name(RIGHT.replace("20220708", "20230101")), annotation)
    moved = stage(tmp_path, lock).read(slice(None))
    assert (np.abs(moved - before) < 0.5).mean() < 0.9
    same = stage(tmp_path, planned(simulated, archive, **radar)).read(slice(None))
    assert (np.abs(same - before) < 0.5).mean() > 0.99


def test_an_orbit_file_that_has_changed_since_is_refused(simulated, archive, orbit):
    lock = planned(simulated, archive, orbit_files=(str(orbit),))
    orbit.write_text(orbit.read_text() + "\n")
    with pytest.raises(SourceError, match=r"POEORB.*EOF: changed since it was planned"):
        stage(archive.parent, lock)


@pytest.mark.parametrize(
    ("name", "change", "error", "says"),
    [
        (RIGHT.replace("V20220617", "V20220601").replace("_20220619T", "_20220603T"), None,
         SceneError, r"none of the 1 orbit files is of S1A and its time \(2022-06-18"),
        (RIGHT.replace("S1A", "S1B"), None, SceneError, "none of the 1 orbit files is of S1A"),
        (RIGHT, lambda t: t.replace("Sentinel-1A", "Sentinel-1B"), SceneError,
         r"POEORB.*EOF: orbit of S1B, the image is of S1A"),
        (RIGHT, lambda t: t[: len(t) // 2], SceneError, r"POEORB.*EOF: broken orbit file"),
        (RIGHT, lambda t: "", SceneError, r"POEORB.*EOF: broken orbit file"),
        (RIGHT, lambda t: t.replace("UTC=2022-06-18", "UTC=2022-06-12"), SceneError,
         r"POEORB.*EOF: no unbroken state vectors"),
        ("own.EOF", lambda t: t.replace("UTC=2022-06-18", "UTC=2022-06-12"), SceneError,
         r"own\.EOF: no unbroken state vectors"),
        ("own.txt", None, InputError, "no .EOF file in this folder; correct orbit_files"),
    ],
    ids=["time", "mission", "content of another mission", "cut off", "empty",
         "content of another time", "own name", "empty folder"],
)  # fmt: skip
def test_unfit_orbit_files_fail_the_plan(simulated, archive, orbit, name, change, error, says):
    text = orbit.read_text()
    orbit.unlink()
    (orbit.parent / name).write_text(change(text) if change else text)
    with pytest.raises(error, match=says):
        planned(simulated, archive, orbit_files=(str(orbit.parent),))
    assert not (archive.parent / "lock.json").exists()


def test_control_points_need_no_orbit_files(simulated, archive, tmp_path):
    radar = {"geometry": "gcp", "dem": (), "orbit_files": (str(tmp_path / "none.EOF"),)}
    assert planned(simulated, archive, **radar).orbits == ()


def test_the_genuine_restituted_orbit_is_found_by_its_name(shared_data):
    from terrapatch.radar.orbitfiles import best_orbit, orbit_paths

    paths = orbit_paths([str(shared_data / "s1_slc_orbit")])
    start, stop = (np.datetime64(f"2022-09-18T07:49:{s}", "ns") for s in (21, 46))
    path = best_orbit(paths, "scene", "S1A", start, stop)
    assert read_eof(path, start, stop, "S1A").covers(0.0, 25.0)


# Slices ------------------------------------------------------------------------------------------


def box(west, south, east, north):
    return f"{north},{west} {north},{east} {south},{east} {south},{west}"


def edited(product, number, start, ring):
    """Give a product another place in its datatake: manifest only."""
    manifest = product / "manifest.safe"
    text = manifest.read_text()
    text = re.sub(r"(sliceNumber>)\d+", rf"\g<1>{number}", text)
    text = re.sub(r"(totalSlices>)\d+", r"\g<1>4", text)
    for tag, second in (("startTime", start), ("stopTime", start + 25)):
        moment = f"2022-06-18T08:{second // 60:02d}:{second % 60:02d}.000000"
        text = re.sub(rf"(safe:{tag}>)[^<]+", rf"\g<1>{moment}", text)
    text = re.sub(r"(<gml:coordinates>)[^<]+", rf"\g<1>{ring}", text)
    manifest.write_text(text)


@pytest.fixture
def torn(simulated, archive, tmp_path):
    """Slices 1 and 3 of 4, a slice's length apart, and a recipe whose area lies over both."""
    one, three = sorted(archive.glob("*.SAFE"))
    edited(one, 1, 600, box(LON - 1, LAT + 0.75, LON + 1, LAT + 2.25))
    edited(three, 3, 650, box(LON - 1, LAT - 2.25, LON + 1, LAT - 0.75))
    recipe = recipe_of(simulated, tmp_path, archive, geometry="gcp", dem=())
    at = Affine(0.05, 0, LON - 1.5, 0, -0.05, LAT + 1.5)
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", count=1, dtype="uint8", height=60, width=60,
        crs="EPSG:4326", transform=at, nodata=255,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((60, 60), "uint8"), 1)
    recipe["area"] = {"bbox": [LON - 0.5, LAT - 1, LON + 0.5, LAT + 1]}
    recipe["sampling"] |= {"resolution": 1000, "size_px": 8}
    return recipe


def test_a_slice_that_is_missing_in_the_middle_fails_the_plan(torn, tmp_path):
    with pytest.raises(IncompleteError) as info:
        plan_of(torn, tmp_path)
    told = str(info.value)
    assert "slice 2 of 4 is missing between S1A_IW_GRDH" in told
    assert "slice 2 is not in the archive" in told
    assert "of Sentinel-1A, 2022-06-18T08:10:00" in told
    assert "catalog.missing_slices: allow" in told
    assert told.startswith("datatake ")
    assert "\n" not in told


def test_an_archive_may_be_thinned_out_on_purpose(torn, tmp_path):
    torn["catalog"]["missing_slices"] = "allow"
    lock = plan_of(torn, tmp_path)
    assert len([i for i in lock.items if i.sensor == "sentinel1"]) == 2


def test_a_slice_that_the_area_does_not_need_may_be_missing(torn, tmp_path):
    parts = [shapely.box(LON - 0.5, LAT + s * 0.85, LON + 0.5, LAT + s) for s in (-1, 1)]
    (tmp_path / "area.geojson").write_text(shapely.to_geojson(shapely.MultiPolygon(parts)))
    torn["area"] = {"file": str(tmp_path / "area.geojson")}
    assert len(plan_of(torn, tmp_path).items) == 3


def test_a_slice_that_was_left_out_is_said_to_be_there(torn, archive, tmp_path):
    one = sorted(archive.glob("*.SAFE"))[0]
    two = redated(one, tmp_path / "more", "2022-06-18")
    two = two.rename(archive / two.name.replace("_1SDV_", "_1SSV_"))
    edited(two, 2, 625, box(LON - 1, LAT - 0.75, LON + 1, LAT + 0.75))
    manifest, source = two / "manifest.safe", one / "manifest.safe"
    text = manifest.read_text().replace(
        "<s1sarl1:transmitterReceiverPolarisation>VH</s1sarl1:transmitterReceiverPolarisation>", ""
    )
    take = re.search(r"missionDataTakeID>(\d+)", source.read_text())[1]
    manifest.write_text(re.sub(r"(missionDataTakeID>)\d+", rf"\g<1>{take}", text))
    # The edited times are not those of the folder's name: the product is called by its content.
    name = r"S1A_IW_GRDH_1SSV_20220618T081025_20220618T081050_043999_06A0AD_\w{4}"
    with pytest.raises(IncompleteError, match=rf"\({name} was left out: has VV, lacks VH\)"):
        plan_of(torn, tmp_path)


def test_numbers_that_jump_without_a_pause_are_no_hole(torn, archive, tmp_path):
    """The second slice begins when the first one ends, whatever outlines and numbers say."""
    three = sorted(archive.glob("*.SAFE"))[1]
    edited(three, 3, 625, box(LON - 1, LAT - 2.25, LON + 1, LAT - 0.75))
    assert len(plan_of(torn, tmp_path).items) == 3


def test_genuine_neighbours_follow_each_other(shared_data):
    paths = sorted((shared_data / "s1_grd_safe").glob("*20150222*.zip"))
    scenes = [read_product(path) for path in paths]
    assert [(s.slice.number, s.slice.total) for s in scenes] == [(2, 4), (3, 4)]
    assert scenes[0].slice.segment == scenes[1].slice.segment == "2015-02-22T17:06:56.587288"
    assert scenes[0].slice.start == datetime(2015, 2, 22, 17, 7, 25, 54739)
    area = shapely.box(8, 48, 13, 53)
    assert missing_slices(scenes, scenes, [], area) == []
    north = shapely.transform(scenes[1].footprint, lambda xy: xy + np.array([-0.36, 1.5]))
    start, stop = (datetime(2015, 2, 22, 17, 8, second) for second in (15, 40))
    later = replace(
        scenes[1], id="later", footprint=north,
        slice=replace(scenes[1].slice, number=4, start=start, stop=stop),
    )  # fmt: skip
    (error,) = missing_slices([scenes[0], later], [scenes[0], later], [], area)
    assert "datatake 24024 of Sentinel-1A" in str(error)
    assert "slice 3 of 4" in str(error)
    west = shapely.box(0, 48, 5, 53)
    assert missing_slices([scenes[0], later], [scenes[0], later], [], west) == []
