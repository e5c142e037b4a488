# SPDX-License-Identifier: Apache-2.0
"""From the patches of all units to the manifest: who trains, who validates, who tests."""

from .manifest import splits

__all__ = ["splits"]
