# SPDX-License-Identifier: Apache-2.0
"""The simulated parcels and regions: genuine names and codes, exact bounds, one landscape in all rasters."""

import hashlib

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from made.vectors import Unit
from terrapatch import grid
from terrapatch.crs import GEOGRAPHIC
from terrapatch.errors import InputError
from terrapatch.legend import load_crosswalk, load_legend
from terrapatch.simulate.facts import covers, rows
from terrapatch.simulate.landscape import feature_numbers, make_landscape
from terrapatch.simulate.regions import choose, write_regions
from terrapatch.simulate.register import crop_of, write_parcels

AREA = shapely.box(7.71, 48.50, 7.81, 48.57)
LANDSCAPE = make_landscape(AREA, AREA, 4)
PLANE = grid.reprojected(AREA, GEOGRAPHIC, LANDSCAPE.crs)
LPIS = {"legend": "flairhub_lpis", "crosswalk": "rpg_flairhub", "background": 45, "edges": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("europe")
    write_parcels(folder / "rpg", LANDSCAPE, PLANE, 2018)
    write_regions(folder, LANDSCAPE, PLANE, 2018)
    return folder


@pytest.fixture(scope="module")
def regions(folder):
    return pyogrio.read_dataframe(folder / "rois.gpkg")


def cover_seen(geobox):
    return np.array(covers().names)[LANDSCAPE.features.cover[feature_numbers(LANDSCAPE, geobox)]]


def opened(folder, kind):
    return sorted((folder / kind).glob("*.tif"))


def test_regions_are_whole_patches_to_the_millimetre_and_lie_apart_in_the_area(regions):
    assert len(regions) >= 4
    assert regions.crs.to_epsg() == 2154
    sides = regions.bounds.to_numpy()[:, 2:] - regions.bounds.to_numpy()[:, :2]
    patches = np.rint(sides / 102.4)
    np.testing.assert_allclose(sides, patches * 102.4, rtol=0, atol=5e-4)
    assert patches.sum(axis=1).max() <= 4
    assert len({(d, r) for d, r in zip(regions.domain, regions.roi, strict=True)}) == len(regions)
    assert set(regions.domain) == {"D067-2018", "D068-2018"}
    assert not any("_" in name for name in [*regions.domain, *regions.roi])
    there = grid.reprojected(AREA, GEOGRAPHIC, "EPSG:2154")
    for n, one in enumerate(regions.geometry):
        assert there.buffer(1).contains(one)
        assert not any(one.intersects(other) for other in regions.geometry[:n])


def test_every_region_has_all_rasters_on_its_own_ground(folder, regions):
    forms = {
        "aerial": (0.2, "uint8", ("R", "G", "B", "NIR")), "pan": (0.4, "uint8", ("PAN",)),
        "elevation": (0.2, "float32", ("DSM", "DTM")), "spot": (1.6, "uint16", ("R", "G", "B", "NIR")),
        "cosia": (0.2, "uint8", ("cosia",)),
    }  # fmt: skip
    for kind, (pixel, dtype, bands) in forms.items():
        assert [p.stem for p in opened(folder, kind)] == sorted(
            f"{d}_{r}" for d, r in zip(regions.domain, regions.roi, strict=True)
        )
        for domain, roi, outline in zip(regions.domain, regions.roi, regions.geometry, strict=True):
            with rasterio.open(folder / kind / f"{domain}_{roi}.tif") as found:
                assert (found.dtypes[0], found.descriptions, found.res) == (
                    dtype,
                    bands,
                    (pixel,) * 2,
                )
                assert found.crs.to_epsg() == 2154
                np.testing.assert_allclose(found.bounds, outline.bounds, rtol=0, atol=1e-6)
                assert found.read().std() > 0


def test_classes_heights_and_colours_are_those_of_the_landscape(folder):
    legend = load_legend("flairhub_cosia")
    table = {row["cover"]: row for row in rows("cosia")}
    assert set(table) == set(covers().names)
    classes = {int(row["class"]) for row in table.values()} | {0, 3, 4}
    assert classes <= set(legend.finest.codes)
    told = set()
    for path in opened(folder, "cosia"):
        with rasterio.open(path) as found:
            codes = found.read(1)
            geobox = GeoBox(found.shape, found.transform, "EPSG:2154")
        names = cover_seen(geobox)
        for cover in set(names.ravel()):
            here = codes[(names == cover) & (codes != 19)]
            usual = int(table[cover]["class"])
            allowed = {usual, 4} | ({0, 3} if table[cover]["houses"] else set())
            assert set(here) <= allowed, cover
            assert (here == usual).mean() > 0.2
        told.add(int((codes == 19).sum()))
        with rasterio.open(folder / "elevation" / path.name) as found:
            surface, terrain = found.read().astype(float)
        assert (surface >= terrain - 0.02).all()
        with rasterio.open(folder / "aerial" / path.name) as found:
            red, *_, near = found.read().astype(float)
        with rasterio.open(folder / "spot" / path.name) as found:
            coarse = found.read(4).astype(float)
        # One ground: SPOT is what the aerial image is, eight pixels wide.
        blocks = near.reshape(near.shape[0] // 8, 8, near.shape[1] // 8, 8).mean(axis=(1, 3))
        assert np.corrcoef(blocks.ravel(), coarse.ravel())[0, 1] > 0.9
        wood = np.isin(codes, (12, 13))
        if wood.mean() > 0.1 and (codes == 8).mean() > 0.1:
            assert (surface - terrain)[wood].mean() > 8
            assert red[wood].mean() < red[codes == 8].mean()
    assert sorted(told) == [0, 100]


def test_parcels_have_genuine_codes_under_the_names_of_two_editions(folder):
    walk = load_crosswalk("rpg_flairhub").words
    old = pyogrio.read_dataframe(folder / "rpg" / "rpg_2017.gpkg")
    new = pyogrio.read_dataframe(folder / "rpg" / "rpg_2018.gpkg")
    assert {"CODE_CULTU", "CODE_GROUP", "SURF_PARC", "ID_PARCEL"} <= set(old.columns)
    assert {"code_cultu", "code_group", "surf_parc", "id_parcel", "cat_cult_p"} <= set(new.columns)
    assert pyogrio.list_layers(folder / "rpg" / "rpg_2018.gpkg")[:, 0].tolist() == ["RPG_Parcelles"]
    assert set(old["CODE_CULTU"]) | set(new["code_cultu"]) <= set(walk)
    assert 0.2 < (old["CODE_CULTU"].to_numpy() != new["code_cultu"].to_numpy()).mean() < 0.9
    assert len({walk[code] for code in new["code_cultu"]}) > 12
    shapes = new.geometry.to_numpy()
    one, other = shapely.STRtree(shapes).query(shapes, predicate="overlaps")
    both = shapely.intersection(shapes[one], shapes[other])
    assert shapely.is_empty(shapely.buffer(both, -0.02)).all()  # rounded to centimetres
    np.testing.assert_allclose(new.area / 1e4, new["surf_parc"], atol=0.006)


def test_labels_of_parcels_are_what_grows_on_the_landscape(folder, tmp_path, regions):
    walk = load_crosswalk("rpg_flairhub").words
    farmed = 0
    for number, outline in enumerate(regions.geometry):
        left, _, _, top = outline.bounds
        geobox = GeoBox((300, 300), rasterio.Affine(1, 0, left, 0, -1, top), "EPSG:2154")
        seen = feature_numbers(LANDSCAPE, geobox)
        crops = {k: crop_of(LANDSCAPE, k) for k in np.unique(seen).tolist()}
        if not any(crops.values()) or farmed == 3:
            continue
        farmed += 1
        for name, key in (("rpg_2017", "before"), ("rpg_2018", "code")):
            source = {"path": str(folder / "rpg" / f"{name}.gpkg"), "product": name}
            (tmp_path / f"{number}{name}").mkdir()
            unit = Unit(tmp_path / f"{number}{name}", geobox, vectors=[source], **LPIS)
            layers, _ = unit.build()
            wanted = {k: 45 if crop is None else walk[crop[key]] for k, crop in crops.items()}
            expected = np.vectorize(wanted.get)(seen)
            # Centres within a centimetre of a border may fall to either side.
            assert (layers[0] == expected).mean() > 0.998
    assert farmed == 3


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    write_parcels(tmp_path / "rpg", LANDSCAPE, PLANE, 2018)
    write_regions(tmp_path, LANDSCAPE, PLANE, 2018)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*.*") if p.is_file())
    assert len(files) > 20
    for name in files:
        sums = {
            hashlib.sha256((root / name).read_bytes()).hexdigest() for root in (folder, tmp_path)
        }
        assert len(sums) == 1, name


def test_an_area_that_no_region_fits_into_is_refused():
    tiny = shapely.box(0, 0, 50, 50)
    with pytest.raises(InputError, match=r"no region of 102\.4 m fits into the area"):
        choose(LANDSCAPE, tiny, 2018)
