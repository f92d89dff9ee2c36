"""`search.recipes: auto`: which published recipes fit the data and what is asked, and why each of the others does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.errors import InputError
from models.partners import favours_rare
from models.published import AIMS, CALIBRATE_BALANCED, CALIBRATE_PLAIN, Aim, Published
from models.recipe import BASELINES, Recipe, parse, published
from models.schema import CLASSES, Task
from tasks.search.space import refusal, takers

MEANS_OVER_CLASSES = frozenset({"balanced_accuracy", "macro_f1", "g_mean", "worst_class_recall"})
RANKINGS = frozenset({"roc_auc", "average_precision"})
PROBABILITIES = frozenset({"ece", "ece_worst_group", "brier", "log_loss"})
WORST_GROUPS = frozenset({"worst_group_accuracy", "ece_worst_group"})
GAPS = frozenset({
    "demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference",
    "demographic_parity_ratio", "equalized_odds_ratio",
})  # fmt: skip
ROUND: tuple[Aim, ...] = (
    "continuity",
    "group_gap",
    "rare_classes",
    "worst_group",
    "calibration",
    "rare_classes",
    "ranking",
)
"""The order in which the aims take turns for the room that there is."""

SHARE = 2 / 3
"""How much of the trials may go to the first of each recipe and learner; the rest is for their hyperparameters."""


@dataclass(frozen=True)
class Situation:
    """What the choice follows from: the training rows, the learners, and what is asked.

    `cells` are the rows per class and group; classes are what rows are balanced by. `trials` is None without a limit;
    `spared` are learners too slow to try with everything. `champion` is the version to learn from, empty where there is
    none, `objection` says why a recipe cannot, and `warm` is the learner that can start from its weights.
    """

    task: Task
    image: bool
    sensitive: bool
    cells: tuple[tuple[int, ...], ...]
    learners: tuple[str, ...]
    maximize: str
    subject_to: Mapping[str, float]
    trials: int | None
    spared: tuple[str, ...] = ()
    champion: str = ""
    objection: Callable[[Recipe], str] = lambda _: "there is no champion"
    warm: str = ""

    @property
    def class_rows(self) -> list[int]:
        """Rows of each class that has any."""
        return [sum(groups) for groups in self.cells if sum(groups)]

    @property
    def rows(self) -> int:
        """All training rows."""
        return sum(self.class_rows)

    @property
    def ratio(self) -> float:
        """The largest class over the smallest."""
        return max(self.class_rows) / min(self.class_rows)

    @property
    def smallest_cell(self) -> int:
        """Rows of the rarest class in the smallest group that has rows."""
        groups = [g for g in range(len(self.cells[0])) if any(row[g] for row in self.cells)]
        return min(row[g] for row in self.cells for g in groups if sum(row))

    @property
    def asked(self) -> tuple[str, ...]:
        """Every metric that is maximized or limited."""
        return (self.maximize, *self.subject_to)


@dataclass(frozen=True)
class Pick:
    """A recipe by name, whether it competes, and why."""

    recipe: str
    chosen: bool
    why: str


Training = tuple[Recipe, str]
"""What is trained, and the learner."""


class Fitting(NamedTuple):
    """A recipe that fits, by name, why it is wanted, and what has to be trained for it."""

    recipe: str
    why: str
    trainings: list[Training]


def picks(situation: Situation) -> tuple[Pick, ...]:
    """Every published recipe with the reason why it competes or not; those that do come first, in their order.

    A recipe is ended as what is asked needs it: in calibration where probabilities are limited, with a threshold at the
    prior where classes shall count alike and nothing else makes them.
    """
    reasons = _wanted(situation)
    fitting: dict[Aim, list[Fitting]] = {aim: [] for aim in AIMS}
    out = []
    for entry in published().values():
        against = reasons[entry.aim][1] if not reasons[entry.aim][0] else _misfit(entry, situation)
        if against:
            out.append(Pick(entry.name, False, against))
            continue
        name = ended(entry, situation)
        fitting[entry.aim].append(Fitting(name, f"{reasons[entry.aim][1]}: {entry.why}", _trainings(name, situation)))
    chosen, full = _within(fitting, situation)
    return (*chosen, *full, *out)


def _wanted(s: Situation) -> dict[Aim, tuple[bool, str]]:
    """Of each aim, whether it is wanted, and the reason in words."""
    gaps, worst = [m for m in s.asked if m in GAPS], [m for m in s.asked if m in WORST_GROUPS]
    believed, ranked = [m for m in s.asked if m in PROBABILITIES], [m for m in s.asked if m in RANKINGS]
    groups = (False, "the data have no sensitive attribute") if not s.sensitive else None
    unequal = f"the largest class has {s.ratio:.3g} times the rows of the smallest"
    return {
        "continuity": (bool(s.champion), f"there is champion {s.champion} to learn from" if s.champion else "no champion is learned from"),
        "rare_classes": (s.ratio >= 1.5, unequal),
        "group_gap": groups or ((True, f"{gaps[0]} is asked for") if gaps else (False, "no gap between groups is asked for")),
        "worst_group": groups
        or ((True, f"{(worst or gaps)[0]} is asked for") if worst or gaps else (False, "no figure of groups is asked for")),
        "calibration": (True, f"{believed[0]} is asked for") if believed else (False, "no figure of probabilities is asked for"),
        "ranking": (True, f"{ranked[0]} is asked for") if ranked else (False, "no figure of ranking is asked for"),
    }  # fmt: skip


def _misfit(entry: Published, s: Situation) -> str:
    """Why the recipe does not fit the data, as a clause; empty if it does."""
    recipe, made = parse(entry.name), entry.made
    try:
        recipe.check(
            s.task, s.sensitive, s.image, entry.name,
            champion=s.objection(recipe) if recipe.reads_champion else "",
        )  # fmt: skip
    except InputError as error:
        return str(error).removeprefix(f"{entry.name}: ").split(". ")[0].rstrip(".")
    lacking = [
        (
            s.ratio < made.ratio,
            f"the largest class has {s.ratio:.3g} times the rows of the smallest, not {made.ratio:g}",
        ),
        (len(s.class_rows) < made.classes, f"{len(s.class_rows)} classes, and it is made for {made.classes} or more"),
        (s.rows < made.rows, f"{s.rows:,} training rows, and it is made for {made.rows:,} or more"),
        (
            min(s.class_rows) < made.class_rows,
            f"{min(s.class_rows):,} rows of the rarest class, not {made.class_rows:,}",
        ),
        (
            s.smallest_cell < made.cell_rows,
            f"{s.smallest_cell:,} rows of the rarest class in the smallest group, not {made.cell_rows:,}",
        ),
        (
            made.rows_at_most is not None and s.rows > made.rows_at_most,
            f"{s.rows:,} training rows, and it is too slow for more than {made.rows_at_most or 0:,}",
        ),
    ]
    clauses = [clause for wrong, clause in lacking if wrong]
    if clauses:
        return clauses[0]
    refused = {one: refusal(recipe, one, s.image) for one in s.learners}
    if all(refused.values()):
        return f"no learner takes it: {'; '.join(dict.fromkeys(str(c) for c in refused.values()))}"
    return ""


def ended(entry: Published, s: Situation) -> str:
    """The recipe's name with what the figures that are asked for need at its end."""
    recipe, name = parse(entry.name), entry.name
    if PROBABILITIES & set(s.asked) and s.task in CLASSES and not any(part.calibrates for part in recipe.adjust):
        name = _calibrated(recipe, name)
    decides = favours_rare(recipe) or any(part.decides != "as_before" for part in recipe.adjust)
    if s.maximize in MEANS_OVER_CLASSES and s.task in CLASSES and not decides:
        name = f"{name}_{BASELINES[-1]}"
    return name


