"""The page of all methods, written from their own metadata: `python -m models.balancing.page > docs/strategies.md`."""

from __future__ import annotations

from models.balancing.base import EVERY_TASK, SLOTS, Component, Range, Slot, Source, shown
from models.balancing.discovery import catalogue

ABOUT: dict[Slot, str] = {
    "resample": "acts on the training table, before training",
    "sample": "decides which rows form a batch",
    "mix": "changes a batch's inputs and targets",
    "head": "makes the classifier, and may bring an activation",
    "start": "says which weights a net begins with, made from the champion's",
    "loss": "scores logits against targets",
    "weigh": "turns the losses of rows into weights",
    "regularize": "adds a penalty on features or predictions; a recipe may have several",
    "optimize": "acts on gradients, or gives the step's direction",
    "schedule": "says what acts when",
    "grow": "says how an ensemble of trees is grown; for the learner `trees`",
    "adjust": "acts on a trained model's weights or scores; a recipe may have several",
}


def page() -> str:
    """The page as Markdown."""
    methods = list(catalogue().values())
    lines = [
        "# Strategies",
        "",
        "Written by `python -m models.balancing.page > docs/strategies.md` from the methods' own metadata; do not edit it.",
        "How to add one: [add-a-method.md](add-a-method.md).",
        "",
        f"{len(methods)} methods in {len(SLOTS)} slots. A recipe is names joined by `_` (`ldam_drw`) or one method per slot "
        "(`{loss: ldam, schedule: drw, mix: mixup}`).",
        "",
        "| slot | methods |",
        "|---|---|",
    ]
    for slot in SLOTS:
        names = ", ".join(f"[{m.name}](#{m.name})" for m in methods if m.slot == slot)
        lines.append(f"| {slot} | {names} |")
    for slot in SLOTS:
        lines += ["", f"## {slot}: {ABOUT[slot]}"]
        for method in methods:
            if method.slot == slot:
                lines += ["", *_entry(method)]
    return "\n".join(lines) + "\n"


def _entry(method: type[Component]) -> list[str]:
    """One method."""
    said = " ".join((method.__doc__ or "").split())
    facts = [f"serves {'every kind of target' if method.tasks == EVERY_TASK else ', '.join(sorted(method.tasks))}"]
    if method.needs:
        facts.append(f"needs {', '.join(sorted(method.needs))}")
    if method.implies:
        facts.append(f"brings {', '.join(f'{slot}: {name}' for slot, name in method.implies.items())}")
    if getattr(method, "set_level", False):
        facts.append("is defined on a set of rows, so nothing can weigh them")
    if not method.batched:
        facts.append("trains one by one")
    lines = [f"### {method.name}", "", said, "", f"`{method.formula}`", "", f"- {'; '.join(facts)}"]
    lines += [f"- `{name}` {in_words(allowed)}" for name, allowed in method.hyperparameters().items()]
    if method.cost:
        lines.append(f"- cost: {method.cost}")
    lines.append(f"- source: {citation(method.source)}")
    lines += [f"- also: {citation(source)}" for source in method.also]
    return lines


def in_words(allowed: Range) -> str:
    """A hyperparameter's default, what the search tries and what is valid, in words."""
    said = f"= {shown(allowed.default)}"
    if allowed.choices:
        said += f", searched among {', '.join(shown(c) for c in allowed.choices)}"
    elif allowed.low is not None:
        said += (
            f", searched from {shown(allowed.low)} to {shown(allowed.high)}{' on a log scale' if allowed.log else ''}"
        )
    else:
        said += ", not searched"
    if allowed.minimum > float("-inf") or allowed.maximum < float("inf"):
        said += f"; valid in [{shown(allowed.minimum)}, {shown(allowed.maximum)}]"
    return said


def citation(source: Source) -> str:
    parts = (source.authors, f"*{source.title}*", str(source.year or ""), source.id)
    return ", ".join(part for part in parts if part)


if __name__ == "__main__":
    print(page(), end="")
