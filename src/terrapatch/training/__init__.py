# SPDX-License-Identifier: Apache-2.0
"""Small models that validate a dataset: whoever learns from it must beat chance by a margin."""

from .validate import require_passed, training

__all__ = ["require_passed", "training"]
