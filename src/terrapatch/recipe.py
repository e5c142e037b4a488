# SPDX-License-Identifier: Apache-2.0
"""The recipe: the whole description of a dataset, one frozen section a stage.

Laws:
1. A recipe file says only what differs; defaults live in these models alone.
2. Each stage reads its own settings file, made by `stage_settings`: what is not in it cannot
   change the stage's result, and touching it is an error (`sections.views`).
3. All findings are reported at once, before any work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from .errors import InputError, RecipeError
from .results import remedy
from .sections import (
    SECTIONS,
    STAGES,
    THEIA_10,
    Sections,
    hashes_of,
    named_files,
    narrowed,
    seen,
)
from .yamlfiles import merged, read

CLAIMS = ("title", "description", "authors", "deviations")
"""Keys of `publish` that speak of one dataset; `reference_licence` speaks of the map, and goes where
another crosswalk comes."""

NAMELESS = (
    "a recipe needs a name of its own, also where it extends another: the folder of its results is "
    "called so; add the line name: my-region"
)


class Recipe(Sections):
    """A whole dataset: what, where, from which scenes, in which form."""

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        findings = []
        if "B10" in self.sentinel2.bands and self.catalog.level == "L2A":
            findings.append(
                "sentinel2.bands: B10 is not in Level-2A products; leave it out or set "
                "catalog.level: L1C"
            )
        if (self.sentinel2.scl or self.sentinel2.mask_scl) and self.catalog.level == "L1C":
            findings.append("sentinel2.scl: Level-1C products have no scene classification")
        if "sentinel2" in self.modalities:
            findings += self._processor_findings()
        if self.catalog.source == "local":
            if not self.catalog.paths and not self.catalog.rasters:
                findings.append("catalog.paths: the source 'local' needs paths or rasters")
            if self.catalog.paths and self.catalog.period is None:
                findings.append("catalog.period: give first and last day for folders of scenes")
            has_reference = (
                self.reference.path
                or self.reference.vectors
                or any(r.sensor == "reference" for r in self.catalog.rasters)
            )
            if not has_reference:
                findings.append(
                    "reference.path: the source 'local' needs a reference map, or reference.vectors"
                )
        if self.catalog.period and self.catalog.period[0] > self.catalog.period[1]:
            findings.append("catalog.period: the first day is after the last")
        if self.layouts.name == "cerradata4mm" and set(self.modalities) != {
            "sentinel2",
            "sentinel1",
        }:
            findings.append("layouts.name: cerradata4mm needs both sentinel2 and sentinel1")
        radar = self.sentinel1
        if (
            "sentinel1" in self.modalities
            and (radar.level, radar.geometry) == ("GRD", "terrain")
            and not radar.dem
            and self.catalog.source != "simulated"
        ):
            findings.append(
                "sentinel1.dem: terrain correction needs a height model; name its files, or set "
                "sentinel1.geometry: gcp"
            )
        if not self.modalities:
            findings.append("modalities: give at least one of sentinel2, sentinel1")
        if findings:
            raise ValueError("\n".join(findings))
        return self

    def _processor_findings(self) -> list[str]:
        """What does not fit to the processor of Sentinel-2 products."""
        catalog, wanted, found = self.catalog, self.sentinel2, []
        written = self.simulate.s2_format
        if catalog.source == "simulated" and written not in (
            "both", "theia" if catalog.processor == "theia" else "safe"
        ):  # fmt: skip
            found.append(
                f"simulate.s2_format: {written} has no products for catalog.processor "
                f"{catalog.processor}; set both to the same, or simulate.s2_format: both"
            )
        if catalog.processor == "esa":
            if wanted.mask_clm or wanted.mask_mg2:
                found.append(
                    "sentinel2.mask_clm, mask_mg2: masks of Theia; ESA's products have mask_scl"
                )
            return found
        if catalog.level == "L1C":
            found.append("catalog.level: Theia's products are L2A")
        if wanted.scl or wanted.mask_scl:
            found.append(
                "sentinel2.scl, mask_scl: Theia's products have no scene classification; use "
                "mask_clm and mask_mg2"
            )
        if lacking := [band for band in wanted.bands if band not in THEIA_10]:
            found.append(
                f"sentinel2.bands: Theia's products have no {', '.join(lacking)}; they have "
                f"{', '.join(THEIA_10)}"
            )
        return found

    def stage_settings(self, stage: str) -> dict[str, Any]:
        """What the stage may see: the keys that it reads."""
        return narrowed(self.model_dump(mode="json"), Sections, stage)


def shipped_recipes() -> Path:
    """Folder of the recipes that come with terrapatch."""
    packaged = Path(__file__).parent / "_workflow" / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"


def _find(name: str, folders: Sequence[Path]) -> Path:
    tried = [Path(name)] if name.endswith((".yaml", ".yml")) else []
    tried += [folder / f"{name}.yaml" for folder in folders] + [folder / name for folder in folders]
    for path in tried:
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in shipped_recipes().glob("*.yaml")))
    raise RecipeError(f"no recipe {name!r}; give the path of a YAML file or one of: {known}")


def resolve(data: Mapping[str, Any], folders: Sequence[Path] = ()) -> Recipe:
    """Make a recipe from its plain form: follow `extends`, apply the mode, check everything.

    What a recipe says about its very dataset is not inherited by one of another name (`CLAIMS`).

    Args:
        data: what stands in a recipe file.
        folders: where `extends` is looked up, before the shipped recipes.

    Raises:
        RecipeError: with all findings in one message.
    """
    if "name" not in data:
        raise RecipeError(NAMELESS)
    chain = [dict(data)]
    seen: list[str] = []
    while "extends" in chain[-1]:
        name = str(chain[-1].pop("extends"))
        if name in seen:
            raise RecipeError(
                f"recipe {data.get('name')!r}: 'extends' runs in a circle at {name!r}"
            )
        seen.append(name)
        chain.append(read(_find(name, [*folders, shipped_recipes()])))
    plain: dict[str, Any] = {}
    for layer in reversed(chain):
        # An area is replaced as a whole: a box and a file cannot be merged.
        if "area" in layer:
            plain.pop("area", None)
        if plain.get("name") not in (None, layer.get("name", plain.get("name"))):
            _drop_claims(plain, layer)
        plain = merged(plain, layer)
    if plain.get("mode") == "published":
        changes = plain.get("published", {})
        if isinstance(changes, Mapping):
            plain = merged(plain, changes)
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        raise RecipeError(_findings(str(plain.get("name", "?")), error)) from None


def _drop_claims(plain: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Take from a base what it says about its own dataset, before another one is built on it."""
    about, reference = plain.get("publish"), layer.get("reference")
    if not isinstance(about, Mapping):
        return
    dropped = set(CLAIMS)
    if isinstance(reference, Mapping) and "crosswalk" in reference:  # another map
        dropped.add("reference_licence")
    plain["publish"] = {key: value for key, value in about.items() if key not in dropped}


