# SPDX-License-Identifier: Apache-2.0
"""Entries of a recipe (`vectors`, `networks`) as features with classes.

Plan and reference stage read the same way: what passes the plan passes the stage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, LegendError, RecipeError, SceneError
from ..legend import Legend
from ..settings import LabelsSettings, NetworkSource, VectorSource
from .codes import (
    DISCARD,
    IGNORE,
    NULL,
    FieldCrosswalk,
    NetworkRules,
    OneClass,
    as_text,
    network_rules,
)
from .geometry import joined, parts_of
from .layers import open_layer
from .reading import Box, Portion, VectorLayer, read_portions
from .schema import schema_of

IN_COLLECTION = " in a collection"
"""End of the reasons that concern parts of features, not features."""
_TOP = "top:"
_WHERE = "where:"


@dataclass(frozen=True)
class Features:
    """Some features of a source, those that its `where` leaves."""

    geometries: NDArray[Any]
    """(feature,) shapely geometries or None."""
    codes: NDArray[np.int16]
    """(feature,) class, DISCARD, NULL or UNKNOWN; networks: the class or IGNORE."""
    widths: NDArray[np.float64]
    """(feature,) metres to each side; NaN for polygons and for what is left out."""
    tops: NDArray[np.float64]
    """(feature,) value of `order_field`, -inf where there is none."""
    ids: NDArray[np.int64]
    """(feature,) what tells the features of a layer apart."""
    unknown: Counter[str]
    """Codes in no row, with their number of features."""
    left_out: Counter[str]
    """What leaves features out (`where`, rules, `ignore`), with their number."""
    repaired: NDArray[np.bool_]
    """(feature,) whether reading had to close rings, or to repair parts of collections."""


@dataclass(frozen=True)
class OpenVectors:
    """An open entry of a recipe."""

    entry: str
    """Its place in the recipe, for example `vectors.0`."""
    settings: VectorSource | NetworkSource
    layer: VectorLayer
    columns: Mapping[str, str]
    """Attribute with its role → name in the layer."""
    codes: FieldCrosswalk | NetworkRules | OneClass
    ignored: tuple[str, ...]

    @property
    def fields(self) -> dict[str, str]:
        """Attribute as recipe, product or rules name it → as the file spells it."""
        return {key.removeprefix(_WHERE).removeprefix(_TOP): v for key, v in self.columns.items()}

    @property
    def is_network(self) -> bool:
        """Whether lines are to be widened, or polygons filled."""
        return isinstance(self.codes, NetworkRules)

    @property
    def reach_m(self) -> float:
        """Greatest width that a feature may get, in metres to each side."""
        return self.codes.widest_m if isinstance(self.codes, NetworkRules) else 0.0

    @property
    def table(self) -> str:
        """Name of the crosswalk or the rules, for messages."""
        return self.codes.name

    def read(self, box: Box | None) -> Iterator[Features]:
        """Features whose box meets a box in the layer's CRS.

        Raises:
            SceneError: the file cannot be read, or features that count are points, or lines where
                polygons are expected.
            LegendError: an attribute of the wrong kind.
        """
        for portion in read_portions(self.layer, self.columns, box):
            found = self._coded(*self._chosen(portion))
            self._check_kinds(found)
            self._flatten(found)
            yield found

    def _chosen(self, portion: Portion) -> tuple[Portion, Counter[str]]:
        """What `where` leaves, and what it leaves out."""
        keep = np.ones(len(portion.geometries), bool)
        out: Counter[str] = Counter()
        for field, wanted in self.settings.where.items():
            values = {as_text(value) for value in wanted}
            column = portion.columns[_WHERE + field].to_pylist()
            fits = np.fromiter((as_text(v) in values for v in column), bool, len(keep))
            if gone := int((keep & ~fits).sum()):
                out[f"where {field}"] += gone
            keep &= fits
        if keep.all():
            return portion, out
        columns = {name: column.filter(keep) for name, column in portion.columns.items()}
        return Portion(
            portion.geometries[keep], portion.ids[keep], columns, portion.closed[keep]
        ), out

    def _check_kinds(self, found: Features) -> None:
        import shapely

        dimension = shapely.get_dimensions(found.geometries)
        lowest = 1 if self.is_network else 2
        empty = shapely.is_empty(found.geometries)
        wrong = (dimension >= 0) & (dimension < lowest) & (found.codes != IGNORE) & ~empty
        if wrong.any():
            kinds = sorted({g.geom_type for g in found.geometries[wrong]})
            remedy = (
                "networks take lines or polygons"
                if self.is_network
                else "vectors take polygons: give lines under networks"
            )
            raise SceneError(
                f"{self.layer.where} ({self.entry}): {int(wrong.sum())} feature(s) are "
                f"{', '.join(kinds)}; {remedy}"
            )

    def _flatten(self, found: Features) -> None:
        """Give collections in one form, from all of their parts that count."""
        import shapely

        lowest = 1 if self.is_network else 2
        kinds = shapely.get_type_id(found.geometries)
        mixed = (kinds == shapely.GeometryType.GEOMETRYCOLLECTION) & (found.codes != IGNORE)
        for at in np.flatnonzero(mixed):
            parts, others = parts_of(found.geometries[at], lowest)
            found.geometries[at], repaired = joined(parts, self.layer.where)
            found.repaired[at] |= repaired > 0
            found.left_out.update({f"{kind}{IN_COLLECTION}": n for kind, n in others.items()})

    def _coded(self, portion: Portion, out: Counter[str]) -> Features:
        count = len(portion.geometries)
        plain = {k: c for k, c in portion.columns.items() if not k.startswith((_WHERE, _TOP))}
        widths, tops = np.full(count, np.nan), np.full(count, -np.inf)
        if isinstance(self.codes, NetworkRules):
            assert isinstance(self.settings, NetworkSource)
            widths, unknown, ruled = self.codes(plain, count, self.ignored)
            codes = np.where(np.isnan(widths), IGNORE, self.settings.code).astype(np.int16)
            return Features(
                portion.geometries,
                codes,
                widths,
                tops,
                portion.ids,
                unknown,
                out + ruled,
                portion.closed,
            )
        assert isinstance(self.settings, VectorSource)
        if isinstance(self.codes, OneClass):
            codes, unknown, ignored = self.codes(count)
        else:
            codes, unknown, ignored = self.codes(plain)
        becomes = {"error": NULL, "discard": DISCARD, "ignore": IGNORE}
        if becomes[self.settings.null_codes] == IGNORE and (codes == NULL).any():
            ignored["no code"] = int((codes == NULL).sum())
        codes[codes == NULL] = becomes[self.settings.null_codes]
        if self.settings.order_field is not None:
            tops = _numbers(portion.columns[_TOP + self.settings.order_field], self)
        return Features(
            portion.geometries,
            codes,
            widths,
            tops,
            portion.ids,
            unknown,
            out + ignored,
            portion.closed,
        )


def _numbers(column: Any, source: OpenVectors) -> NDArray[np.float64]:
    """Values that features are ordered by; days count from 1970."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.timestamp("ms")).cast(pa.int64())
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(column)
        values = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise LegendError(
            f"{source.layer.where}: {source.entry}.order_field holds no numbers or dates: {error}"
        ) from error
    return np.where(np.isnan(values), -math.inf, values)


