"""Small controlled problems, one for each kind of claim: rows drawn afresh from a seed, and what a model is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.balancing.claim import Problem
from models.data import Split
from models.learners.learner import Input
from models.schema import Task

TRAIN, VALID, CALIB, TEST = 1500, 1000, 1000, 6000


@dataclass(frozen=True)
class Parts:
    """The parts of one draw; `unlabelled` are further rows to train on, without labels, and `earlier` those that a
    champion has learned from, where the problem has some."""

    train: Split
    valid: Split
    calib: Split
    test: Split
    inputs: Input
    unlabelled: Split | None = None
    earlier: Split | None = None


@dataclass(frozen=True)
class Drawn:
    """Rows before they are parts: inputs [n, F] (or images [n, 1, H, W]), labels, groups, and values where no class is asked."""

    inputs: Tensor
    labels: Tensor
    groups: Tensor
    values: Tensor | None = None


def split(drawn: Drawn, task: Task, classes: int, groups: int, hidden: bool = False) -> Split:
    """The rows as a model sees them; `hidden` groups are not shown."""
    n = len(drawn.labels)
    shown = torch.zeros_like(drawn.groups) if hidden else drawn.groups
    image = drawn.inputs.dim() > 2
    return Split(
        numeric=drawn.inputs if image else drawn.inputs.float(), categorical=torch.zeros(n, 0, dtype=torch.long),
        labels=drawn.labels, groups=shown, weights=torch.ones(n), row_ids=torch.arange(n),
        synthetic=torch.zeros(n, dtype=torch.bool), classes=classes, group_count=groups, task=task,
        values=torch.zeros(n, 0) if drawn.values is None else drawn.values.float(),
    )  # fmt: skip


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=g)


def drawn_classes(g: torch.Generator, n: int, shares: Tensor) -> Tensor:
    """Class ids [n] in exactly these shares (largest remainders), shuffled; every class has four rows at least."""
    counts = (shares / shares.sum() * n).floor().clamp(min=4).long()
    counts[0] += n - int(counts.sum())
    return torch.repeat_interleave(torch.arange(len(shares)), counts)[torch.randperm(n, generator=g)]


# --- classes ---


def long_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """Eight overlapping Gaussian classes in six dimensions; the largest has 60 times the rows of the smallest."""
    classes, width = 8, 6
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(1))
    centres = 2.2 * centres / centres.norm(dim=1, keepdim=True)
    labels = drawn_classes(g, n, 60.0 ** (-torch.arange(classes) / (classes - 1)))
    return Drawn(centres[labels] + normal(g, n, width), labels, torch.zeros_like(labels))


def separable_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """Ten classes, each of three clusters in 16 dimensions that hardly overlap; the largest has 100 times the rows of the smallest.

    A net fits every training row of them, the rare classes' few among these.
    """
    classes, width, clusters = 10, 16, 3
    centres = torch.randn(classes, clusters, width, generator=torch.Generator().manual_seed(4))
    centres = 4.0 * centres / centres.norm(dim=-1, keepdim=True)
    labels = drawn_classes(g, n, 100.0 ** (-torch.arange(classes) / (classes - 1)))
    cluster = torch.randint(clusters, (n,), generator=g)
    return Drawn(centres[labels, cluster] + normal(g, n, width), labels, torch.zeros_like(labels))


def rare_positive(g: torch.Generator, n: int, part: str) -> Drawn:
    """Six percent positives, on an arc around the negatives that overlaps with them; two columns tell nothing."""
    labels = drawn_classes(g, n, torch.tensor([0.94, 0.06]))
    angle = math.pi * torch.rand(n, generator=g)
    arc = 2.4 * torch.stack([angle.cos(), angle.sin()], 1)
    signal = labels[:, None] * arc + (1.0 - 0.3 * labels[:, None]) * normal(g, n, 2)
    return Drawn(torch.cat([signal, normal(g, n, 2)], 1), labels, torch.zeros_like(labels))


def noisy_labels(g: torch.Generator, n: int, part: str) -> Drawn:
    """Four classes of equal size, far apart in four of forty columns; a third of the labels to learn from and to choose by is wrong.

    The other columns tell nothing, but let a wide net learn every wrong label by heart.
    """
    labels = drawn_classes(g, n, torch.ones(4))
    inputs = 3.0 * torch.eye(4, 40)[labels] + normal(g, n, 40)
    if part in ("train", "valid"):
        wrong = torch.rand(n, generator=g) < 1 / 3
        labels = torch.where(wrong, (labels + torch.randint(1, 4, (n,), generator=g)) % 4, labels)
    return Drawn(inputs, labels, torch.zeros_like(labels))


def overconfident(g: torch.Generator, n: int, part: str) -> Drawn:
    """Training rows are clean, the rows that a model meets later are noisier: it is surer than it may be."""
    labels = drawn_classes(g, n, torch.ones(2))
    noise = 1.0 if part in ("train", "valid") else 2.0
    return Drawn(2.0 * torch.eye(2, 10)[labels] + noise * normal(g, n, 10), labels, torch.zeros_like(labels))


def overfitted(g: torch.Generator, n: int, part: str) -> Drawn:
    """Two overlapping classes that one of sixty columns tells apart: with few rows a net can learn every one by heart."""
    labels = drawn_classes(g, n, torch.ones(2))
    inputs = normal(g, n, 60)
    inputs[:, 0] += 1.2 * (2.0 * labels - 1)
    return Drawn(inputs, labels, torch.zeros_like(labels))


def overconfident_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """The same with four classes, the largest of which has twenty times the rows of the smallest."""
    labels = drawn_classes(g, n, 20.0 ** (-torch.arange(4) / 3))
    noise = 1.0 if part in ("train", "valid") else 2.0
    return Drawn(2.0 * torch.eye(4, 10)[labels] + noise * normal(g, n, 10), labels, torch.zeros_like(labels))


def subclasses(g: torch.Generator, n: int, part: str) -> Drawn:
    """Two classes, each of a common cluster and a rare one that lies behind the other class's common one."""
    labels = drawn_classes(g, n, torch.ones(2))
    rare = torch.rand(n, generator=g) < 0.08
    place = torch.where(rare, -2.4, 1.0) * (2 * labels - 1)
    inputs = torch.stack([place, torch.where(rare, 1.2, 0.0)], 1) + 0.7 * normal(g, n, 2)
    return Drawn(torch.cat([inputs, normal(g, n, 4)], 1), labels, rare.long())


