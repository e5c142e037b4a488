# SPDX-License-Identifier: Apache-2.0
"""Theia's products: what genuine metadata say, what is chosen, what is refused."""

import re
import shutil

import numpy as np
import pytest
import rasterio
import shapely

from made.catalog import make_safe, reference_map, settings_file
from made.recipes import resolve
from made.theia import BANDS, CRS, GROUND, NAME, genuine, make_theia, write, zipped
from terrapatch.catalog import maja, policy
from terrapatch.catalog.families import uncovered
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.plan import plan
from terrapatch.catalog.tree import Reading
from terrapatch.errors import GridError, RecipeError, SceneError
from terrapatch.grid import reprojected
from terrapatch.settings import THEIA_10

NO_HASH = Files(hash_files=False)
MASKS = ("EDG", "CLM", "MG2")


def one(path, **how):
    (scene,) = search([path], Reading(**how)).scenes
    return scene


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def degrees(box):
    """A box in UTM as an area in degrees."""
    return reprojected(shapely.box(*box), CRS, "EPSG:4326")


# --- genuine metadata ----------------------------------------------------------------------------


def test_genuine_metadata_say_what_they_say(shared_data):
    scene = one(shared_data / "s2_theia_l2a" / "T31UDS")
    assert (scene.id, scene.level, scene.processor) == (NAME, "L2A", "theia")
    assert (scene.tile, scene.platform, scene.datetime) == (
        "T31UDS", "Sentinel-2A", "2016-09-28T10:56:37.665Z",
    )  # fmt: skip
    assert (scene.cloud_percent, scene.relative_orbit, scene.processing_baseline) == (54, 51, "1.0")
    # The corners that the metadata give in degrees (5 decimals of longitude, 4 of latitude).
    west, south, east, north = scene.footprint.bounds
    assert (west, south) == (pytest.approx(1.56055, abs=1e-5), pytest.approx(50.4553, abs=6e-5))
    assert (east, north) == (pytest.approx(3.14046, abs=1e-5), pytest.approx(51.4511, abs=1e-4))


def test_tracks_are_those_of_esas_metadata(shared_data):
    """Absolute orbits stand in names of granules, tracks in names of products."""
    seen = set()
    for granule in shared_data.glob("s2_l*/*.SAFE/GRANULE/L*"):
        platform, track = re.match(r"(S2[AB])_.*_R(\d{3})_", granule.parts[-3]).groups()
        number = int(re.search(r"_A(\d{6})_", granule.name)[1])
        assert maja.relative_orbit(f"Sentinel-{platform[1:]}", number) == int(track), granule
        seen.add(platform)
    assert seen == {"S2A", "S2B"}
    assert maja.relative_orbit("Sentinel-2C", 1000) is None
    assert maja.relative_orbit("Sentinel-2C", 94) == 94


def test_damaged_metadata_are_one_clear_error(shared_data):
    fragments = sorted(shared_data.glob("s2_theia_l2a/T38*/SENTINEL2*"))
    assert len(fragments) == 4
    for folder in fragments:
        with pytest.raises(SceneError, match=r"_MTD_ALL\.xml: broken metadata .*fetch the product"):
            search([folder])


def test_files_are_those_that_the_metadata_list(shared_data, tmp_path):
    root, values = make_theia(tmp_path, shared_data)
    for kind in ("FRE", "SRE"):
        item = locked_item(one(tmp_path, reflectance=kind), (*THEIA_10, *MASKS), NO_HASH)
        assert item.processor == "theia"
        assert len(item.assets) == 13
        for band in THEIA_10:
            asset = item.assets[band]
            assert (asset.dtype, asset.nodata, asset.add_offset) == ("int16", -10_000, 0)
            assert asset.crs == CRS
            with rasterio.open(asset.href) as dataset:
                np.testing.assert_array_equal(dataset.read(1), values[kind, band])
        assert [item.assets[m].nodata for m in MASKS] == [None] * 3
        assert [item.assets[m].shape for m in MASKS] == [GROUND.shape] * 3
        assert item.assets["EDG"].href.endswith(f"{root.name}/MASKS/{root.name}_EDG_R1.tif")


