# SPDX-License-Identifier: Apache-2.0
"""Genuine readers of others on small datasets of ours, each package in an environment of its own.

    make accept                       all of them (gigabytes where PyTorch is among what they need)
    make accept ARGS=terratorch       one

An environment is one function here and one row in `ENVIRONMENTS`: it makes a dataset with this
project's code, and lets the package read it by a script of this folder, which runs in the
environment and knows nothing of terrapatch. Packages that exclude each other stand apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

LEAST = (3, 12)
"""Python that torchgeo, which all of them need, runs on."""


@dataclass(frozen=True)
class Environment:
    """A package with its readers."""

    requirements: tuple[str, ...]
    """What pip installs; exact, so that a result can be repeated."""
    read: Callable[[Path, Path], None]
    """Makes datasets in a folder and has them read by a Python: (python, folder)."""


def terratorch(python: Path, work: Path) -> None:
    """Sen4Map: points, splits and key lists, through the dataset and its data module; what cards print."""
    import h5py
    import numpy as np

    from made.cards import snippets
    from made.multisenge import make_tiles
    from made.results import make_tree
    from made.sen4map import make_survey
    from made.sen4map_contract import Sen4MapDatasetMonthlyComposites
    from terrapatch.layouts import layouts
    from terrapatch.paths import SPLITS
    from terrapatch.publish import publish

    survey = make_survey(work / "survey", size=64)
    dataset = Path(survey.results.dataset)
    layouts(survey.built(), survey.settings("layouts"), dataset)
    wanted = {}
    for split in SPLITS:
        with h5py.File(dataset / "split-wise" / f"{split}.h5") as file:
            samples = Sen4MapDatasetMonthlyComposites(file, crop_size=15)
            for key, sample in zip(
                samples.keys, (samples[n] for n in range(len(samples))), strict=True
            ):
                wanted[f"{split}/{key}/image"] = sample["image"]
                wanted[f"{split}/{key}/label"] = np.array(sample["label"])
    np.savez(work / "wanted.npz", **wanted)
    call(python, HERE / "terratorch_sen4map.py", dataset, work / "wanted.npz")
    for made in (survey, make_tiles(work / "tiles"), make_tree(work / "tree")):
        dataset = Path(made.results.dataset)
        if made is not survey:
            layouts(made.built(), made.settings("layouts"), dataset)
        publish(made.built(), made.settings("publish"))
        ((block,),) = snippets(dataset)[1:]
        check = "print(len(train), 'samples, the first with', *train[0])\nassert len(train) > 3"
        (work / "snippet.py").write_text(f"{block}\n{check}\n", encoding="utf-8")
        call(python, "-W", "ignore", work / "snippet.py", folder=dataset)


def torchgeo(python: Path, work: Path) -> None:
    """FLAIR-HUB: all modalities, labels of all levels, splits, and what its card prints."""
    import numpy as np

    from made.cards import snippets
    from made.flairhub import make_regions, truth_of
    from terrapatch.layouts import layouts
    from terrapatch.publish import publish

    regions = make_regions(work / "regions")
    dataset = Path(regions.results.dataset)
    layouts(regions.built(), regions.settings("layouts"), dataset, threads=2)
    np.savez(work / "wanted.npz", **truth_of(regions))
    call(python, HERE / "accept_torchgeo.py", dataset, work / "wanted.npz")
    publish(regions.built(), regions.settings("publish"))
    (block,) = snippets(dataset)[1]
    check = "print(len(train), 'samples, the first with', *train[0])\nassert len(train) > 1"
    (work / "snippet.py").write_text(f"{block}\n{check}\n", encoding="utf-8")
    call(python, "-W", "ignore", work / "snippet.py", folder=dataset)


ENVIRONMENTS: dict[str, Environment] = {
    "terratorch": Environment(("terratorch==1.2.13",), terratorch),
    "torchgeo": Environment(("torchgeo==0.10.1",), torchgeo),
}
"""By the name of its package."""


def call(*words: str | Path, folder: Path | None = None) -> None:
    """Run a command in a folder; what it says goes to the terminal."""
    subprocess.run([str(word) for word in words], check=True, cwd=folder)


def check_python(python: str) -> None:
    """Stop where the readers cannot be installed."""
    ask = "import sys; print(*sys.version_info[:2])"
    try:
        found = subprocess.run(
            [python, "-c", ask], capture_output=True, text=True, check=True
        ).stdout
        version = tuple(map(int, found.split()))
        has = f"{python} is Python {'.'.join(map(str, version))}"
    except (OSError, subprocess.CalledProcessError, ValueError):
        version, has = (0, 0), f"{python} does not run"
    if version < LEAST:
        least = ".".join(map(str, LEAST))
        sys.exit(
            f"the genuine readers need Python {least} or newer, and {has}; give one with "
            f"ACCEPT_PYTHON=/path/to/python{least}"
        )


def environment(name: str, python: str, folder: Path) -> Path:
    """The Python of an environment, made where it is not there as wanted."""
    wanted = "\n".join(ENVIRONMENTS[name].requirements) + "\n"
    made, note = folder / name / "bin" / "python", folder / name / "requirements.txt"
    if not note.is_file() or note.read_text("utf-8") != wanted:
        print(f"{name}: installing {wanted.strip()} into {folder / name}", flush=True)
        call(python, "-m", "venv", "--clear", folder / name)
        call(made, "-m", "pip", "install", "-q", "--disable-pip-version-check",
             *ENVIRONMENTS[name].requirements)  # fmt: skip
        note.write_text(wanted, encoding="utf-8")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help=f"of {', '.join(ENVIRONMENTS)}; all if none is named"
    )
    parser.add_argument("--python", default=f"python{LEAST[0]}.{LEAST[1]}")
    parser.add_argument("--folder", type=Path, default=HERE.parents[1] / ".venv-accept")
    given = parser.parse_args()
    if unknown := set(given.names) - set(ENVIRONMENTS):
        parser.error(
            f"no environment {', '.join(sorted(unknown))}; there are {', '.join(ENVIRONMENTS)}"
        )
    check_python(given.python)
    for name in given.names or ENVIRONMENTS:
        python = environment(name, given.python, given.folder)
        with tempfile.TemporaryDirectory() as work:
            try:
                ENVIRONMENTS[name].read(python, Path(work))
            except subprocess.CalledProcessError as error:
                sys.exit(f"{name}: {' '.join(error.cmd)} ended with {error.returncode}; see above")
        print(f"{name}: reads what we write", flush=True)


if __name__ == "__main__":
    main()
