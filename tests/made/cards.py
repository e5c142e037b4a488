# SPDX-License-Identifier: Apache-2.0
"""What data cards print."""

import re

READERS = ("terratorch", "torchgeo")


def snippets(dataset):
    """Python blocks of the card of a dataset, those of readers of others apart."""
    card = (dataset / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    assert blocks, card
    assert not re.findall(r"\{\{|\}\}|\{%", card)
    return (
        [block for block in blocks if not any(name in block for name in READERS)],
        [block for block in blocks if any(name in block for name in READERS)],
    )
