# SPDX-License-Identifier: Apache-2.0
"""Deflate for pixels: runs and one Huffman code a strip, in the zlib format that TIFF wants.

A dictionary search finds next to nothing in imagery and costs most of the time of a general
encoder. Here a match reaches back to one of two distances that the caller names (the previous
byte, the previous pixel, the row above); all else are literals under one dynamic Huffman code.
On 12-band patches that is twice as fast as libdeflate at level 1 and about as small
(docs/decisions/0006-patch-files.md).

Laws:
1. Every zlib decoder gives back the bytes (judged by Python's own).
2. The same bytes and distances give the same stream; there is no state between strips.

Source: RFC 1950 (zlib), RFC 1951 (deflate).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

_HEADER = 0x0178
"""Bytes 78 01: 32 KiB window, fastest. Source: RFC 1950, 2.2."""
_END = 256
_LITERALS = 286
_PAD = 8
_MIN_MATCH, _MAX_MATCH = 4, 258

_LENGTH_BASE = np.array(
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
     131, 163, 195, 227, 258], np.int64)  # fmt: skip
_LENGTH_EXTRA = np.array(
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0],
    np.int64)  # fmt: skip
_DISTANCE_BASE = np.array(
    [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
     2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577], np.int64)  # fmt: skip
_DISTANCE_EXTRA = np.array(
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12,
     13, 13], np.int64)  # fmt: skip
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
"""Order in which lengths of the code length code are stored. Source: RFC 1951, 3.2.7."""

# Length of a match → its symbol after 257: found once, not per match.
_LENGTH_SYMBOL = np.searchsorted(_LENGTH_BASE, np.arange(_MAX_MATCH + 1), side="right") - 1


def compress(strips: NDArray[np.uint8], near: int, far: int = 0) -> list[bytes]:
    """Compress strips, each to a zlib stream of its own.

    Args:
        strips: (strip, byte) uint8, C order.
        near: first distance in bytes at which repetitions are looked for, 1..32768.
        far: second distance; 0 for none. The longer match wins, `near` in a tie.

    Returns:
        one zlib stream a strip.
    """
    out, sizes = _compress(strips, near, far)
    return [out[number, :size].tobytes() for number, size in enumerate(sizes)]


@njit(nogil=True, cache=True)
def _compress(strips, near, far):  # type: ignore[no-untyped-def]
    count, length = strips.shape
    # A dynamic block that is larger than its input is not written, so this is enough.
    out = np.empty((count, length // 4 + 2 * (length // 65535 + 1) + 256), np.uint32)
    sizes = np.empty(count, np.int64)
    tokens = np.empty(length, np.uint16)
    padded = np.zeros(length + _PAD, np.uint8)
    for number in range(count):
        padded[:length] = strips[number]
        sizes[number] = _stream(padded, length, near, far, tokens, out[number])
    return out.view(np.uint8), sizes


@njit(nogil=True, cache=True)
def _stream(padded, length, near, far, tokens, out):  # type: ignore[no-untyped-def]
    literals = np.zeros(_LITERALS, np.int64)
    distances = np.zeros(30, np.int64)
    near_symbol, far_symbol = _distance_symbol(near), _distance_symbol(max(far, 1))
    used, nears, fars = _tokenise(padded, length, near, far, tokens, literals)
    literals[_END] = 1
    distances[near_symbol] += nears
    distances[far_symbol] += fars
    distances[0] += 1  # a code without any symbol is not understood by every decoder
    literal_lengths = _code_lengths(literals, 15)
    distance_lengths = _code_lengths(distances, 15)
    bits = np.sum(literals * literal_lengths) + np.sum(distances * distance_lengths)
    for symbol in range(29):
        bits += literals[257 + symbol] * _LENGTH_EXTRA[symbol]
    bits += nears * _DISTANCE_EXTRA[near_symbol] + fars * _DISTANCE_EXTRA[far_symbol]
    source = padded[:length]
    if bits // 8 + 320 >= length:
        at = _stored(source, out.view(np.uint8))
    else:
        state = _tables(literal_lengths, distance_lengths, out)
        at = _write(tokens[:used], near, far, literal_lengths, distance_lengths, out, state)
    check = _adler(source)
    tail = out.view(np.uint8)
    for shift in (24, 16, 8, 0):
        tail[at] = (check >> shift) & 255
        at += 1
    return at


@intrinsic
def _eight(_, array, index):  # type: ignore[no-untyped-def]  # noqa: ARG001 - numba calls it by position
    """The eight bytes of `array` from `index` on, as one little-endian word."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        start = builder.gep(data, [arguments[1]])
        word = builder.load(builder.bitcast(start, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@njit(nogil=True, cache=True)
def _repeat(source, i, distance, limit):  # type: ignore[no-untyped-def]
    """How many bytes from `i` on equal those `distance` before, at most `limit`."""
    length = 0
    while length < limit:
        differ = _eight(source, i + length) ^ _eight(source, i + length - distance)
        if differ:
            while differ & np.uint64(255) == 0:
                differ >>= np.uint64(8)
                length += 1
            return min(length, limit)
        length += 8
    return limit


@njit(nogil=True, cache=True)
def _tokenise(source, n, near, far, tokens, literals):  # type: ignore[no-untyped-def]
    """Literals (0..255) and matches (length | 1024 for near, | 2048 for far), with their counts.

    `source` has `_PAD` bytes after its `n`, so that words may be read over the end.
    """
    four = np.uint64(0xFFFFFFFF)
    i = used = nears = fars = 0
    while i < n:
        best, which = 0, 1024
        limit = min(n - i, _MAX_MATCH)
        word = _eight(source, i)
        if i >= near and (word ^ _eight(source, i - near)) & four == 0:
            best = _repeat(source, i, near, limit)
        if 0 < far <= i and (word ^ _eight(source, i - far)) & four == 0:
            other = _repeat(source, i, far, limit)
            if other > best:
                best, which = other, 2048
        if best < _MIN_MATCH:
            tokens[used] = source[i]
            literals[source[i]] += 1
            i += 1
        else:
            tokens[used] = best | which
            literals[257 + _LENGTH_SYMBOL[best]] += 1
            nears += which == 1024
            fars += which == 2048
            i += best
        used += 1
    return used, nears, fars


@njit(nogil=True, cache=True)
def _distance_symbol(distance):  # type: ignore[no-untyped-def]
    symbol = 29
    while _DISTANCE_BASE[symbol] > distance:
        symbol -= 1
    return symbol


@njit(nogil=True, cache=True)
def _code_lengths(counts, longest):  # type: ignore[no-untyped-def]
    """Lengths of a Huffman code in bits, none over `longest`; 0 for symbols that do not occur."""
    lengths = np.zeros(counts.size, np.int64)
    symbols = np.nonzero(counts)[0]
    n = symbols.size
    if n <= 1:
        lengths[symbols] = 1
        return lengths
    # Equal counts keep the order of symbols: the stream must not depend on the sort's mood.
    symbols = symbols[np.argsort(counts[symbols], kind="mergesort")]
    weight = np.empty(2 * n - 1, np.int64)
    weight[:n] = counts[symbols]
    parent = np.zeros(2 * n - 1, np.int64)
    leaf, inner = 0, n
    for node in range(n, 2 * n - 1):  # two queues, both ascending: leaves and made nodes
        weight[node] = 0
        for _ in range(2):
            if leaf < n and (inner >= node or weight[leaf] <= weight[inner]):
                taken, leaf = leaf, leaf + 1
            else:
                taken, inner = inner, inner + 1
            weight[node] += weight[taken]
            parent[taken] = node
    depth = np.zeros(2 * n - 1, np.int64)
    of_length = np.zeros(longest + 1, np.int64)
    for node in range(2 * n - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
        if node < n:
            of_length[min(depth[node], longest)] += 1
    # Clamping broke Kraft's equality: lengthen the longest short codes until it holds again.
    total = 0
    for bits in range(1, longest + 1):
        total += of_length[bits] << (longest - bits)
    while total > 1 << longest:
        of_length[longest] -= 1
        for bits in range(longest - 1, 0, -1):
            if of_length[bits]:
                of_length[bits] -= 1
                of_length[bits + 1] += 2
                break
        total -= 1
    at = 0
    for bits in range(longest, 0, -1):  # rarest symbols first
        for _ in range(of_length[bits]):
            lengths[symbols[at]] = bits
            at += 1
    return lengths


@njit(nogil=True, cache=True)
def _codes(lengths):  # type: ignore[no-untyped-def]
    """Canonical codes, bits reversed as deflate stores them. Source: RFC 1951, 3.2.2."""
    of_length = np.zeros(17, np.int64)
    for bits in lengths:
        of_length[bits] += 1
    following = np.zeros(17, np.int64)  # the next free code of each length
    of_length[0] = 0
    for bits in range(1, 16):
        following[bits] = (following[bits - 1] + of_length[bits - 1]) << 1
    codes = np.zeros(lengths.size, np.uint64)
    for symbol, bits in enumerate(lengths):
        code = following[bits]
        following[bits] += 1
        reverse = 0
        for _ in range(bits):
            reverse = reverse << 1 | code & 1
            code >>= 1
        codes[symbol] = reverse
    return codes


@njit(nogil=True, cache=True)
def _put(out, state, value, bits):  # type: ignore[no-untyped-def]
    """Append bits, at most 32; the state is (words written, bit buffer, bits in it < 32).

    The word is always stored and counted only when it is full: again no branch to guess.
    """
    at, buffer, filled = state
    buffer |= np.uint64(value) << filled
    filled += np.uint64(bits)
    out[at] = np.uint32(buffer & np.uint64(0xFFFFFFFF))
    full = filled >> np.uint64(5)
    return at + np.int64(full), buffer >> (full << np.uint64(5)), filled & np.uint64(31)


@njit(nogil=True, cache=True)
def _tables(literal_lengths, distance_lengths, out):  # type: ignore[no-untyped-def]
    """Heads of stream and block, with both codes, run-length coded. Source: RFC 1951, 3.2.7."""
    literals = 286
    while literal_lengths[literals - 1] == 0:
        literals -= 1
    distances = 30
    while distances > 1 and distance_lengths[distances - 1] == 0:
        distances -= 1
    lengths = np.concatenate((literal_lengths[:literals], distance_lengths[:distances]))
    symbols = np.empty(lengths.size, np.int64)
    repeats = np.empty(lengths.size, np.int64)
    counts = np.zeros(19, np.int64)
    i = used = 0
    while i < lengths.size:
        run = 1
        while i + run < lengths.size and lengths[i + run] == lengths[i] and run < 138:
            run += 1
        if lengths[i] == 0 and run >= 3:
            symbols[used] = 17 if run <= 10 else 18
            repeats[used] = run - (3 if run <= 10 else 11)
        else:
            symbols[used], repeats[used], run = lengths[i], 0, 1
        counts[symbols[used]] += 1
        i += run
        used += 1
    code_lengths = _code_lengths(counts, 7)
    codes = _codes(code_lengths)
    stored = 19
    while code_lengths[_ORDER[stored - 1]] == 0:
        stored -= 1
    state = (0, np.uint64(_HEADER), np.uint64(16))
    for value, bits in ((1, 1), (2, 2), (literals - 257, 5), (distances - 1, 5), (stored - 4, 4)):
        state = _put(out, state, value, bits)
    for k in range(stored):
        state = _put(out, state, code_lengths[_ORDER[k]], 3)
    for k in range(used):
        symbol = symbols[k]
        state = _put(out, state, codes[symbol], code_lengths[symbol])
        if symbol > 16:
            state = _put(out, state, repeats[k], 3 if symbol == 17 else 7)
    return state


@njit(nogil=True, cache=True)
def _write(tokens, near, far, literal_lengths, distance_lengths, out, state):  # type: ignore[no-untyped-def]
    """Tokens and the end of the block; returns the bytes written, the last filled with zeros."""
    # A code and its length in one word: one look-up a literal.
    codes = _codes(literal_lengths) << np.uint64(4) | literal_lengths.astype(np.uint64)
    distance_codes = _codes(distance_lengths)
    tails = np.empty((2, 2), np.uint64)
    for row, distance in enumerate((near, max(far, 1))):
        symbol = _distance_symbol(distance)
        rest = np.uint64(distance - _DISTANCE_BASE[symbol])
        tails[row, 0] = rest << np.uint64(distance_lengths[symbol]) | distance_codes[symbol]
        tails[row, 1] = distance_lengths[symbol] + _DISTANCE_EXTRA[symbol]
    four, mask = np.uint64(4), np.uint64(15)
    for token in tokens:
        if token < 256:
            code = codes[token]
            state = _put(out, state, code >> four, code & mask)
        else:
            length = token & 1023
            symbol = _LENGTH_SYMBOL[length]
            code = codes[257 + symbol]
            state = _put(out, state, code >> four, code & mask)
            state = _put(out, state, length - _LENGTH_BASE[symbol], _LENGTH_EXTRA[symbol])
            row = 0 if token & 1024 else 1
            state = _put(out, state, tails[row, 0], tails[row, 1])
    state = _put(out, state, codes[_END] >> four, codes[_END] & mask)
    at, _, filled = _put(out, state, 0, 0)  # stores what is left in the buffer
    return 4 * at + np.int64((filled + np.uint64(7)) >> np.uint64(3))


@njit(nogil=True, cache=True)
def _stored(source, out):  # type: ignore[no-untyped-def]
    """Blocks without compression, for bytes that no code makes shorter."""
    out[0], out[1] = _HEADER & 255, _HEADER >> 8
    n, at = source.size, 2
    start = 0
    while True:
        size = min(65535, n - start)
        out[at] = 1 if start + size == n else 0
        out[at + 1], out[at + 2] = size & 255, size >> 8
        out[at + 3], out[at + 4] = ~size & 255, (~size >> 8) & 255
        at += 5
        out[at : at + size] = source[start : start + size]
        at += size
        start += size
        if start >= n:
            return at


@njit(nogil=True, cache=True)
def _adler(source):  # type: ignore[no-untyped-def]
    """Adler-32 as two plain sums, which vectorise. Source: RFC 1950, 9."""
    first, second = np.int64(1), np.int64(0)
    for start in range(0, source.size, 4096):
        # The loop over a slice of its own needs no check of the index, so it vectorises.
        part = source[start : start + 4096]
        plain = weighted = np.int64(0)
        for i in range(part.size):
            value = np.int64(part[i])
            plain += value
            weighted += i * value
        second = (second + part.size * (first + plain) - weighted) % 65521
        first = (first + plain) % 65521
    return second << 16 | first


@njit(nogil=True, cache=True)
def float_planes(bands):  # type: ignore[no-untyped-def]
    """The floating point predictor of TIFF (3): per row, byte planes, then differences.

    Args:
        bands: (band, y, x) float32, little-endian.

    Returns:
        (band, y·x·4) uint8.

    Source: TIFF Technical Note 3 (Adobe Photoshop), floating point predictor.
    """
    count, height, width = bands.shape
    raw = bands.view(np.uint32)
    out = np.empty((count, height * width * 4), np.uint8)
    for band in range(count):
        for y in range(height):
            row = out[band, y * width * 4 : (y + 1) * width * 4]
            before = np.uint8(0)
            for plane in range(4):
                shift = np.uint32(24 - 8 * plane)
                for x in range(width):
                    value = np.uint8((raw[band, y, x] >> shift) & np.uint32(255))
                    row[plane * width + x] = value - before
                    before = value
    return out
