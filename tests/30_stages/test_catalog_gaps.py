# SPDX-License-Identifier: Apache-2.0
"""Gaps in the series of passes: found, summed up, explained; printed and locked by the plan."""

import json
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made.grd import recipe_of, redated, simulate
from made.recipes import with_layers
from terrapatch.catalog.gaps import SERIES, gaps
from terrapatch.catalog.listing import changes, describe
from terrapatch.cli import main
from terrapatch.lock import read_lock
from terrapatch.records import Lock, LockedItem, LockedUnit

YEAR = (date(2021, 7, 1), date(2022, 6, 30))


def item(day, platform="A", orbit=22, direction="descending", sensor="sentinel1", end=""):
    return LockedItem(
        id=f"S1{platform}_{day}_{orbit}{end}", sensor=sensor, level="GRD",
        datetime=f"{day}T05:11:22Z", platform=f"Sentinel-1{platform}", relative_orbit=orbit,
        orbit_direction=direction, footprint={}, assets={},
    )  # fmt: skip


def units(items, count=2):
    ids = {}
    for one in items:
        ids.setdefault(one.sensor, []).append(one.id)
    return [
        LockedUnit(
            id=f"u{n}", geobox={}, first_row=0, first_col=0,
            items={sensor: tuple(names) for sensor, names in ids.items()},
        )
        for n in range(count)
    ]  # fmt: skip


def days(first, last, step):
    count = (last - first).days // step
    return [first + timedelta(days=step * k) for k in range(count + 1)]


def constellation(first=date(2021, 7, 3), last=date(2022, 6, 29)):
    """1A every 12 days, 1B six days after it, until 1B ended on 23 December 2021."""
    one = [item(day, "A") for day in days(first, last, 12)]
    other = [
        item(day, "B") for day in days(first + timedelta(6), last, 12) if day <= date(2021, 12, 23)
    ]
    return sorted(one + other, key=lambda i: i.datetime)


def test_the_end_of_sentinel_1b_is_one_finding_with_its_reason():
    items = constellation()
    (found,) = gaps(items, units(items), YEAR)
    before = max(i.datetime[:10] for i in items if i.platform == "Sentinel-1B")
    assert date.fromisoformat(found.start) - date.fromisoformat(before) == timedelta(6)
    assert found.end == items[-1].datetime[:10]
    assert (found.usual_days, found.longest_days, found.units) == (6, 12, ())
    assert found.visits == sum(found.start < i.datetime[:10] < found.end for i in items)
    assert found.reason == "Sentinel-1B ended on 2021-12-23"


def test_a_series_that_always_had_twelve_days_has_no_gap():
    items = [i for i in constellation() if i.platform == "Sentinel-1A"]
    assert gaps(items, units(items), YEAR) == ()


def test_a_lost_pass_has_no_reason():
    items = [item(day) for day in days(date(2021, 7, 3), date(2022, 6, 29), 12)]
    lost = items.pop(9)
    (found,) = gaps(items, units(items), YEAR)
    assert found.start < lost.datetime[:10] < found.end
    assert (found.usual_days, found.longest_days, found.visits) == (12, 24, 0)
    assert found.reason is None


def test_the_beginning_of_sentinel_1b_is_told():
    items = [item(day) for day in days(date(2016, 3, 2), date(2017, 12, 20), 12)]
    items += [item(day, "B") for day in days(date(2016, 9, 28), date(2017, 12, 20), 12)]
    (found,) = gaps(items, units(items), (date(2016, 3, 1), date(2017, 12, 20)))
    assert found.reason == "data of Sentinel-1B begin on 2016-09-26"
    assert (found.usual_days, found.longest_days) == (6, 12)


def test_no_satellite_is_blamed_that_never_flew_on_the_track():
    # the same dates, but all of 1A: what was lost on the way, nobody knows
    items = [i.model_copy(update={"platform": "Sentinel-1A"}) for i in constellation()]
    (found,) = gaps(items, units(items), YEAR)
    assert found.reason is None


def test_the_ends_of_the_period_count():
    items = [item(day) for day in days(date(2021, 9, 1), date(2022, 3, 1), 12)]
    first, last = gaps(items, units(items), YEAR)
    assert (first.start, first.end) == ("2021-07-01", "2021-09-01")
    assert (last.start, last.end) == (items[-1].datetime[:10], "2022-06-30")
    assert gaps(items, units(items), None) == ()


def test_slices_midnight_and_tandems_are_one_visit():
    items = [item(day) for day in days(date(2026, 3, 2), date(2026, 6, 20), 12)]
    period = (date(2026, 3, 1), date(2026, 6, 21))
    plain = gaps(items, units(items), period)
    twins = [item(date.fromisoformat(i.datetime[:10]) + timedelta(1), "D") for i in items]
    both = [*items, *(item(i.datetime[:10], end="s2") for i in items), *twins]
    assert gaps(both, units(both), period) == plain == ()


def test_tracks_are_told_apart():
    items = [item(day) for day in days(date(2021, 7, 3), date(2022, 6, 29), 12)]
    other = [item(day, orbit=117, direction="ascending") for day in days(date(2021, 7, 8), date(2022, 6, 29), 12)]  # fmt: skip
    del other[5:8]
    (found,) = gaps([*items, *other], units([*items, *other]), YEAR)
    assert (found.relative_orbit, found.orbit_direction, found.longest_days) == (
        117,
        "ascending",
        48,
    )


