# SPDX-License-Identifier: Apache-2.0
"""What stands for a slice in stamps: its content, not where its files lie, and no memory of it."""

import json
import shutil
from pathlib import Path

import pytest

from terrapatch import stamps
from terrapatch.errors import StorageError
from terrapatch.paths import Results
from terrapatch.recipe import load_recipe
from terrapatch.stamps import Job, Stamps

SLICE = Job("sampling", "u")


def asset(href, **more):
    return {"items": [{"id": "a", "assets": {"B02": {"href": href, **more}}}]}


def write(root, plain):
    path = Path(root, "plan", "u.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain))
    return path


def digest(root):
    (found,) = Stamps(Results(str(root)), lambda _: {}).wanted(SLICE).plan.values()
    return found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/disk/a.tif", "b/c/a.tif", True),
        ("/disk/a.tif", "/disk/b.tif", False),
        ("/vsizip//x/a.zip/in/B02.jp2", "/vsizip/y/a.zip/in/B02.jp2", True),
        ("/vsizip//x/a.zip/in/B02.jp2", "/vsizip//x/a.zip/out/B02.jp2", False),
        ("/vsizip//x/a.zip/in/B02.jp2", "/vsizip//x/b.zip/in/B02.jp2", False),
        ("/vsizip/{/x/a.tar/b.zip}/c", "/vsizip/{/y/a.tar/b.zip}/c", True),
    ],
)
def test_the_folder_of_a_file_whose_hash_is_known_is_no_part_of_it(tmp_path, one, other, same):
    for name, href in (("one", one), ("other", other)):
        write(tmp_path / name, asset(href, sha256="12"))
    assert (digest(tmp_path / "one") == digest(tmp_path / "other")) == same


def test_the_folder_counts_where_there_is_no_hash(tmp_path):
    write(tmp_path / "one", asset("/disk/a.tif"))
    write(tmp_path / "other", asset("/drive/a.tif"))
    assert digest(tmp_path / "one") != digest(tmp_path / "other")


def test_digests_of_slices_are_kept_by_the_plan_and_no_longer_believed_once_one_is_touched(
    tmp_path, monkeypatch
):
    path = write(tmp_path, asset("a.tif", sha256="12"))
    first = digest(tmp_path)
    assert not (tmp_path / "stamps").exists()  # looking leaves nothing
    Stamps.of_recipe(load_recipe("demo"), Results(str(tmp_path))).write(Job("plan"))
    kept = tmp_path / "stamps" / stamps.SLICES
    counted, real = [], stamps.digest_of
    monkeypatch.setattr(stamps, "digest_of", lambda p: counted.append(p.name) or real(p))
    assert (digest(tmp_path), counted) == (first, [])
    write(tmp_path, asset("b.tif", sha256="13"))
    assert digest(tmp_path) != first
    assert counted == ["u.json"]
    write(tmp_path, asset("a.tif", sha256="12"))
    shutil.copy(path, kept)  # damaged
    assert digest(tmp_path) == first
    path.write_text("{")
    with pytest.raises(StorageError, match=r"plan/u\.json: no readable slice of the lock; run"):
        digest(tmp_path)
    path.unlink()
    with pytest.raises(StorageError, match=r"plan/u\.json: no readable slice of the lock; run"):
        digest(tmp_path)
