# SPDX-License-Identifier: Apache-2.0
"""Recipes of the usual layers: `sentinel2` and `sentinel1` of their kinds, and `label`.

Tests say what differs: `{"sentinel1": {"time": "series"}}` beside the sections of a recipe.
"""

from terrapatch.recipe import resolve as resolve_plain

KINDS = {"sentinel2": "sentinel2", "sentinel1": "sentinel1", "label": "labels"}


def with_layers(plain, images=("sentinel2", "sentinel1")):
    """A plain recipe whose usual layers are laid out under `layers`.

    Args:
        plain: a recipe, with `sentinel2`, `sentinel1` and `label` (what differs in these layers) and
            `images` (which of the two it has) beside its sections.
        images: the same, where `plain` does not say it.
    """
    rest = dict(plain)
    wanted = [*rest.pop("images", images), "label"]
    given = {name: rest.pop(name, {}) for name in KINDS}
    layers = {name: {"kind": KINDS[name], **given[name]} for name in wanted}
    layers["label"].setdefault("legend", "cerradata4mm")
    return {**rest, "layers": layers | rest.get("layers", {})}


def resolve(plain, folders=()):
    """The recipe of a plain one with the usual layers."""
    return resolve_plain(with_layers(plain), folders)
