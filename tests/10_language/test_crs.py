# SPDX-License-Identifier: Apache-2.0
"""A CRS keeps its own definition: codes stand in only where they say the same."""

import sqlite3

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from made.patches import map_item, utm_geobox
from made.vectors import Unit, table_of, write_vectors
from terrapatch.crs import crs_name, equal_crs, same_crs, short_name, transformer
from terrapatch.errors import GridError, SceneError
from terrapatch.grid import geobox_from_dict, geobox_to_dict, snapped_geobox
from terrapatch.heights.geoid import geoid_raster
from terrapatch.rasters import check_one_band, read_header, write_geotiff
from terrapatch.vectors import open_layer, schema_of

HAYFORD = "+proj=utm +zone=23 +south +ellps=intl +towgs84=-87,-98,-121 +units=m +no_defs"
UNNAMED = (
    'PROJCS["unknown",GEOGCS["GCS_unknown",DATUM["D_Unknown_based_on_GRS80_ellipsoid",SPHEROID['
    '"GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433'
    ']],PROJECTION["Lambert_Conformal_Conic"],PARAMETER["False_Easting",700000.0],PARAMETER['
    '"False_Northing",6600000.0],PARAMETER["Central_Meridian",3.0],PARAMETER["Standard_Parallel_1",'
    '49.0],PARAMETER["Standard_Parallel_2",44.0],PARAMETER["Latitude_Of_Origin",46.5],UNIT["Meter",'
    "1.0]]"
)
"""Lambert-93 without its datum: a look-alike of EPSG:2154."""
SHIFTED = (
    'PROJCS["SAD69 / UTM zone 23S",GEOGCS["SAD69",DATUM["South_American_Datum_1969",SPHEROID["GRS '
    '1967 Modified",6378160,298.25],TOWGS84[{}],AUTHORITY["EPSG","6618"]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4618"]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",-45],PARAMETER["scale_factor",'
    '0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",10000000],UNIT["metre",1,'
    'AUTHORITY["EPSG","9001"]],AUTHORITY["EPSG","29193"]]'
)
"""A definition with a code, and a shift of its own."""


@pytest.mark.parametrize("code", [2154, 3035, 32632, 4326, 4674, 28992, 2056, 2193, 29193, 2263])
@pytest.mark.parametrize("form", ["WKT1_ESRI", "WKT1_GDAL", "WKT2_2019"])
def test_every_form_of_a_known_system_goes_by_its_code(code, form):
    assert crs_name(CRS.from_epsg(code).to_wkt(form)) == f"EPSG:{code}"


@pytest.mark.parametrize(
    "definition",
    [HAYFORD, UNNAMED, SHIFTED.format("-87,-98,-121,0,0,0,0"),
     "+proj=utm +zone=32 +ellps=GRS80 +units=m", "+proj=utm +zone=32 +ellps=WGS84 +units=m"],
)  # fmt: skip
def test_a_look_alike_keeps_its_definition(definition):
    name = crs_name(definition)
    assert "EPSG:" not in name.split("[")[0]
    assert CRS(name) == CRS(definition)
    assert crs_name(name) == name
    assert len(short_name(name)) < 60


def test_a_shift_of_nothing_is_no_shift():
    # As IGN writes Lambert-93: with its code and TOWGS84[0, ...].
    wkt = CRS.from_epsg(2154).to_wkt("WKT1_GDAL")
    marked = wkt.replace(
        'AUTHORITY["EPSG","7019"]],', 'AUTHORITY["EPSG","7019"]],TOWGS84[0,0,0,0,0,0,0],'
    )
    assert CRS(marked).is_bound
    assert crs_name(marked) == "EPSG:2154"


def test_systems_are_one_where_positions_are():
    assert same_crs("EPSG:4326", "OGC:CRS84")
    assert same_crs(CRS.from_epsg(3035).to_wkt("WKT1_ESRI"), "EPSG:3035")
    assert same_crs(UNNAMED, "EPSG:2154")
    assert same_crs("+proj=utm +zone=32 +ellps=WGS84 +units=m", "EPSG:32632")
    assert not same_crs(HAYFORD, "EPSG:20823")
    assert not same_crs("EPSG:29193", "EPSG:31983")
    assert not same_crs("EPSG:32632", "EPSG:32633")
    assert not same_crs("EPSG:4326", "EPSG:32632")


def test_what_proj_cannot_read_is_one_clear_error():
    with pytest.raises(GridError, match="no CRS that PROJ can read"):
        crs_name("PROJCS[nonsense]")
    with pytest.raises(GridError, match="no CRS"):
        transformer("EPSG:4326", "EPSG:999999")


@pytest.mark.parametrize("definition", [HAYFORD, UNNAMED])
def test_files_and_grids_keep_the_definition(tmp_path, definition):
    geobox = geobox_from_dict(
        {"crs": definition, "transform": [10, 0, 500_000, 0, -10, 8_000_000], "shape": [4, 5]}
    )
    again = geobox_from_dict(geobox_to_dict(geobox))
    assert CRS(str(again.crs)) == CRS(definition)
    write_geotiff(tmp_path / "a.tif", np.ones((4, 5), np.uint8), geobox)
    header = read_header(str(tmp_path / "a.tif"))
    at = (500_000.0, 8_000_000.0)
    want = Transformer.from_crs(definition, "EPSG:4326", always_xy=True).transform(*at)
    got = Transformer.from_crs(header.crs, "EPSG:4326", always_xy=True).transform(*at)
    np.testing.assert_allclose(got, want, atol=1e-9)