def test_archives_are_read_in_place(shared_data, tmp_path):
    root, values = make_theia(tmp_path, shared_data)
    archive = zipped(root)
    shutil.rmtree(root)
    item = locked_item(one(archive), ("B8A", "EDG"), Files(hash_files=True))
    assert item.assets["B8A"].href.startswith("/vsizip/")
    assert len(item.assets["B8A"].sha256) == 64
    with rasterio.open(item.assets["B8A"].href) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values["FRE", "B8A"])


def test_products_are_found_however_they_were_unpacked(shared_data, tmp_path):
    root, _ = make_theia(tmp_path, shared_data)
    inside = tmp_path / "more" / NAME / NAME
    inside.parent.mkdir(parents=True)
    shutil.move(root, inside)
    renamed = tmp_path / "other" / "my download"
    renamed.parent.mkdir()
    shutil.copytree(inside, renamed)
    for place in (tmp_path / "more", inside, renamed, inside / f"{NAME}_MTD_ALL.xml"):
        assert one(place).id == NAME


# --- what is refused -----------------------------------------------------------------------------


def test_a_missing_band_or_mask_is_named_with_the_remedy(shared_data, tmp_path):
    root, _ = make_theia(tmp_path, shared_data, kinds=("SRE",))
    scene = one(tmp_path)
    with pytest.raises(SceneError, match=r"B02 as SRE only.*reflectance: SRE"):
        locked_item(scene, ("B02",), NO_HASH)
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B01 \(it has B02, .*B12\)"):
        locked_item(one(tmp_path, reflectance="SRE"), ("B01", "B02"), NO_HASH)
    for mask, setting in (("EDG", "mask_edg: false"), ("CLM", r"mask_clm: \[\]")):
        (root / "MASKS" / f"{NAME}_{mask}_R1.tif").unlink()
        with pytest.raises(SceneError, match=rf"lacks the mask {mask} .*set sentinel2\.{setting}"):
            locked_item(one(tmp_path, reflectance="SRE"), ("B02", mask), NO_HASH)


def test_a_folder_without_metadata_is_no_product(shared_data, tmp_path):
    root, _ = make_theia(tmp_path, shared_data, kinds=())
    (root / f"{NAME}_MTD_ALL.xml").unlink()
    with pytest.raises(SceneError, match=r"lacks its metadata .*fetch it again"):
        search([tmp_path])


def test_a_truncated_archive_is_named(shared_data, tmp_path):
    root, _ = make_theia(tmp_path, shared_data)
    archive = zipped(root)
    shutil.rmtree(root)
    archive.write_bytes(archive.read_bytes()[:-4000])
    with pytest.raises(SceneError, match=rf"{archive.name}: no complete zip archive"):
        search([tmp_path])


def test_an_archive_with_a_broken_member_is_named(shared_data, tmp_path):
    root, _ = make_theia(tmp_path, shared_data)
    archive = zipped(root)
    data = bytearray(archive.read_bytes())
    place = data.index(f"{NAME}_FRE_B2.tif".encode()) + 200
    data[place : place + 50] = bytes(50)
    archive.write_bytes(bytes(data))
    with pytest.raises(SceneError, match=r"FRE_B2\.tif' is broken .*fetch the archive again"):
        locked_item(one(archive), ("B02",), NO_HASH)


def test_a_raster_in_another_zone_than_the_metadata_say_is_refused(shared_data, tmp_path):
    make_theia(tmp_path, shared_data, crs="EPSG:32632")
    with pytest.raises(GridError, match=r"FRE_B2\.tif: CRS that does not match: .*32632.*32631"):
        locked_item(one(tmp_path), ("B02",), NO_HASH)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<PRODUCT_LEVEL>L2A", "<PRODUCT_LEVEL>L1C", r"level L1C; only L2A"),
        ("<ORBIT_NUMBER", "<ORBIT", r"broken metadata \(mismatched"),
        ("2016-09-28T10:56:37.665Z", "yesterday", r"broken metadata .*yesterday"),
        ('name="nodata"', 'name="void"', r"without the nodata value"),
        (
            '<Group_Geopositioning group_id="R1"',
            '<Group_Geopositioning group_id="X"',
            "geoposition",
        ),
    ],
)
def test_metadata_that_mean_something_else_are_refused(shared_data, tmp_path, old, new, says):
    root, _ = make_theia(tmp_path, shared_data)
    edit(root / f"{NAME}_MTD_ALL.xml", old, new)
    with pytest.raises(SceneError, match=says):
        locked_item(one(tmp_path), ("B02",), NO_HASH)


