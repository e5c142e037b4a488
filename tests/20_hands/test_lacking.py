# SPDX-License-Identifier: Apache-2.0
"""The reason of a dropped patch names the band that is to blame."""

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import Unit, all_corners, item, pixels, write_asset
from terrapatch.dropping import drop_reasons, lacking_bands
from terrapatch.patches import observe
from terrapatch.publish.facts import reasons_of
from terrapatch.settings import PatchesSettings

CRS = "EPSG:32631"
TEN = Affine(10, 0, 500_000, 0, -10, 4_982_400)
SIXTY = Affine(60, 0, 500_000, 0, -60, 4_982_400)
BOX = GeoBox((48, 48), TEN, CRS)


def scene(folder, name, holes, day="2022-06-18"):
    """Bands of 10 m and one of 60 m, each with pixels of its own missing: band → (rows, columns)."""
    folder.mkdir()
    assets = {}
    for band, (side, transform) in {
        "B04": (48, TEN), "B08": (48, TEN), "B09": (8, SIXTY)
    }.items():  # fmt: skip
        image = np.full((side, side), 900, np.uint16)
        if band in holes:
            image[holes[band]] = 0
        path = folder / f"{band}.tif"
        assets[band] = write_asset(path, image, transform, CRS, jp2=False, nodata=0)
    return item(name, assets, day=day)


def built(folder, scenes, **settings):
    unit = Unit(folder / "unit", BOX, all_corners(BOX.shape, 24), 24)
    wanted = {"bands": ["B04", "B08", "B09"], "kernel": "nearest", "dtype": "uint16"}
    return unit.build(scenes, **(wanted | settings))


def reasons(stack):
    seen = observe(stack, 1.0)
    shares = {"sentinel2": seen.shares}
    return drop_reasons(
        shares,
        PatchesSettings(),
        {"sentinel2": lacking_bands(seen.lacking, seen.shares, seen.info)},
    )


def test_the_band_that_lacks_most_is_named_first(tmp_path):
    holes = {"B08": np.s_[:6, :12], "B09": np.s_[:2, :2]}
    stack = built(tmp_path, [scene(tmp_path / "a", "a", holes)])
    found = reasons(stack)
    assert found[0] == "sentinel2: 75.0 % observed < 100 % (B09 lacks 25 %, B08 lacks 12.5 %)"
    assert found[1:] == [None] * 3
    assert stack.lacking[0, 0].tolist() == [0, 72, 144]
    assert reasons_of(found[0], {"sentinel2": "Sentinel-2"}) == [
        "Sentinel-2: less than 100 % observed (B09 lacks most)"
    ]


def test_what_all_bands_lack_is_nobody_s_fault(tmp_path):
    everywhere = {"B04": np.s_[:12, :12], "B08": np.s_[:12, :12], "B09": np.s_[:2, :2]}
    stack = built(tmp_path, [scene(tmp_path / "a", "a", everywhere)])
    assert reasons(stack)[0] == "sentinel2: 75.0 % observed < 100 %"
    assert "lacking" not in stack.group
    assert not stack.lacking.any()


def test_a_dark_band_of_the_whole_patch_is_named(tmp_path):
    stack = built(tmp_path, [scene(tmp_path / "a", "a", {"B09": np.s_[:4, :4]})])
    assert reasons(stack)[0] == "sentinel2: 0.0 % observed < 100 % (B09 lacks 100 %)"


def test_only_pixels_that_no_scene_gave_are_counted(tmp_path):
    first = scene(tmp_path / "a", "a", {"B04": np.s_[:24, :24]})
    second = scene(tmp_path / "b", "b", {"B08": np.s_[:3, :24]}, day="2022-06-19")
    stack = built(tmp_path, [first, second])
    missing = pixels(stack, "source") == 0
    assert missing.sum() == 3 * 24
    assert stack.lacking[0, 0].tolist() == [0, 72, 0]  # by the last scene that reaches the patch
    assert reasons(stack)[0] == "sentinel2: 87.5 % observed < 100 % (B08 lacks 12.5 %)"


def test_threads_and_series_count_alike(tmp_path):
    first = scene(tmp_path / "a", "a", {"B04": np.s_[:6, :24]})
    second = scene(tmp_path / "b", "b", {}, day="2022-06-19")
    stack = built(tmp_path, [first, second], time="series")
    assert stack.lacking[0].tolist() == [[144, 0, 0], [0, 0, 0]]
    seen = observe(stack, 1.0)
    few = drop_reasons(
        {"sentinel2": seen.shares},
        PatchesSettings(require={"sentinel2": {"dates": 2}}),
        {"sentinel2": ["x"] * 4},
    )
    assert few[0] == "sentinel2: 1 of 2 dates complete < 2 (x)"
    assert few[1] is None
    again = reasons_of("sentinel2: 1 of 2 dates complete < 2 (B04 lacks 25 %)", {})
    assert again == ["sentinel2: 1 of 2 dates complete < 2"]
