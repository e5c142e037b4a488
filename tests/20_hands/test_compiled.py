# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels: kept on disk, safe when several processes compile them at once."""

import io
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from terrapatch import compiled

MODULE = """
import numpy as np
from terrapatch.compiled import kernel

@kernel
def total(values):
    result = values[0] - values[0]
    for value in values:
        result += value
    return result
"""


def test_a_kernel_computes_what_its_function_says():
    @compiled.kernel
    def double(x):
        return 2 * x

    assert double(21) == 42
    assert np.array_equal(double(np.arange(3)), [0, 2, 4])


def test_reads_and_writes_of_the_cache_hold_the_lock(tmp_path, monkeypatch):
    held = []
    plain = compiled._lock

    def watched(folder, *, exclusive):
        held.append(exclusive)
        return plain(folder, exclusive=exclusive)

    monkeypatch.setattr(compiled, "_lock", watched)
    (tmp_path / "counted.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import counted

    assert counted.total(np.arange(4.0)) == 6
    assert held[0] is False  # looked for
    assert held[-1] is True  # and kept
    assert any((tmp_path / "__pycache__").glob("counted.total*.nbc"))


def test_processes_that_compile_for_other_types_at_once_all_get_their_own(tmp_path):
    (tmp_path / "shared_kernel.py").write_text(MODULE)
    script = textwrap.dedent("""
        import sys, numpy as np
        from shared_kernel import total
        values = np.arange(1, 101).astype(sys.argv[1])
        assert total(values) == 5050, total(values)
    """)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    types = ["float64", "float32", "int64", "int32", "uint16", "int16"]
    for _ in range(2):  # once to compile, once to load
        running = [
            subprocess.Popen([sys.executable, "-c", script, name], env=environment, cwd=tmp_path)
            for name in types
        ]
        assert [process.wait() for process in running] == [0] * len(types)
    files = list((tmp_path / "__pycache__").glob("shared_kernel.total*.nbc"))
    assert len(files) == len(types)


def test_a_cache_is_not_used_when_a_kernel_in_another_file_has_changed(tmp_path):
    """numba's own caches would answer 2: they look at the caller's file only."""
    inner = "from terrapatch.compiled import kernel\n\n@kernel\ndef factor(x):\n    return {} * x\n"
    (tmp_path / "inner_kernel.py").write_text(inner.format(2))
    (tmp_path / "outer_kernel.py").write_text(
        "import inner_kernel\nfrom inner_kernel import factor\n"
        "from terrapatch.compiled import kernel\n\n"
        "@kernel\ndef named(x):\n    return factor(x)\n\n"
        "@kernel\ndef dotted(x):\n    return inner_kernel.factor(x)\n\n"
        "@kernel\ndef far(x):\n    return later(x)\n\n"
        "@kernel\ndef later(x):\n    return factor(x)\n"
    )
    script = "import outer_kernel as o; print(o.named(1), o.dotted(1), o.far(1))"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"
    }  # fmt: skip

    def run():
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True,
            text=True,
        ).stdout.split()  # fmt: skip

    assert run() == run() == ["2"] * 3
    (tmp_path / "inner_kernel.py").write_text(inner.format(35))
    assert run() == ["35"] * 3


def test_a_cache_is_not_used_when_a_named_tuple_of_the_arguments_has_changed(tmp_path):
    """numba keys its caches by the fields' types alone: it would take `low` for `high`."""
    tuples = (
        "from typing import NamedTuple\n\nclass {}(NamedTuple):\n    {}: float\n    {}: float\n"
    )
    (tmp_path / "tuple_kernel.py").write_text(
        "import tuples\nfrom typing import NamedTuple\nfrom terrapatch.compiled import kernel\n\n"
        "class Outer(NamedTuple):\n    inner: object\n\n"
        "@kernel\ndef low(outer):\n    return outer.inner.low\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"
    }  # fmt: skip

    def run(name):
        script = (
            "import tuples, tuple_kernel as t\n"
            f"print(t.low(t.Outer(tuples.{name}(low=1.0, high=2.0))), sum(t.low.stats.cache_hits.values()))"
        )
        return python(script, environment).stdout.split()

    (tmp_path / "tuples.py").write_text(tuples.format("Span", "low", "high"))
    assert run("Span") == ["1.0", "0"]
    assert run("Span") == ["1.0", "1"]  # kept
    (tmp_path / "tuples.py").write_text(tuples.format("Span", "high", "low"))
    assert run("Span") == ["1.0", "0"]
    (tmp_path / "tuples.py").write_text(tuples.format("Limits", "low", "high"))
    assert run("Limits") == ["1.0", "0"]  # the cache names a class that is no more


def unwritable(folder):
    """Environment and folder of kernels that can be kept nowhere; holds for root as well."""
    (folder / "__pycache__").write_text("a file where a folder would be")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "TERRA"))
    }
    return environment | {
        "HOME": "/proc/no/home", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
    }  # fmt: skip


@pytest.fixture
def counted_kernel(tmp_path):
    (tmp_path / "kept_nowhere.py").write_text(
        MODULE + "\n@kernel\ndef twice(values):\n    return 2 * total(values)\n"
    )
    return tmp_path


SCRIPT = (
    "import numpy as np, kept_nowhere as k; print(k.total(np.arange(4.0)), k.twice(np.ones(3)))"
)


def python(script, environment):
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )


def test_kernels_that_can_be_kept_nowhere_work_and_say_once_how_to_keep_them(counted_kernel):
    done = python(SCRIPT, unwritable(counted_kernel))
    assert done.stdout.split() == ["6.0", "6.0"]
    assert done.stderr.count("\n") == 1
    assert "Set NUMBA_CACHE_DIR to a folder that can be written" in done.stderr
    assert sorted(path.name for path in counted_kernel.iterdir()) == [
        "__pycache__",
        "kept_nowhere.py",
    ]


def test_children_of_a_process_that_has_said_so_are_silent(counted_kernel):
    both = (
        f"import os, subprocess, sys\n{SCRIPT}\nsubprocess.run([sys.executable, '-c', {SCRIPT!r}])"
    )
    done = python(both, unwritable(counted_kernel))
    assert done.stdout.split() == ["6.0"] * 4
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1


def test_the_folder_that_the_line_asks_for_is_used(counted_kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    environment = unwritable(counted_kernel) | {"NUMBA_CACHE_DIR": str(folder)}
    assert python(SCRIPT, environment).stderr == ""
    assert list(folder.rglob("kept_nowhere.total*.nbc"))


def test_the_build_passes_the_line_on(counted_kernel, tmp_path):
    from terrapatch.screen import Screen

    events = tmp_path / "events"
    python(SCRIPT, unwritable(counted_kernel) | {"TERRAPATCH_EVENTS": str(events)})
    (event,) = map(json.loads, events.read_text().splitlines())
    stream = io.StringIO()
    screen = Screen(stream)
    for _ in range(2):  # two jobs say it
        screen.note(event["text"])
    assert stream.getvalue().count("NUMBA_CACHE_DIR") == 1


def test_a_cache_that_was_cut_short_is_made_anew(counted_kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    environment = unwritable(counted_kernel) | {"NUMBA_CACHE_DIR": str(folder)}
    python(SCRIPT, environment)
    for kind in ("*.nbi", "*.nbc"):
        for path in folder.rglob(kind):
            path.write_bytes(path.read_bytes()[:10])
    assert python(SCRIPT, environment).stdout.split() == ["6.0", "6.0"]
