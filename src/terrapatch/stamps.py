# SPDX-License-Identifier: Apache-2.0
"""What each result was made from, and so which jobs must run again, and why.

Laws:
1. A stamp names all that a job's result depends on: the keys of its settings, its slice of the plan,
   the files that the recipe names, the code of its stage, and the stamps of its inputs.
2. What a result would be made from now is known before any job runs, but for the plan's own: stale
   is what has another stamp. No clock and no memory of Snakemake's is asked.
3. Where a file lies is no part of it while its hash is known.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from . import progress
from .errors import RecipeError, StorageError, TerrapatchError
from .files import write_json
from .legend import table_rows
from .paths import Results, remedy
from .recipe import Recipe, StageSettings
from .settings import named_files
from .sums import Sums

PACKAGE = Path(__file__).parent

EARLY = ("simulate", "plan")
"""Stages before the slices of the plan are known."""

SLICES = "slices.jsonl"
"""File beside the stamps: digests of slices, kept as those of files are."""

_SETTINGS = {"report": "publish"}
"""Stages that read another one's settings."""

_CODE = {
    "simulate": ("simulate",), "plan": ("catalog",), "sampling": ("sampling",),
    "patches": ("patches",), "splits": ("splits",), "layouts": ("layouts",),
    "publish": ("publish",), "report": ("publish",), "validate": ("training",),
    "training": ("training", "publish/statistics"),
}  # fmt: skip
"""Rooms or files that hold the code of a stage; what they import goes with them."""

_NO_CODE = {
    "cli", "build", "stamps", "recipe", "settings", "findings", "paths", "errors", "progress",
    "screen", "faults", "yamlfiles",
}  # fmt: skip
"""Rooms that change no result but by what settings and slices say."""


@dataclass(frozen=True, order=True)
class Job:
    """One run of a verb."""

    stage: str
    unit: str = ""
    layer: str = ""

    @property
    def name(self) -> str:
        """For example `stack b000_000 sentinel2`."""
        return " ".join(filter(None, (self.stage, self.unit, self.layer)))

    def stamp(self, results: Results) -> str:
        """Path of its stamp."""
        parts = filter(None, (self.unit, self.layer))
        return results.stamp(self.stage, "/".join(parts) or "all")


