# SPDX-License-Identifier: Apache-2.0
"""Builds that all tests of a run share: each is made once, whichever process asks first.

A shared build is read, never changed: who wants to go on from one takes a copy.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile

import yaml

from terrapatch.cli import main

TERRAPATCH = [sys.executable, "-m", "terrapatch.cli"]

TINY = {
    "name": "tiny",
    "extends": "demo",
    # 0.04 degrees on both sides of the border of two UTM zones, patches of 64 px
    "area": {"bbox": [-48.02, -6.02, -47.98, -5.98]},
    "sampling": {"size_px": 64, "unit_patches": 3},
    "splits": {"block_m": 1300, "buffer_m": 0},
    "training": {"models": ["forest"], "trees": 20, "required": False},
    "publish": {"quicklooks": 2},
}
"""All stages on four units, in seconds."""


def terrapatch(*words, cwd):
    """Run a command as a person would; its result with output as text."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [*TERRAPATCH, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def ask(*words, cwd):
    """The same for what looks or plans, with the words themselves taken in this process.

    Snakemake has a process of its own here too; that of the command is spared, which would read all
    libraries again. Not for threads: the folder and the outputs are those of the whole process.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number, file in ((1, out), (2, err)):
                os.dup2(file.fileno(), number)
            with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
                code = main(list(words))
        finally:
            for number, file in ((1, out), (2, err)):
                file.flush()
                os.dup2(kept[number - 1], number)
                os.close(kept[number - 1])
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read())
    return subprocess.CompletedProcess(words, code, *said)


class Builds:
    """Finished builds of this run of the tests, in a folder that its processes share."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)

    def once(self, key, make):
        """Folder that `make(folder)` has filled, now or before, here or in another process.

        Each key has a lock of its own, so that who waits, waits for the build that it needs.
        """
        folder = self.folder / key
        finished, failed = self.folder / f"{key}.finished", self.folder / f"{key}.failed"
        if not finished.exists():
            with (self.folder / f"{key}.lock").open("w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if not finished.exists() and not failed.exists():
                    folder.mkdir()
                    try:
                        make(folder)
                    except BaseException:
                        failed.write_text(traceback.format_exc())
                        raise
                    finished.touch()
        assert not failed.exists(), failed.read_text()
        return folder

    def build(self, recipe, *words):
        """Folder in which a recipe was built, with what was said in `stdout.txt`, `stderr.txt`.

        Args:
            recipe: name of a shipped recipe, or what stands in one of one's own.
            words: more words for `terrapatch build`.
        """
        name = recipe if isinstance(recipe, str) else recipe["name"]
        key = hashlib.sha256(json.dumps([recipe, words]).encode()).hexdigest()[:12]
        return self.once(f"{name}-{key}", lambda folder: self._make(folder, recipe, name, words))

    def copy(self, to, recipe, *words):
        """The same, as a copy that may be changed."""
        return Path(shutil.copytree(self.build(recipe, *words), to, symlinks=True))

    def _make(self, folder, recipe, name, words):
        whole = recipe == TINY and not words  # tests look at all of its stages
        if isinstance(recipe, dict):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
            recipe = f"{name}.yaml"
        if not whole:
            self._take_archive(folder, recipe, name, words)
        done = terrapatch("build", recipe, "--cores", "2", *words, cwd=folder)
        (folder / "stdout.txt").write_text(done.stdout)
        (folder / "stderr.txt").write_text(done.stderr)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]

    def _take_archive(self, folder, recipe, name, words):
        """Copy the archive of another build that was simulated from the same settings.

        One that is still being written is nobody's: what was planned is whole.
        """
        ours = list(words[: words.index("--")]) if "--" in words else words
        terrapatch("settings", recipe, *ours, cwd=folder)
        results = folder / "results" / name
        wanted = (results / "settings" / "simulate.json").read_bytes()
        for other in self.folder.glob("*/results/*/archive/catalog.json"):
            theirs = other.parents[1]
            if not (theirs / "lock.json").exists():
                continue
            if (theirs / "settings" / "simulate.json").read_bytes() == wanted:
                for part in ("archive", "stamps/simulate"):
                    shutil.copytree(theirs / part, results / part)
                (results / "archive" / "catalog.json").touch()
                return
