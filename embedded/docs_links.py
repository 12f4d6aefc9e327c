"""Relative links in the documentation lead somewhere: files exist, and so do the headings they name."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside of fenced code, without their inline code."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"\s*(```|~~~)", line)
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        elif not fence:
            yield number, re.sub(r"`[^`]*`", "", line)


def anchors(path: Path) -> set[str]:
    """The names that headings of a page can be linked by, as the forges make them."""
    found: set[str] = set()
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*(```|~~~)", line):
            fenced = not fenced
        heading = None if fenced else HEADING.match(line)
        if heading:
            name = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            count = 0
            while (unique := f"{name}-{count}" if count else name) in found:
                count += 1
            found.add(unique)
    return found


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and target of each link to something of our own."""
    for number, line in prose(path.read_text(encoding="utf-8")):
        for target in [*LINK.findall(line), *REFERENCE.findall(line)]:
            if not ELSEWHERE.match(target):
                yield number, unquote(target)


def pages(root: Path) -> list[Path]:
    """The Markdown files of the repository, new ones included, ignored ones not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    return [root / name for name in sorted(set(listed.stdout.split("\0"))) if name and (root / name).exists()]


def broken_links(root: Path, *, among: list[Path] | None = None) -> list[str]:
    """Each broken link as `file:line: what is wrong`."""
    wrong = []
    for page in pages(root) if among is None else among:
        for number, target in links(page):
            name, _, anchor = target.partition("#")
            where = page if not name else (root / name.lstrip("/") if name.startswith("/") else page.parent / name)
            if not where.exists():
                wrong.append(f"{page.relative_to(root)}:{number}: {target}: no such file")
            elif anchor and where.suffix == ".md" and anchor not in anchors(where):
                wrong.append(f"{page.relative_to(root)}:{number}: {target}: no such heading")
    return wrong
