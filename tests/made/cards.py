# SPDX-License-Identifier: Apache-2.0
"""What data cards print."""

import re


def snippets(dataset):
    """Python blocks of the card of a dataset, those of terratorch apart."""
    card = (dataset / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    assert blocks, card
    assert not re.findall(r"\{\{|\}\}|\{%", card)
    return (
        [block for block in blocks if "terratorch" not in block],
        [block for block in blocks if "terratorch" in block],
    )
