# SPDX-License-Identifier: Apache-2.0
"""The picture of the house holds: a room imports only from floors below its own."""

import ast
import collections
import functools
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "terrapatch"

FLOORS = (
    {"errors", "progress"},
    {"crs"},
    {"settings", "grid", "layers", "legend", "paths", "records", "yamlfiles"},
    {"findings", "tasks", "times"},
    {"recipe"},
    {"files", "archives", "compiled"},
    {"lock", "tables"},
    {"access", "exact"},
    {"rasters", "rasterfiles", "sums", "stacks", "resample", "patchfiles", "pointfiles", "radar", "acquisitions", "vectors"},
    {"places"},
    {"cutting", "heights", "samples", "dropping"},
    {"sentinel2", "sentinel1", "raster", "labels"},
    {"kinds"},
    {
        "catalog", "sampling", "patches", "splits", "layouts", "publish", "training",
    },
    {"simulate"},
    {"cli", "build", "faults", "screen", "stamps"},
)  # fmt: skip
"""Ground (two storeys), language (three storeys), hands (four storeys: who writes files and compiles,
who opens them, who knows formats, who joins them), stages, the wing of the embedded archive, door. Rooms
of one floor never import each other, but for the pairs below."""

NEIGHBOURS = {
    ("cli", "build"),
    ("cli", "stamps"),
    ("cli", "faults"),
    ("build", "faults"),
    ("build", "screen"),
}

HEAVY = {"torch", "sklearn", "matplotlib", "geopandas", "numba", "rasterio", "snakemake", "scipy"}


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def files():
    return sorted(p for p in ROOT.rglob("*.py") if "_workflow" not in p.parts)


@functools.cache
def imports(path: Path) -> set[tuple[str, ...]]:
    """Names below `terrapatch` that a file imports, wherever in it the import stands, in parts."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[:1] == ("terrapatch",):
                base = module[1:]
            else:
                continue
            found |= {(*base, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            names = (tuple(alias.name.split(".")) for alias in node.names)
            found |= {name[1:] for name in names if name[0] == "terrapatch"}
    return found


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports."""
    return {name[0] for name in imports(path)} - {"__version__"}


def imported_files(path: Path) -> set[Path]:
    """Files that a file imports: modules, or the `__init__.py` that a name is had from."""
    found = set()
    for name in imports(path):
        for parts in (name, name[:-1]):
            places = (
                ROOT.joinpath(*parts).with_suffix(".py"),
                ROOT.joinpath(*parts, "__init__.py"),
            )
            if parts and (there := [place for place in places if place.is_file()]):
                found.add(there[0])
                break
    return found - {path}


def floor_of(room: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if room in floor)


def test_every_file_belongs_to_a_room_of_the_picture():
    known = set().union(*FLOORS) | {"__init__"}
    assert known >= {room_of(path) for path in files()}


def test_a_room_imports_only_from_floors_below():
    for path in files():
        room, found = room_of(path), imported_rooms(path)
        assert room != "__init__" or found == set()
        for other in found - {room}:
            below = (room, other) in NEIGHBOURS or floor_of(other) < floor_of(room)
            assert below, f"{path.relative_to(ROOT)}: {room} imports {other}"


def test_the_wing_and_the_stages_do_not_know_each_other():
    wing = floor_of("simulate")
    assert FLOORS[wing] == {"simulate"}
    stages = set().union(*FLOORS[floor_of("sentinel1") : wing])
    for path in files():
        room, found = room_of(path), imported_rooms(path)
        assert room != "simulate" or not found & stages, path
        assert room in ("simulate", "cli") or "simulate" not in found, path


DEPTH = 18
"""Files in the longest chain of imports from the command: what one must know to follow it. It comes
down; whoever makes it longer has put something on the wrong floor."""


