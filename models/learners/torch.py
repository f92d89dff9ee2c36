"""The nets as learners: members of one recipe train as populations, one by one where they cannot."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from models.balancing.averaging import RunningAverage
from models.balancing.component import Range
from models.data import Split
from models.errors import InputError
from models.learners.batches import effective_batch
from models.learners.branching import averaged, averager_of
from models.learners.learner import Checkpoint, Input, Learner, Member, Model, OnEpoch, Outcome, Plan, TimeIsUp
from models.learners.memory import free_memory, largest_population, out_of_memory
from models.learners.net_model import NetModel, adjusted, build_net
from models.learners.objective import prefixed
from models.learners.pool import ended_on
from models.learners.population import Population
from models.learners.replacing import replaced
from models.learners.resume import checkpoint, restore
from models.learners.rungs import begun_with, kept_of, of_pause, paused, shrink, so_far
from models.learners.soundness import require_sound
from models.learners.starting import begun, differing
from models.learners.weights import learning_rate_factor
from models.nets.piecewise_linear import quantile_edges
from models.recipe import Recipe
from models.seeds import derive_seed

__all__ = ["MLP", "NetModel", "Population", "ResNet32", "TabM", "build_net", "effective_batch", "learning_rate_factor"]


class _NetLearner(Learner):
    """Training of a net, whatever its architecture."""

    image: ClassVar[bool]
    running_statistics: ClassVar[bool] = False
    data_parallel = True
    pauses = True

    def refuses(self, recipe: Recipe, image: bool) -> str | None:
        """Nets take every recipe but those of trees; each architecture takes its kind of data."""
        if image != self.image:
            return f"{self.name} works on {'images' if self.image else 'tables'}"
        for part in recipe.everything():
            if "trees" in part.needs:
                return f"{self.name} is a net, and '{part.name}' is about trees"
        averager = averager_of(recipe)
        averaging = averager or next((p for p in recipe.everything() if isinstance(p, RunningAverage)), None)
        if self.running_statistics and averaging is not None:
            return f"{self.name} keeps running statistics, and those of averaged weights are others, so '{averaging.name}' does not apply"
        return None

    def space(self) -> dict[str, Range]:
        """Learning rate and decoupled weight decay."""
        return {
            "learning_rate": Range(1e-3, 3e-4, 5e-3, log=True, minimum=0.0),
            "weight_decay": Range(0.1, 1e-3, 1.0, log=True, minimum=0.0),
        }

    @abstractmethod
    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """What `build_net` needs and does not depend on the rows, as JSON."""

    def fitted(self, train: Split) -> dict[str, Any]:
        """What `build_net` needs besides and is fitted on the training rows, as JSON."""
        return {}

    def fit(
        self,
        recipe: Recipe,
        members: list[Member],
        train: Split,
        valid: Split,
        inputs: Input,
        plan: Plan,
        resume: Checkpoint | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> list[Outcome]:
        """Train the members as populations of those that can train as one program, one after the other.

        Members that differ in a hyperparameter that is no number cannot share a program, nor can any where the net or a
        method cannot be batched. A population for which memory is too short begins anew in two halves. A checkpoint holds
        what is finished and the population that is on its way; that of a pause, every population as it stood. One that such
        a checkpoint has not comes to the same from its start.
        """
        if plan.workers is not None and not self.data_parallel:
            raise InputError(
                f"{self.name} normalizes by the rows that it sees at once, so that several workers with a share of a batch "
                "each would train another model. Train it with one (resources.workers: 1)."
            )
        require_sound(train, "training", inputs, unlabelled=True)
        require_sound(valid, "validation", inputs)
        space = self.space()
        own = {**{k: r.default for k, r in space.items()}, **dict(recipe.learner)}
        own |= _held(recipe, members)
        members = [replace(m, values={**own, **m.values}) for m in members]
        architecture = self._whole_architecture(recipe, train, inputs, plan)
        waiting = _runs(members, recipe, recipe.batched and build_net(architecture, 0).batched, plan.together)
        finished: dict[int, Outcome] = {}
        current, stood = None, of_pause(resume)
        pauses: list[tuple[list[int], Checkpoint]] = []
        if resume is not None and stood:
            waiting = begun_with(stood, waiting, plan.together)
        elif resume is not None:
            finished, waiting, current = _finished(resume), resume.numbers["waiting"], _current(resume)
            if plan.together is not None and len(waiting[0]) > plan.together:
                waiting = [own[i : i + plan.together] for own in waiting for i in range(0, len(own), plan.together)]
                current = None
        note, up = None, False
        while waiting:
            positions = waiting[0]
            chosen, pause = [members[p] for p in positions], None
            if up:
                outcomes = [Outcome(None, "the time was up before it began", stopped=True) for _ in chosen]
            else:
                report = partial(_report, on_epoch, finished, waiting)
                try:
                    own_plan, start = replace(plan, kept=kept_of(plan, positions)), current or stood.get((*positions,))
                    outcomes, pause = self._train(recipe, chosen, architecture, train, valid, own_plan, start, report)
                except (RuntimeError, MemoryError) as error:
                    if len(positions) == 1 or not out_of_memory(error) or plan.workers is not None:
                        raise
                    outcomes = []
            current = None
            if not outcomes:
                half = len(positions) // 2
                waiting[:1] = [positions[:half], positions[half:]]
                note = f"memory was too short for {len(positions)} members at once; they trained in smaller populations"
                free_memory(plan.device)
                continue
            up = up or any(outcome.stopped for outcome in outcomes)
            pauses += [(positions, pause)] if pause is not None else []
            for position, outcome in zip(positions, outcomes, strict=True):
                outcome.note = note or outcome.note
                finished[position] = _ready(outcome, recipe, members[position], train)
            del waiting[0]
        if plan.on_pause is not None and pauses:
            plan.on_pause(paused(pauses))
        rows = ended_on(recipe, train)
        return [replaced(finished[p], recipe, member, rows) for p, member in enumerate(members)]

    def _train(
        self,
        recipe: Recipe,
        members: Sequence[Member],
        architecture: dict[str, Any],
        train: Split,
        valid: Split,
        plan: Plan,
        resume: Checkpoint | None,
        report: Callable[[Population], None],
    ) -> tuple[list[Outcome], Checkpoint | None]:
        """Train one population to the end of its budget, or of the time; or to a pause, with all that it is then."""
        given = recipe.with_values(recipe.shared_values(members[0].values))
        nets = [begun(build_net(architecture, m.seed), recipe, m, plan) for m in members]
        population = Population(given, members, nets, train, valid, plan)
        population.architecture = architecture
        if resume is not None:
            restore(population, resume)
        end, up = min(plan.until or plan.budget, plan.budget), False
        try:
            shrink(population, plan.kept)
            while population.alive and population.epoch < end:
                population.run_epoch()
                report(population)
                shrink(population, plan.kept)
        except TimeIsUp:
            # After the last epoch before a pause none is missing, unless the time was up in the midst of it.
            if population.epoch < end or end == plan.budget or (plan.over is not None and plan.over()):
                population.stop()
                up = True
        pause = checkpoint(population) if end < plan.budget and not up else None
        found = averaged(population) if pause is None else so_far(population)
        refused = population.recorded.refused if population.recorded is not None else None
        for outcome in found if refused is not None else []:
            outcome.note = (
                f"a step could not be recorded for replay, and its operations were launched one by one ({refused})"
            )
        return found, pause

    def cannot_start(
        self, recipe: Recipe, models: Sequence[Model], inputs: Input, outputs: int, plan: Plan
    ) -> str | None:
        """The models must be nets of the architecture that the recipe has here."""
        return differing(self.architecture(recipe, inputs, outputs, plan), models)

    def _whole_architecture(self, recipe: Recipe, train: Split, inputs: Input, plan: Plan) -> dict[str, Any]:
        if recipe.start is not None and plan.champion:
            return plan.champion[0].architecture()
        made = self.architecture(recipe, inputs, train.outputs, plan)
        return {**made, **self.fitted(train), "task": train.task}

    def largest_population(self, recipe: Recipe, train: Split, inputs: Input, plan: Plan) -> int:
        """By the memory that a member of this net takes; 1 if the recipe or the net cannot be batched."""
        net, averager = build_net(self._whole_architecture(recipe, train, inputs, plan), 0), averager_of(recipe)
        if not (recipe.batched and net.batched):
            return 1
        branches = len(averager.factors) if averager is not None else 1
        return max(1, largest_population(net, inputs, len(train), plan, recipe) // branches)


def _held(recipe: Recipe, members: Sequence[Member]) -> dict[str, Any]:
    """The recipe's own value of each hyperparameter that some member sets, for those that do not: one program has them all."""
    parts = recipe.components()
    named = {key: key.rpartition(".") for member in members for key in sorted(member.values)}
    return {key: getattr(parts[part], name) for key, (part, _, name) in named.items() if part in parts}


