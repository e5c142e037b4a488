# SPDX-License-Identifier: Apache-2.0
"""Vector files as producers give them: archives, layers, attributes, codes.

Laws:
1. What a layer and an attribute are called in an edition stands in a table, never in code.
2. A read gives every feature that meets the box asked for, or raises with the file's name.
3. No result depends on the order of features in a file.
"""

from .archives import unpacked
from .codes import DISCARD, IGNORE, NULL, UNKNOWN, FieldCrosswalk, NetworkRules, network_rules
from .layers import Batch, Layer, open_layer, read_batches, read_boxes
from .schema import Schema, schema_of, schemas

__all__ = [
    "DISCARD",
    "IGNORE",
    "NULL",
    "UNKNOWN",
    "Batch",
    "FieldCrosswalk",
    "Layer",
    "NetworkRules",
    "Schema",
    "network_rules",
    "open_layer",
    "read_batches",
    "read_boxes",
    "schema_of",
    "schemas",
    "unpacked",
]