def _findings(name: str, error: ValidationError) -> str:
    lines = []
    for finding in error.errors():
        where = ".".join(str(part) for part in finding["loc"])
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            message = f"unknown key{_suggestion(finding['loc'])}"
        elif finding["type"] not in ("missing", "value_error"):
            message += f" (got {finding['input']!r})"
        prefix = f"  {where}: " if where else "  "
        lines += [f"{prefix}{part}" for part in message.split("\n")]
    return f"recipe {name!r} has {len(lines)} finding(s):\n" + "\n".join(lines)


def _suggestion(location: tuple[int | str, ...]) -> str:
    import difflib

    section = SECTIONS.get(str(location[0])) if len(location) > 1 else Recipe
    if section is None:
        return ""
    near = difflib.get_close_matches(str(location[-1]), list(section.model_fields), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def load_recipe(name: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """Load a recipe from a file, or a shipped one by its name.

    Args:
        name: path of a YAML file, or for example `demo`.
        changes: plain settings laid over the file (from the command line).

    Raises:
        RecipeError: no such recipe, or findings in it.
    """
    path = _find(os.fspath(name), [shipped_recipes()])
    plain = merged(read(path), changes or {})
    if "name" not in plain:
        raise RecipeError(f"{path}: {NAMELESS}")
    return resolve(plain, [path.parent])


def write_settings(recipe: Recipe, folder: Path) -> list[Path]:
    """Write one settings file a stage; a file whose text is unchanged keeps its time.

    Snakemake compares times: an untouched file means that its stage need not run again. Files that
    the recipe names stand in it with their hashes, so an edit of one is a change of settings.

    Raises:
        InputError: the folder of results cannot be written.
    """
    paths = [folder / f"{stage}.json" for stage in STAGES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stage, path in zip(STAGES, paths, strict=True):
            plain = recipe.stage_settings(stage)
            if named := named_files(recipe, stage):
                plain["files"] = hashes_of(named)
            text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                temporary = path.with_name(f".{path.name}.{os.getpid()}")
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: no folder that results can be written to ({error.strerror}: "
            f"{error.filename}); give another one with --output"
        ) from error
    return paths


class StageSettings(Sections):
    """What a stage reads back: the keys of its row in `Sections`; touching others is an error."""

    files: dict[str, str | None] = Field(default_factory=dict)
    """Hashes of `named_files` when the settings were written."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> StageSettings:
        """The settings of a stage from their plain form.

        Raises:
            ValidationError: a key is unknown, or a value of another type.
        """
        return seen(cls, plain)


def read_settings(path: str | os.PathLike[str]) -> StageSettings:
    """Read a settings file written by `write_settings`.

    Raises:
        RecipeError: the file is missing or not a settings file.
    """
    try:
        return StageSettings.of(json.loads(Path(path).read_bytes()))
    except OSError as error:
        raise RecipeError(
            f"{path}: no such settings file; {remedy(path)}, or `terrapatch build`"
        ) from error
    except (ValidationError, ValueError) as error:
        found = [str(error)]
        if isinstance(error, ValidationError):
            _, *found = _findings("", error).splitlines()
        raise RecipeError(
            f"{path}: no settings of this version of terrapatch; {remedy(path)}, or "
            f"`terrapatch build` ({'; '.join(line.strip() for line in found)})"
        ) from None


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of recipe files, for editors."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Recipe (shipped name or path) that this one builds on.",
    }
    schema["required"] = ["name"]
    return schema
