"""The page: every section's view put through the templates into one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.reporting import numbers, words
from tasks.reporting.coverage import Coverage
from tasks.reporting.curves import SETTLED
from tasks.reporting.groups import Groups
from tasks.reporting.lineage import Lineage
from tasks.reporting.performance import Performance
from tasks.reporting.search import Search
from tasks.reporting.svg import element
from tasks.reporting.tradeoff_chart import shape
from tasks.reporting.verdict import Verdict

HERE = Path(__file__).parent
SECTIONS = (
    ("verdict", "Verdict"),
    ("search", "What was tried"),
    ("data", "Data and coverage"),
    ("performance", "How well it does"),
    ("groups", "Groups"),
    ("calibration", "Calibration"),
    ("lineage", "Lineage"),
    ("glossary", "Words"),
)


@dataclass(frozen=True)
class Page:
    """Everything the templates show."""

    model: str
    lead: str
    confidence: str
    facts: tuple[tuple[str, str, str], ...]
    verdict: Verdict
    search: Search
    data: Coverage
    performance: Performance
    groups: Groups
    lineage: Lineage

    @property
    def title(self) -> str:
        """The document's title: verdict and model, as tabs and bookmarks show it."""
        return f"{self.model}: {self.verdict.outcome} · Equipoise model report"

    @property
    def style(self) -> Markup:
        """The style sheet, inlined; it is the project's own text."""
        return Markup((HERE / "style.css").read_text(encoding="utf-8"))

    @property
    def sections(self) -> tuple[tuple[str, str], ...]:
        """Anchor and name of every section, in order."""
        return SECTIONS

    @property
    def glossary(self) -> tuple[tuple[str, str], ...]:
        """The words used, in alphabetical order."""
        return tuple(words.GLOSSARY.items())

    @property
    def settled(self) -> int:
        """Rows from which a point of a reliability diagram is drawn solid."""
        return SETTLED

    @property
    def marks(self) -> Mapping[str, Markup]:
        """Samples of the trade-off plot's marks, for its legend."""
        return {
            "chosen": _sample("circle", "mark feasible", ring=True),
            "feasible": _sample("circle", "mark feasible"),
            "infeasible": _sample("circle", "mark infeasible"),
            "early": _sample("circle", "mark early"),
            "none": _sample("triangle", "mark feasible"),
            "prior_threshold": _sample("square", "mark feasible"),
        }


def render(page: Page) -> str:
    """The HTML. Whatever comes from files is escaped by the templates; a name that does not exist is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        label=words.label,
        meaning=words.meaning,
        decimal=numbers.decimal,
        count=numbers.count,
        percent=numbers.percent,
        plural=numbers.plural,
        lower_first=words.lower_first,
        breakable=breakable,
    )
    return environment.get_template("page.html").render(page=page)


def breakable(name: str) -> Markup:
    """A name that may be broken after its underscores, so that long ones do not stretch a table."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _sample(form: str, class_: str, ring: bool = False) -> Markup:
    circle = element("circle", cx=10, cy=10, r=8.5, class_="ring") if ring else Markup("")
    return element(
        "svg", circle, shape(form, 10, 10, class_, 5), viewBox="0 0 20 20", class_="chart", aria_hidden="true"
    )
