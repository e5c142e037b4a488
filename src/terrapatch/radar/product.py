# SPDX-License-Identifier: Apache-2.0
"""The metadata of one polarisation of a raw product, read together and held against each other.

Law: whoever plans and whoever makes pixels reads them here, so both find the same faults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..access import read_bytes
from ..errors import SceneError
from ..records import LockedAsset
from .annotation import Annotation, read_annotation
from .luts import CalibrationLut, NoiseLut, read_calibration, read_noise

_SAME = ("missionId", "polarisation", "absoluteOrbitNumber", "missionDataTakeId", "startTime")
"""Entries of `adsHeader` that all files of one polarisation share."""

_HEADER_BYTES = 4_000


@dataclass(frozen=True, eq=False)
class Sidecars:
    """What lies beside a measurement."""

    annotation: Annotation
    calibration: CalibrationLut
    noise: NoiseLut | None
    """None where it was not asked for."""


def read_sidecars(
    asset: LockedAsset, band: str, *, ipf: str, relative_orbit: int | None, noise: bool
) -> Sidecars:
    """Read annotation, calibration and noise of a measurement, and check that they belong to it.

    Args:
        asset: the measurement, with the addresses of the others.
        band: polarisation that is wanted.
        ipf: version of the processor, as the manifest has it.
        relative_orbit: as the manifest has it.
        noise: whether the noise annotation is needed.

    Raises:
        SceneError: a file is missing, truncated, of another kind, product or polarisation, or
            does not fit the measurement's size.
    """
    if asset.annotation is None or asset.calibration is None:
        raise SceneError(
            f"{asset.href}: the lock names no annotation of this raw product; run "
            "`terrapatch plan` again"
        )
    if noise and asset.noise is None:
        raise SceneError(
            f"{asset.href}: no noise annotation of {band} in the product; fetch it again, or set "
            "denoise: false"
        )
    data = read_bytes(asset.annotation)
    annotation = read_annotation(data, asset.annotation, ipf, relative_orbit)
    if (annotation.lines, annotation.samples) != asset.shape:
        raise SceneError(
            f"{asset.href}: has {asset.shape[0]} x {asset.shape[1]} pixels, its annotation says "
            f"{annotation.lines} x {annotation.samples}; fetch the product again"
        )
    if annotation.polarisation != band:
        raise SceneError(
            f"{asset.annotation}: annotation of {annotation.polarisation}, expected {band}; "
            "the product's files are mixed up: fetch it again"
        )
    if annotation.product_type != "GRD":
        raise SceneError(
            f"{asset.annotation}: annotation of a {annotation.product_type} image, expected GRD; "
            "the product's files are mixed up: fetch it again"
        )
    header = _header(data)
    table = read_bytes(asset.calibration)
    calibration = read_calibration(table, asset.calibration)
    _check_same(header, table, asset.calibration, asset.annotation)
    found = None
    if noise and asset.noise is not None:
        table = read_bytes(asset.noise)
        found = read_noise(table, asset.noise)
        _check_same(header, table, asset.noise, asset.annotation)
    return Sidecars(annotation, calibration, found)


def _header(data: bytes) -> dict[str, str]:
    begin = data[:_HEADER_BYTES].decode("utf-8", "replace")
    found = {tag: re.search(rf"<{tag}>\s*([^<]*?)\s*</{tag}>", begin) for tag in _SAME}
    return {tag: match[1] for tag, match in found.items() if match}


def _check_same(header: dict[str, str], data: bytes, name: str, annotation: str) -> None:
    other = _header(data)
    for tag in _SAME:
        if tag in header and tag in other and header[tag] != other[tag]:
            raise SceneError(
                f"{name}: of another product than {annotation}: its {tag} is {other[tag]}, the "
                f"annotation's {header[tag]}; the product's files are mixed up: fetch it again"
            )