def chain() -> list[str]:
    """The longest chain of imports from the command, file by file.

    Raises:
        graphlib.CycleError: files import each other in a circle; it says which.
    """
    graph = {path: imported_files(path) for path in files()}
    longest: dict[Path, list[Path]] = {}
    for path in graphlib.TopologicalSorter(graph).static_order():
        below = max((longest[other] for other in sorted(graph[path])), key=len, default=[])
        longest[path] = [path, *below]
    return [str(path.relative_to(ROOT)) for path in longest[ROOT / "cli.py"]]


def test_files_import_each_other_in_no_circle_and_in_no_long_chain():
    found = chain()
    assert len(found) <= DEPTH, " → ".join(found)


@pytest.mark.parametrize("name", ["recipe", "cli", "paths", "errors", "legend"])
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


READERS = {
    "catalog", "rasters", "rasterfiles", "radar", "cutting", "sentinel1", "sentinel2", "heights",
}  # fmt: skip
"""Rooms that read scenes and what lies beside them."""


def reads(path: Path) -> list[int]:
    """Lines of a file that open something to read it, or take an address for a path."""
    lines = []
    for call in (
        n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)
    ):
        name, words = ast.unparse(call.func), ast.unparse(call)
        opens = name in ("open", "rasterio.open") or name.endswith(
            ("path.open", ".read_bytes", ".read_text")
        )
        writes = any(repr(mode) in words for mode in ("w", "wb"))
        if (opens and not writes) or (name == "Path" and ".href" in words):
            lines.append(call.lineno)
    return lines


def test_bytes_of_scenes_are_opened_by_one_door_alone():
    others = [path for path in files() if room_of(path) in READERS]
    assert {room_of(path) for path in others} == READERS  # a room that has gone holds nothing
    assert {str(path.relative_to(ROOT)): lines for path in others if (lines := reads(path))} == {}


SENSOR = re.compile(r"sentinel[-_ ]?[12]|\bs[12]_", re.IGNORECASE)
"""What names a sensor, in an identifier or a text."""

OF_SENSORS = (
    "sentinel1/", "sentinel2.py", "kinds.py",  # kinds of layers, and the table of them
    "settings/sentinel1.py", "settings/sentinel2.py", "settings/layers.py",
    "settings/__init__.py",  # what it hands on, and rasters that a recipe describes by hand
    "publish/kinds/",
    "catalog/sentinel1.py", "catalog/sentinel2.py", "catalog/traits.py",
    "catalog/safe.py", "catalog/maja.py", "catalog/grd.py", "catalog/geotiff.py",  # product families
    "radar/",  # formats of one mission: messages say whose files are expected
    "layouts/cerradata4mm.py", "layouts/multisenge.py", "layouts/sen4map.py", "layouts/flairhub/",
    "settings/layouts.py",  # published layouts
    "simulate/", "settings/simulate.py",  # the embedded archive, which has products of each
    "cli.py",  # examples in --help
)  # fmt: skip
"""Files, and folders, that may name a sensor. The list comes down, it does not grow: what another file
needs to know of a sensor is a fact that its kind, its product family or the layout states."""


def said(tree: ast.Module) -> set[str]:
    """Identifiers and texts of a file, without its docstrings."""
    docs, found = set(), set()
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                docs |= {
                    statement.value
                    for statement in value
                    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                }
            elif isinstance(value, str) and (field != "value" or node not in docs):
                found.add(value)
        if isinstance(node, ast.Global | ast.Nonlocal):
            found |= set(node.names)
    return found


def test_no_file_outside_kinds_product_families_and_layouts_names_a_sensor():
    naming = {
        str(path.relative_to(ROOT)): names
        for path in files()
        if (names := sorted(filter(SENSOR.search, said(ast.parse(path.read_text("utf-8"))))))
    }
    assert {name: names for name, names in naming.items() if not name.startswith(OF_SENSORS)} == {}
    idle = [allowed for allowed in OF_SENSORS if not any(n.startswith(allowed) for n in naming)]
    assert not idle, "these name none any more: take them off the list"


def test_one_class_name_stands_for_one_thing():
    where = collections.defaultdict(list)
    for path in files():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                where[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}
