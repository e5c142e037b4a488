# SPDX-License-Identifier: Apache-2.0
"""The picture of the house holds: a room imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "terrapatch"

FLOORS = (
    {"errors", "progress"},
    {"crs"},
    {"sections", "grid", "layers", "legend", "results", "records", "yamlfiles"},
    {"recipe"},
    {"tables", "archives", "compiled", "rasterfiles"},
    {"exact"},
    {"rasters", "sums", "stacks", "resample", "patchfiles", "radar", "dates", "vectors"},
    {"mosaic", "heights", "batches", "dropping"},
    {"sentinel2", "sentinel1", "reference"},
    {"kinds"},
    {
        "simulate", "catalog", "sampling", "stack", "patches", "splits", "layouts", "publish",
        "training",
    },
    {"cli", "build", "faults", "screen"},
)  # fmt: skip
"""Ground (two storeys), language (two storeys), hands (four storeys: who writes files and compiles,
arithmetic, who knows formats, who joins them), stages, door. Rooms of one floor never import each
other, but for the pairs below."""

NEIGHBOURS = {("cli", "build"), ("cli", "faults"), ("build", "faults"), ("build", "screen")}

HEAVY = {"torch", "sklearn", "matplotlib", "geopandas", "numba", "rasterio", "snakemake", "scipy"}


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def files():
    return sorted(p for p in ROOT.rglob("*.py") if "_workflow" not in p.parts)


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports, wherever in the file the import stands."""
    depth = len(path.relative_to(ROOT).parts) - 1
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == depth + 1 or module.split(".")[0] == "terrapatch":
                inner = module.removeprefix("terrapatch").lstrip(".")
                found |= {inner.split(".")[0]} if inner else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("terrapatch.")}
    return found - {"__version__"}


def floor_of(room: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if room in floor)


def test_every_file_belongs_to_a_room_of_the_picture():
    known = set().union(*FLOORS) | {"__init__"}
    assert known >= {room_of(path) for path in files()}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_floors_below(path):
    room = room_of(path)
    if room == "__init__":
        assert imported_rooms(path) == set()
        return
    for other in imported_rooms(path) - {room}:
        assert (room, other) in NEIGHBOURS or floor_of(other) < floor_of(room), (room, other)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_about_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


@pytest.mark.parametrize("name", ["recipe", "cli", "results", "errors", "legend"])
def test_what_every_command_loads_imports_nothing_heavy(name):
    tree = ast.parse((ROOT / f"{name}.py").read_text(encoding="utf-8"))
    top = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else a.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for a in node.names
    }
    assert not top & HEAVY


def test_torch_is_imported_in_the_training_room_alone():
    for path in files():
        if "torch" in path.read_text(encoding="utf-8") and room_of(path) != "training":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            modules = {
                (n.module or "") if isinstance(n, ast.ImportFrom) else n.names[0].name
                for n in ast.walk(tree)
                if isinstance(n, ast.Import | ast.ImportFrom)
            }
            assert not any(m.split(".")[0] == "torch" for m in modules), path


def test_every_python_file_says_its_licence():
    for path in files():
        assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0")
