# SPDX-License-Identifier: Apache-2.0
"""Layers of Sentinel-2: what a recipe says of one."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from .base import LayerSettings, Readers, read_by
from .kernels import Coarser, Kernel
from .policy import Policy

S2_BANDS = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
"""Sentinel-2 bands in natural order and their native pixel size in metres."""

THEIA_10 = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""The ten bands of Theia's Level-2A, in natural order."""

L2A_12 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""The twelve bands of Level-2A (no B10: it is not in the product)."""


PROBABILITIES = ("SNWPRB", "CLDPRB")
"""Percent of probability of snow and of clouds at 20 m, beside the bands of Level-2A.
Source: Products Specification, Level-2A quality indicators (MSK_SNWPRB, MSK_CLDPRB)."""


class Sentinel2Settings(LayerSettings):
    """A layer of Sentinel-2: from products to a stack."""

    readers: ClassVar[Readers] = read_by(
        "publish",
        plan="kind level processor bands reflectance time scl mask_scl mask_edg mask_clm mask_mg2",
        stack="kind version pixel_m bands kernel coarser upsample_first harmonise dtype check_values time "
        "scl mask_scl mask_edg mask_clm mask_mg2",
        patches="kind",
        splits="kind",
        layouts="kind pixel_m bands dtype time scl harmonise",
        training="kind",
    )

    scenes: ClassVar[str] = "sentinel2"

    kind: Literal["sentinel2"] = "sentinel2"
    """Where the pixels of the layer come from."""
    level: Literal["L1C", "L2A"] = "L2A"
    """Level of the products to use."""
    processor: Literal["esa", "theia"] = "esa"
    """Who made the products to use: ESA (Sen2Cor) or Theia (MAJA, Level-2A only)."""
    bands: tuple[str, ...] = L2A_12
    """Bands in the order of the stack: reflectances, or (in a layer of their own) the probabilities of
    ESA's Level-2A, `SNWPRB` of snow and `CLDPRB` of clouds in percent; these have `kernel: nearest`
    where nothing is said, and `dtype: uint8`."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid (and of 20 m and 60 m bands on a UTM tile grid);
    `average` is bilinear where the grid is not coarser than the band."""
    coarser: Coarser = "average"
    """Where the grid is coarser than the band: the mean over each pixel's area, or `kernel` widened
    to it (`widen`); `nearest` takes a single pixel on any grid."""
    upsample_first: Literal["nearest", "bilinear", "cubic"] | None = None
    """Bring 20 m and 60 m bands to 10 m with this kernel before the warp (SNAP's order of steps);
    absent: each band is sampled once, from its own pixels."""
    harmonise: bool = True
    """Add the product's radiometric offset, so that DN = 10000 × reflectance for all baselines."""
    dtype: Literal["uint16", "int16", "float32", "uint8"] = "uint16"
    """Pixel type of the stack; whole numbers are rounded. Valid pixels are ≥ 1 and 0 is nodata, but
    for int16: it keeps zero and negative reflectances, and `source` alone tells what is missing; uint8 is
    that of probabilities, whose 0 is a value too."""
    check_values: bool = True
    """Refuse scenes whose numbers cannot be what product or recipe say: reflectances taken for DN,
    an offset that is missing or added twice, blocks of exact zeros that are not nodata."""
    reflectance: Literal["FRE", "SRE"] = "FRE"
    """Theia: with (`FRE`) or without (`SRE`) the correction of slope effects."""
    time: Literal["single", "series"] = "single"
    """`single`: all dates in one image, the first with a pixel wins; `series`: an image a date."""
    scl: bool = False
    """Keep the scene classification (nearest) beside the bands (Level-2A only)."""
    mask_scl: tuple[Annotated[int, Field(ge=0, le=11)], ...] = ()
    """Scene classes to treat as missing, for example 3, 8, 9, 10 (shadow, clouds, cirrus)."""
    mask_edg: bool = True
    """Theia: pixels outside the image (edge mask) are missing; false: nodata alone decides."""
    mask_clm: tuple[Annotated[int, Field(ge=0, le=7)], ...] = ()
    """Theia: bits of the cloud mask to treat as missing; 0: clouds and shadows, 1: clouds,
    4: thinnest clouds, 5 and 6: shadows, 7: high clouds."""
    mask_mg2: tuple[Annotated[int, Field(ge=0, le=7)], ...] = ()
    """Theia: bits of the geophysical mask to treat as missing; 0: water, 1: clouds, 2: snow,
    3: shadows of clouds, 4: of relief, 5: hidden, 6: sun too low, 7: tangent sun."""

    @model_validator(mode="before")
    @classmethod
    def _as_usual(cls, said: Any) -> Any:
        """Kernel and pixel type of probabilities where the recipe leaves them open."""
        if not isinstance(said, dict) or not isinstance(said.get("bands"), list | tuple):
            return said
        alone = said["bands"] and all(band in PROBABILITIES for band in said["bands"])
        return {"kernel": "nearest", "dtype": "uint8"} | said if alone else said

    @model_validator(mode="after")
    def _known_bands(self) -> Sentinel2Settings:
        known = [*S2_BANDS, *PROBABILITIES]
        unknown = [b for b in self.bands if b not in known]
        if unknown:
            raise ValueError(f"no Sentinel-2 bands: {unknown}; known are {known}")
        if len(set(self.bands)) != len(self.bands) or not self.bands:
            raise ValueError(f"bands must be unique and at least one: {list(self.bands)}")
        if findings := [*self._of_bands(), *self._of_level(), *self._of_processor()]:
            raise ValueError("\n".join(findings))
        return self

    @property
    def probabilities(self) -> bool:
        """Whether the layer is of probabilities, not of reflectances."""
        return self.bands[0] in PROBABILITIES

    @property
    def policy(self) -> Policy:
        """Which scenes the layer may be made of."""
        return Policy(
            self.scenes, level=self.level, processor=self.processor, clouds=True, own_tile=True,
            reflectance=self.reflectance if self.processor == "theia" else None,
        )  # fmt: skip

    def wanted(self, processor: str | None) -> tuple[str, ...]:
        """Assets of a scene that the layer reads; masks are those of Theia's products."""
        classes = ("SCL",) if self.scl or self.mask_scl or self.probabilities else ()
        used = {"EDG": self.mask_edg, "CLM": self.mask_clm, "MG2": self.mask_mg2}
        masks = tuple(name for name, wants in used.items() if wants)
        return (*self.bands, *classes, *(masks if processor == "theia" else ()))

    @property
    def stack_bands(self) -> tuple[str, ...]:
        """Bands of the stack."""
        return self.bands

    @property
    def stack_dtype(self) -> str:
        """Pixel type of the stack."""
        return self.dtype

    @property
    def stack_classes(self) -> bool:
        """Whether a classification of the scene is kept beside the bands."""
        return self.scl

    @property
    def stack_offsets(self) -> bool:
        """Whether the stack's numbers keep the offset of their product."""
        return not (self.harmonise or self.probabilities)

    @property
    def shared(self) -> tuple[str, ...]:
        """Keys that a plan has once for all such layers."""
        return ("reflectance",) if self.processor == "theia" else ()

    def _of_bands(self) -> list[str]:
        """What does not fit to what the bands measure."""
        own = [band for band in self.bands if band in PROBABILITIES]
        if not own:
            wrong = self.dtype == "uint8"
            return ["dtype: uint8 is for probabilities; reflectances take uint16"] if wrong else []
        if len(own) < len(self.bands):
            return [
                f"bands: {', '.join(own)} are percent of a probability and the others reflectances; "
                "give them a layer of their own"
            ]
        found = []
        if self.level == "L1C" or self.processor != "esa":
            found.append(
                "bands: probabilities are in ESA's Level-2A alone; set level: L2A, processor: esa"
            )
        if self.dtype != "uint8":
            found.append("dtype: probabilities are uint8; leave dtype out")
        if self.upsample_first:
            found.append("upsample_first: not for probabilities; leave it out")
        return found

    def _of_level(self) -> list[str]:
        """What does not fit to the level of the products."""
        found = []
        if "B10" in self.bands and self.level == "L2A":
            found.append("bands: B10 is not in Level-2A products; leave it out or set level: L1C")
        if (self.scl or self.mask_scl) and self.level == "L1C":
            found.append("scl, mask_scl: Level-1C products have no scene classification")
        return found

    def _of_processor(self) -> list[str]:
        """What does not fit to who made the products."""
        if self.processor == "esa":
            if self.mask_clm or self.mask_mg2:
                return ["mask_clm, mask_mg2: masks of Theia; ESA's products have mask_scl"]
            return []
        found = []
        if self.level == "L1C":
            found.append("level: Theia's products are L2A")
        if self.scl or self.mask_scl:
            found.append(
                "scl, mask_scl: Theia's products have no scene classification; use mask_clm and "
                "mask_mg2"
            )
        if lacking := [band for band in self.bands if band not in THEIA_10]:
            found.append(
                f"bands: Theia's products have no {', '.join(lacking)}; they have "
                f"{', '.join(THEIA_10)}"
            )
        return found
