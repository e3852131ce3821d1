"""The API reference has every public name, and the pages name nothing that does not exist."""

import re
from inspect import ismodule

import pytest

# After tests.docs.conftest has put docs on the path.
from site_tools.public import by_package, value
from site_tools.reference import SUMMARIES, page_of, summary

from tests.docs.pages import Page, written
from tests.test_public_names import PUBLIC, _module
from throughtime._lazy import LAZY

_NAME = re.compile(r"`(?:tt|throughtime)((?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`")
_HISTORIES = ("docs/log.md", "docs/decisions/", "docs/changelog.md")


def _names() -> list[tuple[str, str]]:
    return [(package, name) for package, names in by_package().items() for name in names]


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_has_an_entry(package: str) -> None:
    public = {*PUBLIC[package].split(), *(LAZY if package == "throughtime" else ())}
    modules = {name for name in public if ismodule(getattr(_module(package), name))}
    assert set(by_package()[package]) == public - modules
    assert {f"{package}.{name}" for name in modules} <= by_package().keys() | {"throughtime"}


def test_no_two_pages_are_one_file_where_case_does_not_count() -> None:
    pages = [page_of(package, name).lower() for package, name in _names()]
    assert len(pages) == len(set(pages))


def test_every_package_says_what_it_is_for() -> None:
    assert SUMMARIES.keys() == by_package().keys()


@pytest.mark.parametrize("package", by_package())
def test_every_entry_has_one_sentence_and_a_section_of_parameters(package: str) -> None:
    for name in by_package()[package]:
        if callable(value(package, name)):
            sentence = summary(package, name)
            assert 10 < len(sentence) < 250, f"{package}.{name}: {sentence}"
            assert not sentence.startswith(f"{name}("), f"{package}.{name} has only what dataclasses writes"


@pytest.mark.parametrize("page", written(), ids=lambda page: page.name)
def test_names_in_backticks_exist(page: Page) -> None:
    if page.name.startswith(_HISTORIES):
        return
    for match in _NAME.finditer(page.path.read_text("utf-8")):
        found: object = _module("throughtime")
        for part in match[1][1:].split("."):
            assert hasattr(found, part) or _is_submodule(found, part), f"{page.name}: {match[0]}"
            found = getattr(found, part)


def _is_submodule(package: object, name: str) -> bool:
    from importlib import import_module

    return ismodule(package) and bool(import_module(f"{package.__name__}.{name}"))
