# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of points: what h5py reads is what was given, and their bytes depend on nothing else."""

import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest

from terrapatch.pointfiles import create_points, encode, fields, write_links

KIND = fields(("B2", "B8A", "SCL"))


def pixels(rng, dates=3, side=5):
    found = np.zeros((dates, side, side), KIND)
    for name in KIND.names:
        found[name] = rng.integers(0, 65_536, found.shape)
    return found


@pytest.fixture
def points():
    rng = np.random.default_rng(5)
    return {f"Point_{n}": pixels(rng, dates=n + 1) for n in range(4)}


ATTRIBUTES = {
    "text": "Grün, ≥ 3 ha", "empty": "", "whole": 2018, "number": 1.5, "nothing": float("nan"),
    "names": ["20180104T105421_T30SYJ", "x"], "place": [1.25, 47.5],
}  # fmt: skip


def write(path, points, *, deflate=True):
    with create_points(path, KIND) as file:
        for name, values in points.items():
            file.write(name, encode(values, deflate=deflate), ATTRIBUTES)
    return path


@pytest.mark.parametrize("deflate", [True, False])
def test_points_come_back_as_a_whole_and_by_field(tmp_path, points, deflate):
    with h5py.File(write(tmp_path / "f.h5", points, deflate=deflate)) as file:
        assert list(file) == list(points)
        for name, values in points.items():
            found = file[name]
            assert found.dtype == KIND
            np.testing.assert_array_equal(found[()], values)
            np.testing.assert_array_equal(found["B8A"], values["B8A"])
            np.testing.assert_array_equal(found[1:, :2, 3], values[1:, :2, 3])
            assert found.chunks == (values.shape if deflate else None)


def test_filters_are_those_of_hdf5(tmp_path, points):
    """The library's own filters give what it reads from ours, byte for byte once inflated."""
    import zlib

    path = write(tmp_path / "f.h5", points)
    with h5py.File(path) as ours, h5py.File(tmp_path / "own.h5", "w") as theirs:
        for name, values in points.items():
            own = theirs.create_dataset(
                name, data=values, chunks=values.shape, compression="gzip", shuffle=True
            )
            raw = [ds.id.read_direct_chunk((0, 0, 0))[1] for ds in (ours[name], own)]
            assert zlib.decompress(raw[0]) == zlib.decompress(raw[1])


def test_attributes_have_the_types_that_readers_ask_for(tmp_path, points):
    with h5py.File(write(tmp_path / "f.h5", points)) as file:
        found = dict(file["Point_2"].attrs)
    assert set(found) == set(ATTRIBUTES)
    assert (found["text"], found["empty"]) == ("Grün, ≥ 3 ha", "")
    assert all(isinstance(found[name], str) for name in ("text", "empty"))
    assert (found["whole"], found["whole"].dtype) == (2018, np.int64)
    assert (found["number"], found["number"].dtype) == (1.5, np.float64)
    assert np.isnan(found["nothing"])
    assert found["names"].tolist() == ATTRIBUTES["names"]
    assert found["place"].tolist() == [1.25, 47.5]


@pytest.mark.parametrize("deflate", [True, False])
def test_the_same_points_give_the_same_bytes_at_any_time(tmp_path, points, deflate):
    first = write(tmp_path / "a.h5", points, deflate=deflate).read_bytes()
    write_links(tmp_path / "la.h5", [(name, "../x/a.h5") for name in points])
    time.sleep(1.1)  # HDF5 counts in seconds
    assert write(tmp_path / "b.h5", points, deflate=deflate).read_bytes() == first
    write_links(tmp_path / "lb.h5", [(name, "../x/a.h5") for name in points])
    assert (tmp_path / "la.h5").read_bytes() == (tmp_path / "lb.h5").read_bytes()


def test_more_dates_and_columns_than_one_header_holds(tmp_path):
    values = np.zeros((400, 1, 1), KIND)
    many = {f"column_{n}": f"value {n}" for n in range(900)} | {"names": ["n" * 40] * 400}
    with create_points(tmp_path / "f.h5", KIND) as file:
        file.write("Point", encode(values, deflate=True), many)
    with h5py.File(tmp_path / "f.h5") as file:
        found = dict(file["Point"].attrs)
    assert {k: v for k, v in found.items() if k != "names"} == {
        k: v for k, v in many.items() if k != "names"
    }
    assert found["names"].tolist() == many["names"]


def test_links_are_followed_from_the_folder_of_their_file(tmp_path, points, monkeypatch):
    (tmp_path / "here" / "country").mkdir(parents=True)
    (tmp_path / "here" / "split").mkdir()
    write(tmp_path / "here" / "country" / "a.h5", points)
    write_links(tmp_path / "here" / "split" / "s.h5", [("Point_1", "../country/a.h5")])
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir("/")
    with h5py.File(tmp_path / "there" / "split" / "s.h5") as file:
        np.testing.assert_array_equal(file["Point_1"][()], points["Point_1"])


def test_no_points_make_an_empty_file(tmp_path):
    write_links(tmp_path / "s.h5", [])
    with create_points(tmp_path / "c.h5", KIND):
        pass
    for name in ("s.h5", "c.h5"):
        with h5py.File(tmp_path / name) as file:
            assert list(file) == []


def test_a_full_disk_is_told_as_such_wherever_hdf5_notices(tmp_path):
    """In the middle of a point, and when a file is closed."""
    script = """
        import resource, sys
        import numpy as np
        from terrapatch.pointfiles import create_points, encode, fields
        kind, count, side = fields(("B2",)), int(sys.argv[2]), int(sys.argv[3])
        one = encode(np.zeros((1, side, side), kind), deflate=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        try:
            with create_points(sys.argv[1], kind) as file:
                for n in range(count):
                    file.write(f"Point_{n}", one, {"text": "x" * 500})
        except OSError as error:
            print(error.errno)
    """
    for count, side in ((100, 64), (12, 1), (400, 1)):
        found = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), tmp_path / "f.h5", str(count), str(side)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert found.stdout.strip() == "27", (count, side, found)  # EFBIG


def test_an_error_of_the_caller_stays_what_it_is(tmp_path):
    with pytest.raises(KeyError, match="mine"), create_points(tmp_path / "f.h5", KIND):
        raise KeyError("mine")
    with pytest.raises(RuntimeError, match="mine"), create_points(tmp_path / "f.h5", KIND):
        raise RuntimeError("mine")