@dataclass(frozen=True)
class Stamp:
    """What a result was made from."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key → value."""
    plan: Mapping[str, str] = field(default_factory=dict)
    """Lock or slice → its hash."""
    files: Mapping[str, str] = field(default_factory=dict)
    """File that the recipe names → hash of what the stage reads of it."""
    code: str = ""
    """Hash of the stage's modules."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Job → digest of its stamp."""

    @property
    def plain(self) -> dict[str, Any]:
        """As it is written."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value}

    @cached_property
    def digest(self) -> str:
        """One hash of it all."""
        return _hash(json.dumps(self.plain, sort_keys=True).encode())

    def changes(self, before: Stamp) -> list[str]:
        """What is other than it was, a few words each; inputs are not looked at."""
        found = [
            f"{key} {_short(before.settings.get(key))} → {_short(self.settings.get(key))}"
            for key in sorted({*before.settings, *self.settings})
            if before.settings.get(key) != self.settings.get(key)
        ]
        for old, new in ((before.files, self.files), (before.plan, self.plan)):
            names = sorted({*old, *new})
            found += [f"{name} changed" for name in names if old.get(name) != new.get(name)]
        if before.code != self.code:
            found.append("the code of terrapatch changed")
        return found


def read_stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """A stamp as a job left it; None without one that can be read."""
    try:
        return Stamp(**json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Stamps:
    """What the results of a recipe are to be made from."""

    def __init__(self, results: Results, settings: Callable[[str], Mapping[str, Any]]) -> None:
        """Nothing is read yet.

        Args:
            results: where they lie.
            settings: plain settings of a stage, by the name of its file (`stack/LAYER`).
        """
        self.results, self._settings = results, settings
        self._sums = Sums(Path(results.root))
        self._slices = Sums(Path(results.root) / "stamps", SLICES, digest_of)
        self._wanted: dict[Job, Stamp] = {}
        self._shared: dict[tuple[str, str], Stamp] = {}
        self._units: list[str] | None = None
        self._told: set[bool] = set()

    @classmethod
    def of_recipe(cls, recipe: Recipe, results: Results) -> Stamps:
        """As the recipe wants it, whatever settings lie there."""

        @cache
        def settings(name: str) -> Mapping[str, Any]:
            stage, _, layer = name.partition("/")
            return recipe.stage_settings(stage, layer or None)

        return cls(results, settings)

    @classmethod
    def of_results(cls, results: Results) -> Stamps:
        """As the settings in the folder of results say."""

        @cache
        def settings(name: str) -> Mapping[str, Any]:
            path = results.settings(name)
            try:
                return dict(json.loads(Path(path).read_bytes()))
            except (OSError, ValueError) as error:
                raise RecipeError(f"{path}: no readable settings; {remedy(path)}") from error

        return cls(results, settings)

    def units(self) -> list[str]:
        """Units of the plan.

        Raises:
            StorageError: there are no slices.
        """
        if self._units is None:
            folder = Path(self.results.slices)
            if not folder.is_dir():
                raise StorageError(f"{folder}: no slices of the lock; {remedy(folder / 'x')}")
            self._units = sorted(path.stem for path in folder.glob("*.json"))
        return self._units

    @property
    def _places(self) -> bool:
        """Whether a table says where patches are."""
        return bool(self._settings("sampling")["sampling"]["kind"] == "points")

    @property
    def layers(self) -> list[str]:
        """Layers of the recipe."""
        return list(self._settings("patches")["layers"])

    def jobs(self) -> Iterator[Job]:
        """All jobs of the plan that lies there, in the order of the flow."""
        yield from self.inputs(Job("plan"))
        yield Job("plan")
        for unit in self.units():
            yield Job("sampling", unit)
            for layer in self.layers:
                yield Job("stack", unit, layer)
            yield Job("patches", unit)
        for stage in ("splits", "layouts", "publish", "training", "report", "validate"):
            yield Job(stage)

    def inputs(self, job: Job) -> list[Job]:
        """The jobs whose results a job reads."""
        if job.stage == "plan":
            simulated = self._settings("plan")["catalog"]["source"] == "simulated"
            return [Job("simulate")] if simulated else []
        if job.stage == "stack":
            return [Job("sampling", job.unit)]
        if job.stage == "patches":
            return [Job("sampling", job.unit), *(Job("stack", job.unit, n) for n in self.layers)]
        if job.stage == "splits":
            return [Job("patches", unit) for unit in self.units()]
        before = {
            "layouts": ("splits",), "publish": ("layouts",), "training": ("splits",),
            "report": ("publish", "training"), "validate": ("training",),
        }  # fmt: skip
        return [Job(stage) for stage in before.get(job.stage, ())]

    def wanted(self, job: Job) -> Stamp:
        """What a job's result is to be made from.

        Raises:
            RecipeError: its settings cannot be read.
            StorageError: its slice cannot be read.
        """
        if job not in self._wanted:
            self._wanted[job] = replace(
                self._of_all_units(job),
                plan={
                    name: self._planned(name)
                    for name in _reads(job, job.stage == "splits" and self._places)
                },
                inputs={i.name: self.wanted(i).digest for i in self.inputs(job)},
            )
        return self._wanted[job]

    def _planned(self, name: str) -> str:
        """Digest of the lock or a slice, see `digest_of`."""
        path = Path(self.results.root) / name
        try:
            return self._slices.of(path)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: no readable slice of the lock; {remedy(path)}") from error

    def _of_all_units(self, job: Job) -> Stamp:
        """What the stamps of a stage and layer have in common, looked up once for all units."""
        key = job.stage, job.layer
        if key not in self._shared:
            plain = self._plain(job)
            kind = plain["layers"][job.layer]["kind"] if job.layer else ""
            self._shared[key] = Stamp(
                settings=dict(_flat(plain)),
                files=self._files(job, plain),
                code=code_of(*(_CODE.get(job.stage) or ("cutting", kind))),
            )
        return self._shared[key]

    def due(self, job: Job) -> bool:
        """Whether a result is to be made; says once, for all jobs, why those that were are again."""
        early = job.stage in EARLY
        if early not in self._told:
            self._told.add(early)
            self._tell(self._all(early))
        there = read_stamp(job.stamp(self.results))
        return there is None or there.digest != self.wanted(job).digest

    def _all(self, early: bool) -> list[Job]:
        plan = Job("plan")
        if early:
            return [*self.inputs(plan), plan]
        return [job for job in self.jobs() if job.stage not in EARLY]

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Say how many jobs a run has, and the reasons that do not come from other jobs."""
        counts: Counter[str] = Counter()
        reasons: dict[tuple[str, str], list[Job]] = {}
        for job in jobs:
            there, wanted = read_stamp(job.stamp(self.results)), self.wanted(job)
            if there is not None and there.digest == wanted.digest:
                continue
            counts[job.stage] += 1
            found = [] if there is None else wanted.changes(there)
            if found:
                why = re.sub(r"plan/\S*\.json", "scenes", ", ".join(found))
                reasons.setdefault((f"{job.stage} {job.layer}".strip(), why), []).append(job)
        progress.tell("expected", jobs=dict(counts))
        for (what, why), some in reasons.items():
            many = f" in {len(some)} of {len(self.units())} units" if some[0].unit else ""
            progress.note(f"{what} again{many}: {why}")

    def write(self, job: Job) -> None:
        """Leave the stamp of a job that is done."""
        stamp = self.wanted(job)
        if job.stage == "plan":  # once for all who ask what is stale
            for path in sorted(Path(self.results.slices).rglob("*.json")):
                self._slices.of(path)
            self._slices.save()
        self._sums.save()
        write_json(job.stamp(self.results), stamp.plain)

    def check_inputs(self, job: Job) -> None:
        """Refuse to work on results of other settings.

        Code and scenes alone make nobody start again by hand, and results without a stamp are
        taken as they are.

        Raises:
            StorageError: with what differs.
        """
        found = []
        for before in self.inputs(job):
            there = read_stamp(before.stamp(self.results))
            wanted = self.wanted(before).settings
            if there is None or there.settings == wanted:
                continue
            reasons = Stamp(wanted).changes(Stamp(there.settings))
            words = [before.stage, self.results.argument, before.unit, before.layer]
            found.append(
                f"{before.name} was made from other settings ({', '.join(reasons)}); run "
                f"`terrapatch {' '.join(filter(None, words))}`, or `terrapatch build`"
            )
        if found:
            more = [f"and {len(found) - 5} more"] if len(found) > 5 else []
            raise StorageError("\n".join([*found[:5], *more]))

    def _plain(self, job: Job) -> Mapping[str, Any]:
        if job.stage == "validate":
            return {}
        name = f"stack/{job.layer}" if job.layer else _SETTINGS.get(job.stage, job.stage)
        return self._settings(name)

    def _files(self, job: Job, plain: Mapping[str, Any]) -> dict[str, str]:
        """Hashes of what a job reads of the files that the recipe names."""
        if not plain:
            return {}
        stage = _SETTINGS.get(job.stage, job.stage)
        settings = StageSettings.of(plain)
        codes = job.stage in ("stack", "patches", "splits")
        legends = {label.legend for label in settings.labels.values()} if codes else set()
        found = {}
        for name in named_files(settings, stage):
            if not Path(name).is_file():
                found[name] = "missing"
            else:
                found[name] = (
                    _codes_of(Path(name)) if name in legends else self._sums.of(Path(name))
                )
        return found