# --- policy --------------------------------------------------------------------------------------


def test_the_later_version_of_an_acquisition_is_used(shared_data, tmp_path):
    for version in ("V1-0", "V2-2", "V1-1"):
        make_theia(tmp_path, shared_data, version=version, kinds=())
    kept, out = policy.newest_versions(search([tmp_path]).scenes)
    assert [s.id[-4:] for s in kept] == ["V2-2"]
    assert len(out) == 2


def test_cloud_below_the_limit_and_at_the_limit(shared_data, tmp_path):
    for day, cloud in (("20200101", 9), ("20200102", 10), ("20200103", 11)):
        make_theia(tmp_path, shared_data, day=day, cloud=cloud, kinds=())
    scenes = search([tmp_path]).scenes
    assert [s.cloud_percent for s in policy.clear_enough(scenes, 10)[0]] == [9, 10]
    kept, out = policy.clear_enough(scenes, 10, below=True)
    assert [s.cloud_percent for s in kept] == [9]
    assert out[0].reason == "10.0 % cloud, the limit is below 10 %"


def test_scenes_that_do_not_show_all_of_the_area_are_left_out(shared_data, tmp_path):
    edge = np.zeros(GROUND.shape, bool)
    edge[:, 60:] = True
    edge[0, 0] = True
    make_theia(tmp_path, shared_data, edge=edge, kinds=())
    scene = one(tmp_path)
    left, bottom, right, top = GROUND.boundingbox.bbox
    for area, expected in [
        ((left + 100, bottom, left + 500, top), 0.0),
        # Pixel centres decide: columns 50 to 69, of which 60 and later are outside.
        ((left + 500, bottom, left + 700, top), 0.5),
        # Beyond the product's grid nothing counts.
        ((left - 5000, bottom, left + 100, top), 1 / (64 * 10)),
        ((left - 5000, bottom, left - 100, top), 0.0),
    ]:
        # Sides of a box in UTM are curved in degrees: shrink by less than half a pixel.
        shrunk = (area[0] + 2, area[1] + 2, area[2] - 2, area[3] - 2)
        assert uncovered(scene, degrees(shrunk)) == expected
    whole = degrees((left, bottom, right, top))
    kept, out = policy.covering([scene], whole)
    assert not kept
    assert re.fullmatch(r"37\.\d\d % of the area in its grid lies outside .*", out[0].reason)
    assert policy.covering([scene], None)[0] == [scene]
    # One pixel in a hundred thousand is said, not rounded away.
    tiny = policy.covering([scene], degrees((left - 90, top - 9, left + 9, top + 90)))
    assert not tiny[0]


def test_the_footprint_decides_for_products_of_esa(tmp_path):
    ring = ((44.96, 2.99), (45.0, 2.99), (45.0, 3.01), (44.96, 3.01), (44.96, 2.99))
    root = make_safe(tmp_path, footprint=ring)
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{2400 // r}</NROWS><NCOLS>{2400 // r}</NCOLS></Size>'
        for r in (10, 20, 60)
    )
    edit(next(root.glob("GRANULE/*/MTD_TL.xml")), "</n1:T>", f"{sizes}</n1:T>")
    scene = one(tmp_path)
    assert scene.processor == "esa"
    # The grid reaches from 3.0 to 3.0304 degrees, the footprint to 3.01 (and 500 m of doubt).
    assert uncovered(scene, shapely.box(3.002, 44.98, 3.012, 44.99)) == 0
    area = shapely.box(3.005, 44.98, 3.025, 44.99)
    assert uncovered(scene, area) == pytest.approx(0.5, abs=0.01)


