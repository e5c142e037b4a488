# SPDX-License-Identifier: Apache-2.0
"""A scene as the engine takes it: its bands by pixel grid, its classes, its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import resample
from ..rasters import BlockReader
from ..records import LockedAsset, LockedItem
from .sources import BandGroup
from .values import Decoding

if TYPE_CHECKING:
    from ..places import Places
    from .layer import Layer
    from .sources import UnitGrid

_FIRST = np.zeros(1, np.int64)
_NEAREST = resample.Kernel("nearest")
_ANY = resample.Kernel("nearest", coarser="average")
"""Of masks: on a coarser grid all pixels that a pixel of the grid meets count."""
_PLAIN = resample.Radiometry(np.zeros(1, np.float32), np.nan, 0.0, 255.0)
"""Classes stay what they are."""
_EXCLUDED = 255
_MASKED = resample.Radiometry(np.zeros(1, np.float32), _EXCLUDED, 0.0, 255.0)


class Mask(BandGroup):
    """A mask of one scene: it gives no values, it only makes pixels invalid."""

    def __init__(
        self, asset: LockedAsset, lattice: resample.Lattice, excluded: Sequence[int],
        kernel: resample.Kernel, patches: Places,
    ) -> None:  # fmt: skip
        """Plan only; values of the uint8 file that are `excluded` count as missing."""
        super().__init__([asset], _FIRST, lattice, kernel, _MASKED, Decoding.codes(asset), patches)
        self._table = np.where(np.isin(np.arange(256), excluded), np.uint8(_EXCLUDED), np.uint8(0))

    def load(
        self, number: int, window: tuple[slice, slice], out: NDArray[Any], reader: BlockReader
    ) -> None:
        """Decode a window: what is excluded is missing, all else 0."""
        super().load(number, window, out, reader)
        out[:] = self._table[out]

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Set `valid` to 0 where the mask excludes, or does not reach."""
        super().sample(places, np.empty((len(out), 1, *out.shape[2:]), np.uint8), filled, valid)


class GeocodedScene:
    """One scene over the unit: its groups of bands, and the patches that it can reach."""

    def __init__(
        self, number: int, item: LockedItem, layer: Layer, patches: Places, grid: UnitGrid
    ) -> None:
        self.number, self.item, self._layer = number, item, layer
        by_grid: dict[tuple[Any, ...], list[int]] = {}
        for place, name in enumerate(layer.bands):
            true_zeros = _true_zeros(item, name, layer)
            by_grid.setdefault((*_key(item.assets[name]), true_zeros), []).append(place)
        self.groups: list[BandGroup] = []
        for (*_, true_zeros), members in by_grid.items():
            assets = [item.assets[layer.bands[place]] for place in members]
            kernel = resample.Kernel(
                layer.kernel, layer.upsample_first, grid.factor(assets[0], layer), layer.coarser
            )
            values = Decoding.of(assets[0], layer)
            if true_zeros:
                values = replace(values, missing_number=np.nan)
            offsets = [
                asset.add_offset * values.gain if layer.add_offset else 0.0 for asset in assets
            ]
            radiometry = resample.Radiometry(
                np.array(offsets, np.float32), values.missing, *layer.limits
            )
            self.groups.append(
                BandGroup(
                    assets, np.array(members, np.int64), grid.lattice(assets[0]), kernel,
                    radiometry, values, patches,
                )
            )  # fmt: skip
        self.classes: BandGroup | None = None
        if layer.classes:
            asset = item.assets[layer.classes]
            self.classes = BandGroup(
                [asset],
                _FIRST,
                grid.lattice(asset),
                _NEAREST,
                _PLAIN,
                Decoding.codes(asset),
                patches,
            )
        kernel = _NEAREST if layer.coarser == "nearest" else _ANY
        for name, excluded in layer.masks.items():
            if excluded and name in item.assets:
                asset = item.assets[name]
                self.groups.append(Mask(asset, grid.lattice(asset), excluded, kernel, patches))
        if layer.masked and layer.classes:  # the class of the centre decides on other grids
            asset = item.assets[layer.classes]
            lattice = grid.lattice(asset)
            if kernel.widths(lattice, asset.shape) is not None:
                self.groups.append(Mask(asset, lattice, layer.masked, kernel, patches))
        self.reaches = grid.touching(item.footprint, patches)
        for group in self.groups:
            self.reaches &= group.needs[:, 1] > 0

    def finding(self) -> str | None:
        """What is wrong with the numbers that were decoded, see `Layer.check`."""
        if self._layer.check is None:
            return None
        samplers = {
            self._layer.bands[place]: sampler
            for group in self.measured
            for place, sampler in zip(group.bands.tolist(), group.samplers, strict=True)
        }  # fmt: skip
        samples = {b: s for b, found in samplers.items() if (s := found.sample) is not None}
        return self._layer.check(self.item, samples) if samples else None

    @property
    def measured(self) -> list[BandGroup]:
        """Groups of bands alone, without masks and classes."""
        return [group for group in self.groups if not isinstance(group, Mask)]

    @property
    def everything(self) -> list[BandGroup]:
        """Groups of bands, and that of the classes."""
        return self.groups + ([self.classes] if self.classes else [])


def _true_zeros(item: LockedItem, band: str, layer: Layer) -> bool:
    """Whether 0 may be a measurement in a band, so that the others tell what is missing.

    Before baseline 04.00 nothing was added to the DN of L1C, and a dry sky gives the cirrus band
    DN 0. What was not seen at all is 0 in every band.
    """
    asset = item.assets[band]
    plain = asset.add_offset == 0 and asset.nodata in (None, 0.0) and asset.mask is None
    return band == "B10" and item.level == "L1C" and plain and len(layer.bands) > 1


def _key(asset: LockedAsset) -> tuple[Any, ...]:
    place = asset.crs, asset.transform, asset.shape
    return (*place, asset.dtype, asset.nodata, asset.quantification, asset.gain, asset.scale)
