"""The effect of one method: a small problem, trained with the method and without it, over several draws of the rows."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor

from benchmarks.measures import known, measures
from benchmarks.problems import KINDS, Parts, drawn
from models.adjustment import apply_adjusters, average, fit_adjusters
from models.balancing.base import Component
from models.balancing.claim import Claim, Problem, claim_of
from models.balancing.memory import class_proportional
from models.data import Split, Statistics
from models.errors import EquipoiseError
from models.learners import learner
from models.learners.learner import Member, Model, Plan
from models.learners.pool import ended_on
from models.recipe import SEVERAL, Recipe, parse
from models.schema import CLASSES, Attribute, Column, Schema, Target

LEARNING_RATE = 4e-3
"""Of the nets here, with the method and without it: it suits a net of this size and so few steps."""

OF_ENSEMBLE = 10_000
"""What lies between the seeds of an ensemble's nets."""


@dataclass(frozen=True)
class Terms:
    """How an effect is measured: draws of the rows, configurations tried of the method, and how long a net trains.

    Where the interval of `seeds` ends within `near` of 0, on whichever side, `further` are drawn as well, once.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    further: tuple[int, ...] = (5, 6, 7, 8, 9)
    near: float = 0.0025
    tries: int = 3
    epochs: int = 12
    scale: float = 1.0
    hidden: tuple[int, ...] = (32,)
    rounds: int = 60

    def plan(self, name: str, problem: Problem, passes: float | None = None) -> Plan:
        """What a learner needs; nets train `passes` times the usual epochs, without it as often as the problem says."""
        kind = KINDS[problem]
        epochs = max(1, round((kind.passes if passes is None else passes) * self.epochs))
        budget, hidden = self.rounds if name == "trees" else epochs, kind.layers or self.hidden
        return Plan(budget, batch_size=kind.batch, patience=epochs, hidden=hidden, to_the_end=kind.to_the_end)


@dataclass(frozen=True)
class Effect:
    """What came out: the figure of each draw without the method and with it, and the configuration that was chosen."""

    method: str
    slot: str
    claim: Claim
    without: tuple[float, ...]
    with_it: tuple[float, ...]
    learner: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gains(self) -> np.ndarray:
        """By how much the figure is better with the method, draw by draw; positive is better whatever the figure."""
        sign = -1.0 if self.claim.less_is_better else 1.0
        return sign * (np.asarray(self.with_it) - np.asarray(self.without))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the mean gain, from the paired differences (Student's t)."""
        gains = self.gains
        half = float(student.ppf(0.975, len(gains) - 1)) * float(gains.std(ddof=1)) / math.sqrt(len(gains))
        return float(gains.mean()) - half, float(gains.mean()) + half

    @property
    def holds(self) -> bool:
        """Whether the whole interval is on the side of the claim; of a claim to change nothing, whether nothing changes."""
        return bool((self.gains == 0).all()) if self.claim.changes_nothing else self.interval[0] > 0


def effect(method: type[Component], terms: Terms) -> Effect:
    """The method against the same training without it, on the problem of its claim; each seed draws rows and net anew.

    Configurations of the method are compared on validation rows, over all draws together; the figures are of test rows.
    """
    claim, plain, recipe, name = _compared(method)
    tried = _configurations(recipe, plain, terms.tries)
    before: list[_Figure] = []
    after: list[list[_Figure]] = []

    def of(seeds: Sequence[int]) -> Effect:
        for seed in seeds:
            before.append(_figures(plain, [({}, seed)], claim, seed, terms, name)[0])
            after.append(_figures(recipe, [(values, seed) for values in tried], claim, seed, terms, name))
        chosen = _best([[one.valid for one in draw] for draw in after], claim.less_is_better)
        return Effect(
            method.name, method.slot, claim, tuple(one.test for one in before), tuple(draw[chosen].test for draw in after),
            name, {**claim.values, **tried[chosen]},
        )  # fmt: skip

    found = of(terms.seeds)
    undecided = not claim.changes_nothing and abs(found.interval[0]) <= terms.near
    return of(terms.further) if undecided else found


def effect_on_nets(method: type[Component], terms: Terms) -> Effect:
    """The same with the method's defaults on one draw of the rows: the seeds are nets, which train as one program."""
    claim, plain, recipe, name = _compared(method)
    members: list[tuple[Mapping[str, Any], int]] = [({}, seed) for seed in terms.seeds]
    before, after = (_figures(one, members, claim, terms.seeds[0], terms, name) for one in (plain, recipe))
    return Effect(
        method.name, method.slot, claim, tuple(one.test for one in before), tuple(one.test for one in after), name,
        claim.values,
    )  # fmt: skip


def _compared(method: type[Component]) -> tuple[Claim, Recipe, Recipe, str]:
    """The claim, the recipes without the method and with it, and the learner that trains both."""
    claim = claim_of(method)
    plain = parse(dict(claim.beside), "without") if claim.beside else parse("none")
    recipe = parse(_with(claim.beside, method, claim.values), method.name)
    return claim, plain, recipe, _learner(recipe, KINDS[claim.problem].image)