def test_scenes_without_an_orbit_make_no_series():
    items = [item(day, orbit=None, direction=None) for day in ("2021-07-03", "2022-02-03")]
    assert gaps(items, units(items), YEAR) == ()


def test_units_share_a_finding_or_are_named():
    items = [item(day) for day in days(date(2021, 7, 3), date(2022, 6, 29), 12)]
    many = units(items, 500)
    assert gaps(items, many, YEAR) == ()
    short = many[7].model_copy(
        update={"items": {"sentinel1": tuple(i.id for i in items if i is not items[4])}}
    )
    (found,) = gaps(items, [*many[:7], short, *many[8:]], YEAR)
    assert (found.units, found.longest_days) == (("u7",), 24)


def test_a_few_passes_are_one_line_a_track():
    items = [item(day) for day in ("2021-09-01", "2022-03-01")]
    (found,) = gaps(items, units(items), YEAR)
    assert (found.start, found.end, found.visits) == ("2021-07-01", "2022-06-30", 2)
    assert found.longest_days == 181


def test_sentinel_2_is_looked_at_as_a_whole_and_forgives_a_month():
    step = [0, 5, 10, 35, 40, 90, 95, 100, 105]
    items = [
        item(date(2022, 1, 1) + timedelta(k), orbit=51 + k % 2, sensor="sentinel2") for k in step
    ]
    period = (date(2022, 1, 1), date(2022, 4, 20))
    (found,) = gaps(items, units(items), period)
    assert (found.sensor, found.relative_orbit, found.longest_days) == ("sentinel2", None, 50)
    assert gaps(items, units(items), period, {"sentinel1": SERIES["sentinel1"]}) == ()


@given(st.sets(st.integers(0, 60), min_size=4), st.permutations(range(3)))
def test_what_is_found_depends_on_the_passes_alone(passed, order):
    """Against brute force: every interval of more than 18 days lies in a finding, no other does."""
    first = date(2022, 1, 1)
    items = [item(first + timedelta(12 * k)) for k in sorted(passed)]
    found = gaps(items, units(items), None)
    assert gaps(items[::-1], [units(items)[0] for _ in order], None) == found
    marks = sorted(i.datetime[:10] for i in items)
    steps = list(pairwise(marks))
    length = {p: (date.fromisoformat(p[1]) - date.fromisoformat(p[0])).days for p in steps}
    all_of = list(length.values())
    usual = min((s for s in all_of if all_of.count(s) >= max(2, 0.2 * len(all_of))), default=12)
    inside = {p for p in steps if any(g.start <= p[0] and p[1] <= g.end for g in found)}
    assert inside == {p for p in steps if length[p] > 1.5 * usual}


# The verb ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


def test_the_plan_prints_and_locks_the_gaps(simulated, tmp_path, capsys):
    archive = tmp_path / "grd"
    for day, platform in (
        ("2021-11-30", "A"), ("2021-12-06", "B"), ("2021-12-12", "A"), ("2021-12-18", "B"),
        ("2021-12-24", "A"), ("2022-01-05", "A"), ("2022-01-17", "A"), ("2022-01-29", "A"),
    ):  # fmt: skip
        redated(simulated.products["descending"][0], archive, day, platform)
    recipe = recipe_of(simulated, tmp_path, archive) | {"name": "series"}
    recipe["catalog"] |= {"period": ["2021-11-26", "2022-02-05"], "missing_slices": "allow"}
    recipe["sampling"]["unit_patches"] = 2
    recipe["sentinel1"] |= {"time": "series"}
    (tmp_path / "series.yaml").write_text(json.dumps(with_layers(recipe)))
    words = ["plan", str(tmp_path / "series.yaml"), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    told = capsys.readouterr().out
    path = tmp_path / "out" / "series" / "lock.json"
    lock = read_lock(path)
    (gap,) = lock.gaps
    assert (gap.start, gap.end, gap.reason) == (
        "2021-12-24", "2022-01-29", "Sentinel-1B ended on 2021-12-23",
    )  # fmt: skip
    assert len(lock.units) > 1
    orbit = lock.items[-1].relative_orbit or lock.items[0].relative_orbit
    assert "1 gap in the series of passes" in told
    assert (
        f"sentinel1  R{orbit:03d} desc  2021-12-24 to 2022-01-29  2 passes, up to 12 days apart "
        "instead of 6: Sentinel-1B ended on 2021-12-23"
    ) in told
    assert json.loads(path.read_text())["gaps"][0]["visits"] == 2
    before = path.read_bytes()
    assert main(words) == 0
    assert path.read_bytes() == before
    assert changes(lock, lock.model_copy(update={"gaps": ()})) == []
    # A mosaic of the same passes is one image: no hole in time is a gap of it.
    capsys.readouterr()
    assert main([*words, "--set", "layers.sentinel1.time=single"]) == 0
    assert "in the series of passes" not in capsys.readouterr().out
    assert path.read_bytes() == before  # a look writes nothing


def test_a_plan_without_gaps_says_nothing_of_them():
    assert "gap" not in describe(Lock(name="t", source="local", units=(), items=()))
