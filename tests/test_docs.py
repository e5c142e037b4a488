# SPDX-License-Identifier: Apache-2.0
"""The docs tell what is there: commands parse, settings exist, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from terrapatch.cli import VERBS, parser, split_words
from terrapatch.recipe import load_recipe, merged, resolve

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_in_the_docs_parses(page):
    inline = re.findall(r"`(terrapatch [^`\n]+)`", page.read_text(encoding="utf-8"))
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("terrapatch ")] + inline
    for command in commands:
        words = shlex.split(command.split(" #")[0].split(" > ")[0])
        if words[1] in {verb.name for verb in VERBS} and len(words) == 2:
            continue  # a verb that is only named
        parser().parse_args(split_words(words[1:])[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_recipe_fragment_in_the_docs_is_valid(page):
    for text in blocks(page, "yaml"):
        change = yaml.safe_load(text)
        base = load_recipe("cerradata4mm").model_dump(mode="json", exclude_unset=True)
        change.pop("extends", None)
        if "area" in change:
            base.pop("area")
        resolve(merged(base, change))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_between_pages_exist(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_verb_is_described_in_the_reference():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"## {verb.name}\n" in text
        assert verb.help in text
        assert verb.example in text


def test_every_decision_is_named_where_it_is_meant():
    for file in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"docs/[\w/.-]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{file.name}: {name}"