@contextmanager
def stamping(results: Results, job: Job) -> Iterator[None]:
    """Do a job by hand or in a workflow: hold its inputs against its settings, and stamp it.

    Where there are no settings or slices to tell, as in folders that were put together by hand, the
    job has to say itself what it lacks, and leaves no stamp.

    Raises:
        StorageError: an input was made from other settings.
    """
    stamps = Stamps.of_results(results)
    path = Path(job.stamp(results))
    try:
        wanted = stamps.wanted(job)
    except (TerrapatchError, ValueError, KeyError):
        path.unlink(missing_ok=True)
        yield
        return
    stamps.check_inputs(job)
    before = read_stamp(path)
    if before is not None and (found := wanted.changes(before)):
        print(f"{job.name} again: {', '.join(found)}", file=sys.stderr, flush=True)
    path.unlink(missing_ok=True)  # while the job works, nobody knows what its result is
    yield
    stamps.write(job)


def _reads(job: Job, places: bool) -> tuple[str, ...]:
    """What a job reads of the plan, below the folder of results."""
    if job.stage == "sampling":
        return (f"plan/{job.unit}.json",)
    if job.stage == "stack":
        return (f"plan/{job.unit}/{job.layer}.json",)
    if job.stage == "splits":
        return ("plan/places.parquet",) if places else ()
    return ("lock.json",) if job.stage in ("publish", "report") else ()


