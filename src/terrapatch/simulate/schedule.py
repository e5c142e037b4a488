# SPDX-License-Identifier: Apache-2.0
"""When the satellites pass: dates, orbits, baselines, names; all from the settings alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

BASELINES = (
    (datetime(2015, 1, 1, tzinfo=UTC), "02.08"),
    (datetime(2019, 7, 8, tzinfo=UTC), "02.13"),
    (datetime(2020, 2, 4, tzinfo=UTC), "02.14"),
    (datetime(2021, 2, 1, tzinfo=UTC), "03.00"),
    (datetime(2021, 6, 30, tzinfo=UTC), "03.01"),
    (datetime(2022, 1, 25, tzinfo=UTC), "04.00"),
    (datetime(2022, 12, 6, tzinfo=UTC), "05.09"),
    (datetime(2023, 12, 13, tzinfo=UTC), "05.10"),
    (datetime(2024, 7, 23, tzinfo=UTC), "05.11"),
)
"""Operational processing baselines by first day. Source: ESA, processing baseline history."""

DAYS_PER_CYCLE, ORBITS_PER_CYCLE = 10, 143


@dataclass(frozen=True)
class Pass2:
    """One Sentinel-2 datatake over the area."""

    number: int
    """Place in the order of the settings: 0 is the clearest."""
    sensing: datetime
    platform: str
    """S2A or S2B."""
    orbit: int
    relative_orbit: int
    cloud: float
    """Share of cloud over the area that is aimed at."""
    cirrus: float
    edge: float | None
    """Where the swath ends, in half sides of the area east of its centre; None: beyond it."""

    @property
    def stamp(self) -> str:
        """Sensing start as names have it."""
        return f"{self.sensing:%Y%m%dT%H%M%S}"


@dataclass(frozen=True)
class Processing:
    """How a datatake was processed: what tells a product from its reprocessed duplicate."""

    baseline: str
    """For example 04.00."""
    generated: datetime

    @property
    def offset(self) -> int:
        """What was added to DN: 1000 from baseline 04.00 on."""
        return 1000 if self.baseline >= "04.00" else 0


@dataclass(frozen=True)
class Pass1:
    """One Sentinel-1 pass over the area."""

    number: int
    start: datetime
    direction: str
    """ascending or descending."""
    orbit: int
    relative_orbit: int
    wet_db: float
    edge: float | None
    """As in `Pass2`."""


def _local(day: datetime, hour: float, lon: float) -> datetime:
    """The moment on that day when the mean local time at `lon` is `hour`."""
    return day + timedelta(seconds=round(((hour - lon / 15) % 24) * 3600))


def passes2(seed: int, year: int, count: int, lon: float) -> list[Pass2]:
    """Sentinel-2 passes of a year, the clearest first.

    The first is in mid June (dry season, or northern summer), the second in early January (for
    2022 before the offset came), the others spread over the year. Every second pass has the edge
    of the swath in the area.
    """
    start = datetime(year, 1, 4, tzinfo=UTC)
    slots = sorted(range(73), key=lambda k: (k != 33, k != 1, (k * 29 + 5) % 73))
    rng = np.random.default_rng((seed, year, 20))
    relative = int(rng.integers(1, ORBITS_PER_CYCLE + 1))
    cloudy = np.concatenate([[0.003, 0.22], np.sort(rng.uniform(0.08, 0.75, 80))])
    cirrus = np.concatenate([[0.0, 0.06], rng.uniform(0, 0.25, 80) * (rng.random(80) < 0.5)])
    shift = rng.uniform(-0.08, 0.08, 80)
    found = []
    for number, slot in enumerate(slots[:count]):
        sensing = _local(start + timedelta(days=5 * slot), 10.62, lon)
        twin = slot % 2 == 1 and sensing >= datetime(2017, 7, 6, tzinfo=UTC)
        launch = datetime(2017, 3, 7, tzinfo=UTC) if twin else datetime(2015, 6, 23, tzinfo=UTC)
        orbit = int((sensing - launch).days * ORBITS_PER_CYCLE / DAYS_PER_CYCLE) + 1
        edge = 0.72 + float(shift[number]) if number % 2 else None
        found.append(
            Pass2(
                number, sensing, "S2B" if twin else "S2A", max(orbit, 1), relative,
                float(cloudy[number]), float(cirrus[number]), edge,
            )
        )  # fmt: skip
    return found


def processings(scene: Pass2) -> list[Processing]:
    """The product of the day and, of the second pass, its duplicate of a later collection."""
    baseline = next(b for first, b in reversed(BASELINES) if scene.sensing >= first)
    day = Processing(baseline, scene.sensing + timedelta(hours=6, minutes=20, seconds=18))
    if scene.number != 1:
        return [day]
    later = "05.00" if baseline < "05.00" else "05.11"
    # Reprocessing began in 2023 and takes the archive in the order of its dates.
    began = datetime(2023, 3, 6, 9, tzinfo=UTC)
    again = max(began, scene.sensing + timedelta(days=910)) + timedelta(hours=3, seconds=41)
    return [day, Processing(later, again)] if later > baseline else [day]


def passes1(seed: int, year: int, count: int, lon: float) -> list[Pass1]:
    """Sentinel-1 passes of a year: `count` descending and `count` ascending ones.

    The first of each direction lies within a week of the first Sentinel-2 pass; every second one
    has the edge of the swath in the area.
    """
    rng = np.random.default_rng((seed, year, 21))
    relative = {"descending": int(rng.integers(1, 176)), "ascending": int(rng.integers(1, 176))}
    wet = np.concatenate([[0.0, 0.0], rng.uniform(0, 2.0, 300)])
    steps = [0, *(s for k in range(1, 31) for s in (k, -k))]
    first = {"descending": datetime(year, 6, 12, tzinfo=UTC),
             "ascending": datetime(year, 6, 23, tzinfo=UTC)}  # fmt: skip
    found = []
    for direction, hour in (("descending", 5.75), ("ascending", 17.75)):
        days = [first[direction] + timedelta(days=6 * s) for s in steps]
        days = [day for day in days if day.year == year]
        for number, day in enumerate(days[:count]):
            start = _local(day, hour, lon)
            orbit = max(int((start - datetime(2014, 4, 3, tzinfo=UTC)).days * 175 / 12), 1)
            edge = 0.8 if number % 2 else None
            found.append(
                Pass1(
                    number, start, direction, orbit, relative[direction],
                    float(wet[2 * number + (direction == "ascending")]), edge,
                )
            )  # fmt: skip
    return found