def image_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """Images of 8 x 8 with one of four bars in noise; the largest class has 20 times the rows of the smallest."""
    labels = drawn_classes(g, n, 20.0 ** (-torch.arange(4) / 3))
    bars = torch.zeros(4, 8, 8)
    for c in range(4):
        if c < 2:
            bars[c, 2 + 3 * c : 4 + 3 * c, 1:7] = 1
        else:
            bars[c, 1:7, 2 + 3 * (c - 2) : 4 + 3 * (c - 2)] = 1
    pixels = 90 + 50 * bars[labels] + 45 * normal(g, n, 8, 8)
    return Drawn(pixels.clamp(0, 255).to(torch.uint8)[:, None], labels, torch.zeros_like(labels))


def unlabelled(g: torch.Generator, n: int, part: str) -> Drawn:
    """Four classes, the largest with four times the rows of the smallest, each shown by several columns; few rows have a label.

    Four numbers lie behind twelve columns, as rows without a label can tell as well as those with one.
    """
    labels = drawn_classes(g, n, 4.0 ** (-torch.arange(4) / 3))
    behind = 2.4 * torch.eye(4)[labels] + normal(g, n, 4)
    shown = torch.randn(4, 12, generator=torch.Generator().manual_seed(3))
    return Drawn(behind @ shown / 2 + normal(g, n, 12), labels, torch.zeros_like(labels))


def missing_labels(g: torch.Generator, n: int, part: str) -> Drawn:
    """The labels of `multilabel_tail`, each of which is not noted in half of the training and validation rows that carry it."""
    found = multilabel_tail(g, n, part)
    if part not in ("train", "valid"):
        return found
    assert found.values is not None
    noted = found.values * (torch.rand(found.values.shape, generator=g) < 0.5)
    return replace(found, values=noted, labels=rarest(noted))


