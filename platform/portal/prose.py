"""The part of Markdown that our legal texts use, as HTML: headings, lists, paragraphs, bold. The rest is escaped."""

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_HEADING = re.compile(r"^(#{1,3}) +(.+)$")
_NUMBERED = re.compile(r"^\d+[.)] +(.+)$")
_BULLET = re.compile(r"^[-*] +(.+)$")
_BOLD = re.compile(r"\*\*(.+?)\*\*")


def _inline(text: str) -> str:
    return _BOLD.sub(r"<strong>\1</strong>", str(escape(text)))


def _block(tag: str, lines: list[str]) -> str:
    if tag in {"ol", "ul"}:
        return f"<{tag}>{''.join(f'<li>{_inline(line)}</li>' for line in lines)}</{tag}>"
    return f"<{tag}>{_inline(' '.join(lines))}</{tag}>"


def render(text: str) -> SafeString:
    """HTML of a text that may come from anybody: every character of it is escaped before tags of ours go around it.

    Its first-level heading is left out: the page has it already.
    """
    blocks: list[tuple[str, list[str]]] = []
    fresh = True
    for line in text.splitlines():
        stripped = line.strip()
        heading, number, bullet = (form.match(stripped) for form in (_HEADING, _NUMBERED, _BULLET))
        if not stripped:
            fresh = True
            continue
        if heading:
            if len(heading[1]) > 1:
                blocks.append((f"h{len(heading[1])}", [heading[2]]))
            fresh = True
            continue
        item = number or bullet
        if item:
            tag = "ol" if number else "ul"
            if not blocks or blocks[-1][0] != tag:
                blocks.append((tag, []))
            blocks[-1][1].append(item[1])
        elif fresh or not blocks:
            blocks.append(("p", [stripped]))
        elif blocks[-1][0] == "p":
            blocks[-1][1].append(stripped)
        else:
            blocks[-1][1][-1] += f" {stripped}"
        fresh = False
    return mark_safe("\n".join(_block(tag, lines) for tag, lines in blocks))  # noqa: S308 - escaped in _inline
