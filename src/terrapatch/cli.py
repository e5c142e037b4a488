# SPDX-License-Identifier: Apache-2.0
"""The command line: verbs = rules = functions, in one table.

Stage verbs take the folder of the results (and a unit) and find every path in it through
`paths.Results`; the functions behind them take paths and can be called without any of this.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from . import __version__, progress
from .errors import InputError
from .faults import verdict
from .paths import Built, Results
from .yamlfiles import changes

if TYPE_CHECKING:
    from .records import Lock

CHANGED = 10
"""Exit code of `plan --check` when the archive offers something else than the lock."""


@dataclass(frozen=True)
class Verb:
    """One command."""

    name: str
    help: str
    example: str
    run: Callable[[argparse.Namespace], int | None]
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()


def _argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, options


def _count(text: str) -> int:
    """A number of threads or cores, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _cores(text: str) -> str:
    """`all`, or a number of cores."""
    return text if text == "all" else str(_count(text))


_RESULTS = _argument("results", help="folder of the recipe's results, for example results/demo")
_UNIT = _argument("unit", help="unit of the lock, for example b000_000")
_LAYER = _argument("layer", help="layer of the recipe, for example sentinel2")
_THREADS = _argument("--threads", type=_count, default=1, help="threads to use (default 1)")
_RECIPE = _argument("recipe", help="path of a recipe, or the name of a shipped one")
_OUTPUT = _argument("--output", default="results", help="folder of all results (default results)")
_SET = _argument(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="change a setting: mode=published",
)


