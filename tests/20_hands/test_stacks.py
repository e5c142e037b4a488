# SPDX-License-Identifier: Apache-2.0
"""Stacks on disk: round trips through zarr-python, whole or not at all, the same bytes."""

import dataclasses
import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from made.patches import utm_geobox
from terrapatch.errors import StorageError
from terrapatch.grid import geobox_to_dict
from terrapatch.layers import Values
from terrapatch.stacks import VERSION, StackInfo, create_stack, open_stack


def info_of(count=5, *, shard=2, bands=3, size=8, times=1, dtype="uint16", scl=False):
    return StackInfo(
        layer="sentinel2",
        kind="sentinel2",
        unit="u1",
        geobox=geobox_to_dict(utm_geobox((64, 64))),
        bands=tuple(f"B{n:02d}" for n in range(bands)),
        patch_ids=tuple(f"r00000_c{n:05d}" for n in range(count)),
        size_px=size,
        times=tuple(f"2022-0{n + 1}" for n in range(times)),
        items=tuple((f"scene{n}", "other") for n in range(times)),
        dtype=dtype,
        values=Values("reflectance", scale=1e-4, nodata=0.0),
        shard_patches=shard,
        scl=scl,
    )


def random_arrays(info, seed=0):
    """All arrays of a stack, (patch, time, …)."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, (chunk, dtype) in info.arrays.items():
        shape = (len(info.patch_ids), len(info.times), *chunk)
        values = rng.integers(0, 200, shape) / (1 if dtype.kind == "u" else 7)
        arrays[name] = values.astype(dtype)
    return arrays


def fill(path, info, arrays, shards=None):
    with create_stack(path, info) as writer:
        for shard in shards if shards is not None else range(len(info.shards)):
            patches = info.shards[shard]
            for time in range(len(info.times)):
                part = {
                    name: array[patches.start : patches.stop, time]
                    for name, array in arrays.items()
                }
                writer.write(shard, time, **part)


def digest(folder):
    """Names and bytes of all files of a folder."""
    total = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 9), shard=st.integers(1, 10), bands=st.integers(1, 4),
    size=st.integers(1, 17), times=st.integers(1, 3),
    dtype=st.sampled_from(["uint16", "float32"]), scl=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_an_independent_reader_sees_what_was_written(tmp_path_factory, seed, **shape):
    info = info_of(**shape)
    arrays = random_arrays(info, seed)
    path = tmp_path_factory.mktemp("stack") / "s.zarr"
    fill(path, info, arrays)
    group = zarr.open_group(str(path), mode="r")
    assert sorted(group.array_keys()) == sorted(arrays)
    for name, expected in arrays.items():
        found = group[name]
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.chunks == (1, 1, *expected.shape[2:])
        np.testing.assert_array_equal(found[...], expected)
        np.testing.assert_array_equal(found[-1, -1], expected[-1, -1])


def test_the_house_reads_slices_and_lists_of_patches(tmp_path):
    info = info_of(7, shard=3, times=2)
    arrays = random_arrays(info)
    fill(tmp_path / "s.zarr", info, arrays)
    stack = open_stack(tmp_path / "s.zarr")
    assert stack.info == info
    np.testing.assert_array_equal(stack.read(slice(2, 5)), arrays["data"][2:5])
    np.testing.assert_array_equal(stack.read([6, 0, 3]), arrays["data"][[6, 0, 3]])
    np.testing.assert_array_equal(stack.read(slice(None), "source"), arrays["source"])


def test_axes_bands_and_description_stand_in_the_metadata(tmp_path):
    info = info_of(scl=True)
    fill(tmp_path / "s.zarr", info, random_arrays(info))
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="r")
    assert group["data"].metadata.dimension_names == ("patch", "time", "band", "y", "x")
    assert group["scl"].metadata.dimension_names == ("patch", "time", "y", "x")
    assert group["data"].attrs["bands"] == list(info.bands)
    assert group.attrs["terrapatch"]["geobox"] == info.geobox


def test_xarray_opens_a_stack(tmp_path):
    import xarray as xr

    info = info_of()
    arrays = random_arrays(info)
    fill(tmp_path / "s.zarr", info, arrays)
    with xr.open_zarr(tmp_path / "s.zarr", consolidated=False, mask_and_scale=False) as data:
        assert data["data"].dims == ("patch", "time", "band", "y", "x")
        np.testing.assert_array_equal(data["source"], arrays["source"])


def test_missing_patches_take_no_room_and_read_as_zero(tmp_path):
    info = info_of(6, shard=3, size=64)
    arrays = random_arrays(info)
    arrays["data"][[1, 3, 4, 5]] = 0
    fill(tmp_path / "s.zarr", info, arrays)
    np.testing.assert_array_equal(open_stack(tmp_path / "s.zarr").read(slice(None)), arrays["data"])
    empty = next((tmp_path / "s.zarr" / "data" / "c" / "1").rglob("0"))
    files = [path for path in (tmp_path / "s.zarr/data/c/1").rglob("*") if path.is_file()]
    assert empty.exists()
    assert [path.stat().st_size for path in files] == [3 * 16 + 4]  # the index and its checksum


def test_a_patch_is_read_without_its_neighbours(tmp_path):
    info = info_of(4, shard=4, size=32)
    arrays = random_arrays(info)
    fill(tmp_path / "s.zarr", info, arrays)
    path = next(p for p in (tmp_path / "s.zarr/data/c").rglob("*") if p.is_file())
    content = bytearray(path.read_bytes())
    index = np.frombuffer(bytes(content[-(4 * 16 + 4) : -4]), "<u8").reshape(4, 2)
    assert index[:, 0].tolist() == np.cumsum([0, *index[:-1, 1]]).tolist()  # in order, no gaps
    content[: int(index[2, 0])] = bytes(int(index[2, 0]))  # the chunks of patches 0 and 1
    path.write_bytes(content)
    np.testing.assert_array_equal(
        open_stack(tmp_path / "s.zarr").read(slice(2, 4)), arrays["data"][2:4]
    )


def test_bytes_do_not_depend_on_threads_nor_on_the_order_of_shards(tmp_path):
    info = info_of(23, shard=2, size=32, times=2)
    arrays = random_arrays(info)
    fill(tmp_path / "a.zarr", info, arrays)
    fill(tmp_path / "b.zarr", info, arrays, reversed(range(len(info.shards))))
    with create_stack(tmp_path / "c.zarr", info) as writer, ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda job: writer.write(
                    job[0], job[1],
                    **{
                        name: array[info.shards[job[0]].start : info.shards[job[0]].stop, job[1]]
                        for name, array in arrays.items()
                    },
                ),
                [(shard, time) for shard in range(12) for time in range(2)],
            )
        )  # fmt: skip
    assert digest(tmp_path / "a.zarr") == digest(tmp_path / "b.zarr") == digest(tmp_path / "c.zarr")


def test_arrays_of_any_memory_order_give_the_same_bytes(tmp_path):
    info = info_of(4)
    arrays = random_arrays(info)
    fill(tmp_path / "a.zarr", info, arrays)
    fill(tmp_path / "b.zarr", info, {k: np.asfortranarray(v) for k, v in arrays.items()})
    assert digest(tmp_path / "a.zarr") == digest(tmp_path / "b.zarr")


# Whole or not at all ----------------------------------------------------------------------------


def test_a_stack_appears_when_it_is_whole(tmp_path):
    info = info_of(2)
    with create_stack(tmp_path / "s.zarr", info):
        assert not (tmp_path / "s.zarr").exists()
    assert (tmp_path / "s.zarr").is_dir()
    assert os.listdir(tmp_path) == ["s.zarr"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_stack_and_nothing_else(tmp_path, kind):
    info = info_of(4)
    arrays = random_arrays(info)
    fill(tmp_path / "s.zarr", info, arrays)
    before = digest(tmp_path / "s.zarr")

    def fail_half_way():
        with create_stack(tmp_path / "s.zarr", info) as writer:
            writer.write(0, 0, arrays["data"][:2, 0], arrays["source"][:2, 0])
            raise kind

    with pytest.raises(kind):
        fail_half_way()
    assert digest(tmp_path / "s.zarr") == before
    assert os.listdir(tmp_path) == ["s.zarr"]


def test_a_new_stack_replaces_the_old_one_whole(tmp_path):
    fill(tmp_path / "s.zarr", info_of(9), random_arrays(info_of(9)))
    small = info_of(2, scl=True)
    fill(tmp_path / "s.zarr", small, random_arrays(small))
    assert open_stack(tmp_path / "s.zarr").info == small
    assert len(list((tmp_path / "s.zarr" / "data" / "c").iterdir())) == 1


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    info = info_of(6)
    written = []
    plain = Path.open

    def full_at_the_third(self, mode="r", *options, **others):
        if mode == "wb":
            written.append(self)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(self, mode, *options, **others)

    monkeypatch.setattr(Path, "open", full_at_the_third)
    with pytest.raises(StorageError, match=r"s\.zarr: the disk is full.*nothing half-written"):
        fill(tmp_path / "s.zarr", info, random_arrays(info))
    assert os.listdir(tmp_path) == []


def test_a_real_write_error_half_way_leaves_nothing(tmp_path):
    """The system itself refuses the write: files may not grow beyond 4 KB."""
    code = textwrap.dedent(
        """
        import os, resource, signal, sys
        sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[2])]
        from pathlib import Path
        from test_stacks import fill, info_of, random_arrays
        from terrapatch.errors import StorageError

        info = info_of(6, size=64)
        arrays = random_arrays(info)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            fill(Path(sys.argv[1]) / "s.zarr", info, arrays)
        except StorageError as error:
            print(error)
        """
    )
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "s.zarr: cannot be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


def test_a_killed_job_leaves_no_stack_under_the_name(tmp_path):
    code = textwrap.dedent(
        """
        import os, sys
        sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[2])]
        from pathlib import Path
        from test_stacks import info_of, random_arrays
        from terrapatch.stacks import create_stack

        info = info_of(4)
        arrays = random_arrays(info)
        with create_stack(Path(sys.argv[1]) / "s.zarr", info) as writer:
            writer.write(0, 0, arrays["data"][:2, 0], arrays["source"][:2, 0])
            os.kill(os.getpid(), 9)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    assert not (tmp_path / "s.zarr").exists()
    with pytest.raises(StorageError, match="build it again"):
        open_stack(tmp_path / "s.zarr")


