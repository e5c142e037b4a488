# SPDX-License-Identifier: Apache-2.0
"""Where a dataset comes from: versions, the lock's hash, and the command that builds it again.

The report alone has versions of libraries: `dataset/` has the same bytes with any of them.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import RecipeError, StorageError
from ..paths import remedy
from ..recipe import Recipe, load_recipe
from ..settings import STAGES

LIBRARIES = (
    "numpy", "numba", "scipy", "rasterio", "pyproj", "shapely", "geopandas", "pyogrio", "odc-geo",
    "zarr", "pyarrow", "scikit-learn", "torch", "snakemake",
)  # fmt: skip
"""What makes pixels, tables and scores."""


@dataclass(frozen=True)
class Provenance:
    """What it takes to build the same again."""

    lock_sha256: str
    command: str
    shipped: bool
    """Whether a shipped recipe gives these very settings."""
    versions: dict[str, str]
    """Library → version, those that are installed."""


def provenance(settings: Path, lock: Path, name: str) -> Provenance:
    """Read what the results say of themselves.

    Args:
        settings: settings file of a stage; those of the others lie beside it.
        lock: `lock.json`.
        name: of the recipe.

    Raises:
        StorageError: the lock cannot be read.
    """
    try:
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageError(f"{lock}: cannot be read ({error}); {remedy(lock)}") from error
    for changes, words in (({}, ""), ({"mode": "published"}, " --set mode=published")):
        if _gives(settings.parent, name, changes):
            return Provenance(digest, f"terrapatch build {name}{words}", True, _versions())
    command = f"terrapatch build results/{name}/settings/recipe.yaml"
    return Provenance(digest, command, False, _versions())


def _gives(folder: Path, name: str, changes: dict[str, str]) -> bool:
    """Whether the shipped recipe of that name has written these settings."""
    try:
        recipe = load_recipe(name, changes)
    except RecipeError:
        return False
    whole = all(_as_written(folder / f"{s}.json", recipe, s) for s in STAGES if s != "stack")
    stacks = folder / "stack"
    return whole and all(
        _as_written(stacks / f"{n}.json", recipe, "stack", n) for n in recipe.layers
    )


def _as_written(path: Path, recipe: Recipe, stage: str, layer: str | None = None) -> bool:
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(written == recipe.stage_settings(stage, layer))


def _versions() -> dict[str, str]:
    """Versions of Python, of the libraries, and of the C libraries that read and place pixels."""
    import pyproj
    import rasterio

    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"GDAL": rasterio.__gdal_version__, "PROJ": pyproj.proj_version_str}