def source_paths(path: str, archive: Path | None = None) -> list[str]:
    """Files that the path of an entry means, in the order of their names.

    Raises:
        InputError: a pattern that no file fits.
    """
    if "{archive}" in path:
        if archive is None:
            raise InputError(f"{path}: {{archive}} is there with the source `simulated` alone")
        path = path.replace("{archive}", str(archive))
    if not any(mark in path for mark in "*?["):
        return [path]
    anchor = Path(path).anchor
    pattern = str(Path(path).relative_to(anchor)) if anchor else path
    found = sorted(str(file) for file in Path(anchor or ".").glob(pattern) if file.is_file())
    if not found:
        raise InputError(f"{path}: no file fits; paths of a recipe are relative to where you run")
    return found


def open_vectors(
    reference: LabelsSettings, number: int, path: str, legend: Legend, unpack_to: Path,
    *, layer: str | None = None, crs: str | None = None,
) -> OpenVectors:  # fmt: skip
    """Open a file of `vectors`.

    Args:
        reference: settings of the stage.
        number: entry in `vectors`.
        path: one of its files.
        legend: what its codes lead into.
        unpack_to: folder for unpacked archives.
        layer: name of the layer where the plan has found it.
        crs: its CRS where the plan has found it.

    Raises:
        InputError, SceneError, GridError: see `open_layer`.
        LegendError: the crosswalk is wrong, or the file is of another product.
        RecipeError: the entry names no code attribute.
    """
    entry, wanted = f"vectors.{number}", reference.vectors[number]
    schema = schema_of(wanted.product, wanted.year)
    fields = wanted.fields or (schema.codes if wanted.code is None else ())
    codes: FieldCrosswalk | OneClass
    if wanted.code is not None:
        _check_class(f"{entry}.code", wanted.code, legend)
        codes = OneClass(wanted.code)
    elif not fields:
        raise RecipeError(
            f"{entry}.fields: product {wanted.product!r} has no code attribute of its own; name "
            "them, or give the class of all its polygons as code"
        )
    else:
        codes = FieldCrosswalk.load(
            wanted.crosswalk or reference.crosswalk, legend,
            ignored=map(str, reference.ignore_codes), background=reference.background, own=wanted.codes,
        )  # fmt: skip
    found = open_layer(
        path, schema, layer=layer or wanted.layer, crs=crs or wanted.crs, fields=fields,
        unpack_to=unpack_to,
    )  # fmt: skip
    top = () if wanted.order_field is None else (wanted.order_field,)
    spelled = schema.fields((*fields, *wanted.where, *top), found.fields, found.where)
    columns = {name: spelled[name] for name in fields}
    columns |= {_WHERE + name: spelled[name] for name in wanted.where}
    columns |= {_TOP + name: spelled[name] for name in top}
    return OpenVectors(entry, wanted, found, columns, codes, ())


