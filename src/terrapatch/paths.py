# SPDX-License-Identifier: Apache-2.0
"""The names of everything under `results/NAME`: one home for the verbs and the workflow.

Paths are plain text with forward slashes, so that the workflow can put wildcards where the
verbs put names: `Results(root).stack("{unit}", "sentinel2")`.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

SPLITS = ("train", "val", "test")
"""Splits, in the order of precedence: of two patches too near to each other the later one stays."""
PUBLISHED = ("README.md", "statistics.json", "SHA256SUMS")
"""What `publish` adds to the files of the layout."""


@dataclass(frozen=True)
class Results:
    """Where one recipe's results lie."""

    root: str
    """For example `results/demo`."""

    @classmethod
    def of(cls, output: str, name: str) -> Results:
        """The results of a recipe in the folder of all results.

        Args:
            output: that folder; `~` is the user's home, nothing is where one stands.
            name: the recipe's name.

        Raises:
            InputError: Snakemake would read the folder's name as a pattern, or no text holds it;
                or something else than results of ours stands there.
        """
        if "{" in output or "}" in output or not output.isprintable():
            raise InputError(
                f"output {output!r}: braces, line breaks and bytes that are no text cannot be in "
                "the name of a folder of results; give another one"
            )
        found = cls(Path(os.path.normpath(Path(output).expanduser()), name).as_posix())
        found._require_ours()
        return found

    def _require_ours(self) -> None:
        """A folder becomes that of results while it is empty, and has settings from then on."""
        root = Path(self.root)
        for folder in (root, *root.parents):
            if os.path.lexists(folder) and not os.path.isdir(folder):
                raise InputError(
                    f"{folder}: is a file where a folder is to be, for {root}; move it, or give "
                    "another one with --output"
                )
        ours = any(os.path.isfile(p) for p in (self.lock, self.settings("plan")))
        names = [] if ours or not os.path.isdir(root) else sorted(set(os.listdir(root)) - {"logs"})
        if names and names != ["settings"]:
            raise InputError(
                f"{root}: holds {names[0]}, which is no result of terrapatch (there are no "
                "settings beside it); nothing has been touched: give another --output, or another "
                "name to the recipe"
            )

    @property
    def argument(self) -> str:
        """The root as a word of a command line: never taken for an option."""
        return f"./{self.root}" if self.root.startswith("-") else self.root

    def settings(self, stage: str) -> str:
        """Resolved settings of a stage; `stack/LAYER` are those of one layer's stacks."""
        return f"{self.root}/settings/{stage}.json"

    def stack_settings(self, layer: str) -> str:
        """Resolved settings of one layer's stacks."""
        return self.settings(f"stack/{layer}")

    @property
    def archive(self) -> str:
        """The embedded archive (source `simulated` only)."""
        return f"{self.root}/archive"

    @property
    def catalog(self) -> str:
        """The archive's STAC catalogue: written last, so it stands for the whole."""
        return f"{self.archive}/catalog.json"

    @property
    def lock(self) -> str:
        """Exactly what goes in."""
        return f"{self.root}/lock.json"

    @property
    def slices(self) -> str:
        """Folder of all slices of the lock."""
        return f"{self.root}/plan"

    def slice(self, unit: str, layer: str | None = None) -> str:
        """What one job reads of the plan: of a unit and layer, or of a unit's places alone."""
        return (
            f"{self.slices}/{unit}.json" if layer is None else f"{self.slices}/{unit}/{layer}.json"
        )

    @property
    def places(self) -> str:
        """Columns of the table of points, of those that are planned."""
        return f"{self.slices}/places.parquet"

    def footprints(self, unit: str) -> str:
        """Patch windows of a unit."""
        return f"{self.root}/footprints/{unit}.parquet"

    @property
    def stacks(self) -> str:
        """Folder of all stacks."""
        return f"{self.root}/stacks"

    def stack(self, unit: str, layer: str) -> str:
        """Zarr store of a unit's layer."""
        return f"{self.stacks}/{unit}/{layer}.zarr"

    def labels(self, unit: str, band: str = "") -> str:
        """Labels of a whole unit as a raster to look at; no stage reads it."""
        return f"{self.root}/labels/{unit}{band and '.'}{band}.tif"

    def patches(self, unit: str) -> str:
        """Manifest of a unit."""
        return f"{self.root}/patches/{unit}.parquet"

    def dates_of(self, unit: str) -> str:
        """Dates of a unit's patches."""
        return f"{self.root}/dates/{unit}.parquet"

    @property
    def dates(self) -> str:
        """Dates of all patches: one row a patch, layer and step."""
        return f"{self.root}/dates.parquet"

    @property
    def manifest(self) -> str:
        """Manifest of the dataset, with splits."""
        return f"{self.root}/manifest.parquet"

    @property
    def splits(self) -> str:
        """Sizes and leakage of the splits."""
        return f"{self.root}/splits.json"

    @property
    def dataset(self) -> str:
        """The published dataset."""
        return f"{self.root}/dataset"

    @property
    def layout(self) -> str:
        """What the layout wrote."""
        return f"{self.dataset}/.layout.json"

    @property
    def statistics(self) -> str:
        """Statistics of the train split."""
        return f"{self.dataset}/statistics.json"

    @property
    def checksums(self) -> str:
        """Hashes of all files of the dataset: written last, so it stands for the whole."""
        return f"{self.dataset}/SHA256SUMS"

    @property
    def deviations(self) -> str:
        """What differs from the published dataset."""
        return f"{self.root}/deviations.json"

    @property
    def metrics(self) -> str:
        """The training stage's result."""
        return f"{self.root}/validation/metrics.json"

    @property
    def predictions(self) -> str:
        """Predictions beside labels for the report."""
        return f"{self.root}/validation/predictions.npz"

    @property
    def passed(self) -> str:
        """Stands only where the models beat their baselines."""
        return f"{self.root}/validation/passed"

    @property
    def report(self) -> str:
        """The report to look at."""
        return f"{self.root}/report/index.html"

    def stamp(self, stage: str, job: str = "all") -> str:
        """What a job's result was made from."""
        return f"{self.root}/stamps/{stage}/{job}.json"

    def due(self, run: str) -> str:
        """Stands while jobs of a run wait whose results are to be made again."""
        return f"{self.root}/stamps/due/{run}"

    def log(self, stage: str, unit: str = "all") -> str:
        """Log of one job."""
        return f"{self.root}/logs/{stage}/{unit}.log"


