# SPDX-License-Identifier: Apache-2.0
"""The archive's own tables: covers, materials, districts and bands, from `data/simulate`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from .. import exact

FILE_BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12",
)  # fmt: skip
"""Bands of Level-2A in natural order: the band axis of all arrays here."""


def rows(name: str) -> list[dict[str, str]]:
    """Rows of `data/simulate/NAME.csv`, comment lines left out."""
    path = resources.files("terrapatch") / "data" / "simulate" / f"{name}.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@cache
def shared_rows(name: str) -> Mapping[str, tuple[list[dict[str, str]], NDArray[np.float64]]]:
    """Cover → its rows of `data/simulate/NAME.csv`, and where the share of draws of each ends (0..1)."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(name):
        found.setdefault(row["cover"], []).append(row)
    return {c: (own, np.cumsum([float(r["share"]) for r in own])) for c, own in found.items()}


def drawn(name: str, cover: str, draw: float) -> dict[str, str]:
    """The row of a cover that a draw (0..1) falls on."""
    own, ends = shared_rows(name)[cover]
    return own[min(int(np.searchsorted(ends, draw, side="right")), len(own) - 1)]


@dataclass(frozen=True, eq=False)
class Covers:
    """The covers as columns; the number of a cover is its place in `names`."""

    names: tuple[str, ...]
    codes: NDArray[np.uint8]
    """TerraClass codes."""
    calendars: tuple[str, ...]
    wet: NDArray[np.float32]
    dry: NDArray[np.float32]
    spread: NDArray[np.float32]
    grain: NDArray[np.float32]
    cells: NDArray[np.float32]
    partner: NDArray[np.int64]
    lean: NDArray[np.float32]
    backscatter: NDArray[np.float32]
    """(cover, 4) dB: VV green, VH green, VV bare, VH bare."""
    sar_grain: NDArray[np.float32]
    spectra: NDArray[np.float32]
    """(cover, 3, band) reflectance: green, bare on red soil, bare on sandy soil."""

    def number(self, name: str) -> int:
        """Number of the cover of that name."""
        return self.names.index(name)


@cache
def covers() -> Covers:
    """All covers with their spectra mixed from materials."""
    table = rows("covers")
    names = tuple(r["cover"] for r in table)

    def column(key: str) -> NDArray[np.float32]:
        return np.array([float(r[key]) for r in table], np.float32)

    backscatter = np.column_stack(
        [column(k) for k in ("vv_green", "vh_green", "vv_bare", "vh_bare")]
    )
    return Covers(
        names,
        np.array([int(r["code"]) for r in table], np.uint8),
        tuple(r["calendar"] for r in table),
        column("wet"), column("dry"), column("spread"), column("grain"), column("cells"),
        np.array([names.index(r["partner"]) for r in table]),
        column("lean"), backscatter, column("sar_grain"), _spectra(names),
    )  # fmt: skip


def _spectra(names: tuple[str, ...]) -> NDArray[np.float32]:
    materials = rows("endmembers")
    order = [m["material"] for m in materials]
    reflectance = np.array([[float(m[b]) for b in FILE_BANDS] for m in materials])
    shares = {
        (r["cover"], r["state"]): np.array([float(r[m]) for m in order]) for r in rows("fractions")
    }
    soil, sand = order.index("soil"), order.index("sand")
    spectra = np.empty((len(names), 3, len(FILE_BANDS)))
    for number, name in enumerate(names):
        green, bare = shares[name, "green"], shares[name, "bare"]
        pale = bare.copy()
        pale[sand] += 0.6 * pale[soil]
        pale[soil] *= 0.4
        spectra[number] = exact.dot(np.stack([green, bare, pale])[:, None], reflectance.T)
    return spectra.astype(np.float32)


@dataclass(frozen=True)
class District:
    """A kind of district."""

    name: str
    slots: int
    parcel_m2: float
    uses: tuple[str, ...]
    shares: tuple[float, ...]


@cache
def districts() -> tuple[District, ...]:
    """The nine slots of a group of districts, kinds repeated as often as their table says."""
    found = []
    for row in rows("districts"):
        uses = tuple(row)[3:]
        kind = District(
            row["district"], int(row["slots"]), float(row["parcel_ha"]) * 1e4,
            uses, tuple(float(row[use]) for use in uses),
        )  # fmt: skip
        found += [kind] * kind.slots
    assert len(found) == 9
    return tuple(found)
