from pathlib import Path

from embedded.docs_links import broken_links


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_links_to_files_and_headings_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "docs/adr/0001.md", "# One clock, in the database\n\n## Why?\n\n## Why?\n")
    page = write(
        tmp_path,
        "README.md",
        "# Read me\n"
        "[good](docs/adr/0001.md) [heading](docs/adr/0001.md#one-clock-in-the-database) "
        "[second](docs/adr/0001.md#why-1)\n"
        "[here](#read-me) [out](https://example.org/x) [mail](mailto:a@example.org) `[code](nowhere.md)`\n"
        "[gone](docs/gone.md)\n"
        "[bad heading](docs/adr/0001.md#whence)\n"
        "[reference]: docs/adr/\n"
        "[lost]: <docs/lost.md>\n"
        "```\n[fenced](nowhere.md)\n```\n"
        "![picture](picture.png)\n",
    )
    assert broken_links(tmp_path, among=[page]) == [
        "README.md:4: docs/gone.md: no such file",
        "README.md:5: docs/adr/0001.md#whence: no such heading",
        "README.md:7: docs/lost.md: no such file",
        "README.md:11: picture.png: no such file",
    ]