def _calibrated(recipe: Recipe, name: str) -> str:
    """With a calibration: before the decision where only the decision is adjusted, else at the end."""
    if recipe.in_training() or recipe.resample is not None:
        return f"{name}_{CALIBRATE_BALANCED}"
    return f"{CALIBRATE_PLAIN}_{name}"


def _trainings(name: str, s: Situation) -> list[Training]:
    """What has to be trained for the recipe: nothing new where another differs only in what is adjusted afterwards."""
    recipe = parse(name)
    return [(recipe.trained, one) for one in takers(recipe, s.learners, s.image, s.spared, s.warm)]


def _within(fitting: Mapping[Aim, Sequence[Fitting]], s: Situation) -> tuple[list[Pick], list[Pick]]:
    """As many as the trials allow, the aims taking turns; each wanted aim has one at least. And those without room."""
    chosen, full = [], []
    taken: list[Training] = []
    for name in BASELINES:
        taken += [training for training in _trainings(name, s) if training not in taken]
    room = None if s.trials is None else max(int(SHARE * s.trials), len(taken))
    for first, (name, why, trainings) in _turns(fitting):
        limit = s.trials if first else room
        more = [training for training in trainings if training not in taken]
        if limit is None or len(taken) + len(more) <= limit:
            taken += more
            chosen.append(Pick(name, True, why))
        else:
            full.append(
                Pick(name, False, f"{s.trials} trainings have room for {room} first tries of a recipe with a learner")
            )
    return chosen, full


def _turns(
    fitting: Mapping[Aim, Sequence[Fitting]],
) -> Iterator[tuple[bool, Fitting]]:
    """The recipes in the order in which they get room, and whether each is the first of its aim."""
    waiting = {aim: list(entries) for aim, entries in fitting.items()}
    seen: set[Aim] = set()
    while any(waiting.values()):
        for aim in ROUND:
            if waiting[aim]:
                yield aim not in seen, waiting[aim].pop(0)
                seen.add(aim)