@dataclass(frozen=True)
class Built:
    """What the stages behind the units' tables read of each other, and write."""

    manifest: Path
    """GeoParquet, one row a patch, with its split."""
    splits: Path
    """What the splits stage says of itself."""
    stacks: Path
    """Folder with UNIT/LAYER.zarr."""
    dataset: Path
    """The published dataset."""
    statistics: Path
    deviations: Path
    metrics: Path
    predictions: Path
    lock: Path
    dates: Path | None = None
    """Table of dates; not needed where all patches have one image a layer."""

    @classmethod
    def of(cls, results: Results) -> Built:
        """Those of a recipe's results."""
        r = results
        return cls(
            Path(r.manifest), Path(r.splits), Path(r.stacks), Path(r.dataset), Path(r.statistics),
            Path(r.deviations), Path(r.metrics), Path(r.predictions), Path(r.lock), Path(r.dates),
        )  # fmt: skip

    @property
    def known_dates(self) -> Path:
        """The table of dates; the one beside the manifest where none is named."""
        return self.dates or self.manifest.with_name("dates.parquet")


_UNIT = r"(?P<unit>[^/]+)"
_MAKERS = {
    r"settings/(stack/)?[^/]+\.json": "settings {settings}",
    r"archive(/.*)?": "simulate {root}",
    r"(lock\.json|plan/.*)": "plan --results {root}",
    rf"footprints/{_UNIT}\.parquet": "sampling {root} {unit}",
    rf"stacks/{_UNIT}/(?P<layer>[^/]+)\.zarr(/.*)?": "stack {root} {unit} {layer}",
    rf"(patches|dates)/{_UNIT}\.parquet": "patches {root} {unit}",
    r"(manifest\.parquet|dates\.parquet|splits\.json)": "splits {root}",
    r"(dataset/(statistics\.json|README\.md|SHA256SUMS)|deviations\.json)": "publish {root}",
    r"dataset(/.*)?": "layouts {root}",
    r"validation/(metrics\.json|predictions\.npz)": "training {root}",
    r"validation/passed": "validate {root}",
    r"report/index\.html": "report {root}",
}
"""Names under the root → the command that makes them; the first that fits."""


def root_of(plan: Path) -> Path:
    """The folder of results that a lock or one of its slices lies in."""
    parents = plan.parents
    if parents[0].name == "plan":
        return parents[1]
    return parents[2] if len(parents) > 2 and parents[1].name == "plan" else parents[0]


def remedy(path: str | os.PathLike[str]) -> str:
    """How a result that is missing or damaged is made again, for messages.

    Args:
        path: a result under its folder, for example `results/demo/manifest.parquet`.

    Returns:
        "run `terrapatch …`" with the command, or "build it again" for what is no result of ours.
    """
    whole = Path(path).as_posix()
    for name, command in _MAKERS.items():
        found = re.fullmatch(rf"(?P<root>.*?)/?{name}", whole)
        if found is None or not (found["root"] or not whole.startswith("/")):
            continue
        root = Results(found["root"] or ".")
        words = {
            "root": shlex.quote(root.argument),
            "unit": shlex.quote(found.groupdict().get("unit") or ""),
            "layer": shlex.quote(found.groupdict().get("layer") or ""),
            "settings": _settings_words(root),
        }
        return f"run `terrapatch {command.format_map(words)}`"
    return "build it again"


def _settings_words(root: Results) -> str:
    """Recipe and output that give the settings again: as kept by a build, or a shipped recipe."""
    kept = Path(root.root) / "settings" / "recipe.yaml"
    name = kept if kept.is_file() else Path(root.root).name
    output = Path(root.root).parent
    return f"{shlex.quote(str(name))} --output {shlex.quote(str(output))}"
