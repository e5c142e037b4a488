# SPDX-License-Identifier: Apache-2.0
"""Arithmetic whose bits do not depend on the processor.

NumPy has several forms of exp, log, arccos and their like, and BLAS and LAPACK of every sum of
products, and take the one that suits the processor: their last bits differ from machine to machine.
Sums, products and square roots of arrays do not. What goes into files is computed by these functions
instead: elementary functions of the C library, one number at a time, and sums in an order that is
written down.
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiled import kernel

Array = NDArray[np.float64]


@kernel
def _exp(x, out):
    for i in range(x.size):
        out[i] = math.exp(x[i])


@kernel
def _log(x, out):
    for i in range(x.size):
        out[i] = math.log(x[i])


@kernel
def _log1p(x, out):
    for i in range(x.size):
        out[i] = math.log1p(x[i])


@kernel
def _tan(x, out):
    for i in range(x.size):
        out[i] = math.tan(x[i])


@kernel
def _arcsin(x, out):
    for i in range(x.size):
        out[i] = math.asin(x[i])


@kernel
def _arccos(x, out):
    for i in range(x.size):
        out[i] = math.acos(x[i])


@kernel
def _arctan2(y, x, out):
    for i in range(x.size):
        out[i] = math.atan2(y[i], x[i])


@kernel
def _power(base, exponent, out):
    for i in range(base.size):
        out[i] = math.pow(base[i], exponent[i])


@kernel
def _decibel(power, out):
    for i in range(power.size):
        out[i] = np.float32(10.0 * math.log10(np.float64(power[i])))


@kernel
def _linear(decibel, out):
    for i in range(decibel.size):
        out[i] = np.float32(math.pow(10.0, np.float64(decibel[i]) / 10.0))


def _each(function: Any, *values: ArrayLike) -> Array:
    arrays = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in values))
    out = np.empty(arrays[0].size)
    function(*(a.ravel() for a in arrays), out)
    return out.reshape(arrays[0].shape)


def exp(x: ArrayLike) -> Array:
    """The exponential of each number, float64."""
    return _each(_exp, x)


def log(x: ArrayLike) -> Array:
    """The natural logarithm: −inf for 0, NaN below."""
    return _each(_log, x)


def log1p(x: ArrayLike) -> Array:
    """log(1 + x)."""
    return _each(_log1p, x)


def tan(x: ArrayLike) -> Array:
    """The tangent of radians."""
    return _each(_tan, x)


def arcsin(x: ArrayLike) -> Array:
    """Radians; NaN outside −1..1."""
    return _each(_arcsin, x)


def arccos(x: ArrayLike) -> Array:
    """Radians; NaN outside −1..1."""
    return _each(_arccos, x)


def arctan2(y: ArrayLike, x: ArrayLike) -> Array:
    """Angle of points in radians."""
    return _each(_arctan2, y, x)


def power(base: ArrayLike, exponent: ArrayLike) -> Array:
    """Base to the exponent; squares and whole powers of a few are as well written as products."""
    return _each(_power, base, exponent)


def to_decibel(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """10·log10 of positive power, float32 of any shape; computed in float64 and rounded once."""
    return _rounded(_decibel, linear)


def from_decibel(decibel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear power of decibel, as `to_decibel`."""
    return _rounded(_linear, decibel)


def _rounded(function: Callable[..., Any], values: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty(values.size, np.float32)
    function(values.astype(np.float32, copy=False).ravel(), out)
    return out.reshape(values.shape)


def dot(one: Array, other: Array) -> Array:
    """Sums of products along the last axis, which is short: first term first."""
    total = one[..., 0] * other[..., 0]
    for k in range(1, one.shape[-1]):
        total = total + one[..., k] * other[..., k]
    return np.asarray(total)


def norm(vectors: Array) -> Array:
    """Lengths along the last axis."""
    return np.asarray(np.sqrt(dot(vectors, vectors)))


def solve(matrix: Array, right: Array) -> Array:
    """Solutions of systems of equations, by elimination with row pivots.

    Args:
        matrix: (…, n, n), not singular.
        right: (…, n, m).

    Returns:
        (…, n, m).
    """
    size = matrix.shape[-1]
    a = np.concatenate([matrix, right], axis=-1).reshape(-1, size, size + right.shape[-1])
    systems = np.arange(len(a))
    for k in range(size):
        best = k + np.abs(a[:, k:, k]).argmax(axis=1)
        a[systems, best], a[:, k] = a[:, k].copy(), a[systems, best]
        a[:, k] = a[:, k] / a[:, k, k, None]
        for row in range(size):
            if row != k:
                a[:, row] = a[:, row] - a[:, row, k, None] * a[:, k]
    return a[..., size:].reshape(right.shape)


def fit(terms: Array, targets: Array) -> Array:
    """Least squares, by orthogonal columns (Gram and Schmidt, modified, and once again).

    Args:
        terms: (sample, term), of full rank.
        targets: (sample,) or (sample, target).

    Returns:
        (term,) or (term, target): factors of the terms.
    """
    columns = np.array(terms.T, float)
    count = len(columns)
    upper = np.eye(count)
    for k in range(count):
        for _ in range(2):  # what rounding left of the columns before goes with the second turn
            for j in range(k):
                share = float((columns[j] * columns[k]).sum())
                columns[k] = columns[k] - share * columns[j]
                upper[j, k] += share
        upper[k, k] = float(np.sqrt((columns[k] * columns[k]).sum()))
        columns[k] = columns[k] / upper[k, k]
    rest = targets.reshape(len(targets), -1).astype(float)
    found = np.empty((count, rest.shape[1]))
    for m in range(rest.shape[1]):
        for k in range(count):
            found[k, m] = (columns[k] * rest[:, m]).sum()
            rest[:, m] = rest[:, m] - found[k, m] * columns[k]
    for k in range(count - 1, -1, -1):
        for j in range(k + 1, count):
            found[k] = found[k] - upper[k, j] * found[j]
        found[k] = found[k] / upper[k, k]
    return found.reshape(count, *targets.shape[1:])