_ADDRESSES = ("href", "annotation", "calibration", "noise", "orbit_file")


def digest_of(path: Path) -> str:
    """Hash of a lock or slice, wherever its files lie; of the lock, whose hash is published, as it is.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    text = path.read_bytes()
    if path.name == "lock.json" or path.suffix == ".parquet":
        return _hash(text)
    plain = json.loads(text, object_hook=_placeless)
    plain.pop("named", None)  # the stage's `files` have them
    return _hash(json.dumps(plain, sort_keys=True).encode())


_PACKED = re.compile(r"\.(?:zip|7z|tar)/")


def _placeless(record: dict[str, Any]) -> dict[str, Any]:
    """A plain record without the folders of files whose hash it holds; what it holds is done already."""
    if record.get("sha256") or "assets" in record:
        for key in _ADDRESSES:
            address = record.get(key)
            if isinstance(address, str):
                archive = _PACKED.search(address)
                end = len(address) if archive is None else archive.start()
                record[key] = address[address.rfind("/", 0, end) + 1 :]
    return record


def _codes_of(path: Path) -> str:
    """Hash of a legend's codes and of what becomes of what: names and colours change no pixel."""
    try:
        rows = table_rows("legends", str(path), ("code", "name", "color"))
    except TerrapatchError:  # no legend: the stage will say so
        return _hash(path.read_bytes())
    return _hash(
        json.dumps([[row.get(k) for k in ("level", "code", "parent")] for row in rows]).encode()
    )


def _flat(plain: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested mappings."""
    for key, value in plain.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, value


def _short(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


_IMPORT = re.compile(r"^\s*from (\.+)([\w.]*) import (\([^)]*\)|[^\n]*)", re.M)


@cache
def code_of(*entries: str) -> str:
    """Hash of modules and of all modules of the package that they import, with their tables.

    Args:
        entries: rooms or files below the package, without ending.
    """
    todo: list[Path] = []
    for entry in entries:
        path = PACKAGE / entry
        todo += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    found: dict[str, str] = {}
    tables: set[str] = set()
    while todo:
        path = todo.pop()
        name = path.relative_to(PACKAGE).as_posix()
        room = name.split("/")[0].removesuffix(".py")
        module = None if name in found or room in _NO_CODE else _module(path)
        if module is not None:
            found[name], imported, named = module
            todo += imported
            tables |= named
    for folder in tables:
        found |= _tables(folder)
    return _hash(json.dumps(dict(sorted(found.items()))).encode())


@cache
def _module(path: Path) -> tuple[str, tuple[Path, ...], frozenset[str]] | None:
    """Hash of a module, what it imports, and the folders of tables that it names."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    named = frozenset(re.findall(r'"(\w+)"', text)) & _table_folders()
    return _hash(text.encode()), tuple(dict.fromkeys(_imported(path, text))), named


@cache
def _table_folders() -> frozenset[str]:
    return frozenset(path.name for path in (PACKAGE / "data").iterdir() if path.is_dir())


@cache
def _tables(folder: str) -> dict[str, str]:
    """Hashes of the packaged tables of a folder."""
    files = (path for path in (PACKAGE / "data" / folder).iterdir() if path.is_file())
    return {f"data/{folder}/{path.name}": _hash(path.read_bytes()) for path in files}


def _imported(path: Path, text: str) -> Iterator[Path]:
    """Files of the package that a module's relative imports may mean."""
    for dots, module, names in _IMPORT.findall(text):
        base = path.parents[len(dots) - 1]
        target = base.joinpath(*module.split(".")) if module else base
        yield target.with_suffix(".py") if module else target / "__init__.py"
        yield target / "__init__.py"
        for name in re.findall(r"\w+", re.sub(r" as \w+|#.*", "", names)):
            yield target / f"{name}.py"
            yield target / name / "__init__.py"