# Bad input --------------------------------------------------------------------------------------


def damaged(tmp_path, change):
    info = info_of(4, shard=4, size=32)
    fill(tmp_path / "s.zarr", info, random_arrays(info))
    path = next(p for p in (tmp_path / "s.zarr/data/c").rglob("*") if p.is_file())
    path.write_bytes(change(bytearray(path.read_bytes())))
    return open_stack(tmp_path / "s.zarr")


def flip_in_index(content):
    content[-10] ^= 1
    return content


@pytest.mark.parametrize(
    "change", [lambda content: content[:-100], lambda content: content[:20], flip_in_index]
)
def test_damaged_shards_are_named(tmp_path, change):
    stack = damaged(tmp_path, change)
    with pytest.raises(StorageError, match=r"s\.zarr/data: damaged.*build it again"):
        stack.read(slice(0, 4))


def test_what_is_no_stack_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"none\.zarr: no readable stack.*build it again"):
        open_stack(tmp_path / "none.zarr")
    zarr.open_group(str(tmp_path / "foreign.zarr"), mode="w", zarr_format=3)
    with pytest.raises(StorageError, match=r"foreign\.zarr: no readable stack"):
        open_stack(tmp_path / "foreign.zarr")


def test_wrong_shapes_and_types_never_reach_the_disk(tmp_path):
    info = info_of(4)
    arrays = random_arrays(info)
    data, source = arrays["data"][:2, 0], arrays["source"][:2, 0]
    for wrong in [(data[:1], source), (data.astype("float32"), source), (data, source[:, :4])]:
        with pytest.raises(AssertionError), create_stack(tmp_path / "s.zarr", info) as writer:
            writer.write(0, 0, *wrong)
    assert os.listdir(tmp_path) == []