def legend(tmp_path):
    (tmp_path / "legend.csv").write_text(
        "level,code,abbrev,name,parent,color\n"
        + "".join(f"a,{n},c{n},class {n},,#{n:06x}\n" for n in range(200))
    )
    (tmp_path / "walk.csv").write_text(
        "source_code,code\n" + "".join(f"{n},{n}\n" for n in range(200))
    )
    return {
        "legend": str(tmp_path / "legend.csv"), "crosswalk": str(tmp_path / "walk.csv"),
        "edges": "none",
    }  # fmt: skip


def test_labels_of_a_map_on_another_datum_lie_where_proj_puts_them(tmp_path):
    geobox = utm_geobox((40, 50))
    zone = "+proj=utm +zone=22 +south +ellps=intl +towgs84=-87,-98,-121 +units=m +no_defs"
    to = Transformer.from_crs(str(geobox.crs), zone, always_xy=True)
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    x, y = to.transform(*np.meshgrid(c + a * (np.arange(50) + 0.5), f + e * (np.arange(40) + 0.5)))
    left, top = np.floor(x.min() / 10) * 10 - 50, np.ceil(y.max() / 10) * 10 + 50
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 200, (60, 70), np.uint8)
    profile = {
        "driver": "GTiff", "width": 70, "height": 60, "count": 1, "dtype": "uint8", "crs": zone,
        "transform": Affine(10, 0, left, 0, -10, top),
    }  # fmt: skip
    with rasterio.open(tmp_path / "map.tif", "w", **profile) as dataset:
        dataset.write(codes, 1)
    want = codes[np.floor((top - y) / 10).astype(int), np.floor((x - left) / 10).astype(int)]
    unit = Unit(tmp_path, geobox, items=[map_item(tmp_path / "map.tif")], **legend(tmp_path))
    assert "20822" not in unit.items[0].assets["map"].crs
    layers, _ = unit.build()
    assert (layers[0] == want).mean() > 0.99  # the lattice is within 0.002 px of PROJ


@pytest.mark.parametrize("suffix", [".shp", ".gpkg"])
def test_vectors_keep_a_shift_that_stands_beside_a_code(tmp_path, suffix):
    definition = SHIFTED.format("-87,-98,-121,0,0,0,0")
    path = write_vectors(
        tmp_path / f"v{suffix}",
        table_of([shapely.box(500_000, 8e6, 500_100, 8_000_100)], "EPSG:29193", code=["a"]),
    )
    if suffix == ".shp":
        path.with_suffix(".prj").write_text(definition)
    else:
        with sqlite3.connect(path) as database:
            database.execute(
                "UPDATE gpkg_spatial_ref_sys SET definition = ? WHERE srs_id = 29193", [definition]
            )
        database.close()
    layer = open_layer(str(path), schema_of("custom"), unpack_to=tmp_path)
    assert CRS(layer.crs) == CRS(definition)


def test_a_grid_in_a_system_without_code_is_a_grid(tmp_path):
    geobox = snapped_geobox((500_000, 8_000_000, 500_400, 8_000_300), HAYFORD, 10.0)
    table = table_of([shapely.box(500_100, 8_000_100, 500_200, 8_000_200)], HAYFORD, code=[7])
    write_vectors(tmp_path / "v.gpkg", table)
    vector = {"path": str(tmp_path / "v.gpkg"), "fields": ["code"]}
    layers, _ = Unit(tmp_path, geobox, vectors=[vector], **legend(tmp_path)).build()
    assert (layers[0] == 7).sum() == 100


def test_compound_systems_are_one_by_their_words_alone():
    assert same_crs("EPSG:7415", CRS.from_epsg(7415).to_wkt())
    assert not same_crs("EPSG:7415", "EPSG:7400")  # the Netherlands and France, each with heights
    assert not equal_crs("EPSG:9518", "EPSG:9707")  # heights above EGM2008 and above EGM96
    assert crs_name(CRS.from_epsg(9518).to_wkt()) == "EPSG:9518"


def test_a_height_model_of_several_bands_is_refused(tmp_path):
    path = tmp_path / "dem.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=2, dtype="float32", crs="EPSG:4326",
        transform=Affine(0.1, 0, 3, 0, -0.1, 45),
    ) as dataset:  # fmt: skip
        dataset.write(np.zeros((2, 4, 4), "float32"))
        dataset.set_band_description(1, "height")
        dataset.set_band_description(2, "error")
    header = read_header(str(path))
    with pytest.raises(SceneError, match=r"dem\.tif: 2 bands could be meant \(height, error\)"):
        check_one_band(str(path), header, "heights")
    with pytest.raises(SceneError, match="2 bands could be meant"):
        geoid_raster(str(path))


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_local_system_is_no_crs(tmp_path):
    local = 'LOCAL_CS["unnamed",UNIT["metre",1]]'
    assert crs_name(local) == ""
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8",
        crs=local, transform=Affine(10, 0, 0, 0, -10, 0),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 2, 2), "uint8"))
    assert read_header(str(tmp_path / "a.tif")).crs is None
    table = table_of([shapely.box(0, 0, 10, 10)], None, code=["a"])
    path = write_vectors(tmp_path / "v.gpkg", table)  # GeoPackage: "undefined Cartesian"
    with pytest.raises(GridError, match="does not say its CRS"):
        open_layer(str(path), schema_of("custom"), unpack_to=tmp_path)
