# SPDX-License-Identifier: Apache-2.0
"""Text of vector files: which letters their bytes are.

Law: text that is valid UTF-8 is UTF-8, whatever a file says about itself (text of a one-byte
encoding hardly ever is by chance). Other text is what the file says: the .cpg beside a shapefile,
else the language byte of its .dbf, else Windows-1252.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from ..errors import SceneError

BYTES = "ISO-8859-1"
"""The encoding in which every byte is a letter: nothing is lost before the right one is known."""

USUAL = "cp1252"
"""What text without any statement is, where it is no UTF-8."""

_LANGUAGES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x13: "cp932", 0x4D: "cp936", 0x4E: "cp949",
    0x4F: "cp950", 0x57: "cp1252", 0x58: "cp1252", 0x59: "cp1252", 0x64: "cp852", 0x65: "cp866",
    0x6A: "cp737", 0x6B: "cp857", 0x7B: "cp932", 0x7A: "cp936", 0xC8: "cp1250", 0xC9: "cp1251",
    0xCA: "cp1254", 0xCB: "cp1253", 0xCC: "cp1257",
}  # fmt: skip
"""Language driver of a .dbf (byte 29) → encoding. Source: dBASE and FoxPro tables of code pages."""


def stated_encoding(shapefile: str) -> str:
    """What a shapefile says about its text, as Python names it (or in its own words if unknown)."""
    path = Path(shapefile)
    beside = {p.suffix.lower(): p for p in path.parent.glob(f"{path.stem}.*")}
    if ".cpg" in beside:
        words = beside[".cpg"].read_text(encoding="ascii", errors="replace").strip()
        return _codec(words) or words or USUAL
    if ".dbf" in beside:
        with beside[".dbf"].open("rb") as stream:
            head = stream.read(32)
        return _LANGUAGES.get(head[29], USUAL) if len(head) == 32 else USUAL
    return USUAL


def _codec(words: str) -> str | None:
    """Python's name of an encoding as .cpg files name it: `ANSI 1252`, `88591`, `UTF-8`."""
    text = words.lower().replace("windows", "").replace("ansi", "").strip(" -_")
    number = re.fullmatch(r"(?:cp|ldid/)?\s*(\d+)", text)
    tries = [text]
    if number:
        digits = number[1]
        if text.startswith("ldid/"):
            tries = [_LANGUAGES.get(int(digits), "")]
        elif digits.startswith("8859"):
            tries = [f"iso8859-{digits[4:] or 1}"]
        else:
            tries = ["utf-8" if digits == "65001" else f"cp{digits}"]
    for name in tries:
        try:
            return codecs.lookup(name).name
        except LookupError:
            continue
    return None


def decoded(raw: bytes, otherwise: str, where: str) -> str:
    """Text from bytes; see the law above.

    Args:
        raw: the text as the file holds it.
        otherwise: encoding of what is no UTF-8.
        where: file and layer, for messages.

    Raises:
        SceneError: the bytes are no text in that encoding, or it is unknown.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode(otherwise)
    except (UnicodeDecodeError, LookupError) as error:
        if otherwise == USUAL:  # five of its 256 bytes have no letter
            return raw.decode(BYTES)
        raise SceneError(
            f"{where}: the text {raw!r} is not in {otherwise}, which the file gives as its encoding "
            "(a .cpg beside a shapefile, or the language byte of its .dbf); write the right one "
            "into the .cpg, for example 1252 (Western Europe), 1250 or UTF-8"
        ) from error


def mended(column: Any, otherwise: str | None, where: str) -> Any:
    """A text column of an Arrow table with the right letters.

    Args:
        column: Arrow text. Its bytes are letters of `BYTES` where `otherwise` is given (so they
            were read), else they should be UTF-8.
        otherwise: encoding of what is no UTF-8; None for formats that are UTF-8 by their rules.
        where: file and layer, for messages.
    """
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    large = pa.types.is_large_string(array.type)
    coded = array.cast(pa.large_binary() if large else pa.binary()).dictionary_encode()
    raw = coded.dictionary.to_pylist()
    if otherwise is not None:
        raw = [value if value.isascii() else value.decode().encode(BYTES) for value in raw]
    elif all(_is_utf8(value) for value in raw):
        return column
    texts = [decoded(value, otherwise or USUAL, where) for value in raw]
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(texts, pa.string())).cast(
        pa.string()
    )


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