def _with(beside: Mapping[str, Any], method: type[Component], values: Mapping[str, Any]) -> dict[str, Any]:
    """The composition of the partners and the method, which comes last in a slot that takes several."""
    own: Any = {method.name: dict(values)} if values else method.name
    spec = dict(beside)
    if method.slot in SEVERAL and method.slot in spec:
        there = spec[method.slot]
        spec[method.slot] = [*(there if isinstance(there, (list, tuple)) else [there]), own]
    else:
        spec[method.slot] = own
    return spec


def _learner(recipe: Recipe, image: bool) -> str:
    """The plainest learner that takes the recipe."""
    for name in ("resnet32",) if image else ("mlp", "trees"):
        if learner(name).refuses(recipe, image) is None:
            return name
    raise EquipoiseError(f"no learner takes '{recipe.name}'")


def _configurations(recipe: Recipe, plain: Recipe, tries: int) -> tuple[dict[str, Any], ...]:
    """The defaults, and draws from what the search would try; texts stay at their default, and partners as they are without it."""
    rng = np.random.default_rng(0)
    partners = {(key, part.name) for key, part in plain.components().items()}
    own = {key for key, part in recipe.components().items() if (key, part.name) not in partners}
    space = {k: r for k, r in recipe.space().items() if not isinstance(r.default, str) and k.rpartition(".")[0] in own}
    found: list[dict[str, Any]] = [{}]
    for _ in range(tries if space else 0):
        values: dict[str, Any] = {}
        for key, allowed in space.items():
            if allowed.choices:
                values[key] = allowed.choices[int(rng.integers(len(allowed.choices)))]
            elif allowed.low is not None and allowed.high is not None:
                low, high = (
                    (math.log(allowed.low), math.log(allowed.high)) if allowed.log else (allowed.low, allowed.high)
                )
                u = float(rng.uniform(low, high))
                values[key] = float(f"{math.exp(u) if allowed.log else u:.3g}")
        found.append(values)
    return tuple(found)


def _best(valid: Sequence[Sequence[float]], less_is_better: bool) -> int:
    """The configuration of the best mean over the draws; the first of equal ones, and none that failed in some draw."""
    means = np.asarray(valid).mean(0)
    return int(np.nanargmin(means) if less_is_better else np.nanargmax(means))


@dataclass(frozen=True)
class _Figure:
    valid: float
    test: float


def _figures(
    recipe: Recipe, members: Sequence[tuple[Mapping[str, Any], int]], claim: Claim, draw: int, terms: Terms, name: str
) -> list[_Figure]:
    """The claim's figure of each configuration and seed, on validation rows and on test rows of one draw."""
    parts, attributes = _drawn(claim.problem, draw, terms.scale)
    in_training = recipe.trained
    keys = set(in_training.space())
    several = [(values, seed + OF_ENSEMBLE * k) for values, seed in members for k in range(claim.models)]
    wanted = tuple((_frozen({k: v for k, v in values.items() if k in keys}), seed) for values, seed in several)
    train = _resampled(claim.problem, in_training, draw, terms.scale)
    models = _trained(claim.problem, in_training, wanted, draw, terms, name)
    statistics = Statistics.of(ended_on(recipe, train))
    found = []
    for position, (values, _) in enumerate(members):
        own = [m for m in models[position * claim.models : (position + 1) * claim.models] if m is not None]
        if len(own) < claim.models:
            found.append(_Figure(math.nan, math.nan))
            continue
        adjusters = recipe.with_values(values).adjust
        states, _ = fit_adjusters(adjusters, average(own, parts.calib), parts.calib, statistics)
        both = []
        for part in ("valid", "test"):
            rows: Split = getattr(parts, part)
            scores = apply_adjusters(adjusters, states, average(own, rows), rows.groups)
            both.append(known(measures(scores, rows, attributes[part], parts.train), claim.measure, claim.problem))
        found.append(_Figure(*both))
    return found


Frozen = tuple[tuple[str, Any], ...]


def _frozen(values: Mapping[str, Any]) -> Frozen:
    return tuple(sorted(values.items()))


@functools.lru_cache(maxsize=64)
def _drawn(problem: Problem, seed: int, scale: float) -> tuple[Parts, Mapping[str, Tensor]]:
    return drawn(problem, seed, scale)