def few_rows(g: torch.Generator, n: int, part: str) -> Drawn:
    """Four classes, each of two clusters that lie across from one another, among ten columns of which six tell nothing."""
    labels = drawn_classes(g, n, torch.ones(4))
    side = 2.0 * torch.randint(2, (n,), generator=g) - 1
    inputs = torch.cat([2.0 * side[:, None] * torch.eye(4)[labels], torch.zeros(n, 6)], 1) + 0.7 * normal(g, n, 10)
    return Drawn(inputs, labels, torch.zeros_like(labels))


def one_side(g: torch.Generator, n: int, part: str) -> Drawn:
    """The same classes; what is learned and chosen by today lies in the first cluster of each, what came before and what is judged in both."""
    found = few_rows(g, 3 * n, part)
    first = (found.inputs[torch.arange(3 * n), found.labels] > 0).nonzero()[:n, 0]
    rows = torch.arange(n) if part in ("earlier", "test") else first
    return Drawn(found.inputs[rows], found.labels[rows], found.groups[rows])


def learned_by_heart(g: torch.Generator, n: int, part: str) -> Drawn:
    """The same classes; one label in five is wrong, of the rows to learn from as of those that choose."""
    found = few_rows(g, n, part)
    if part in ("calib", "test"):
        return found
    wrong = torch.rand(n, generator=g) < 0.2
    labels = torch.where(wrong, (found.labels + torch.randint(1, 4, (n,), generator=g)) % 4, found.labels)
    return Drawn(found.inputs, labels, found.groups)


# --- groups ---


def hidden_positives(g: torch.Generator, n: int, part: str) -> Drawn:
    """Two groups alike but for what is noted of them: nine in ten positives of one, three in ten of the other, in training
    and validation rows."""
    groups = (torch.rand(n, generator=g) < 0.5).long()
    merit = normal(g, n, 4)
    labels = (torch.rand(n, generator=g) < torch.sigmoid(4.0 * merit[:, 0] + 4.0 * merit[:, 1])).long()
    if part in ("train", "valid"):
        labels = labels * (torch.rand(n, generator=g) < 0.9 - 0.6 * groups).long()
    return Drawn(torch.cat([merit, normal(g, n, 2)], 1), labels, groups)


def spurious(g: torch.Generator, n: int, part: str) -> Drawn:
    """A strong column agrees with the class in the large group and contradicts it in the small one (6% of the rows)."""
    labels = drawn_classes(g, n, torch.ones(2))
    groups = (torch.rand(n, generator=g) < 0.06).long()
    sign = 2.0 * labels - 1
    core, spur = sign + normal(g, n), 1.5 * sign * (1 - 2 * groups) + 0.6 * normal(g, n)
    return Drawn(torch.cat([core[:, None], spur[:, None], normal(g, n, 4)], 1), labels, groups)


def group_gap(g: torch.Generator, n: int, part: str) -> Drawn:
    """Two groups (65 and 35%) that a column betrays; the second is positive less often for the same merit."""
    groups = (torch.rand(n, generator=g) < 0.35).long()
    merit, proxy = normal(g, n, 3), (2.0 * groups - 1) + 0.8 * normal(g, n)
    odds = 1.6 * merit.sum(1) / 3**0.5 + 0.4 - 1.6 * groups
    labels = (torch.rand(n, generator=g) < torch.sigmoid(odds)).long()
    return Drawn(torch.cat([merit, proxy[:, None], normal(g, n, 2)], 1), labels, groups)


def shown_group(g: torch.Generator, n: int, part: str) -> Drawn:
    """The groups of `group_gap`, with a column that tells them for certain."""
    found = group_gap(g, n, part)
    return replace(found, inputs=torch.cat([found.inputs, 2.0 * found.groups[:, None] - 1], 1))


def rare_in_group(g: torch.Generator, n: int, part: str) -> Drawn:
    """Two groups of one size that a column betrays; half of the first is positive, of the second one row in six."""
    groups = (torch.rand(n, generator=g) < 0.5).long()
    merit, proxy = normal(g, n, 3), (2.0 * groups - 1) + 0.8 * normal(g, n)
    odds = 1.3 * merit.sum(1) / 3**0.5 - 2.0 * groups
    labels = (torch.rand(n, generator=g) < torch.sigmoid(odds)).long()
    return Drawn(torch.cat([merit, proxy[:, None], normal(g, n, 2)], 1), labels, groups)


