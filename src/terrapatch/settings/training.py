# SPDX-License-Identifier: Apache-2.0
"""The section of a recipe about the models that validate the output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Section


class TrainingSettings(Section):
    """The small models that validate the output."""

    version: Literal[1] = 1
    level: str | None = None
    """Legend level to learn; the coarsest if absent."""
    models: tuple[Literal["forest", "unet"], ...] = ("forest", "unet")
    """Models to train; `unet` runs only where PyTorch (the extra `train`) is installed."""
    inputs: tuple[str, ...] = ()
    """Layers that the models see; all layers of images if none is named."""
    target: str | None = None
    """Layer of labels, or task, to learn; the first if absent, labels before tasks. Of a task a forest
    learns from the pixel of each point, twelve months of it where the layer is a series."""
    seed: Annotated[int, Field(ge=0)] = 666
    """Seed of samples, weights and shuffles."""
    margin_f1: Annotated[float, Field(ge=0, le=1)] = 0.10
    """By how much macro F1 must exceed both the majority baseline and the shuffled control."""
    margin_miou: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The same for mIoU."""
    pixels_per_class: Annotated[int, Field(ge=10)] = 2_000
    """forest: training pixels drawn per class."""
    trees: Annotated[int, Field(ge=1)] = 60
    """forest: number of trees."""
    max_patches: Annotated[int, Field(ge=1)] = 512
    """unet: train patches at most, drawn by seed (a quarter as many of val); they lie in memory."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """unet: passes over the train patches, a random crop of each per pass."""
    crop_px: Annotated[int, Field(ge=8, le=2048)] = 64
    """unet: side of the crops in pixels; the whole patch where it is smaller."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """unet: crops per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """unet: Adam learning rate."""
    width: Annotated[int, Field(ge=4, le=128)] = 16
    """unet: channels of the first level."""
    class_weights: bool = False
    """unet: weigh classes by inverse frequency in the train split."""
    normalisation: Literal["none", "minmax", "standard", "log"] = "standard"
    """unet: scaling of inputs by statistics of the train split."""
    required: bool = True
    """Fail the build when a model does not beat its baselines, or none can be trained or tested;
    false: `metrics.json` and the report say so, and nothing fails."""