@functools.lru_cache(maxsize=64)
def _trained(
    problem: Problem, recipe: Recipe, members: tuple[tuple[Frozen, int], ...], draw: int, terms: Terms, name: str
) -> tuple[Model | None, ...]:
    """A model for each configuration and seed, all of which train at once; equal ones train once.

    None where a configuration that was drawn fails, as in a search; that the defaults fail is an error.
    """
    parts, _ = _drawn(problem, draw, terms.scale)
    train = _resampled(problem, recipe, draw, terms.scale)
    distinct = list(dict.fromkeys(members))
    rate = {} if name == "trees" else {"learning_rate": LEARNING_RATE}
    plan = terms.plan(name, problem)
    if recipe.reads_champion:
        champion = _champion(problem, draw, terms)
        plan = dataclasses.replace(plan, champion=(champion,))
        said = torch.log_softmax(champion.logits(train), -1)
        train = dataclasses.replace(train, champion=said)
    chosen = [Member({**rate, **dict(values)}, seed) for values, seed in distinct]
    outcomes = learner(name).fit(recipe, chosen, train, parts.valid, parts.inputs, plan)
    models: dict[tuple[Frozen, int], Model | None] = {}
    for own, outcome in zip(distinct, outcomes, strict=True):
        if outcome.model is None and not own[0]:
            raise EquipoiseError(f"{problem}, seed {own[1]}, {dict(own[0])}: {outcome.error}")
        models[own] = outcome.model
    return tuple(models[one] for one in members)


@functools.lru_cache(maxsize=16)
def _champion(problem: Problem, draw: int, terms: Terms) -> Model:
    """A net that has learned from the problem's earlier rows, by nothing but cross-entropy.

    Where training goes on with these rows it has learned them by heart; else validation rows have chosen its epoch.
    """
    parts, _ = _drawn(problem, draw, terms.scale)
    if parts.earlier is None:
        raise EquipoiseError(f"the problem '{problem}' has no champion to learn from")
    plan = terms.plan("mlp", problem, KINDS[problem].earlier_passes)
    member = Member({"learning_rate": LEARNING_RATE}, 1000 + draw)
    judges = parts.earlier if KINDS[problem].goes_on else parts.valid
    (outcome,) = learner("mlp").fit(parse("none"), [member], parts.earlier, judges, parts.inputs, plan)
    if outcome.model is None:
        raise EquipoiseError(f"{problem}, the champion of draw {draw}: {outcome.error}")
    return outcome.model


@functools.lru_cache(maxsize=32)
def _resampled(problem: Problem, recipe: Recipe, seed: int, scale: float) -> Split:
    """The training rows, what the recipe's resampler makes of them, or with those that have no label if it reads them."""
    parts, _ = _drawn(problem, seed, scale)
    train = parts.train
    if recipe.resample is None:
        return train.joined(parts.unlabelled) if recipe.reads_unlabelled and parts.unlabelled is not None else train
    if recipe.rehearses:
        return train.joined(_remembered(problem, parts, seed))
    if train.task not in CLASSES or train.numeric.dim() > 2:
        raise EquipoiseError(f"'{recipe.resample.name}' is measured on tables with classes only")
    table, schema = as_table(train)
    made = recipe.resample.resample(table, schema, "auto", 5, seed)
    columns = [c.name for c in schema.columns if c.role == "feature"]
    take = torch.from_numpy(made["row_id"].to_numpy(np.int64, copy=True))
    return dataclasses.replace(
        train.take(take),
        numeric=torch.from_numpy(made[columns].to_numpy(np.float32, copy=True)),
        labels=torch.from_numpy(made["y"].to_numpy().astype(np.int64)),
        groups=torch.from_numpy(made["g"].to_numpy().astype(np.int64)),
        synthetic=torch.from_numpy(made["synthetic"].to_numpy(bool, copy=True)),
    )


def _remembered(problem: Problem, parts: Parts, seed: int) -> Split:
    """What is kept of the rows from which the champion has learned."""
    if parts.earlier is None or not KINDS[problem].remembered:
        raise EquipoiseError(f"the problem '{problem}' has no champion with a memory")
    classes = parts.earlier.labels.numpy()
    learned = np.bincount(classes, minlength=parts.earlier.classes)
    kept = class_proportional(classes, learned, KINDS[problem].remembered, np.random.default_rng(seed))
    return parts.earlier.take(torch.from_numpy(kept))


def as_table(rows: Split) -> tuple[pd.DataFrame, Schema]:
    """Encoded rows as the table and the schema that a resampler works on."""
    names = [f"x{i}" for i in range(rows.numeric.shape[1])]
    table = pd.DataFrame(rows.numeric.numpy().astype(np.float64), columns=names)
    table["row_id"], table["y"], table["g"] = np.arange(len(rows)), rows.labels.numpy(), rows.groups.numpy()
    table[["y", "g"]] = table[["y", "g"]].astype(str)
    columns = [Column(name=n, kind="numeric", role="feature") for n in names]
    columns += [
        Column(name="y", kind="categorical", role="target", feature=False),
        Column(name="g", kind="categorical", role="sensitive", feature=False),
    ]
    kind = "binary" if rows.classes == 2 else "multiclass"
    schema = Schema(
        dataset="problem", columns=tuple(columns),
        target=Target(column="y", kind=kind, classes=tuple(map(str, range(rows.classes)))),
        sensitive=(Attribute(name="g", groups=tuple(map(str, range(rows.group_count)))),),
    )  # fmt: skip
    return table, schema
