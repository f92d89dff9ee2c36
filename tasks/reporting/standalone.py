"""A drawing as an SVG file of its own, light or dark as its reader has it, for places that show pictures only."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from tasks.reporting.svg import element

STYLE = Path(__file__).parent / "style.css"
_NAMESPACE = "http://www.w3.org/2000/svg"
_FONT = 'svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }'


def standalone(picture: Markup) -> str:
    """The file's text: the drawing on a ground of its own, with the part of the style sheet that charts use."""
    style = STYLE.read_text(encoding="utf-8")
    colours = style[: style.index("\n* {")]
    charts = [row for row in style.splitlines() if row.startswith(".chart")]
    ground = element("rect", width="100%", height="100%", fill="var(--card)")
    head, tag, body = str(picture).partition(">")
    opened = head.replace("<svg", f'<svg xmlns="{_NAMESPACE}"', 1)
    written = "\n".join([colours, _FONT, *charts])
    return f"{opened}{tag}<style>\n{written}\n</style>{ground}{body}\n"
