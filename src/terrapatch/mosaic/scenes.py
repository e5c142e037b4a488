# SPDX-License-Identifier: Apache-2.0
"""A scene as the engine takes it: its bands by pixel grid, its classes, its masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import resample
from ..tables import LockedAsset, LockedItem
from .sources import Group
from .values import Values

if TYPE_CHECKING:
    from .sources import Grid, Layer, Patches

_FIRST = np.zeros(1, np.int64)
_NEAREST = resample.Kernel("nearest")
_PLAIN = resample.Radiometry(np.zeros(1, np.float32), np.nan, 0.0, 255.0)
"""Classes and masks stay what they are."""


class Mask(Group):
    """A mask of one scene: it gives no values, it only makes pixels invalid."""

    def __init__(
        self, asset: LockedAsset, lattice: resample.Lattice, excluded: Sequence[int],
        patches: Patches,
    ) -> None:  # fmt: skip
        """Plan only; values of the uint8 file that are `excluded` count as missing."""
        super().__init__([asset], _FIRST, lattice, _NEAREST, _PLAIN, Values.codes(asset), patches)
        self._excluded = np.isin(np.arange(256), excluded)

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Set `valid` to 0 where the mask excludes, or does not reach."""
        values = np.zeros((len(out), 1, *out.shape[2:]), np.uint8)
        super().sample(places, values, filled, valid)
        valid[self._excluded[values[:, 0]]] = 0


class Scene:
    """One scene over the unit: its groups of bands, and the patches that it can reach."""

    def __init__(
        self, number: int, item: LockedItem, layer: Layer, patches: Patches, grid: Grid
    ) -> None:
        self.number, self.item, self._layer = number, item, layer
        by_grid: dict[tuple[Any, ...], list[int]] = {}
        for place, name in enumerate(layer.bands):
            by_grid.setdefault(_key(item.assets[name]), []).append(place)
        self.groups: list[Group] = []
        for members in by_grid.values():
            assets = [item.assets[layer.bands[place]] for place in members]
            kernel = resample.Kernel(
                layer.kernel, layer.upsample_first, grid.factor(assets[0], layer)
            )
            values = Values.of(assets[0], layer)
            offsets = [
                asset.add_offset * values.gain if layer.add_offset else 0.0 for asset in assets
            ]
            radiometry = resample.Radiometry(
                np.array(offsets, np.float32), values.missing, *layer.limits
            )
            self.groups.append(
                Group(
                    assets, np.array(members, np.int64), grid.lattice(assets[0]), kernel,
                    radiometry, values, patches,
                )
            )  # fmt: skip
        self.classes: Group | None = None
        if layer.classes:
            asset = item.assets[layer.classes]
            self.classes = Group(
                [asset], _FIRST, grid.lattice(asset), _NEAREST, _PLAIN, Values.codes(asset), patches
            )
        for name, excluded in layer.masks.items():
            if excluded and name in item.assets:
                asset = item.assets[name]
                self.groups.append(Mask(asset, grid.lattice(asset), excluded, patches))
        self.reaches = grid.touching(item.footprint, patches)
        for group in self.groups:
            self.reaches &= group.needs[:, 1] > 0

    def finding(self) -> str | None:
        """What is wrong with the numbers that were decoded, see `Layer.check`."""
        if self._layer.check is None:
            return None
        samplers = {
            self._layer.bands[place]: sampler
            for group in self.groups if not isinstance(group, Mask)
            for place, sampler in zip(group.bands.tolist(), group.samplers, strict=True)
        }  # fmt: skip
        samples = {b: s for b, found in samplers.items() if (s := found.sample) is not None}
        return self._layer.check(self.item, samples) if samples else None

    @property
    def everything(self) -> list[Group]:
        """Groups of bands, and that of the classes."""
        return self.groups + ([self.classes] if self.classes else [])


def _key(asset: LockedAsset) -> tuple[Any, ...]:
    place = asset.crs, asset.transform, asset.shape
    return (*place, asset.dtype, asset.nodata, asset.quantification, asset.gain, asset.scale)
