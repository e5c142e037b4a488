# SPDX-License-Identifier: Apache-2.0
"""Layers of labels: what a recipe says of one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import LayerSettings, Readers, read_by
from .cleaning import ClassCode, CleanStep, chain_findings
from .policy import Policy
from .vectors import NetworkSource, VectorSource


class LabelsSettings(LayerSettings):
    """A layer of labels: reference maps and polygons in, classes of a legend out."""

    readers: ClassVar[Readers] = read_by(
        "publish",
        plan="kind path band vectors networks crosswalk ignore_codes background legend",
        stack="kind version pixel_m vectors networks crosswalk ignore_codes background legend edges clean "
        "protect",
        patches="kind legend",
        splits="kind legend",
        layouts="kind pixel_m legend edges",
        training="kind legend",
    )

    scenes: ClassVar[str] = "reference"

    kind: Literal["labels"] = "labels"
    """Where the pixels of the layer come from."""
    path: str | None = None
    """Raster of source codes, or several by a pattern with `*`; `{archive}` is the folder of the embedded
    archive. Absent with the source `simulated`, or where `vectors` are given."""
    band: Annotated[int, Field(ge=1)] | str | None = None
    """Band of `path` that holds the codes, by number or by what the file calls it; needed where it
    has several."""
    vectors: tuple[VectorSource, ...] = ()
    """Polygon layers, burnt on the grid of the patches: a pixel takes the polygon that contains its
    centre."""
    networks: tuple[NetworkSource, ...] = ()
    """Roads and railways, burnt over everything else; of several the first wins."""
    crosswalk: str = "terraclass_cerrado"
    """Packaged crosswalk, or a CSV with source_code, source_name, code."""
    ignore_codes: tuple[int | str, ...] = ()
    """Source codes that no crosswalk lists and that are to be left out, as if not in the file."""
    background: Annotated[int, Field(ge=0, le=254)] | None = None
    """Class of pixels that no polygon and no map covers; absent: they are nodata."""
    legend: str = ""
    """Packaged legend, or a CSV with level, code, abbrev, name, parent, color; each layer names its own."""
    edges: Literal["none", "thin", "inner", "outer", "thick", "distance"] = "thin"
    """Edge layer per level: `thin` marks pixels that differ from their right or lower neighbour."""
    clean: tuple[CleanStep, ...] = ()
    """Steps that clean the label raster, in this order."""
    protect: tuple[ClassCode, ...] = ()
    """Classes whose pixels no step changes."""

    @property
    def policy(self) -> Policy:
        """Which maps the layer may be made of."""
        return Policy(self.scenes, dated=False)

    def wanted(self, _processor: str | None) -> tuple[str, ...]:
        """Assets of a map that the layer reads."""
        return ("map",)

    @model_validator(mode="after")
    def _steps(self) -> LabelsSettings:
        if self.band is not None and self.path is None:
            raise ValueError("band chooses a band of path, and there is none")
        findings = chain_findings(self.clean)
        if self.networks and self.clean and not any(s.step == "networks" for s in self.clean):
            findings.append("networks are given and no step burns them: add {step: networks}")
        if findings:
            raise ValueError("clean: " + "; ".join(findings))
        return self
