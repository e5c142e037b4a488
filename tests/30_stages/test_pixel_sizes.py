# SPDX-License-Identifier: Apache-2.0
"""Layers with pixels of their own on the footprints of the patches."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from made.patches import map_item, settings_folder, small_lock, write_map
from made.patches import write_footprints as write_table
from made.scenes import Unit, all_corners, centres, item, write_asset
from terrapatch.errors import GridError, RecipeError
from terrapatch.grid import geobox_from_dict
from terrapatch.labels import labels
from terrapatch.recipe import resolve
from terrapatch.stacks import open_stack

CRS = "EPSG:32722"


def grid(pixel, shape_m=(1280, 1920), left=300_000, top=9_100_000, crs=CRS):
    shape = tuple(round(length / pixel) for length in shape_m)
    return GeoBox(shape, Affine(pixel, 0, left, 0, -pixel, top), crs)


def unit_at(folder, pixel, patch_m=640, **where):
    geobox, size = grid(pixel, **where), round(patch_m / pixel)
    return Unit(folder, geobox, all_corners(geobox.shape, size), size)


def ramp_scene(folder):
    """A plane over the map, 1 DN a metre east and 2 a metre south, in whole numbers."""
    geobox = grid(10, (1480, 2120), 299_900, 9_100_100)
    x, y = centres(geobox)
    plane = (x - 299_000 + 2 * (9_101_000 - y)).astype("uint16")
    asset = write_asset(folder / "ramp.jp2", plane, geobox.affine, CRS)
    return item("ramp", {"B02": asset})


@pytest.mark.parametrize("pixel", [5.0, 10.0, 20.0, 40.0])
def test_a_ramp_lies_where_it_is_at_every_pixel_size(tmp_path, pixel):
    """On one footprint the value at each centre is that of the plane, to the last bit."""
    unit = unit_at(tmp_path, 10)
    stack = unit.build([ramp_scene(tmp_path)], bands=["B02"], dtype="float32", pixel_m=pixel)
    there = geobox_from_dict(stack.info.geobox)
    assert (stack.info.size_px, there) == (round(640 / pixel), grid(pixel))
    assert stack.read(slice(None), "source").all()
    x, y = centres(there)
    truth = (x - 299_000 + 2 * (9_101_000 - y)).astype(np.float32)
    for (top, left), patch in zip(
        np.array(unit.corners) * 10 // pixel, stack.read(slice(None))[:, 0, 0], strict=True
    ):
        rows, cols = (slice(int(at), int(at) + stack.info.size_px) for at in (top, left))
        np.testing.assert_array_equal(patch, truth[rows, cols])


def noise_scene(folder, sensor, crs="EPSG:32723"):
    """Random pixels of several sizes, with holes, in the next zone."""
    rng = np.random.default_rng(4)
    import pyproj

    move = pyproj.Transformer.from_crs(CRS, crs, always_xy=True)
    x, y = move.transform([300_000, 301_920], [9_100_000, 9_098_720])
    left, top = np.floor(min(x) / 60) * 60 - 600, np.ceil(max(y) / 60) * 60 + 600
    assets = {}
    bands = {"B02": 10, "B05": 20, "SCL": 20} if sensor == "sentinel2" else {"VV": 10, "VH": 10}
    for name, pixel in bands.items():
        shape = (round(3600 / pixel), round(4200 / pixel))
        if name == "SCL":
            values = rng.integers(0, 12, shape).astype("uint8")
        elif sensor == "sentinel2":
            values = rng.integers(500, 6000, shape).astype("uint16")
            values[rng.random(shape) < 0.002] = 0
        else:
            values = rng.gamma(4, 0.02, shape).astype("float32")
        about = {} if sensor == "sentinel2" else {"jp2": False, "nodata": 0.0}
        path = folder / f"{name}.{'jp2' if sensor == 'sentinel2' else 'tif'}"
        assets[name] = write_asset(
            path, values, Affine(pixel, 0, left, 0, -pixel, top), crs, **about
        )
    return item("noise", assets, sensor=sensor)


@pytest.mark.parametrize("pixel", [5.0, 20.0, 40.0])
@pytest.mark.parametrize(
    ("sensor", "wanted"),
    [
        ("sentinel2", {"bands": ["B02", "B05"], "mask_scl": [3, 8], "scl": True}),
        ("sentinel2", {"bands": ["B05", "B02"], "kernel": "cubic", "dtype": "float32"}),
        ("sentinel1", {"polarisations": ["VV", "VH"], "level": "RTC", "speckle": "lee"}),
    ],
)
def test_a_layer_of_its_own_pixel_is_the_workflow_at_that_pixel(tmp_path, sensor, wanted, pixel):
    scene = noise_scene(tmp_path, sensor)
    layer = unit_at(tmp_path / "layer", 10).build([scene], pixel_m=pixel, **wanted)
    whole = unit_at(tmp_path / "whole", pixel).build([scene], **wanted)
    assert layer.info.geobox == whole.info.geobox
    assert layer.info.size_px == whole.info.size_px
    for name in layer.info.arrays:
        np.testing.assert_array_equal(layer.read(slice(None), name), whole.read(slice(None), name))
    assert layer.read(slice(None), "source").any()


@pytest.mark.parametrize("pixel", [5.0, 20.0])
def test_labels_of_their_own_pixel_are_those_of_a_unit_at_that_pixel(tmp_path, pixel):
    rng = np.random.default_rng(2)
    around = grid(10, (1480, 2120), 299_900, 9_100_100)
    codes = rng.choice([1, 2, 11, 15], (50, 71)).repeat(3, 0).repeat(3, 1)[:148, :212]
    write_map(tmp_path / "map.tif", codes.astype("uint8"), around)
    clean = [{"step": "mmu", "area_m2": 2000}, {"step": "fill", "max_distance_m": 200}]
    found = []
    for name, base, own in (("layer", 10, pixel), ("whole", pixel, None)):
        folder = tmp_path / name
        lock = small_lock(folder, grid(base), [map_item(tmp_path / "map.tif")])
        write_table(folder / "footprints.parquet", grid(base), round(640 / base))
        told = settings_folder(folder / "settings", label={"clean": clean, "pixel_m": own},
                               sampling={"crs": CRS, "resolution": base, "size_px": round(640 / base)},
                               layouts={"name": "native"})  # fmt: skip
        stage = told / "stack" / "label.json"
        labels(lock, "u1", folder / "footprints.parquet", stage, folder / "label.zarr")
        found.append(open_stack(folder / "label.zarr"))
    assert found[0].info.geobox == found[1].info.geobox
    np.testing.assert_array_equal(*(stack.read(slice(None)) for stack in found))
    assert len(np.unique(found[0].read(slice(None)))) > 3


def test_pixels_that_do_not_nest_are_refused_by_the_stage_too(tmp_path):
    unit = unit_at(tmp_path, 10)
    with pytest.raises(GridError, match=r"a patch is 64 px of 10, and 21\.3333 px of 30"):
        unit.build([ramp_scene(tmp_path)], bands=["B02"], pixel_m=30.0)


PLAIN = {
    "name": "x", "area": {"bbox": [-51, -8.2, -50.9, -8.1]}, "catalog": {"source": "simulated"},
    "layouts": {"name": "native"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("sampling", "pixel_m", "said"),
    [
        ({"crs": CRS, "resolution": 10, "size_px": 128}, 30, "a patch is 128 px of 10"),
        ({"crs": CRS, "resolution": 10, "size_px": 128, "stride_px": 127}, 20,
         "a step from patch to patch is 127 px of 10, and 63.5 px of 20: no whole number; set "
         "sampling.stride_px"),
        ({"kind": "tiles", "size_px": 256, "stride_px": 256}, 80, "the side of a tile is 10980 px"),
        ({"size_px": 128}, 20, "fit into no grid that counts in degree (EPSG:4326) exactly"),
    ],
)  # fmt: skip
def test_layers_that_do_not_nest_are_findings_of_the_recipe(sampling, pixel_m, said):
    layers = {
        "sentinel2": {"kind": "sentinel2", "pixel_m": pixel_m},
        "label": {"kind": "labels", "legend": "cerradata4mm"},
    }
    with pytest.raises(RecipeError) as caught:
        resolve({**PLAIN, "sampling": sampling, "layers": layers})
    assert "layers.sentinel2.pixel_m: " in str(caught.value)
    assert said in str(caught.value)


def test_a_published_layout_has_one_grid():
    sampling = {"crs": CRS, "resolution": 10, "size_px": 128}
    layers = {
        "sentinel2": {"kind": "sentinel2"}, "sentinel1": {"kind": "sentinel1", "pixel_m": 20},
        "label": {"kind": "labels", "legend": "cerradata4mm"},
    }  # fmt: skip
    resolve({**PLAIN, "sampling": sampling, "layers": layers})
    with pytest.raises(RecipeError, match=r"layers\.sentinel1\.pixel_m: the layout cerradata4mm"):
        resolve(
            {**PLAIN, "sampling": sampling, "layers": layers, "layouts": {"name": "cerradata4mm"}}
        )