def _runs(members: Sequence[Member], recipe: Recipe, batched: bool, together: int | None) -> list[list[int]]:
    """Positions of the members that train together, in the order in which they train."""
    groups: dict[str, list[int]] = {}
    for position, member in enumerate(members):
        kind = json.dumps(recipe.shared_values(member.values)) if batched else str(position)
        groups.setdefault(kind, []).append(position)
    size = together or len(members)
    return [own[i : i + size] for own in groups.values() for i in range(0, len(own), size)]


def _report(
    on_epoch: OnEpoch | None, finished: dict[int, Outcome], waiting: list[list[int]], population: Population
) -> None:
    """Tell whoever asked how far a population is."""
    if on_epoch is not None:
        on_epoch(population.epoch, partial(_checkpoint, finished, waiting, population))


def _ready(outcome: Outcome, recipe: Recipe, member: Member, train: Split) -> Outcome:
    """The outcome with the recipe's changes of the trained weights made."""
    if isinstance(outcome.model, NetModel):
        seed = derive_seed(member.seed, "adjust")
        outcome.model = adjusted(outcome.model, recipe.with_values(member.values), ended_on(recipe, train), seed)
    return outcome


def _checkpoint(finished: dict[int, Outcome], waiting: list[list[int]], population: Population) -> Checkpoint:
    """The members that are finished, those that wait, and the population that is on its way, the first of the waiting."""
    current = checkpoint(population)
    tensors: dict[str, Tensor] = {f"current/{k}": v for k, v in current.tensors.items()}
    outcomes = {}
    for position, outcome in finished.items():
        model = outcome.model
        outcomes[str(position)] = {
            "error": outcome.error, "budget_used": outcome.budget_used, "history": list(outcome.history),
            "note": outcome.note, "architecture": model.architecture() if model is not None else None,
        }  # fmt: skip
        if model is not None:
            tensors.update({f"finished/{position}/{k}": v.cpu() for k, v in model.tensors().items()})
    numbers = {"waiting": [list(p) for p in waiting], "finished": outcomes, "current": current.numbers}
    return Checkpoint(tensors, numbers)


