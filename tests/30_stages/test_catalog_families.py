# SPDX-License-Identifier: Apache-2.0
"""Kinds of scenes and families of products are rows: nothing else in the catalogue names one."""

import ast
import re
from pathlib import Path

import pytest

from terrapatch import catalog
from terrapatch.catalog.families import FAMILIES, Family
from terrapatch.catalog.geotiff import NAMINGS
from terrapatch.catalog.traits import TRAITS
from terrapatch.errors import StorageError
from terrapatch.lock import read_lock, write_lock
from terrapatch.records import Exclusion, Gap, Lock, LockedItem
from terrapatch.settings import SCENES

ROOM = Path(catalog.__file__).parent
ROWS = {
    "safe", "maja", "grd", "geotiff",  # families
    "sentinel1", "sentinel2",  # kinds
    "families", "traits",  # tables
}  # fmt: skip
A_NAME = re.compile(
    r"sentinel[-_ ]?[12]|\bs[12]_|theia|maja|\bgrd\b|(?<!\.)\bsafe\b", re.IGNORECASE
)


def words(path):
    """Names and texts of a file's code, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        node.value for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in told:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_only_rows_name_a_sensor_or_a_family(path):
    named = [word for word in words(path) if A_NAME.search(word)]
    assert path.stem in ROWS or named == []


def test_the_rows_themselves_name_what_they_are_of():
    for stem in ROWS - {"families"}:
        assert any(A_NAME.search(word) for word in words(ROOM / f"{stem}.py")), stem


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_the_names_of_its_siblings(name):
    own = {key for key in [*vars(Family), *Family.__annotations__] if not key.startswith("_")}
    assert len(own) > 8
    assert own <= {*vars(FAMILIES[name])}
    assert FAMILIES[name].SCENES in TRAITS


def test_kinds_of_scenes_are_those_that_layers_ask_for():
    assert {*TRAITS} == SCENES
    assert {naming.sensor for naming in NAMINGS} <= SCENES


ITEM = LockedItem(id="a", sensor="sentinel2", level="L2A", datetime="", footprint={}, assets={})
GAP = Gap(sensor="sentinel1", start="2022-01-01", end="2022-02-01", usual_days=6, longest_days=31)
OUT = Exclusion(id="b", sensor="other", reason="no scene")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("items", (ITEM.model_copy(update={"sensor": "landsat"}),)),
        ("gaps", (GAP.model_copy(update={"sensor": "landsat"}),)),
        ("excluded", (OUT.model_copy(update={"sensor": "landsat"}),)),
        ("scenes", {"optical": "landsat"}),
    ],
)
def test_a_lock_with_scenes_of_a_kind_that_is_not_there_is_refused(tmp_path, field, value):
    lock = Lock(
        name="x", source="local", units=(), items=(ITEM,), gaps=(GAP,), excluded=(OUT,),
        scenes={"optical": "sentinel2"},
    )  # fmt: skip
    path = tmp_path / "results/x/lock.json"
    path.parent.mkdir(parents=True)
    write_lock(lock, path)
    assert read_lock(path) == lock
    write_lock(lock.model_copy(update={field: value}), path)
    with pytest.raises(StorageError, match=r"lock\.json.*terrapatch plan.*scenes of landsat"):
        read_lock(path)