def test_the_recipe_says_whose_products_are_used(shared_data, tmp_path):
    make_theia(tmp_path / "s2", shared_data, day="20220116")
    make_safe(tmp_path / "s2", tile="T31UDS", left=450_000, top=5_650_020,
              footprint=((50.9, 2.2), (51.1, 2.2), (51.1, 2.4), (50.9, 2.4), (50.9, 2.2)))  # fmt: skip
    centre = degrees(GROUND.boundingbox.bbox).centroid
    area = [centre.x - 0.003, centre.y - 0.0015, centre.x + 0.003, centre.y + 0.0015]
    write_map = reference_map(tmp_path)
    with rasterio.open(write_map) as dataset:
        profile = dataset.profile | {"transform": rasterio.Affine(0.001, 0, 2.1, 0, -0.001, 51.2)}
    with rasterio.open(write_map, "w", **profile) as dataset:
        dataset.write(np.ones((1, 300, 300), np.uint8))
    common = {
        "area": {"bbox": area}, "label": {"path": str(write_map)}, "sampling": {"size_px": 16},
        "catalog": {"paths": [str(tmp_path / "s2")], "period": ["2022-01-01", "2022-12-31"]},
    }  # fmt: skip
    for processor in ("esa", "theia"):
        settings = settings_file(
            tmp_path, **common,
            sentinel2={"processor": processor, "mask_clm": [1] if processor == "theia" else []},
        )  # fmt: skip
        lock = plan(settings, tmp_path / "lock.json")
        (item,) = (i for i in lock.items if i.sensor == "sentinel2")
        assert item.processor == processor
        masks = {"EDG", "CLM"} if processor == "theia" else set()
        assert item.assets.keys() == {"B02", "B05"} | masks
        assert any(f"the recipe asks for {processor}" in e.reason for e in lock.excluded)
        assert f'"processor": "{processor}"' in (tmp_path / "lock.json").read_text()
    flat = {"kind": "sentinel2", "processor": "theia", "reflectance": "SRE", "bands": ["B02"]}
    settings = settings_file(tmp_path, **common, layers={"flat": flat})
    found = {i.processor: i for i in plan(settings).items if i.sensor == "sentinel2"}
    assert found.keys() == {"esa", "theia"}
    assert "_SRE_B2" in found["theia"].assets["B02"].href


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sentinel2": {"processor": "theia"}}, "have no B01, B09; they have B02, B03"),
        ({"sentinel2": {"processor": "theia", "level": "L1C"}}, "Theia's products are L2A"),
        ({"sentinel2": {"processor": "theia", "scl": True}}, "use mask_clm"),
        ({"sentinel2": {"mask_mg2": [2]}}, "masks of Theia; ESA's products have mask_scl"),
        ({"simulate": {"s2_format": "theia"}}, "theia writes no products of esa"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes, says):
    plain = {"name": "x", "area": {"bbox": [0, 0, 1, 1]}} | changes
    plain["catalog"] = {"source": "simulated"} | changes.get("catalog", {})
    with pytest.raises(RecipeError, match=says):
        resolve(plain)


def test_a_recipe_for_theia_can_be():
    recipe = resolve(
        {
            "name": "x", "area": {"bbox": [0, 0, 1, 1]}, "simulate": {"s2_format": "both"},
            "catalog": {"source": "simulated"},
            "sentinel2": {"processor": "theia", "bands": list(THEIA_10), "dtype": "int16"},
        }
    )  # fmt: skip
    assert recipe.layers["sentinel2"].mask_edg
    assert {f"B{int(b[1:]):02d}" if b[1:].isdigit() else b for b in BANDS} == set(THEIA_10)


def test_the_genuine_file_lists_what_the_helper_writes(shared_data, tmp_path):
    """The helper's products and the metadata around them are of one form."""
    root, _ = make_theia(tmp_path, shared_data)
    text = genuine(shared_data).read_text(encoding="utf-8")
    for file in root.rglob("*.tif"):
        assert file.relative_to(root).as_posix() in text
    write(tmp_path / "x.tif", np.zeros(GROUND.shape, np.uint8), GROUND, CRS)
    with rasterio.open(tmp_path / "x.tif") as dataset:
        assert dataset.nodata is None
