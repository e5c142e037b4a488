# SPDX-License-Identifier: Apache-2.0
"""Which stages read which keys of a section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL = ("*",)
"""Every key of a section."""


@dataclass(frozen=True)
class Readers:
    """The stages that read a section, with the keys that each of them reads."""

    keys: Mapping[str, tuple[str, ...]]


def read_by(whole: str = "", /, **some: str) -> Readers:
    """The row of a section.

    Args:
        whole: stages that read all of it, apart by blanks.
        some: stage → the keys that it reads, apart by blanks.
    """
    return Readers(
        dict.fromkeys(whole.split(), ALL) | {s: tuple(k.split()) for s, k in some.items()}
    )