# --- other targets ---


def rare_values(g: torch.Generator, n: int, part: str) -> Drawn:
    """A numeric target whose density falls steeply towards its large end; five bins of equal width balance it."""
    x = normal(g, n, 6)
    raw = torch.exp(0.7 * x[:, 0] + 0.3 * x[:, 1] * x[:, 2].tanh()) + 0.3 * normal(g, n)
    value = (raw - 1.33) / 1.1
    labels = torch.bucketize(value, torch.tensor([0.3, 1.3, 2.3, 3.3]))
    return Drawn(x, labels, torch.zeros_like(labels), value[:, None])


def lowered_values(g: torch.Generator, n: int, part: str) -> Drawn:
    """A numeric target that a sensor shows with a little scatter, and in two rows of five of training and validation too low."""
    x = normal(g, n, 5)
    value = 0.8 * x[:, 0] + 0.6 * x[:, 1] * x[:, 2].tanh() + 0.4 * normal(g, n)
    if part in ("train", "valid"):
        missed = torch.rand(n, generator=g) < 0.4
        value = value - missed * (0.5 - 1.5 * torch.rand(n, generator=g).clamp(min=1e-6).log())
    labels = torch.bucketize(value, torch.tensor([-2.5, -1.0, 0.0, 1.0]))
    return Drawn(x, labels, torch.zeros_like(labels), value[:, None])


def rarest(values: Tensor) -> Tensor:
    """The rarest label that each row of values [n, L] carries, counted from 1; 0 without any."""
    labels = torch.zeros(len(values), dtype=torch.long)
    for label in values.sum(0).argsort().flip(0).tolist():
        labels = torch.where(values[:, label] > 0, label + 1, labels)
    return labels


def multilabel_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """Six labels that a row may carry, from two rows in five to three in a hundred."""
    x = normal(g, n, 10)
    weights = torch.randn(10, 6, generator=torch.Generator().manual_seed(2)) * 0.8
    shares = 0.4 * (0.03 / 0.4) ** (torch.arange(6) / 5)
    odds = x @ weights
    odds = odds - torch.stack([odds[:, i].quantile(1 - float(s)) for i, s in enumerate(shares)])
    values = (torch.rand(n, 6, generator=g) < torch.sigmoid(2.5 * odds)).float()
    labels = rarest(values)
    return Drawn(x, labels, torch.zeros_like(labels), values)


def ordered_tail(g: torch.Generator, n: int, part: str) -> Drawn:
    """Five ordered classes cut from a noisy score; the outer two are rare."""
    x = normal(g, n, 6)
    score = x[:, 0] + 0.6 * x[:, 1] * x[:, 2].sign() + 0.5 * normal(g, n)
    labels = torch.bucketize(score, torch.tensor([-2.2, -0.9, 0.9, 2.2]))
    return Drawn(x, labels, torch.zeros_like(labels))


@dataclass(frozen=True)
class Kind:
    """How a problem is drawn, the task, its classes and groups, and whether a method may see the groups.

    `passes`: how many times the usual epochs a net trains, where the rows are so few that it would take too few steps;
    `batch` and `layers`: rows of a step and the net's layers, where the claim is about these. `earlier` rows are those from
    which a champion has learned, for `earlier_passes` times the usual epochs; `goes_on`: they are also among the
    training rows, and it has learned them by heart; so many of them are `remembered` for methods that learn old rows
    again. `to_the_end`: the last epoch is judged, not the one that validation
    rows choose, as by papers on what a net learns by heart.
    """

    draw: Callable[[torch.Generator, int, str], Drawn]
    task: Task
    classes: int
    groups: int = 1
    hidden: bool = False
    train: int = TRAIN
    image: bool = False
    unlabelled: int = 0
    passes: float = 1.0
    batch: int = 64
    layers: tuple[int, ...] | None = None
    earlier: int = 0
    earlier_passes: float = 1.0
    goes_on: bool = False
    remembered: int = 0
    to_the_end: bool = False


