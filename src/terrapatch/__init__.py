# SPDX-License-Identifier: Apache-2.0
"""terrapatch: raw Sentinel scenes and reference maps in, patch datasets out."""

__version__ = "0.1.0"
