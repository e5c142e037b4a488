# SPDX-License-Identifier: Apache-2.0
"""The lock in words: what will be used, why others were left out, what changed since."""

from __future__ import annotations

from collections.abc import Sequence

from ..crs import short_name
from ..records import Lock, LockedFile, LockedItem, LockedVector

_REASONS = 4
"""Reasons for left-out features that a line names."""
_HEAD = ("sensor", "scene", "date", "tile", "orbit", "cloud %", "baseline", "units")


def describe(lock: Lock) -> str:
    """The lock as aligned text for people."""
    counts: dict[tuple[str, str], int] = {}
    for unit in lock.units:
        here = {
            (lock.scenes.get(layer, layer), item_id)
            for layer, ids in unit.items.items()
            for item_id in ids
        }
        for key in here:
            counts[key] = counts.get(key, 0) + 1
    rows = [_row(item, counts.get((item.sensor, item.id), 0)) for item in lock.items]
    lines = [f"{lock.name}: {_count(lock.items, 'scene')} for {_count(lock.units, 'unit')}"]
    lines += ["", *_aligned([_HEAD, *rows])]
    if lock.gaps:
        lines += ["", f"{_count(lock.gaps, 'gap')} in the series of passes"]
        lines += _aligned(
            [
                (g.sensor, g.track, f"{g.start} to {g.end}", g.words(len(lock.units)))
                for g in lock.gaps
            ]
        )
    if lock.vectors:
        lines += ["", _count(lock.vectors, "vector file")]
        lines += _aligned(
            [
                (v.id, v.href, v.layer, short_name(v.crs), f"{v.features} features", _left_out(v))
                for v in lock.vectors
            ]
        )
    scenes = [(e.layer or e.sensor, e.id, e.reason) for e in lock.excluded if e.sensor != "other"]
    others = [(e.id, e.reason) for e in lock.excluded if e.sensor == "other"]
    if scenes:
        lines += ["", f"left out: {_count(scenes, 'scene')}", *_aligned(scenes)]
    if others:
        lines += ["", f"found and not read: {_count(others, 'place')}", *_aligned(others)]
    if lock.units_left_out:
        lines += ["", f"left out: {_count(lock.units_left_out, 'unit')}"]
        lines += _aligned(sorted(lock.units_left_out.items()))
    return "\n".join(lines)


def changes(old: Lock, new: Lock) -> list[str]:
    """What a new plan would change, a line each; empty if both build the same dataset.

    Scenes that are left out in both, whatever for, are no change.
    """
    lines = []
    before = {(i.sensor, i.id): i for i in old.items}
    after = {(i.sensor, i.id): i for i in new.items}
    for key in sorted(before.keys() | after.keys()):
        name = f"scene {key[1]} ({key[0]})"
        if key not in after:
            reason = next((e.reason for e in new.excluded if (e.sensor, e.id) == key), "not found")
            lines.append(f"removed: {name}: {reason}")
        elif key not in before:
            lines.append(f"added: {name}")
        elif before[key] != after[key]:
            lines.append(f"changed: {name}: {', '.join(_differences(before[key], after[key]))}")
    for what, names in (
        ("the height model", _other_files(_heights(old), _heights(new))),
        ("the orbit files", _other_files(old.orbits, new.orbits)),
        ("what the recipe names", _other_files(old.named, new.named)),
    ):
        if names:
            lines.append(f"changed: {what}: {', '.join(names)}")
    lines += _vector_changes(old, new)
    units = {u.id: u for u in old.units}, {u.id: u for u in new.units}
    for unit in sorted(units[0].keys() | units[1].keys()):
        first, second = units[0].get(unit), units[1].get(unit)
        if first is None or second is None:
            lines.append(f"{'added' if first is None else 'removed'}: unit {unit}")
        elif (first.geobox, first.first_row, first.first_col) != (
            second.geobox,
            second.first_row,
            second.first_col,
        ):
            lines.append(f"changed: unit {unit}: its grid")
        elif first.vectors != second.vectors:
            lines.append(f"changed: unit {unit}: its vector layers")
        elif first.items != second.items:
            lines.append(f"changed: unit {unit}: its scenes or their order")
        elif first.steps != second.steps:
            lines.append(f"changed: unit {unit}: its time steps")
    return lines


def _heights(lock: Lock) -> tuple[LockedFile, ...]:
    return (*lock.heights, *([lock.geoid] if lock.geoid else []))


def _other_files(old: Sequence[LockedFile], new: Sequence[LockedFile]) -> list[str]:
    """Files that are not as they were, that came or that went."""
    before, after = ({f.href: f for file in files for f in (file, *file.beside)}
                     for files in (old, new))  # fmt: skip
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def _vector_changes(old: Lock, new: Lock) -> list[str]:
    before, after = ({v.id: v for v in lock.vectors} for lock in (old, new))
    lines = []
    for name in sorted(before.keys() | after.keys()):
        first, second = before.get(name), after.get(name)
        if first is None or second is None:
            known = first or second
            assert known is not None
            lines.append(f"{'added' if first is None else 'removed'}: {name} ({known.href})")
        elif first != second:
            fields = [
                n for n in type(first).model_fields if getattr(first, n) != getattr(second, n)
            ]
            lines.append(f"changed: {name} ({second.href}): {', '.join(fields)}")
    return lines


def _differences(old: LockedItem, new: LockedItem) -> list[str]:
    found = [
        name
        for name in LockedItem.model_fields
        if name != "assets" and getattr(old, name) != getattr(new, name)
    ]
    for band in sorted(old.assets.keys() | new.assets.keys()):
        first, second = old.assets.get(band), new.assets.get(band)
        if first is None or second is None:
            found.append(f"{band} {'added' if first is None else 'removed'}")
        elif first != second:
            fields = [
                n for n in type(first).model_fields if getattr(first, n) != getattr(second, n)
            ]
            if "beside" in fields:
                fields[fields.index("beside")] = ", ".join(
                    _other_files(first.beside, second.beside)
                )
            found.append(f"{band} ({', '.join(fields)})")
    return found


def _row(item: LockedItem, units: int) -> tuple[str, ...]:
    orbit = f"R{item.relative_orbit:03d}" if item.relative_orbit is not None else ""
    direction = (item.orbit_direction or "")[:4]
    cloud = "" if item.cloud_percent is None else f"{item.cloud_percent:.1f}"
    return (
        item.sensor,
        item.id,
        item.datetime[:10],
        item.tile or "",
        f"{orbit} {direction}".strip(),
        cloud,
        item.processing_baseline or "",
        str(units),
    )


def _left_out(vector: LockedVector) -> str:
    most = sorted(vector.left_out.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{reason} ({n})" for reason, n in most[:_REASONS]]
    if len(most) > _REASONS:
        words.append(f"{len(most) - _REASONS} more")
    return f"left out: {', '.join(words)}" if words else ""


def _count(things: Sequence[object] | dict[str, str], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