KINDS: Mapping[Problem, Kind] = {
    "long_tail": Kind(long_tail, "multiclass", 8),
    "separable_tail": Kind(separable_tail, "multiclass", 10, passes=3, layers=(64, 64)),
    "rare_positive": Kind(rare_positive, "binary", 2),
    "rare_positive_fitted": Kind(rare_positive, "binary", 2, passes=4),
    "image_tail": Kind(image_tail, "multiclass", 4, train=600, image=True),
    "spurious": Kind(spurious, "binary", 2, groups=2),
    "group_gap": Kind(group_gap, "binary", 2, groups=2),
    "group_gap_large_batches": Kind(group_gap, "binary", 2, groups=2, batch=TRAIN // 3, passes=4),
    "shown_group": Kind(shown_group, "binary", 2, groups=2),
    "rare_in_group": Kind(rare_in_group, "binary", 2, groups=2),
    "noisy_labels": Kind(noisy_labels, "multiclass", 4, train=1000, passes=2.5, layers=(96,), to_the_end=True),
    "overconfident": Kind(overconfident, "binary", 2),
    "overfitted": Kind(overfitted, "binary", 2, train=400, passes=6, layers=(64,), to_the_end=True),
    "overconfident_tail": Kind(overconfident_tail, "multiclass", 4),
    "subclasses": Kind(subclasses, "binary", 2, groups=2, hidden=True),
    "rare_values": Kind(rare_values, "regression", 5),
    "multilabel_tail": Kind(multilabel_tail, "multilabel", 7),
    "ordered_tail": Kind(ordered_tail, "ordinal", 5),
    "ordered_few": Kind(ordered_tail, "ordinal", 5, train=300, passes=4),
    "hidden_positives": Kind(hidden_positives, "binary", 2, groups=2),
    "lowered_values": Kind(lowered_values, "regression", 5),
    "missing_labels": Kind(missing_labels, "multilabel", 7),
    "unlabelled": Kind(unlabelled, "multiclass", 4, train=80, unlabelled=1500, passes=12),
    "whole_batch": Kind(long_tail, "multiclass", 8, batch=TRAIN, passes=8),
    "few_rows": Kind(few_rows, "multiclass", 4, train=200, passes=6, layers=(32, 32, 32)),
    "more_rows": Kind(few_rows, "multiclass", 4, train=200, earlier=TRAIN, passes=3, earlier_passes=3),
    "one_side": Kind(one_side, "multiclass", 4, train=400, earlier=TRAIN, passes=3, earlier_passes=3, remembered=200),
    "learned_by_heart": Kind(
        learned_by_heart, "multiclass", 4, train=300, passes=4, earlier=300, earlier_passes=20, goes_on=True
    ),
}


def drawn(problem: Problem, seed: int, scale: float = 1.0) -> tuple[Parts, Mapping[str, Tensor]]:
    """One draw of a problem, its parts `scale` times their usual size; and of each judged part what groups are compared by."""
    kind = KINDS[problem]
    sizes = {
        "train": kind.train, "valid": VALID, "calib": CALIB, "test": TEST, "unlabelled": kind.unlabelled,
        "earlier": kind.earlier,
    }  # fmt: skip
    parts, attributes = {}, {}
    for position, (name, rows) in enumerate(sizes.items()):
        if not rows:
            continue
        found = kind.draw(
            torch.Generator().manual_seed(1000 * seed + position), max(int(scale * rows), 5 * kind.classes), name
        )
        parts[name] = split(found, kind.task, kind.classes, kind.groups, kind.hidden)
        attributes[name] = found.groups
    width = parts["train"].numeric.shape[1]
    pixels = parts["train"].numeric.float() / 255
    inputs = Input(0, (), (1, 8, 8), (float(pixels.mean()),), (float(pixels.std()),)) if kind.image else Input(width)
    more = parts["unlabelled"].unlabelled() if "unlabelled" in parts else None
    earlier = parts.get("earlier")
    train = parts["train"].joined(earlier) if kind.goes_on and earlier is not None else parts["train"]
    return Parts(train, parts["valid"], parts["calib"], parts["test"], inputs, more, earlier), attributes
