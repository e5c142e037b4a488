# SPDX-License-Identifier: Apache-2.0
"""The same bytes whatever kernels BLAS, LAPACK and NumPy choose for the processor."""

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from made.grd import simulate
from terrapatch import exact

TESTS = Path(__file__).parents[1]


def test_stacks_and_figures_do_not_depend_on_the_processor(tmp_path):
    """A processor with AVX2 and one with more, two families of BLAS kernels."""
    made = tmp_path / "made.pickle"
    simulated = simulate(tmp_path / "archive")
    simulated.landscape, simulated.passages = None, {}
    made.write_bytes(pickle.dumps(simulated))
    more = [f for f in __cpu_dispatch__ if f != "X86_V3" and __cpu_features__.get(f)]
    found = []
    for name, settings in {
        "first": {"OPENBLAS_CORETYPE": "Haswell"},
        "second": {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": " ".join(more)},
    }.items():
        done = subprocess.run(
            [sys.executable, "-m", "made.same_bytes", made, tmp_path / name],
            env={k: v for k, v in (os.environ | settings).items() if v}, cwd=TESTS, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    assert len(found[0]) >= 12
    assert found[0] == found[1]


def test_elementary_functions_are_those_of_the_c_library():
    x = np.random.default_rng(0).uniform(-0.99, 3, (7, 11))
    unit = np.clip(x, -1, 1)
    for ours, theirs, values in [
        (exact.exp, np.exp, (x,)), (exact.log, np.log, (x + 1,)), (exact.log1p, np.log1p, (x,)),
        (exact.tan, np.tan, (x,)), (exact.arcsin, np.arcsin, (unit,)),
        (exact.arccos, np.arccos, (unit,)), (exact.arctan2, np.arctan2, (x, unit)),
        (exact.power, np.power, (x + 1, 0.85)),
    ]:  # fmt: skip
        np.testing.assert_allclose(ours(*values), theirs(*values), rtol=1e-14, atol=1e-16)
        assert ours(*values).shape == (7, 11)
    assert np.isnan(exact.arccos(1.1))
    assert exact.log(0.0) == -np.inf
    power = np.random.default_rng(1).gamma(4, 0.1, (5, 9)).astype(np.float32)
    np.testing.assert_allclose(exact.to_decibel(power), 10 * np.log10(power), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(exact.from_decibel(exact.to_decibel(power)), power, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_systems_are_solved_as_lapack_does(size):
    rng = np.random.default_rng(size)
    matrix, right = rng.normal(size=(40, size, size)), rng.normal(size=(40, size, 3))
    if size > 1:
        matrix[0, 0, 0] = 0.0  # needs a pivot
    np.testing.assert_allclose(
        exact.solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-8, atol=1e-9
    )
    np.testing.assert_array_equal(exact.solve(matrix[3], right[3]), exact.solve(matrix, right)[3])


@pytest.mark.parametrize("degree", [1, 2, 8])
def test_least_squares_are_those_of_lapack(degree):
    rng = np.random.default_rng(degree)
    x = np.linspace(0, 1, 1025)
    terms = np.vander(x, degree + 1, increasing=True)
    targets = np.stack([np.sqrt(x + 0.1) * 9e5, rng.normal(size=x.size)], axis=1)
    expected = np.linalg.lstsq(terms, targets, rcond=None)[0]
    for found, values in [
        (exact.fit(terms, targets), targets),
        (exact.fit(terms, targets[:, 0])[:, None], targets[:, :1]),
    ]:
        np.testing.assert_allclose(found, expected[:, : found.shape[1]], rtol=1e-7)
        best = ((terms @ expected[:, : found.shape[1]] - values) ** 2).sum()
        assert ((terms @ found - values) ** 2).sum() <= best * (1 + 1e-9)


def test_lengths_and_products():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    np.testing.assert_allclose(exact.dot(a, b), (a * b).sum(-1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(exact.norm(a), np.linalg.norm(a, axis=-1), rtol=1e-14)


SEVERAL_FORMS = {
    "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "exp", "exp2", "expm1",
    "log", "log2", "log10", "log1p", "power", "float_power", "cbrt", "einsum", "dot", "vdot",
    "inner", "tensordot", "matmul", "cov", "corrcoef", "polyfit", "linalg",
}  # fmt: skip
"""Of NumPy: functions whose last bits follow the processor, and what BLAS and LAPACK do."""

EXCUSED = {
    "simulate/passage.py": {"exp"},  # of complex numbers: the C library's sine and cosine
    "splits/blocks.py": {"@"},  # whole numbers: exact in any order
    "publish/pictures.py": {"log10"},  # pictures
}


def used(tree):
    """Names of these functions in a file, but for compiled kernels, which call the C library."""
    kernels = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(getattr(d, "id", "") == "kernel" for d in node.decorator_list)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in kernels:
            continue
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "np":
            yield node.attr
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield "@"


def test_nothing_that_follows_the_processor_is_used_where_files_are_made():
    root = TESTS.parent / "src" / "terrapatch"
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        if not name.startswith("training/"):  # metrics are not promised
            found = set(used(ast.parse(path.read_text(encoding="utf-8"))))
            assert found & (SEVERAL_FORMS | {"@"}) <= EXCUSED.get(name, set()), name