def _check_class(entry: str, code: int, legend: Legend) -> None:
    if code not in legend.finest.codes:
        raise LegendError(
            f"{entry}: {code} is no class of legend {legend.name!r}; its classes are "
            f"{list(legend.finest.codes)}"
        )


def open_network(
    reference: LabelsSettings, number: int, path: str, legend: Legend, unpack_to: Path,
    *, layer: str | None = None, crs: str | None = None,
) -> OpenVectors:  # fmt: skip
    """Open a file of `networks`; see `open_vectors`."""
    entry, wanted = f"networks.{number}", reference.networks[number]
    _check_class(f"{entry}.code", wanted.code, legend)
    schema = schema_of(wanted.product, wanted.year)
    if wanted.buffer_m is not None:
        rules = NetworkRules("buffer_m", (), wanted.buffer_m)
    elif wanted.rules is None and wanted.product == "custom":
        raise RecipeError(
            f"{entry}.rules: product custom needs rules (a packaged name or a CSV), or one width "
            "for all its lines as buffer_m"
        )
    else:
        rules = network_rules(wanted.rules or wanted.product).with_buffers(wanted.buffers)
    found = open_layer(
        path, schema, layer=layer or wanted.layer, crs=crs or wanted.crs, fields=rules.fields,
        unpack_to=unpack_to,
    )  # fmt: skip
    spelled = schema.fields((*rules.fields, *wanted.where), found.fields, found.where)
    columns = {name: spelled[name] for name in rules.fields}
    columns |= {_WHERE + name: spelled[name] for name in wanted.where}
    ignored = tuple(map(str, reference.ignore_codes))
    return OpenVectors(entry, wanted, found, columns, rules, ignored)


def findings(source: OpenVectors, unknown: Mapping[str, int], nulls: int) -> list[str]:
    """What is wrong with the codes of a source, in words; empty if nothing is."""
    lines = []
    if unknown:
        listed = ", ".join(f"{code} ({n})" for code, n in sorted(unknown.items()))
        hint = ""
        if any(code.split("=")[-1].startswith(("CS", "US")) for code in unknown):
            hint = "; codes such as CS1.1.1 or US1.1 are IGN's OCS GE, another nomenclature"
        what = "network rules" if isinstance(source.codes, NetworkRules) else "crosswalk"
        lines.append(
            f"{source.layer.where} ({source.entry}): codes in no row of {what} {source.table!r}, "
            f"with their number of features: {listed}{hint}"
        )
    if nulls:
        lines.append(
            f"{source.layer.where} ({source.entry}): {nulls} feature(s) without a code in "
            f"{', '.join(source.fields.values())}; set null_codes: discard or ignore if that is "
            "as it should be"
        )
    return lines


def code_error(lines: list[str]) -> LegendError:
    """The one error for all codes that lead nowhere."""
    return LegendError(
        "\n".join(lines) + "\nadd the codes to the crosswalk or the rules (a class, discard, "
        "ignore), give them under codes (vectors), list them under ignore_codes, or name another table"
    )
