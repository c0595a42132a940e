"""Pages of text, tables and pictures, written as one HTML file that needs no other, and as Markdown."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin-top: 2rem; }
.note { color: #555; }
.warning { background: #fff4d6; padding: .6rem 1rem; border-left: 4px solid #e0a800; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.text td, .text th { text-align: left; white-space: normal; }
img { max-width: 100%; height: auto; }
pre { background: #f3f3f3; padding: .6rem 1rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Page:
    """A page, built from top to bottom.

    Attributes:
        title: its title.
    """

    title: str
    _html: list[str] = field(default_factory=list[str])
    _markdown: list[str] = field(default_factory=list[str])
    _pictures: list[bytes] = field(default_factory=list[bytes])

    def heading(self, text: str) -> None:
        """Add a heading below the title."""
        self._add(f"<h2>{_safe(text)}</h2>", f"## {text}")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._add(f"<p>{_safe(text)}</p>", text)

    def note(self, text: str) -> None:
        """Add a paragraph in grey."""
        self._add(f'<p class="note">{_safe(text)}</p>', text)

    def warning(self, text: str) -> None:
        """Add a paragraph that stands out."""
        self._add(f'<p class="warning">{_safe(text)}</p>', f"**{text}**")

    def points(self, sentences: Sequence[str]) -> None:
        """Add a list."""
        self._add(
            f"<ul>{''.join(f'<li>{_safe(each)}</li>' for each in sentences)}</ul>",
            "\n".join(f"- {each}" for each in sentences),
        )

    def code(self, text: str) -> None:
        """Add lines of code."""
        self._add(f"<pre><code>{_safe(text)}</code></pre>", f"```\n{text}\n```")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, of_text: bool = False) -> None:
        """Add a table. All columns but the first are aligned for numbers, unless they are `of_text`."""
        lines = [f"<tr>{''.join(f'<th>{_safe(cell)}</th>' for cell in header)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in row)}</tr>" for row in rows]
        kind = "wide text" if of_text else "wide"
        cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)]
        first, *others = [f"| {' | '.join(row)} |" for row in cells]
        self._add(
            f'<div class="{kind}"><table>\n{chr(10).join(lines)}\n</table></div>',
            "\n".join([first, "|-" * len(header) + "|", *others]),
        )

    def picture(self, figure: Figure, description: str) -> None:
        """Add a picture; `description` is what it shows, for readers who cannot see it."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        self._pictures.append(buffer.getvalue())
        source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        self._html.append(f'<p><img alt="{_safe(description)}" src="{source}"></p>')
        self._markdown.append(f"![{description}](\0{len(self._pictures)})")

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.html, NAME.md and the pictures of the latter; return the paths of the two pages.

        The pictures are NAME.png or, if there are several, NAME-1.png and so on. A missing folder is created.
        """
        folder.mkdir(parents=True, exist_ok=True)
        named = [f"{name}.png"] if len(self._pictures) == 1 else [f"{name}-{n}.png" for n in self._numbers()]
        for picture, content in zip(named, self._pictures, strict=True):
            (folder / picture).write_bytes(content)
        markdown = self.as_markdown(lambda number: named[number - 1])
        page, text = folder / f"{name}.html", folder / f"{name}.md"
        page.write_text(self.as_html(), encoding="utf-8")
        text.write_text(markdown, encoding="utf-8")
        return page, text

    def as_html(self) -> str:
        """Return the page as HTML, with its pictures."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_safe(self.title)}</title><style>{_STYLE}</style></head>\n<body>\n"
            + "\n".join([f"<h1>{_safe(self.title)}</h1>", *self._html])
            + "\n</body>\n</html>\n"
        )

    def as_markdown(self, picture: Callable[[int], str]) -> str:
        """Return the page as Markdown; `picture` returns the path of the picture with a number, from 1 on."""
        text = "\n\n".join([f"# {self.title}", *self._markdown]) + "\n"
        for number in self._numbers():
            text = text.replace(f"\0{number})", f"{picture(number)})")
        return text

    def _numbers(self) -> range:
        return range(1, len(self._pictures) + 1)

    def _add(self, as_html: str, as_markdown: str) -> None:
        self._html.append(as_html)
        self._markdown.append(as_markdown)


def _safe(text: str) -> str:
    return html.escape(text)
