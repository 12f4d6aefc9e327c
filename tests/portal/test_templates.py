"""What no template may hold: inline style or script, another host's address, a string that cannot be translated."""

import re
from pathlib import Path

import pytest
from django.template import engines
from django.template.base import TextNode

from portal.context import SHEETS

PORTAL = Path(__file__).resolve().parents[2] / "platform" / "portal"
TEMPLATES = sorted((PORTAL / "templates").rglob("*.*"))
PAGES = [path for path in TEMPLATES if path.suffix == ".html"]
STATIC = sorted(path for path in (PORTAL / "static").rglob("*") if path.is_file())
# Words that are the same in every language, or names.
UNTRANSLATED = {"Chapek", "SHA-256", "GPUs", "UTC", "API", "ck_", "res_01", "run-1", "run-2", "_…"}
SPOKEN = ("aria-label", "title", "alt", "placeholder", "data-label", "data-over", "data-again")
_TAG = re.compile(r"{%\s*(blocktranslate|blocktrans)\b.*?{%\s*end\1\s*%}|{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
_COMMENT = re.compile(r"{%\s*comment\s*%}.*?{%\s*endcomment\s*%}", re.DOTALL)
_CLASSES = re.compile(r"{%\s*block (?:width|main_class)\s*%}.*?{%\s*endblock[^%]*%}")
_ELEMENT = re.compile(r"<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(PORTAL).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_style_or_script_is_written_inline(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"<style\b", text)
    assert not re.search(r"\son[a-z]+\s*=", text)
    assert not re.search(r"\shx-on[:=]|\shx-vars|javascript:", text)
    # A trigger with a condition in brackets would need eval.
    assert not re.search(r'hx-trigger="[^"]*\[(?!name=)', text)
    for opening in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in opening


@pytest.mark.parametrize("path", [*TEMPLATES, *STATIC], ids=name_of)
def test_nothing_of_another_host_is_named(path: Path) -> None:
    text = path.read_text()
    assert re.sub(r"http://www\.w3\.org/\d+/svg", "", text).count("://") == 0


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_template_compiles_and_leaves_no_tag_as_text(path: Path) -> None:
    """A tag broken over two lines is no tag to Django, but text that a reader sees."""
    template = engines["django"].from_string(path.read_text()).template
    for node in template.nodelist.get_nodes_by_type(TextNode):
        assert "{%" not in node.s
        assert "{{" not in node.s


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_string_can_be_translated(path: Path) -> None:
    text = _TAG.sub(" ", _CLASSES.sub(" ", _COMMENT.sub(" ", path.read_text())))
    attributes = re.findall(
        r"\s(?:aria-label|title|alt|placeholder|data-label|data-over|data-again)=\"([^\"]*)\"", text
    )
    words = " ".join([_ELEMENT.sub(" ", text), *attributes])
    for known in sorted(UNTRANSLATED, key=len, reverse=True):
        words = words.replace(known, " ")
    assert re.findall(r"[^\W\d_]{2,}", words) == []


def test_each_style_sheet_is_in_its_layer_and_linked() -> None:
    names = {f"portal/{path.name}" for path in STATIC if path.suffix == ".css"}
    assert names == set(SHEETS)
    for path in STATIC:
        if path.suffix == ".css":
            text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL).strip()
            text = text.removeprefix("@layer tokens, base, layout, components, forms, pages;").strip()
            assert re.match(r"@layer [a-z]+ {", text), path.name
            assert "@import" not in text
            assert "url(" not in text


def test_colours_are_defined_once() -> None:
    """Light and dark follow from the tokens; a colour written elsewhere would miss one of them."""
    allowed = {"tokens.css": None, "pages.css": {"#fff"}}
    for path in STATIC:
        if path.suffix == ".css" and path.name != "tokens.css":
            found = set(re.findall(r"#[0-9a-fA-F]{3,8}\b|(?:rgb|hsl|oklch)\(", path.read_text()))
            found = {colour for colour in found if not colour.startswith("#") or len(colour) in {4, 7, 9}}
            assert found <= (allowed.get(path.name) or set()), path.name


def test_what_a_first_visit_loads_is_small() -> None:
    """Style sheets and scripts of ours together, as sent: well under the 150 kB of the whole first page."""
    import gzip

    total = sum(len(gzip.compress(path.read_bytes())) for path in STATIC)
    assert total < 25_000
