"""The one training loop of the nets: every configuration of a recipe trains at once, as one program.

The members of a population share the recipe, the data and the phases; each has its own weights, hyperparameters,
row order and random numbers. Weights live in one buffer [members, parameters], so that the optimizer is a handful of
elementwise operations whatever the architecture. A batch is an index tensor into tables that lie whole on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from models.balancing.averaging import RunningAverage
from models.balancing.component import (
    Component,
    GradientTransform,
    Learning,
    Loss,
    Mixer,
    Phase,
    Regularizer,
    Sampler,
    State,
    Weigher,
)
from models.data import Split, Statistics
from models.learners.batches import columns, effective_batch, numbers, partner_rows, row_order
from models.learners.branching import averager_of, part_ways
from models.learners.capture import recorded_steps
from models.learners.clock import Clock, clocks
from models.learners.dropout import KEPT, dropout_factors, droppable, rate_levels, step_keys
from models.learners.judge import judge
from models.learners.learner import Member, Outcome, Plan
from models.learners.net_model import NetModel
from models.learners.objective import Columns, Objective, acting, first, gradients_of, stacked, values_of
from models.learners.pool import pool_of
from models.learners.survey import survey
from models.learners.transforms import constrain, follow, transformed
from models.learners.weights import OWN, AdamW, Weights
from models.nets.net import Net
from models.recipe import Recipe


class Population:
    """Members of one recipe on their way through training."""

    architecture: dict[str, Any]

    def __init__(
        self, recipe: Recipe, members: Sequence[Member], nets: Sequence[Net], train: Split, valid: Split, plan: Plan
    ) -> None:
        self.recipe, self.plan = recipe, plan
        self.device = torch.device(plan.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = (
                True  # the same seed, the same bits; some of its kernels add in any order
            )
        self.train, self.valid = train.to(self.device), valid.to(self.device)
        self.statistics = Statistics.of(self.train)
        self.net = nets[0].to(self.device)
        self.buffers = {k: v.clone().to(self.device) for k, v in nets[0].named_buffers()}
        self.single = len(members) == 1
        self.generators = [torch.Generator().manual_seed(m.seed) for m in members]
        self.weights = Weights(nets, [self._own_parameters(g) for g in self.generators], self.device)
        self.alive = list(range(len(members)))
        self.hyper = self._tensors(members)
        self.optimizer = AdamW(self.weights, self.hyper["learning_rate"], self.hyper["weight_decay"])
        self.outcomes = [Outcome(None) for _ in members]
        self.best = self.weights.flat.clone()
        self.best_buffers = {k: v.clone() for k, v in self.buffers.items()}
        self.best_loss = torch.full((len(members),), math.inf)
        self.waited = torch.zeros(len(members), dtype=torch.long)
        self.state: dict[str, State] = {}
        self.row_state: State = {}
        self.names: dict[str, str] = {}
        self.members = list(members)
        self.anchors: Tensor | None = None
        self.phase, self.epoch = -1, 0
        self.starts = self._starts()
        self.batch = 0
        self.sound = self.all_sound()
        self.recorded = recorded_steps(self.device, plan.recorded and plan.workers is None)

    def _own_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        """The parameters of every method that acts at some time, drawn in the order of the slots."""
        found = {}
        for part in self.recipe.everything():
            if isinstance(part, Learning):
                own = part.parameters(self.statistics, self.net.features, generator)
                found.update({f"{part.name}.{k}": v for k, v in own.items()})
        return found

    def _tensors(self, members: Sequence[Member]) -> dict[str, Tensor]:
        keys = [k for k, v in members[0].values.items() if not isinstance(v, str)]
        return {k: torch.tensor([float(m.values[k]) for m in members], device=self.device) for k in keys}

    # --- phases -----------------------------------------------------------------------------------------------------

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages of the schedule; without one, a single phase."""
        return self.recipe.phases

    def _starts(self) -> list[int]:
        """The epoch with which each phase begins; the first and the last phase have at least one epoch where there are two."""
        budget, starts, share = self.plan.budget, [0], 0.0
        for phase in self.phases[:-1]:
            share += phase.share
            starts.append(min(max(1, round(share * budget)), budget - 1))
        return starts

    def enter(self, phase: int, anew: bool = True) -> None:
        """Switch the slots that the phase names; what is judged best starts anew, as the objective may have changed.

        A method that goes on keeps its state, unless that was made from the counts of other rows. `anew` is off where the
        phase has been entered before: its labels are guessed, and its members have parted.
        """
        if anew and phase == len(self.phases) - 1 and averager_of(self.recipe) is not None:
            part_ways(self)
        self.phase = phase
        current, before = self.phases[phase], self.statistics
        self.active = self.recipe.in_phase(current)
        self.pool = pool_of(self, current, anew)
        self.statistics = self.pool.statistics
        parts = acting(self.active)
        same = self.statistics.alike(before)
        kept = {k for k, p in parts.items() if self.names.get(k) == p.name and (same or p.slot == "optimize")}
        self.state = {key: self.state[key] if key in kept else self._initial(part) for key, part in parts.items()}
        if "weigh" not in kept:
            whole = self.statistics._replace(rows=len(self.train))
            rows = self.active.weigh.init_rows(whole) if self.active.weigh is not None else {}
            self.row_state = self._copies(rows)
        self.names = {key: part.name for key, part in parts.items()}
        own = {key for key, part in self.recipe.components().items() if self.names.get(key) == part.name}
        self.hyper_keys = [k for k in self.hyper if k.rpartition(".")[0] in own]
        names = self.weights.trained(current.trains)
        self.mask = None if names is None else self.weights.mask(names)
        self.trained = list(self.weights.shapes) if names is None else [n for n in self.weights.shapes if n in names]
        self.frozen = current.trains != "all" and not any(n.startswith(("embed.", "body.")) for n in names or ())
        self.objective = Objective(
            self.net,
            self.buffers,
            self.active,
            list(self.weights.shapes),
            self.device,
            self.frozen,
            self.train.task,
            current.pretext,
            self.plan.workers,
        )
        self.best_loss.fill_(math.inf)
        self.waited.zero_()
        restarts = [s for s, p in zip(self.starts, self.phases, strict=True) if p.restart or s == 0]
        self.rises = max(s for s in restarts if s <= self.starts[phase])
        self.falls = min([s for s in restarts if s > self.starts[phase]], default=self.plan.budget)
        if current.restart:
            self.optimizer.restart()
        if current.fresh_classifier:
            self._draw_classifier()

    def _initial(self, part: Component) -> State:
        """The state of one method, one copy per member."""
        split, statistics = self.pool.split, self.statistics
        if not self.alive:
            return {}  # a checkpoint may be of a population that is finished, while others wait
        if isinstance(part, Sampler):
            drawn = [part.init(split.labels, split.groups, statistics, self.generators[m]) for m in self.alive]
            return {k: torch.stack([d[k] for d in drawn]).to(self.device) for k in drawn[0]}
        if isinstance(part, GradientTransform):
            return vmap(part.init)({k: v.detach() for k, v in self.weights.views.items()})
        if isinstance(part, Regularizer):
            # What it remembers of rows has the place of each in the whole table, whichever rows the phase draws.
            return self._copies(part.init(statistics._replace(rows=len(self.train)), self.net.features))
        if isinstance(part, (Loss, Weigher, Mixer)):
            return self._copies(part.init(statistics))
        return {}

    def _copies(self, state: State) -> State:
        """The same values for every member [P, …]."""
        return {k: v.to(self.device).expand(len(self.alive), *v.shape).clone() for k, v in state.items()}

    @torch.no_grad()
    def _draw_classifier(self) -> None:
        """New weights for the classifier of each member, by the head's own rule and the member's own randomness."""
        for position, member in enumerate(self.alive):
            seed = int(torch.randint(2**31, (), generator=self.generators[member]))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                drawn = self.net.new_classifier()
            for name, value in drawn.named_parameters():
                self.weights.views[f"classifier.{name}"][position] = value.to(self.device)

    def acting_hyper(self) -> dict[str, Tensor]:
        """The hyperparameters of the methods that act in this phase, by key."""
        return {k: self.hyper[k] for k in self.hyper_keys}

    def method(self, slot: str, position: int) -> Any:
        """The method of a slot with one member's hyperparameters."""
        hyper = {k: self.hyper[k][position] for k in self.hyper_keys}
        part = getattr(self.active, slot)
        return part.with_values(values_of(slot, hyper)) if part is not None else None

    def all_sound(self) -> Tensor:
        """In how many batches of the epoch each member's loss was finite, up to the first in which it was not [P]."""
        return torch.zeros(len(self.alive), dtype=torch.long, device=self.device)

    # --- one epoch --------------------------------------------------------------------------------------------------

    def take(self, given: dict[str, Tensor]) -> None:
        """One step of every member on what is given for it: rows [P, B], rows of partners if any, the clock, and all draws."""
        draws, guesses = dict(given), self.pool.guesses
        rows, partners, clock = draws.pop("rows"), draws.pop("partners", None), draws.pop("clock")
        partner = columns(self.train, partners, guesses) if partners is not None else ()
        if KEPT in draws:
            levels = rate_levels(self.hyper["dropout"])
            draws[KEPT] = dropout_factors(draws[KEPT], levels, rows.shape[1], droppable(self), self.objective.mixed)
        self._step(columns(self.train, rows, guesses), draws, Clock(*clock.unbind()), partner)

    def _step(self, columns: Columns, draws: dict[str, Tensor], clock: Clock, partner: Columns = ()) -> None:
        """One step of every member on its batch."""
        state = {key: part for key, part in self.state.items() if key not in ("sample", "optimize")}
        if self.row_state:
            place = (torch.arange(len(self.alive), device=self.device)[:, None], columns[5])
            state["weigh"] = {**state["weigh"], **{k: v[place] for k, v in self.row_state.items()}}
        batch = (columns, partner, draws, clock)
        views = self.weights.views
        gradients, state = self._gradients(views, state, *batch)
        with torch.no_grad():
            transform = self.active.optimize
            if transform is not None and transform.looks_ahead:
                gradients = self._ahead(transform, gradients, state, batch)
            for k, v in self.row_state.items():
                v[place] = state["weigh"].pop(k)
            self.state.update(state)
            given = rates = None
            if transform is not None:
                gradients, given, rates = transformed(self, transform, gradients, clock.progress)
            self.optimizer.step(self.weights, self.weights.flatten(gradients), clock, self.mask, given, rates)
            if transform is not None and transform.constrains:
                constrain(self, transform)
            if isinstance(transform, RunningAverage):
                follow(self, transform)

    def _gradients(
        self,
        views: dict[str, Tensor],
        state: dict[str, State],
        columns: Columns,
        partner: Columns,
        draws: dict[str, Tensor],
        clock: Clock,
    ) -> tuple[dict[str, Tensor], dict[str, State]]:
        """Gradients by parameter [P, …] (per class: [classes + 1, P, …], the last of the penalties), and the next state.

        Of a parameter that the phase does not train it is 0, so that no rule takes account of it.
        """
        hyper = self.acting_hyper()
        members = (views, state, hyper, columns, partner, draws)
        if self.single:
            loss, following = self.objective(*first((*members, clock.progress[None])))
            losses, state = loss[None], stacked(following)
        else:
            in_dims = (0, 0, 0, 0, 0, 0, None)
            losses, state = vmap(self.objective, in_dims=in_dims, randomness="error")(*members, clock.progress)
            loss = losses.sum(0)
        finite = losses.detach().isfinite().reshape(len(losses), -1).all(-1)
        self.sound += finite * (self.sound == clock.batch)
        parts = torch.eye(loss.shape[0], device=self.device) if loss.dim() else None
        wanted = [views[k] for k in self.trained]
        taken = gradients_of(loss, wanted, parts, one_by_one=self.plan.workers is not None)
        found, lead = dict(zip(self.trained, taken, strict=True)), () if parts is None else loss.shape
        gradients = {k: v.new_zeros(*lead, *v.shape) if (g := found.get(k)) is None else g for k, v in views.items()}
        return gradients if self.plan.workers is None else self.plan.workers.whole(gradients), state

    def _ahead(
        self,
        transform: GradientTransform,
        gradients: dict[str, Tensor],
        state: dict[str, State],
        batch: tuple[Any, ...],
    ) -> dict[str, Tensor]:
        """The gradients of the same batch where the transform looks; what methods remember is as the first pass left it."""
        views = {k: v.detach() for k, v in self.weights.views.items()}
        hyper = self.acting_hyper()

        def one(gradient: State, parameters: State, values: dict[str, Tensor]) -> State:
            return transform.with_values(values_of("optimize", values)).look(gradient, parameters)

        looked = {k: v.detach().requires_grad_() for k, v in vmap(one)(gradients, views, hyper).items()}
        with torch.enable_grad():
            return self._gradients(looked, state, *batch)[0]

    def run_epoch(self) -> None:
        """One pass: enter the phase, draw the order, take the steps, judge on validation rows, drop what has stopped."""
        phase = max(i for i, start in enumerate(self.starts) if start <= self.epoch)
        if phase != self.phase:
            self.enter(phase)
        survey(self)
        rows = self.pool.epoch_rows()
        size = effective_batch(rows, self.plan.batch_size)
        steps = max(1, rows // size)
        order = row_order(self, steps, size)
        partners = partner_rows(self, steps, size)
        draws = numbers(self, steps, size) | step_keys(self, steps)
        self.net.train()
        if self.frozen:
            self.net.embed.eval()
            self.net.body.eval()
        self.sound.zero_()
        times = clocks(self, [(self.epoch + step / steps) / self.plan.budget for step in range(steps)])
        for step in range(steps):
            if step and self._over():
                break
            self.batch = step
            given = {k: v[:, step] for k, v in draws.items()}
            given |= {"rows": order[:, step], "clock": times[step]}
            if partners is not None:
                given["partners"] = partners[:, step]
            self.take(given) if self.recorded is None else self.recorded.take(self, given)
            self.optimizer.steps += 1
        self.epoch += 1
        judge(self)

    def _over(self) -> bool:
        """Whether the time is up, as the first worker says where there are several."""
        over, workers = self.plan.over, self.plan.workers
        if over is None:
            return False
        return over() if workers is None else workers.first_says(over())

    def stop(self) -> None:
        """End here, between two epochs: every member that is still on its way gives its best so far."""
        for position, member in enumerate(self.alive):
            self.outcomes[member].model = self.best_model(position)
            self.outcomes[member].stopped = True
        self.alive = []

    def keep(self, positions: list[int]) -> None:
        """Go on with the members at these positions alone."""
        self.alive = [self.alive[p] for p in positions]
        if not positions:
            return
        index = torch.tensor(positions, device=self.device)
        self.weights.replace(self.weights.flat[index])
        self.optimizer.keep(index)
        self.best = self.best[index]
        self.best_loss, self.waited = self.best_loss[positions], self.waited[positions]
        self.hyper = {k: v[index] for k, v in self.hyper.items()}
        self.state = {key: {k: v[index] for k, v in part.items()} for key, part in self.state.items()}
        self.row_state = {k: v[index] for k, v in self.row_state.items()}
        self.sound = self.all_sound()
        self.pool = self.pool._replace(guesses={k: v[index] for k, v in self.pool.guesses.items()})

    def best_model(self, position: int) -> NetModel:
        """The member's best weights as a model of its own."""
        tensors, start = {}, 0
        for name, shape in self.weights.shapes.items():
            if not name.startswith(OWN):
                tensors[name] = self.best[position, start : start + shape.numel()].reshape(shape).clone()
            start += shape.numel()
        tensors.update({k: v.clone() for k, v in self.best_buffers.items()})
        return NetModel(self.architecture, tensors)
