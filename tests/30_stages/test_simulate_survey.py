# SPDX-License-Identifier: Apache-2.0
"""The simulated survey: the landscape at the points of LUCAS's own grid, in the columns of its table."""

import csv
from collections import Counter

import numpy as np
import pyproj
import pytest
import shapely
from odc.geo.geobox import GeoBox

from terrapatch.errors import InputError
from terrapatch.legend import table_rows
from terrapatch.settings import SamplingSettings
from terrapatch.simulate.facts import covers, rows
from terrapatch.simulate.landscape import feature_numbers, make_landscape
from terrapatch.simulate.survey import NO_DEGREES, features_at, write_survey
from terrapatch.vectors import NO_POSITION, read_place_table

AREA = shapely.box(7.71, 48.50, 7.93, 48.65)


@pytest.fixture(scope="module")
def landscape():
    return make_landscape(AREA, AREA, 4)


@pytest.fixture(scope="module")
def path(landscape, tmp_path_factory):
    path = tmp_path_factory.mktemp("survey") / "lucas_2018.csv"
    write_survey(path, landscape, AREA)
    return path


@pytest.fixture(scope="module")
def survey(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_points_lie_on_the_survey_s_grid_and_are_called_by_it(survey):
    there = pyproj.Transformer.from_crs(4326, 3035, always_xy=True)
    names = [row["point_id"] for row in survey]
    assert names == sorted(set(names))
    for row in survey:
        x, y = there.transform(float(row["th_long"]), float(row["th_lat"]))
        assert (x, y) == pytest.approx(
            (1000 * int(row["point_id"][:4]), 1000 * int(row["point_id"][4:])), abs=0.01
        )
        assert AREA.contains(shapely.Point(float(row["th_long"]), float(row["th_lat"])))
    # all of the grid's points in the area, counted by another way
    x, y = np.meshgrid(np.arange(4100, 4230) * 1000.0, np.arange(2780, 2900) * 1000.0)
    lon, lat = there.transform(x, y, direction="INVERSE")
    assert len(survey) == shapely.contains_xy(AREA, lon, lat).sum() > 200


def test_columns_are_those_of_the_harmonised_table(survey):
    assert list(survey[0]) == [row["column"] for row in table_rows("points", "lucas_2018")]
    assert len(survey[0]) == 117


def test_a_point_has_the_cover_that_a_raster_of_the_landscape_shows(landscape, survey):
    there = pyproj.Transformer.from_crs(4326, landscape.crs, always_xy=True)
    known = {}
    for row in rows("lucas"):
        known.setdefault(row["cover"], set()).add((row["lc1"], row["lc1_label"], row["lu1"]))
    names, seen = covers().names, Counter()
    for row in survey:
        x, y = there.transform(float(row["th_long"]), float(row["th_lat"]))
        pixel = GeoBox.from_bbox((x - 0.01, y - 0.01, x + 0.01, y + 0.01), landscape.crs, shape=1)
        feature = int(feature_numbers(landscape, pixel)[0, 0])
        assert features_at(landscape, np.array([[x, y]])).tolist() == [feature]
        if not row["lc1"]:
            continue
        cover = names[landscape.features.cover[feature]]
        assert (row["lc1"], row["lc1_label"], row["lu1"]) in known[cover]
        seen[row["lc1"]] += 1
    assert len(seen) > 8  # many kinds of cover


def test_every_cover_is_something_in_the_survey():
    shares = Counter()
    for row in rows("lucas"):
        shares[row["cover"]] += float(row["share"])
    assert dict(shares) == pytest.approx(dict.fromkeys(covers().names, 1.0))


def test_two_countries_meet_in_the_middle(survey):
    middle = (AREA.bounds[0] + AREA.bounds[2]) / 2
    sides = {(row["nuts0"], float(row["th_long"]) > middle + 0.01) for row in survey
             if abs(float(row["th_long"]) - middle) > 0.01}  # fmt: skip
    assert sides == {("FR", False), ("DE", True)}


def test_some_points_have_no_cover_and_some_surveyors_no_signal(path, survey):
    blank = sorted(row["point_id"] for row in survey if not row["lc1"])
    lost = sorted(row["point_id"] for row in survey if row["gps_lat"] == NO_DEGREES)
    assert 0 < len(blank) < 0.08 * len(survey)
    assert 0 < len(lost) < 0.12 * len(survey)
    plain = {"kind": "points", "path": str(path), "product": "lucas_2018"}
    table = read_place_table(SamplingSettings(**plain), path)
    assert table.lost == {}
    table = read_place_table(SamplingSettings(**plain, needs=("lc1",)), path)
    assert table.lost == {"the table has no lc1 of it": tuple(blank)}
    assert [i for i, xy in zip(table.ids, table.xy, strict=True) if np.isnan(xy).any()] == blank
    table = read_place_table(SamplingSettings(**plain, position="gps", needs=("LC1",)), path)
    assert table.lost["the table has no lc1 of it"] == tuple(sorted(set(blank) - set(lost)))
    assert table.lost[NO_POSITION] == tuple(lost)
    away = {row["point_id"]: float(row["th_gps_dist"] or 0) for row in survey}
    there = pyproj.Geod(ellps="WGS84")
    by_name = {row["point_id"]: row for row in survey}
    for name, (lon, lat) in zip(table.ids, table.xy.tolist(), strict=True):
        if np.isfinite(lon):
            row = by_name[name]
            *_, far = there.inv(lon, lat, float(row["th_long"]), float(row["th_lat"]))
            assert far == pytest.approx(away[name], abs=0.2)


def test_an_area_outside_europe_is_refused(tmp_path):
    area = shapely.box(-48.02, -6.02, -47.98, -5.98)
    with pytest.raises(InputError, match=r"simulate\.view: europe.*area in Europe"):
        write_survey(tmp_path / "p.csv", make_landscape(area, area, 4), area)
    assert not any(tmp_path.iterdir())


def test_a_needed_column_that_is_not_there_is_named(path):
    plain = {"kind": "points", "path": str(path), "product": "lucas_2018", "needs": ("lc9",)}
    with pytest.raises(InputError, match=r"no column 'lc9' \(sampling\.needs\)"):
        read_place_table(SamplingSettings(**plain), path)