def _say(text: object) -> None:
    """Print a line; where the reader has gone (`terrapatch plan | head -1`), the work goes on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _recipes(_: argparse.Namespace) -> None:
    from .recipe import load_recipe, shipped_recipes
    from .yamlfiles import read

    for path in sorted(shipped_recipes().glob("*.yaml")):
        recipe = load_recipe(path)
        about = recipe.publish.title or read(path).get("extends", "")
        _say(f"{recipe.name:24} {recipe.catalog.source:10} {about}")


def _legends(_: argparse.Namespace) -> None:
    from .legend import crosswalks, legends, load_crosswalk, load_legend, task_legends
    from .tasks import load_task_legend

    for name in legends():
        for level in load_legend(name).levels:
            _say(f"{name} · level {level.name}")
            for entry in level.classes:
                parent = "" if entry.parent is None else f"→ {entry.parent}"
                _say(f"  {entry.code:3}  {entry.color}  {entry.abbrev:4} {entry.name:36} {parent}")
    for name in task_legends():
        task = load_task_legend(name)
        _say(f"{name} · legend of a task")
        for entry in task.level.classes:
            codes = ", ".join(sorted(p for p, c in task.prefixes.items() if c == entry.code))
            _say(f"  {entry.code:3}  {entry.color}  {entry.name:36} {codes}")
    for name in crosswalks():
        _say(f"{name} · crosswalk")
        walk = load_crosswalk(name)
        for source, code in sorted(walk.codes.items()):
            _say(f"  {source:5} {walk.names[source]:40} → {'nodata' if code == 255 else code}")
        for text, code in sorted(walk.words.items()):
            _say(f"  {text:5} {walk.names[text]:40} → {'nodata' if code == 255 else code}")


def _schema(_: argparse.Namespace) -> None:
    from .recipe import recipe_schema

    _say(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))


def _settings(args: argparse.Namespace) -> None:
    from .recipe import load_recipe, write_settings

    recipe = load_recipe(args.recipe, changes(args.set))
    for path in write_settings(
        recipe, Path(Results.of(args.output, recipe.name).root) / "settings"
    ):
        _say(path)


def _simulate(args: argparse.Namespace) -> None:
    from .simulate import simulate

    r = Results(args.results)
    simulate(Path(r.settings("simulate")), Path(r.archive), threads=args.threads)
    _say(r.catalog)


def _plan(args: argparse.Namespace) -> int:
    from .recipe import load_recipe, write_settings

    if (args.recipe is None) == (args.results is None):
        raise InputError("terrapatch plan: give either a recipe or --results FOLDER")
    if args.results:
        r = Results(args.results)
        return _look(r, r, args) if args.check else _stamped(r, args, lambda: _write_plan(r))
    recipe = load_recipe(args.recipe, changes(args.set))
    r = Results.of(args.output, recipe.name)
    if not (args.check or args.set):
        write_settings(recipe, Path(r.root) / "settings")
        return _stamped(r, args, lambda: _write_plan(r))
    with TemporaryDirectory(prefix="terrapatch-") as folder:  # looking leaves no trace
        write_settings(recipe, Path(folder) / "settings")
        return _look(r, Results(folder), args)


def _planned(r: Results, aside: Results) -> Lock:
    """The lock that settings lead to; what it takes is made `aside` where `r` has it not."""
    from .catalog import plan
    from .layouts import check_plan
    from .recipe import read_settings
    from .stamps import Job, Stamps, read_stamp

    layout = Path(aside.settings("layouts"))
    check_plan(layout)  # before an archive is written or searched
    archive = None
    if read_settings(aside.settings("plan")).catalog.source == "simulated":
        job, archive = Job("simulate"), Path(r.archive)
        there = read_stamp(job.stamp(r)) if Path(r.catalog).is_file() else None
        if there is None or there.settings != Stamps.of_results(aside).wanted(job).settings:
            archive = Path(aside.archive)
            make = argparse.Namespace(results=aside.root, threads=2, verb="simulate")
            _stamped(aside, make, lambda: _simulate(make))
    lock = plan(Path(aside.settings("plan")), archive=archive, home=_home(r, aside))
    check_plan(layout, lock)
    return lock


def _home(r: Results, aside: Results) -> Path | None:
    return None if r == aside else Path(r.root)


def _write_plan(r: Results) -> int:
    from .catalog import describe, place_table, write_slices
    from .lock import write_lock
    from .recipe import read_settings
    from .sums import Sums

    lock = _planned(r, r)
    write_lock(lock, r.lock)
    sums = Sums(Path(r.root))
    sums.of(Path(r.lock))  # whole, until it is touched
    sums.save()
    settings = read_settings(r.settings("plan"))
    write_slices(lock, settings, Path(r.slices), place_table(settings, Path(r.archive)))
    _say(f"{describe(lock)}\n{r.lock}")
    return 0


def _look(r: Results, aside: Results, args: argparse.Namespace) -> int:
    from .catalog import changes as changes_of
    from .catalog import describe
    from .lock import read_lock

    lock = _planned(r, aside)
    old = read_lock(r.lock) if Path(r.lock).is_file() else None
    found = ["no lock yet"] if old is None else changes_of(old, lock)
    _say("\n".join([describe(lock), *found]))
    if not args.check:
        _say("nothing is written: --set is a look; `terrapatch build` with it makes it so")
        return 0
    return CHANGED if found else 0


def _stamped(r: Results, args: argparse.Namespace, run: Callable[[], int | None]) -> int:
    """Run a stage, and leave what its result was made from beside it."""
    from .stamps import Job, stamping

    job = Job(args.verb, getattr(args, "unit", ""), getattr(args, "layer", ""))
    with stamping(r, job):
        return run() or 0


def _build(args: argparse.Namespace) -> int:
    from .build import build

    return build(
        args.recipe, output=args.output, cores=args.cores, profile=args.profile,
        changes=changes(args.set), extra=args.snakemake, unlock=args.unlock,
        verbose=args.verbose,
    )  # fmt: skip


def _sampling(args: argparse.Namespace) -> None:
    from .sampling import sampling

    r = Results(args.results)
    output = r.footprints(args.unit)
    sampling(Path(r.slice(args.unit)), args.unit, Path(r.settings("sampling")), Path(output))
    _say(output)


def _stack(args: argparse.Namespace) -> None:
    from .kinds import stack

    r = Results(args.results)
    output = r.stack(args.unit, args.layer)
    stack(
        Path(r.slice(args.unit, args.layer)), args.unit, args.layer, Path(r.footprints(args.unit)),
        Path(r.stack_settings(args.layer)), Path(output), threads=args.threads,
    )  # fmt: skip
    _say(output)


def _labels(args: argparse.Namespace) -> None:
    from .labels import label_raster
    from .recipe import read_settings

    r = Results(args.results)
    names = list(read_settings(r.settings("patches")).labels)
    label = args.layer or next(iter(names), "")
    if label not in names:
        raise InputError(f"--layer {label}: the layers of labels are {', '.join(names) or 'none'}")
    output = Path(r.labels(args.unit, ".".join(filter(None, (args.layer, args.band)))))
    part = Path(r.slice(args.unit, label))
    label_raster(part, args.unit, Path(r.stack_settings(label)), output, args.band)
    _say(output)


def _patches(args: argparse.Namespace) -> None:
    from .patches import patches
    from .recipe import read_settings

    r = Results(args.results)
    settings = Path(r.settings("patches"))
    layers = list(read_settings(settings).layers)
    output = r.patches(args.unit)
    patches(
        [Path(r.slice(args.unit, layer)) for layer in layers], args.unit,
        Path(r.footprints(args.unit)), {name: Path(r.stack(args.unit, name)) for name in layers},
        settings, Path(output), Path(r.dates_of(args.unit)),
    )  # fmt: skip
    _say(output)


def _splits(args: argparse.Namespace) -> None:
    from .lock import read_lock
    from .splits import splits

    r = Results(args.results)
    units = [unit.id for unit in read_lock(r.lock).units]
    splits(
        [Path(r.patches(unit)) for unit in units], Path(r.settings("splits")),
        Path(r.manifest), Path(r.splits),
        dates=[Path(r.dates_of(unit)) for unit in units], joined_dates=Path(r.dates),
        places=Path(r.places),
    )  # fmt: skip
    _say(r.manifest)


def _layouts(args: argparse.Namespace) -> None:
    from .layouts import layouts

    r = Results(args.results)
    layouts(
        Built.of(r), Path(r.settings("layouts")), Path(args.to or r.dataset), threads=args.threads,
        folders=args.layout,
    )  # fmt: skip
    _say(args.to or r.dataset)


def _publish(args: argparse.Namespace) -> None:
    from .publish import publish

    r = Results(args.results)
    publish(Built.of(r), Path(r.settings("publish")), threads=args.threads)
    _say(r.checksums)


def _training(args: argparse.Namespace) -> None:
    from .training import training

    r = Results(args.results)
    training(Built.of(r), Path(r.settings("training")), args.threads)
    _say(r.metrics)


def _report(args: argparse.Namespace) -> None:
    from .publish import report

    r = Results(args.results)
    report(Built.of(r), Path(r.settings("publish")), Path(r.report))
    _say(r.report)


def _validate(args: argparse.Namespace) -> None:
    from .training import require_passed

    r = Results(args.results)
    _say(require_passed(Path(r.metrics), Path(r.passed)))


VERBS: tuple[Verb, ...] = (
    Verb("recipes", "List the shipped recipes.", "terrapatch recipes", _recipes),
    Verb("legends", "Print the packaged legends and crosswalks.", "terrapatch legends", _legends),
    Verb("schema", "Print the JSON Schema of recipes.", "terrapatch schema > recipe.schema.json",
         _schema),
    Verb("build", "Build a recipe's dataset: the whole workflow; options after -- are Snakemake's.",
         "terrapatch build cerradata4mm-sample --cores 2 -- --dry-run", _build,
         (_RECIPE, _OUTPUT, _SET,
          _argument("--cores", type=_cores, default="all", help="cores to use (default all)"),
          _argument("--profile", help="folder of a Snakemake profile of your own, as for a cluster"),
          _argument("--unlock", action="store_true",
                    help="free what a killed build has left locked, and build nothing"),
          _argument("--verbose", action="store_true", default=argparse.SUPPRESS,
                    help="show Snakemake's own words instead of a line a stage"))),
    Verb("settings", "Write the resolved settings of a recipe, one file a stage.",
         "terrapatch settings demo", _settings, (_RECIPE, _OUTPUT, _SET)),
    Verb("simulate", "Write the embedded archive of a recipe.",
         "terrapatch simulate results/demo", _simulate, (_RESULTS, _THREADS)),
    Verb("plan", "Find scenes, choose among them and write the lock.",
         "terrapatch plan demo --check", _plan,
         (_argument("recipe", nargs="?", help="path of a recipe, or the name of a shipped one"),
          _argument("--results", help="instead of a recipe: folder with its settings"),
          _OUTPUT, _SET,
          _argument("--check", action="store_true",
                    help=f"write nothing; exit with {CHANGED} where the lock would change"))),
    Verb("sampling", "Place the patches of a unit.",
         "terrapatch sampling results/demo b000_000", _sampling, (_RESULTS, _UNIT)),
    Verb("stack", "Stack the scenes, or the labels, of a unit for one layer.",
         "terrapatch stack results/demo b000_000 sentinel2 --threads 2", _stack,
         (_RESULTS, _UNIT, _LAYER, _THREADS)),
    Verb("labels", "Write labels of a whole unit as a GeoTIFF to look at; no stage reads it.",
         "terrapatch labels results/demo b000_000 --band l1", _labels,
         (_RESULTS, _UNIT,
          _argument("--layer", default="", help="a layer of labels (default: the first)"),
          _argument("--band", default="", help="a level, or edge_LEVEL (default: finest level)"))),
    Verb("patches", "Judge the patches of a unit and describe them.",
         "terrapatch patches results/demo b000_000", _patches, (_RESULTS, _UNIT)),
    Verb("splits", "Join the units and split the patches.",
         "terrapatch splits results/demo", _splits, (_RESULTS,)),
    Verb("layouts", "Write the dataset in its published layout.",
         "terrapatch layouts results/demo --layout loader --to /data/cerradata", _layouts,
         (_RESULTS, _THREADS,
          _argument("--layout", choices=("kaggle", "loader"), help="folder names of the layout "
                    "cerradata4mm; the recipe's if absent"),
          _argument("--to", help="another folder than the results' own dataset/"))),
    Verb("publish", "Write statistics, data card, deviations and checksums.",
         "terrapatch publish results/demo", _publish, (_RESULTS, _THREADS)),
    Verb("training", "Train small models on the dataset and measure them.",
         "terrapatch training results/demo --threads 2", _training, (_RESULTS, _THREADS)),
    Verb("report", "Write the report.", "terrapatch report results/demo", _report, (_RESULTS,)),
    Verb("validate", "Fail unless the models beat their baselines.",
         "terrapatch validate results/demo", _validate, (_RESULTS,)),
)  # fmt: skip
"""All commands, in the order of the flow."""


STAGES = {
    "simulate", "sampling", "stack", "patches", "splits", "layouts", "publish", "training", "report",
    "validate",
}  # fmt: skip
"""Verbs that make a result, which has a stamp (`plan` sees to its own)."""


def parser() -> argparse.ArgumentParser:
    """The parser with all verbs."""
    top = argparse.ArgumentParser(
        prog="terrapatch",
        description="Raw Sentinel scenes and reference maps in, patch datasets out.",
        epilog="exit codes: 0 done · 1 a fault of terrapatch, to be reported · 2 wrong input · 3 a "
        "source failed · 4 data incomplete or broken · 10 plan --check found changes · 130 stopped",
    )
    top.add_argument("--version", action="version", version=f"terrapatch {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="say more")
    top.add_argument("--traceback", action="store_true", help="show where a fault arose")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        sub = verbs.add_parser(
            verb.name, help=verb.help, description=verb.help, epilog=f"example: {verb.example}"
        )
        for names, options in verb.arguments:
            sub.add_argument(*names, **options)
        sub.set_defaults(run=verb.run)
    return top


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what stands after `--`."""
    at = list(words).index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own, rest = split_words(words)
    args = parser().parse_args(own)
    args.snakemake = rest
    if rest and args.verb != "build":
        parser().error("options after -- are for Snakemake: only `terrapatch build` takes them")
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(message)s"
    )
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a letter shows "?"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    unit = "/".join(filter(None, (getattr(args, "unit", ""), getattr(args, "layer", ""))))
    progress.begin(args.verb, unit)
    try:
        stage = args.verb in STAGES
        code = (
            _stamped(Results(args.results), args, lambda: args.run(args))
            if stage
            else args.run(args)
        )
        code = code or 0
    except (Exception, KeyboardInterrupt) as error:
        results = getattr(args, "results", None)
        code, message = verdict(error, args.verb, unit, results, args.traceback)
        if message:
            with suppress(OSError):
                print(f"terrapatch {args.verb}: {message}", file=sys.stderr, flush=True)
        progress.tell("failed", exit_code=code, message=message)
        return code
    progress.tell("done")
    return code


if __name__ == "__main__":
    sys.exit(main())
