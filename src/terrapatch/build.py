# SPDX-License-Identifier: Apache-2.0
"""The whole workflow as one call: wraps Snakemake and gives its failures our exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .recipe import load_recipe, shipped_recipes
from .results import Results
from .tables import read_lock, write_json, write_text


def workflow_folder() -> Path:
    """Folder of the Snakefile: the checkout's root, or inside the installed package."""
    return shipped_recipes().parent


def build(
    recipe: str,
    *,
    output: str = "results",
    cores: str = "all",
    profile: str | None = None,
    changes: Mapping[str, Any] | None = None,
    extra: Sequence[str] = (),
) -> int:
    """Build a recipe's dataset.

    Args:
        recipe: path of a recipe, or the name of a shipped one.
        output: folder of all results.
        cores: number of cores, or `all`.
        profile: a Snakemake profile, merged over profiles/default.
        changes: settings laid over the recipe.
        extra: more options for Snakemake.

    Returns:
        0, or the exit code of the first failed stage (2, 3, 4), or Snakemake's own.

    Raises:
        RecipeError: the recipe is wrong; nothing has been started.
        StorageError: the lock is damaged; nothing has been started.
    """
    resolved = load_recipe(recipe, changes)
    results = Results.of(output, resolved.name)
    # Resolved here, so that the workflow sees what was checked, wherever `extends` pointed; kept
    # beside the results, where cluster jobs read it too. The folder stands in a file as well:
    # `--config output=…` takes what looks like a number or a quotation for one.
    settings = f"{results.argument}/settings"
    configs = [f"{settings}/recipe.yaml", f"{settings}/output.json"]
    plain = resolved.model_dump(mode="json", exclude_unset=True)
    write_text(configs[0], yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    write_json(configs[1], {"output": output})
    if Path(results.lock).is_file():
        read_lock(results.lock)  # a damaged one is told here, in one line
    errors = Path(results.log("errors")).absolute()
    errors.parent.mkdir(parents=True, exist_ok=True)
    errors.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "snakemake",
        "--snakefile", str(workflow_folder() / "Snakefile"),
        "--configfile", *configs,
        "--cores", cores,
    ]  # fmt: skip
    if profile:
        command += ["--profile", profile]
    # Rules call `terrapatch`: the one that belongs to this Python comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"TERRAPATCH_ERRORS": str(errors), "PATH": path}
    code = subprocess.run([*command, *extra], env=environment, check=False).returncode  # noqa: S603
    if code == 0:
        if Path(results.report).is_file():
            print(f"report: {results.report}")
        return 0
    lines = errors.read_text(encoding="utf-8").splitlines() if errors.is_file() else []
    failures = [json.loads(line) for line in lines]
    for failure in failures:
        print(f"terrapatch {failure['verb']}: {failure['message']}", file=sys.stderr)
    return int(failures[0]["exit_code"]) if failures else code
