# SPDX-License-Identifier: Apache-2.0
"""The whole workflow as one call: wraps Snakemake, shows how far it is, gives its failures our codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from .errors import InputError, RecipeError, StorageError
from .faults import INTERRUPTED, UNFORESEEN
from .files import write_json, write_text
from .lock import read_lock
from .paths import Results
from .progress import EVENTS
from .recipe import (
    NAMELESS,
    Recipe,
    load_recipe,
    resolve,
    shipped_recipes,
    write_settings,
)
from .screen import Screen
from .sums import Sums
from .yamlfiles import read

_ASKS = re.compile(
    r"--(dry-?run|unlock|report|dag|rulegraph|filegraph|d3dag|summary|detailed-summary|archive|lint|"
    r"list|containerize|cleanup|delete|touch|help|version|print|debug|generate|draft|export)|-[nDSlFth]"
)
"""Options of Snakemake whose answer is its own words, not a dataset."""


UNIT_STAGES = ("sampling", "stack", "patches")
"""Stages that have a job a unit; `stack` has one a unit and layer."""


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
    unlock: bool = False,
    verbose: bool = False,
) -> int:
    """Build a recipe's dataset.

    Args:
        recipe: path of a recipe, or the name of a shipped one.
        output: folder of all results.
        cores: number of cores, or `all`.
        profile: a Snakemake profile, merged over profiles/default.
        changes: settings laid over the recipe.
        extra: more options for Snakemake.
        unlock: free the working folder that a killed build has left locked; build nothing.
        verbose: let Snakemake speak instead of showing a line a stage.

    Returns:
        0, or the exit code of the first failed stage (2, 3, 4), or 1 where Snakemake itself failed.

    Raises:
        RecipeError: the recipe is wrong; nothing has been started.
        InputError: results cannot be written there, or an option is not for Snakemake.
        StorageError: the lock is damaged; nothing has been started.
    """
    if ours := [word for word in extra if re.match(r"--config(file|files)?(=|$)", word)]:
        raise InputError(
            f"{ours[0]}: the recipe goes to Snakemake from here; change settings with --set "
            "KEY=VALUE, and name another recipe in its place"
        )
    resolved = load_recipe(recipe, changes)
    results = Results.of(output, resolved.name)
    looking = any(_ASKS.match(word) for word in extra)
    with TemporaryDirectory(prefix="terrapatch-") as folder:
        # Looking leaves no trace; what is built is kept beside the results, where cluster jobs
        # read it too.
        configs = _configs(resolved, output, folder if looking else f"{results.argument}/settings")
        command = [
            sys.executable, "-m", "snakemake",
            "--snakefile", str(workflow_folder() / "Snakefile"),
            "--configfile", *configs,
            "--cores", cores,
        ]  # fmt: skip
        if profile:
            command += ["--profile", profile]
        if unlock:
            return _run([*command, "--unlock"])
        lock = Path(results.lock)
        if lock.is_file() and not Sums(Path(results.root)).knows(lock):
            read_lock(lock)  # touched since it was planned: a damaged one is told here, in one line
        if looking:
            return _run([*command, *extra])
        return _Build(results, [*command, *extra], verbose).go(_names(recipe, output))


def _configs(recipe: Recipe, output: str, folder: str) -> list[str]:
    """Configuration files that bring the recipe to Snakemake.

    Resolved here, so that the workflow sees what was checked, wherever `extends` pointed. The folder
    of results stands in a file as well: `--config output=…` takes what looks like a number or a
    quotation for one.

    Raises:
        InputError: the folder cannot be written.
    """
    configs = [f"{folder}/recipe.yaml", f"{folder}/output.json"]
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    try:
        write_text(configs[0], yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        write_json(configs[1], {"output": output})
    except (OSError, StorageError) as error:
        raise InputError(
            f"{Path(folder).parent}: no folder that results can be written to ({error}); give "
            "another one with --output"
        ) from error
    return configs


def begin(recipe: Recipe, results: Results) -> None:
    """What a run of the workflow does before its first job, and a dry run does not.

    Settings are written; what a killed run has left waiting goes; results whose time lies ahead, as
    after a clock was put right, have that of now: Snakemake refuses to work on them.
    """
    root = Path(results.root)
    write_settings(recipe, root / "settings")
    for left in Path(results.due("x")).parent.glob("*"):
        left.unlink(missing_ok=True)
    now = time.time()
    for depth in ("*", "*/*", "*/*/*", "*/*/*.zarr/zarr.json"):
        for path in root.glob(depth):
            with suppress(OSError):
                if path.lstat().st_mtime > now + 1 and not path.is_relative_to(root / "archive"):
                    os.utime(path, (now, now))


def workflow_recipe(
    config: Mapping[str, Any], configfiles: Sequence[str | os.PathLike[str]]
) -> tuple[Recipe, str]:
    """The recipe behind a Snakemake run, and the folder of its results.

    The default `config.yaml` names a shipped recipe under `recipe`. A recipe file given with
    `--configfile` is merged over it, so that key is ignored where the recipe itself is there.

    Args:
        config: Snakemake's merged configuration, with `--config output=FOLDER` or any other
            setting on top.
        configfiles: the files that it came from; `extends` is looked up beside them.
    """
    data = dict(config)
    output = data.pop("output", "results")
    if not isinstance(output, str):  # `--config output=1e3` is a number to Snakemake
        raise RecipeError(
            f"output: {output!r} was read as a number, not as a folder; write output=./NAME"
        )
    default = data.pop("recipe", None)
    for file in configfiles:  # Snakemake reads without a word what is wrong in them
        given = read(Path(file)).keys()
        if not given & {"name", "recipe"} and given - {"output"}:
            raise RecipeError(f"{file}: {NAMELESS}")
    if "name" in data:
        return resolve(data, [Path(file).parent for file in configfiles]), output
    return load_recipe(str(default), data), output


def _names(recipe: str, output: str) -> str:
    """The words that name this build on a command line."""
    folder = "" if output == "results" else f" {shlex.quote(f'--output={output}')}"
    return f"{shlex.quote(recipe)}{folder}"


def _command(verb: str, unit: str) -> str:
    """The command of a job, by its unit (and layer, behind a slash)."""
    return " ".join(["terrapatch", verb, *filter(None, unit.split("/"))])


def _environment() -> dict[str, str]:
    # Rules call `terrapatch`: the one that belongs to this Python comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path}


def _run(command: Sequence[str]) -> int:
    """Let Snakemake answer with its own words."""
    process = subprocess.Popen(command, env=_environment())  # noqa: S603
    return _waited(process, lambda: None)


def _waited(process: subprocess.Popen[bytes], look: Callable[[], None]) -> int:
    """Wait for Snakemake's end, looking now and then; its exit code, or 130 if it was stopped.

    Ctrl-C reaches Snakemake as well, which ends its jobs and frees the folder: it is given the time
    for that. Who asks us to end, asks Snakemake.
    """
    stopped = 0

    def end(*_: object) -> None:
        nonlocal stopped
        stopped += 1
        process.terminate()

    here = threading.current_thread() is threading.main_thread()  # the only one that has signals
    before = signal.signal(signal.SIGTERM, end) if here else None
    try:
        while True:
            try:
                while process.poll() is None:
                    look()
                    time.sleep(0.1)
                look()
                return INTERRUPTED if stopped else process.returncode
            except KeyboardInterrupt:
                stopped += 1
                if stopped > 1:
                    process.terminate()
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


class _Build:
    """One run of Snakemake, watched by the lines that verbs write about themselves."""

    def __init__(self, results: Results, command: Sequence[str], verbose: bool) -> None:
        self.results, self.command, self.verbose = results, command, verbose
        self.words = Path(results.log("build", "snakemake"))
        self.events = Path(results.log("build", f"events-{os.getpid()}")).absolute()
        self.screen = Screen(sys.stderr, quiet=verbose)
        self.failures: list[dict[str, Any]] = []
        self.heard = self.read = 0

    def go(self, names: str) -> int:
        """Run; say at the end what came of it."""
        self.words.parent.mkdir(parents=True, exist_ok=True)
        self.events.write_text("", encoding="utf-8")
        environment = _environment() | {EVENTS: str(self.events)}
        begun = self.words.stat().st_size if self.words.is_file() else 0
        self.heard = begun
        try:
            with self.words.open("ab") as words:
                streams = {} if self.verbose else {"stdout": words, "stderr": words}
                process = subprocess.Popen(self.command, env=environment, **streams)  # type: ignore[call-overload]  # noqa: S603
                code = _waited(process, self._look)
        finally:
            self.screen.end()
            self.events.unlink(missing_ok=True)
        said = self._words_since(begun)
        if code == 0:
            if "Nothing to be done" in said:
                self._say(f"Nothing to be done: {self.results.root} is as the recipe wants it")
            if Path(self.results.report).is_file():
                print(f"report: {self.results.report}", flush=True)
            return 0
        return code if code == INTERRUPTED else self._failed(code, said, names)

    def _look(self) -> None:
        """Read what is new, and show it."""
        with self.events.open("rb") as file:
            file.seek(self.read)
            # Lines alone: what a verb is just writing is read next time.
            new = file.read().rpartition(b"\n")[0]
        self.read += len(new) + 1 if new else 0
        said = self._words_since(self.heard)
        self.heard += len(said.encode("utf-8", "replace"))
        for stage, jobs in re.findall(r"^(\w+) +(\d+)$", said, re.M):  # the table "Job stats"
            self.screen.expect(stage, int(jobs))
        for event in map(json.loads, new.splitlines()):
            if event["state"] == "failed":
                self.failures.append(event)
            if event["state"] == "note":
                self.screen.note(event["text"])
                continue
            if event["state"] == "expected":
                for stage, jobs in event["jobs"].items():
                    self.screen.expect(stage, jobs)
                continue
            self.screen.hear(**event)
        self.screen.draw()

    def _words_since(self, begin: int) -> str:
        """What Snakemake has said from this byte of its log on, as far as whole lines go."""
        with self.words.open("rb") as file:
            file.seek(begin)
            return "".join(line.decode("utf-8", "replace") for line in file if line.endswith(b"\n"))

    def _failed(self, code: int, said: str, names: str) -> int:
        """Say which stages failed, or else what Snakemake said; the exit code."""
        for failure in self.failures:
            verb, unit = failure["verb"], failure["unit"]
            self._say(f"{_command(verb, unit)}: {failure['message']}")
            self._say(f"log: {self.results.log(verb, unit or 'all')}")
        for verb, unit in self.screen.silent():
            self._say(
                f"{_command(verb, unit)}: was ended from outside without a "
                "word, as a system does that runs out of memory; fewer --cores need less of it"
            )
            self._say(f"log: {self.results.log(verb, unit or 'all')}")
        if self.failures:
            return int(self.failures[0]["exit_code"])
        if "LockException" in said:
            self._say(
                "another build works in this folder, or one was killed here. Where none runs any "
                f"more: terrapatch build {names} --unlock"
            )
        elif not self.verbose:
            words = [line for line in said.splitlines() if line.strip()]
            self._say("\n".join(["the workflow failed:", *(f"  {w}" for w in words[-12:])]))
            self._say(f"log: {self.words}")
        return code or UNFORESEEN

    @staticmethod
    def _say(text: str) -> None:
        with suppress(BrokenPipeError):
            print(text, file=sys.stderr, flush=True)