def _current(saved: Checkpoint) -> Checkpoint:
    return Checkpoint(prefixed(saved.tensors, "current/"), saved.numbers["current"])


def _finished(saved: Checkpoint) -> dict[int, Outcome]:
    """The outcomes that a checkpoint holds, by position."""
    found = {}
    for name, outcome in saved.numbers["finished"].items():
        model = None
        if outcome["architecture"] is not None:
            model = NetModel(outcome["architecture"], prefixed(saved.tensors, f"finished/{name}/"))
        found[int(name)] = Outcome(
            model, outcome["error"], outcome["budget_used"], list(outcome["history"]), note=outcome["note"]
        )
    return found


class MLP(_NetLearner):
    """The multilayer perceptron, for tables."""

    name = "mlp"
    image = False

    def space(self) -> dict[str, Range]:
        """As of the other nets, with a higher learning rate, as a small table has few steps in an epoch; and dropout."""
        return {
            **super().space(),
            "learning_rate": Range(3e-3, 5e-4, 1e-2, log=True, minimum=0.0),
            "dropout": Range(0.0, 0.0, 0.5, minimum=0.0, maximum=0.9),
        }

    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """Widths of the columns and of the layers."""
        return {
            "net": "mlp", "numeric": inputs.numeric, "cardinalities": list(inputs.cardinalities),
            "hidden": list(plan.hidden), "classes": classes, "head": recipe.head.name if recipe.head else None,
        }  # fmt: skip


class ResNet32(_NetLearner):
    """ResNet-32, for small images."""

    name = "resnet32"
    image = True
    running_statistics = True
    data_parallel = False  # its layers normalize by the statistics of the rows that they see

    def space(self) -> dict[str, Range]:
        """As of the other nets; by which share of its sides an image is moved at most, and how often it is mirrored.

        Neither by default, as a digit that is mirrored is none, and few epochs do better without.
        """
        return {
            **super().space(),
            "shift": Range(0.0, 0.0, 0.25, minimum=0.0, maximum=0.5),
            "flip": Range(0.0, choices=(0.0, 0.5), minimum=0.0, maximum=1.0),
        }

    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """Channels and their statistics."""
        assert inputs.image is not None
        return {
            "net": "resnet32", "channels": inputs.image[0], "mean": list(inputs.mean),
            "deviation": list(inputs.deviation), "classes": classes, "head": recipe.head.name if recipe.head else None,
        }  # fmt: skip


class TabM(_NetLearner):
    """TabM, an ensemble of MLPs in one net, for tables: stronger than `mlp`, and slower."""

    name = "tabm"
    image = False
    MEMBERS, HIDDEN, EMBEDDING, BINS = 4, (128, 128), 8, 48

    def space(self) -> dict[str, Range]:
        """As of the other nets, with a higher learning rate: shared layers stand it, and learn in fewer epochs."""
        return {**super().space(), "learning_rate": Range(1e-2, 2e-3, 3e-2, log=True, minimum=0.0)}

    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """Members, widths of the columns and of the layers."""
        return {
            "net": "tabm", "cardinalities": list(inputs.cardinalities), "members": self.MEMBERS,
            "hidden": list(self.HIDDEN), "embedding": self.EMBEDDING, "classes": classes,
            "head": recipe.head.name if recipe.head else None,
        }  # fmt: skip

    def fitted(self, train: Split) -> dict[str, Any]:
        """The edges of each numeric column's bins."""
        return {"edges": [quantile_edges(column.cpu().numpy(), self.BINS) for column in train.numeric.T]}