def test_the_description_is_plain_json(tmp_path):
    info = info_of(3)
    fill(tmp_path / "s.zarr", info, random_arrays(info))
    plain = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())
    recorded = plain["attributes"]["terrapatch"]
    assert recorded == json.loads(json.dumps({"version": VERSION, **dataclasses.asdict(info)}))


@pytest.mark.parametrize("version", [None, 1, 99])
def test_a_stack_of_another_version_of_the_record_says_so_and_what_to_do(tmp_path, version):
    path = tmp_path / "results" / "demo" / "stacks" / "u" / "sentinel2.zarr"
    info = info_of()
    fill(path, info, random_arrays(info))
    node = path / "zarr.json"
    plain = json.loads(node.read_text(encoding="utf-8"))
    plain["attributes"]["terrapatch"]["version"] = version
    if version is None:  # before there was one
        del plain["attributes"]["terrapatch"]["version"]
    node.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(
        StorageError, match=r"another version.*run `terrapatch stack .*demo u sentinel2"
    ):
        open_stack(path)


@pytest.mark.parametrize(
    ("values", "text"),
    [(Values("reflectance", scale=1e-4, nodata=0.0), "DN, reflectance = DN / 10000"),
     (Values("reflectance", scale=1e-4, offset=None),
      "DN as delivered, reflectance = (DN + offset of the product) / 10000"),
     (Values("metres", scale=0.5, offset=-10.0), "DN, metres = DN / 2 - 10"),
     (Values("dB", decibel=True), "dB")],
)  # fmt: skip
def test_values_are_kept_as_data_and_said_in_words(tmp_path, values, text):
    info = dataclasses.replace(info_of(), values=values)
    fill(tmp_path / "one.zarr", info, random_arrays(info))
    stack = open_stack(tmp_path / "one.zarr")
    assert stack.info.values == values
    assert values.text == text == stack.as_xarray().attrs["unit_of_values"]
