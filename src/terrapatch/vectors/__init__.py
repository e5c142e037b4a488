# SPDX-License-Identifier: Apache-2.0
"""Vector files as producers give them: archives, layers, attributes, codes.

Laws:
1. What a layer and an attribute are called in an edition stands in a table, never in code.
2. A read gives every feature that meets the box asked for, or raises with the file's name.
3. No result depends on the order of features in a file.
"""

from .archives import unpacked
from .area import read_area
from .codes import DISCARD, IGNORE, NULL, UNKNOWN, FieldCrosswalk, NetworkRules, network_rules
from .geometry import parts_of
from .indexes import indexed_paths
from .layers import open_layer
from .places import NO_POSITION, PlaceTable, places_path, read_place_table
from .reading import Portion, VectorLayer, in_degrees, read_box, read_boxes, read_portions
from .schema import Schema, schema_of, schemas
from .sources import (
    IN_COLLECTION,
    Features,
    OpenVectors,
    code_error,
    findings,
    open_network,
    open_vectors,
    source_paths,
)

__all__ = [
    "DISCARD",
    "IGNORE",
    "IN_COLLECTION",
    "NO_POSITION",
    "NULL",
    "UNKNOWN",
    "Features",
    "FieldCrosswalk",
    "NetworkRules",
    "OpenVectors",
    "PlaceTable",
    "Portion",
    "Schema",
    "VectorLayer",
    "code_error",
    "findings",
    "in_degrees",
    "indexed_paths",
    "network_rules",
    "open_layer",
    "open_network",
    "open_vectors",
    "parts_of",
    "places_path",
    "read_area",
    "read_box",
    "read_boxes",
    "read_place_table",
    "read_portions",
    "schema_of",
    "schemas",
    "source_paths",
    "unpacked",
]
