"""The rules of the contract as checks: each says of a method which rule it breaks, and where.

`RULES` holds those that every method which acts on batches must pass, by name, for every kind of target that it serves
(without one: for the first of `probe.TASKS`); the test battery runs them over the catalogue, and a new method can be
tried with `check`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vmap

from models.balancing.component import Component, Learning, Loss, Mixer, Range, State, Task, Weigher
from models.balancing.probe import FEATURES, ROWS, TASKS, Case, case, draws, outputs, prepared

EXTREMES = (1.0, 1e4, -1e4)


class BrokenRule(AssertionError):
    """A method breaks a rule of the contract."""

    def __init__(self, method: type[Component], rule: str, where: str) -> None:
        super().__init__(f"{method.slot} '{method.name}' breaks the rule '{rule}': {where}.")


def _require(condition: bool, method: type[Component], rule: str, where: str) -> None:
    if not condition:
        raise BrokenRule(method, rule, where)


def run(method: type[Component], given: Case) -> dict[str, Tensor]:
    """What the method, with its defaults, makes of a case as its first batch."""
    part = method.build({})
    return outputs(part, prepared(part, given), draws(part, given), given)


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> str | None:
    """The name of an output that differs beyond rounding, or None."""
    for name, value in a.items():
        if value.shape != b[name].shape or not torch.allclose(value, b[name], rtol=1e-4, atol=1e-5, equal_nan=True):
            return name
    return None


def shapes(method: type[Component], task: Task | None = None) -> None:
    """Results have the shape that the slot asks for, and the next state that of the state."""
    rule = "shape"
    for rows in (1, ROWS):
        given = case(method, rows, task=task)
        part = method.build({})
        state = prepared(part, given)
        found = outputs(part, state, draws(part, given), given)
        wanted: dict[str, tuple[int, ...]] = {"penalty": ()}
        if isinstance(part, Loss):
            wanted["losses"] = () if part.set_level else (rows,)
        elif isinstance(part, Weigher):
            wanted["weights"] = (rows,)
        elif isinstance(part, Mixer):
            wanted.update(inputs=tuple(given.batch.inputs.shape), targets=tuple(given.batch.targets.shape))
        wanted.update({f"next.{k}": tuple(v.shape) for k, v in state.items()})
        for name, value in found.items():
            shape = wanted.get(name, tuple(value.shape))
            _require(tuple(value.shape) == shape, method, rule, f"{name} has shape {tuple(value.shape)}, not {shape}")
        own = part.parameters(given.statistics, FEATURES, torch.Generator()) if isinstance(part, Learning) else {}
        missing = {k for k in state if k not in own and f"next.{k}" not in found}
        _require(not missing, method, rule, f"the next state lacks {', '.join(sorted(missing))}")


def finite(method: type[Component], task: Task | None = None) -> None:
    """Results and gradients are finite at extreme logits, at batch size 1, without a class, with one group only."""
    for scale in EXTREMES:
        for rows in (1, ROWS):
            _finite(method, case(method, rows, scale, task=task), f"logits x {scale:g}, {rows} rows")
    for rows in (1, ROWS):
        for absent in (0, 1):
            _finite(method, case(method, rows, absent=absent, task=task), f"{rows} rows, none of class {absent}")
        _finite(method, case(method, rows, one_group=True, task=task), f"{rows} rows, all of one group")


def _finite(method: type[Component], given: Case, where: str) -> None:
    part, features = method.build({}), given.batch.features
    assert features is not None
    leaves = {k: v.clone().requires_grad_(v.is_floating_point()) for k, v in prepared(part, given).items()}
    logits, seen = given.logits.clone().requires_grad_(), features.clone().requires_grad_()
    watched = replace(given, logits=logits, batch=given.batch._replace(features=seen))
    found = outputs(part, leaves, draws(part, given), watched)
    for name, value in found.items():
        _require(bool(torch.isfinite(value).all()), method, "finite", f"{name} is not finite at {where}")
    total = torch.stack([v.float().sum() for k, v in found.items() if not k.startswith("next.")]).sum()
    if not total.requires_grad:
        return
    by = {"logits": logits, "features": seen, **{k: v for k, v in leaves.items() if v.requires_grad}}
    taken = torch.autograd.grad(total, list(by.values()), allow_unused=True)
    for name, gradient in zip(by, taken, strict=True):
        good = gradient is None or bool(torch.isfinite(gradient).all())
        _require(good, method, "finite", f"the gradient by {name} is not finite at {where}")


def pure(method: type[Component], task: Task | None = None) -> None:
    """Nothing that is handed in is changed, and the same inputs give the same bits."""
    rule, given, part = "nothing handed in is changed", case(method, task=task), method.build({})
    state, drawn = prepared(part, given), draws(part, given)
    handed = {
        "logits": given.logits, **{f"batch.{k}": v for k, v in given.batch._asdict().items() if isinstance(v, Tensor)},
        **{f"partner.{k}": v for k, v in given.partner._asdict().items() if isinstance(v, Tensor)},
        **{f"state.{k}": v for k, v in state.items()}, **{f"draws.{k}": v for k, v in drawn.items()},
    }  # fmt: skip
    handed = {k: v for k, v in handed.items() if isinstance(v, Tensor)}
    copies = {k: v.clone() for k, v in handed.items()}
    first = outputs(part, state, drawn, given)
    for name, copy in copies.items():
        _require(torch.equal(handed[name], copy), method, rule, f"{name} was changed in place")
    again = outputs(part, state, drawn, given)
    for name, value in first.items():
        _require(torch.equal(value, again[name]), method, "same inputs, same bits", f"{name} differs between two calls")


def on_device(method: type[Component], task: Task | None = None) -> None:
    """Nothing is copied to the host or read there: the method runs on tensors that have no values.

    On the meta device `.item()`, `.tolist()`, `.cpu()`, a boolean index and a branch on a value all fail, as does a
    tensor that was made on another device than the one handed in.
    """
    given, part = case(method, task=task), method.build({})
    state, drawn = prepared(part, given), draws(part, given)
    held = {k: v.to("meta") for k, v in state.items()}
    try:
        outputs(part, held, {k: v.to("meta") for k, v in drawn.items()}, given.to("meta"))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise BrokenRule(
            method, "no synchronization with the host, one device", f"on valueless tensors: {text}"
        ) from None


def half_precision(method: type[Component], task: Task | None = None) -> None:
    """Logits that were rounded to bfloat16 give about the same result."""
    given = case(method, task=task)
    rounded = replace(given, logits=given.logits.bfloat16().float())
    full, half = run(method, given), run(method, rounded)
    for name, value in full.items():
        if value.is_floating_point():
            near = torch.allclose(value, half[name], rtol=0.1, atol=0.1 * float(value.abs().max().clamp(min=1)))
            _require(near, method, "bfloat16", f"{name} changes by more than a tenth")


def _ends(allowed: Range) -> tuple[float, float]:
    """The first and the last value that the search tries."""
    if allowed.choices:
        return float(allowed.choices[0]), float(allowed.choices[-1])
    assert allowed.low is not None
    assert allowed.high is not None
    return float(allowed.low), float(allowed.high)


def population(method: type[Component], task: Task | None = None) -> None:
    """With hyperparameters as tensors, members as one program give what each gives alone, up to rounding.

    The loop does not map a member that trains alone, so that a population of one is that member to the bit.
    """
    rule = "a member of a population is the member alone"
    searched = {n: r for n, r in method.hyperparameters().items() if r.searched and not isinstance(r.default, str)}
    ends = {n: _ends(r) for n, r in searched.items()}
    given = case(method, task=task)
    plain = method.build({})
    state, drawn = prepared(plain, given), draws(plain, given)

    def one(hyper: dict[str, Tensor], held: State, random: State) -> dict[str, Tensor]:
        return outputs(
            method.build({}).with_values({k: v for k, v in hyper.items() if k in searched}), held, random, given
        )

    for members in (2, 1):
        hyper = {n: torch.tensor(pair[:members]) for n, pair in ends.items()}
        hyper["unused"] = torch.zeros(members)
        stack = [{k: v.expand(members, *v.shape).clone() for k, v in tree.items()} for tree in (state, drawn)]
        try:
            together = vmap(one)(hyper, *stack)
        except RuntimeError as error:
            text = str(error).splitlines()[0]
            raise BrokenRule(method, rule, f"it does not run under torch.func.vmap: {text}") from None
        for member in range(members):
            alone = one({n: v[member] for n, v in hyper.items()}, state, drawn)
            differs = _same({k: v[member] for k, v in together.items()}, alone)
            _require(differs is None, method, rule, f"{differs} of member {member} of {members} differs")


def class_ids(method: type[Component], task: Task | None = None) -> None:
    """Renaming the classes renames the result and changes nothing else; where there is a positive class, there is none to rename."""
    if "multiclass" not in method.tasks or task not in (None, "multiclass"):
        return
    given, part, order = case(method, task=task), method.build({}), torch.tensor([2, 0, 3, 1])
    renamed = given.with_class_order(order)
    drawn, states = draws(part, given), (prepared(part, given), prepared(part, renamed))
    for batch in ("first", "second"):
        before, after = outputs(part, states[0], drawn, given), outputs(part, states[1], drawn, renamed)
        for name, value in before.items():
            # What is remembered may be by class; whether it is right shows in the second batch.
            moved = value[..., order] if name == "targets" else value
            near = name.startswith("next.") or torch.allclose(moved, after[name], rtol=1e-4, atol=1e-5)
            _require(
                near, method, "class ids are names", f"{name} of the {batch} batch depends on the order of the classes"
            )
        states = ({**states[0], **_following(before)}, {**states[1], **_following(after)})


def _following(found: dict[str, Tensor]) -> State:
    return {k.removeprefix("next."): v for k, v in found.items() if k.startswith("next.")}


def accelerator(method: type[Component], task: Task | None = None) -> None:
    """Where there is a CUDA device, it gives what the CPU gives."""
    if not torch.cuda.is_available():
        return
    given, part = case(method, task=task), method.build({})
    state, drawn = prepared(part, given), draws(part, given)
    here = outputs(part, state, drawn, given)
    held, random = ({k: v.to("cuda") for k, v in tree.items()} for tree in (state, drawn))
    there = {k: v.cpu() for k, v in outputs(part, held, random, given.to("cuda")).items()}
    differs = _same(here, there)
    _require(differs is None, method, "CPU and CUDA agree", f"{differs} differs")


RULES: dict[str, Callable[[type[Component], Task | None], None]] = {
    "shapes": shapes,
    "pure": pure,
    "finite": finite,
    "on_device": on_device,
    "half_precision": half_precision,
    "population": population,
    "class_ids": class_ids,
    "accelerator": accelerator,
}
ON_BATCHES = frozenset({"mix", "loss", "weigh", "regularize", "optimize"})
"""The slots whose methods act on batches, and which these rules are about."""


def check(method: type[Component]) -> None:
    """Raise BrokenRule for the first rule that a method which acts on batches breaks, for any kind of target it serves."""
    for task in distinct(method):
        for rule in RULES.values():
            rule(method, task)


def distinct(method: type[Component]) -> tuple[Task, ...]:
    """The kinds of target that the method serves and that differ for a formula: ordered classes are classes."""
    return tuple(t for t in TASKS if t in method.tasks and not (t == "ordinal" and "multiclass" in method.tasks))
