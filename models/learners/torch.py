"""The one training loop of the nets: every configuration of a recipe trains at once, as one program.

The members of a population share the recipe, the data and the phases; each has its own weights, hyperparameters,
row order and random numbers. Weights live in one buffer [members, parameters], so that the optimizer is a handful of
elementwise operations whatever the architecture. A batch is an index tensor into tables that lie whole on the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from models.balancing.component import GradientTransform, Head, Phase, Range, State
from models.data import Batch, Split, Statistics, one_hot
from models.learners.learner import Checkpoint, Input, Learner, Member, Model, OnEpoch, Outcome, Plan
from models.nets.mlp import mlp
from models.nets.net import Net
from models.nets.resnet32 import resnet32
from models.recipe import Recipe

WARM_UP = 0.05
"""Share of training during which the learning rate rises to its value; from there it falls to zero as a cosine."""

EVALUATION_ROWS = 8192

STEPS_PER_EPOCH = 40
SMALLEST_BATCH = 32
"""Tables too small for this many batches per epoch take smaller batches, down to the smallest."""


def effective_batch(rows: int, batch: int) -> int:
    """The batch size for a table of `rows`: at most `batch`, a power of two below it where the table is small."""
    wanted = max(SMALLEST_BATCH, rows // STEPS_PER_EPOCH)
    return min(rows, batch if wanted >= batch else 1 << (wanted.bit_length() - 1))


class Weights:
    """The parameters of all members in one buffer [P, N], with a view per parameter that gradients are taken of."""

    def __init__(self, nets: Sequence[Net], own: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        named = [
            {**dict(net.named_parameters()), **{f"own.{k}": v for k, v in o.items()}}
            for net, o in zip(nets, own, strict=True)
        ]
        self.shapes = {name: value.shape for name, value in named[0].items()}
        rows = [torch.cat([value.detach().reshape(-1) for value in member.values()]) for member in named]
        self.flat = torch.stack(rows).to(device)
        self.views = self._views()
        parts = [(name, shape.numel(), len(shape)) for name, shape in self.shapes.items()]
        self.decays = torch.cat([torch.full((size,), float(dims > 1)) for _, size, dims in parts]).to(device)
        self.classifier = torch.cat(
            [torch.full((size,), float(not name.startswith(("embed.", "body.")))) for name, size, _ in parts]
        ).to(device)

    def _views(self) -> dict[str, Tensor]:
        views, start = {}, 0
        for name, shape in self.shapes.items():
            part = self.flat[:, start : start + shape.numel()].view(-1, *shape)
            views[name] = part.detach().requires_grad_()
            start += shape.numel()
        return views

    def keep(self, members: Tensor) -> None:
        """Drop all members but these positions."""
        self.flat = self.flat[members].contiguous()
        self.views = self._views()

    def flatten(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Gradients by name -> [P, N]."""
        return torch.cat([gradients[name].reshape(self.flat.shape[0], -1) for name in self.shapes], 1)


class AdamW:
    """AdamW on the flat buffer, with a learning rate and a weight decay per member.

    Source: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, weights: Weights, rate: Tensor, decay: Tensor) -> None:
        self.first = torch.zeros_like(weights.flat)
        self.second = torch.zeros_like(weights.flat)
        self.rate, self.decay = rate[:, None], decay[:, None]
        self.steps = 0

    def step(self, weights: Weights, gradient: Tensor, factor: float, mask: Tensor | None) -> None:
        """One update; `factor` scales the learning rates, `mask` [N] names what is trained."""
        self.steps += 1
        self.first.lerp_(gradient, 1 - self.BETA1)
        self.second.mul_(self.BETA2).addcmul_(gradient, gradient, value=1 - self.BETA2)
        correction1, correction2 = 1 - self.BETA1**self.steps, 1 - self.BETA2**self.steps
        direction = self.second.sqrt().div_(math.sqrt(correction2)).add_(self.EPSILON)
        torch.div(self.first, direction, out=direction)
        rate = self.rate * factor
        shrink = 1 - rate * self.decay * weights.decays
        if mask is not None:
            direction.mul_(mask)
            shrink = shrink * mask + (1 - mask)
        weights.flat.mul_(shrink).sub_(direction.mul_(rate / correction1))

    def keep(self, members: Tensor) -> None:
        """Drop all members but these positions."""
        self.first, self.second = self.first[members], self.second[members]
        self.rate, self.decay = self.rate[members], self.decay[members]


class _Step(NamedTuple):
    """What one phase's step works with."""

    recipe: Recipe
    state: dict[str, State]
    hyper: dict[str, Tensor]


def learning_rate_factor(progress: float) -> float:
    """Linear warm-up, then a cosine to zero, as a function of progress in [0, 1]."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _prefixed(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in parameters.items() if k.startswith(prefix)}


class Population:
    """Members of one recipe on their way through training."""

    def __init__(
        self, recipe: Recipe, members: Sequence[Member], nets: Sequence[Net], train: Split, valid: Split, plan: Plan
    ) -> None:
        self.recipe, self.plan = recipe, plan
        self.device = torch.device(plan.device)
        self.train, self.valid = train.to(self.device), valid.to(self.device)
        self.statistics = Statistics.of(self.train)
        self.net = nets[0].to(self.device)
        self.buffers = {k: v.clone().to(self.device) for k, v in nets[0].named_buffers()}
        self.single = len(members) == 1
        self.generators = [torch.Generator().manual_seed(m.seed) for m in members]
        own = [self._own_parameters(recipe, generator) for generator in self.generators]
        self.weights = Weights(nets, own, self.device)
        self.alive = list(range(len(members)))
        self.hyper = self._tensors(members)
        self.optimizer = AdamW(self.weights, self.hyper["learning_rate"], self.hyper["weight_decay"])
        self.outcomes = [Outcome(None) for _ in members]
        self.best = self.weights.flat.clone()
        self.best_buffers = {k: v.clone() for k, v in self.buffers.items()}
        self.best_loss = torch.full((len(members),), math.inf)
        self.waited = torch.zeros(len(members), dtype=torch.long)
        self.phase = -1
        self.state: dict[str, State] = {}
        self.epoch = 0

    def _own_parameters(self, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
        found = {}
        for part in recipe.regularize:
            own, _ = part.init(self.statistics, self.net.features, generator)
            found.update({f"{part.name}.{k}": v for k, v in own.items()})
        return found

    def _tensors(self, members: Sequence[Member]) -> dict[str, Tensor]:
        keys = [k for k, v in members[0].values.items() if not isinstance(v, str)]
        return {k: torch.tensor([float(m.values[k]) for m in members], device=self.device) for k in keys}

    # --- phases -----------------------------------------------------------------------------------------------------

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages of the schedule; without one, a single phase."""
        return self.recipe.schedule.phases() if self.recipe.schedule else (Phase(1.0),)

    def _phase_of(self, epoch: int) -> int:
        """The phase that an epoch belongs to; the last phase has at least one epoch."""
        edges = torch.tensor([p.share for p in self.phases]).cumsum(0)[:-1] * self.plan.budget
        position = sum(epoch >= max(1, round(e)) for e in edges.tolist())
        return len(self.phases) - 1 if epoch == self.plan.budget - 1 else position

    def _enter(self, phase: int) -> None:
        """Switch the slots that the phase names; what is judged best starts anew, as the objective may have changed."""
        self.phase = phase
        current = self.phases[phase]
        self.active = self.recipe.switched(current.switch)
        wanted = self.active.components()
        self.state = {key: self.state.get(key) or self._initial(part) for key, part in wanted.items()}
        self.best_loss.fill_(math.inf)
        self.waited.zero_()
        if current.fresh_classifier:
            self._draw_classifier()

    def _initial(self, part: Any) -> State:
        """The state of one method, one copy per member."""
        if part.slot == "regularize":
            _, state = part.init(self.statistics, self.net.features, self.generators[0])
        elif part.slot in ("loss", "weigh"):
            state = part.init(self.statistics)
        elif isinstance(part, GradientTransform):
            state = part.init({k: v[0] for k, v in self.weights.views.items()})
        else:
            return {}
        count = len(self.alive)
        return {k: v.to(self.device).expand(count, *v.shape).clone() for k, v in state.items()}

    def _draw_classifier(self) -> None:
        for position, member in enumerate(self.alive):
            for name, view in self.weights.views.items():
                if name.startswith("classifier."):
                    fan = view.shape[-1]
                    drawn = (torch.rand(view.shape[1:], generator=self.generators[member]) * 2 - 1) / math.sqrt(fan)
                    with torch.no_grad():
                        view[position] = drawn.to(self.device) if view.dim() > 2 else 0.0

    # --- one epoch --------------------------------------------------------------------------------------------------

    def _order(self, steps: int, size: int) -> Tensor:
        """The rows of an epoch's batches [P, steps, size], drawn on the host so that every device sees the same."""
        rows = len(self.train)
        if self.active.sample is None:
            drawn = [torch.randperm(rows, generator=self.generators[m])[: steps * size] for m in self.alive]
        else:
            progress = self.epoch / self.plan.budget
            drawn = []
            for position, member in enumerate(self.alive):
                sampler = self.active.sample.with_values(self._of("sample", self._members_hyper(position)))
                p = sampler.probabilities(self.train.labels, self.train.groups, self.statistics, progress)
                edges = p.double().cumsum(0).cpu()
                uniform = torch.rand(steps * size, generator=self.generators[member], dtype=torch.float64)
                drawn.append(torch.searchsorted(edges, uniform * edges[-1]).clamp(max=rows - 1))
        return torch.stack(drawn).reshape(len(self.alive), steps, size).to(self.device)

    def _members_hyper(self, position: int) -> dict[str, Any]:
        return {k: v[position] for k, v in self.hyper.items()}

    @staticmethod
    def _of(key: str, hyper: Mapping[str, Any]) -> dict[str, Any]:
        return {k.rpartition(".")[2]: v for k, v in hyper.items() if k.rpartition(".")[0] == key}

    def _loss(
        self,
        parameters: dict[str, Tensor],
        state: dict[str, State],
        hyper: dict[str, Tensor],
        columns: tuple[Tensor, ...],
        draws: dict[str, Tensor],
        progress: Tensor,
    ) -> tuple[Tensor, dict[str, State]]:
        """The training loss of one member on one batch, and the next state of its methods."""
        recipe = self.active.with_values(hyper)
        inputs, categories, labels, groups, weights, rows = columns
        state = dict(state)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            embedded = self._call("embed", parameters, inputs, categories)
            targets = one_hot(labels, self.train.classes)
            batch = Batch(embedded, categories, targets, labels, groups, weights, rows)
            if recipe.mix is not None:
                batch = recipe.mix.mix(batch, draws, progress)
            features = self._call("body", parameters, batch.inputs)
            logits = self._call("classifier", parameters, features)
        logits, features = logits.float(), features.float()
        losses = recipe.loss.losses(state["loss"], logits, batch, progress)
        factor = batch.weights
        if recipe.weigh is not None:
            weighed, state["weigh"] = recipe.weigh.weigh(state["weigh"], losses.detach(), batch, progress)
            factor = factor * weighed
        total = (factor * losses).sum() / batch.weights.sum().clamp(min=1e-12)
        for part in recipe.regularize:
            own = _prefixed(parameters, f"own.{part.name}.")
            key = f"regularize.{part.name}"
            penalty, state[key] = part.penalty(own, state[key], features, logits, batch, progress)
            total = total + penalty
        return total, state

    def _call(self, part: str, parameters: Mapping[str, Tensor], *arguments: Tensor) -> Tensor:
        tensors = {**_prefixed(self.buffers, f"{part}."), **_prefixed(parameters, f"{part}.")}
        called: Tensor = functional_call(getattr(self.net, part), tensors, arguments)
        return called

    def _columns(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The batch's rows [P, B] gathered from the whole tables."""
        t = self.train
        return (t.numeric[rows], t.categorical[rows], t.labels[rows], t.groups[rows], t.weights[rows], rows)

    def _step(self, columns: tuple[Tensor, ...], draws: dict[str, Tensor], done: float) -> None:
        progress = torch.tensor(done, device=self.device)
        views = self.weights.views
        if self.single:
            one = [{k: v[0] for k, v in tree.items()} for tree in (views, self.hyper, draws)]
            state = {key: {k: v[0] for k, v in part.items()} for key, part in self.state.items()}
            loss, state = self._loss(one[0], state, one[1], tuple(c[0] for c in columns), one[2], progress)
            self.state = {key: {k: v[None] for k, v in part.items()} for key, part in state.items()}
        else:
            losses, self.state = vmap(self._loss, in_dims=(0, 0, 0, 0, 0, None), randomness="error")(
                views, self.state, self.hyper, columns, draws, progress
            )
            loss = losses.sum()
        taken = torch.autograd.grad(loss, list(views.values()), allow_unused=True)
        gradients = {
            k: g if g is not None else torch.zeros_like(v) for (k, v), g in zip(views.items(), taken, strict=True)
        }
        with torch.no_grad():
            if self.active.optimize is not None:
                gradients = self._transformed(gradients, progress)
            mask = self.weights.classifier if self.phases[self.phase].trains == "classifier" else None
            self.optimizer.step(self.weights, self.weights.flatten(gradients), learning_rate_factor(done), mask)

    def _transformed(self, gradients: dict[str, Tensor], progress: Tensor) -> dict[str, Tensor]:
        assert self.active.optimize is not None
        part = self.active.optimize

        def one(state: State, gradient: State, parameters: State, hyper: dict[str, Tensor]) -> tuple[State, State]:
            return part.with_values(self._of("optimize", hyper)).transform(state, gradient, parameters, progress)

        views = {k: v.detach() for k, v in self.weights.views.items()}
        gradients, self.state["optimize"] = vmap(one)(self.state["optimize"], gradients, views, self.hyper)
        return gradients

    def run_epoch(self) -> None:
        """One pass: enter the phase, draw the order, take the steps, judge on validation rows, drop what has stopped."""
        phase = self._phase_of(self.epoch)
        if phase != self.phase:
            self._enter(phase)
        size = effective_batch(len(self.train), self.plan.batch_size)
        steps = max(1, len(self.train) // size)
        order = self._order(steps, size)
        drawn = [self.active.mix.draw(self.generators[m], steps, size) for m in self.alive] if self.active.mix else []
        draws = {k: torch.stack([d[k] for d in drawn]).to(self.device) for k in (drawn[0] if drawn else {})}
        self.net.train()
        for step in range(steps):
            done = (self.epoch + step / steps) / self.plan.budget
            self._step(self._columns(order[:, step]), {k: v[:, step] for k, v in draws.items()}, done)
        self.epoch += 1
        self._judge()

    @torch.no_grad()
    def _judge(self) -> None:
        """Keep each member's best weights; drop members that diverged, or that have waited too long in the last phase."""
        losses = self._validation_losses()
        better = losses < self.best_loss
        chosen = better.to(self.device)
        self.best = torch.where(chosen[:, None], self.weights.flat, self.best)
        if self.single and bool(better[0]):
            self.best_buffers = {k: v.clone() for k, v in self.buffers.items()}
        self.best_loss = torch.where(better, losses, self.best_loss)
        self.waited = torch.where(better, 0, self.waited + 1)
        last = self.phase == len(self.phases) - 1
        keep = []
        for position, member in enumerate(self.alive):
            outcome = self.outcomes[member]
            outcome.history.append(float(losses[position]))
            outcome.budget_used = self.epoch
            if not math.isfinite(losses[position]):
                methods = ", ".join(c.name for c in self.recipe.in_training()) or "none"
                outcome.error = f"{methods}: the validation loss is not finite in epoch {self.epoch}"
            elif last and (self.waited[position] >= self.plan.patience or self.epoch == self.plan.budget):
                outcome.model = self._model(position)
            else:
                keep.append(position)
        if len(keep) < len(self.alive):
            self._keep(keep)

    def _keep(self, positions: list[int]) -> None:
        self.alive = [self.alive[p] for p in positions]
        if not positions:
            return
        index = torch.tensor(positions, device=self.device)
        self.weights.keep(index)
        self.optimizer.keep(index)
        self.best = self.best[index]
        self.best_loss, self.waited = self.best_loss[positions], self.waited[positions]
        self.hyper = {k: v[index] for k, v in self.hyper.items()}
        self.state = {key: {k: v[index] for k, v in part.items()} for key, part in self.state.items()}

    def _validation_losses(self) -> Tensor:
        """The mean of the recipe's loss over the validation rows, per member [P], unmixed; of `weigh`, fixed weights count."""
        self.net.eval()
        valid, total = self.valid, torch.zeros(len(self.alive), device=self.device)
        progress = torch.tensor(1.0, device=self.device)
        factor = valid.weights
        if self.active.weigh is not None:
            fixed = self.active.weigh.row_weights(self.statistics, valid.labels, valid.groups)
            factor = factor if fixed is None else factor * fixed

        def one(parameters: dict[str, Tensor], state: State, hyper: dict[str, Tensor], rows: Tensor) -> Tensor:
            loss = self.active.loss.with_values(self._of("loss", hyper))
            targets = one_hot(valid.labels[rows], valid.classes)
            logits = self._logits(parameters, valid.numeric[rows], valid.categorical[rows])
            batch = Batch(
                valid.numeric[rows],
                valid.categorical[rows],
                targets,
                valid.labels[rows],
                valid.groups[rows],
                factor[rows],
                rows,
            )
            return (loss.losses(state, logits, batch, progress) * factor[rows]).sum()

        for rows in torch.arange(len(valid), device=self.device).split(EVALUATION_ROWS):
            if self.single:
                views = {k: v[0] for k, v in self.weights.views.items()}
                state = {k: v[0] for k, v in self.state["loss"].items()}
                total += one(views, state, self._members_hyper(0), rows)
            else:
                total += vmap(one, in_dims=(0, 0, 0, None))(self.weights.views, self.state["loss"], self.hyper, rows)
        return (total / factor.sum()).cpu()

    def _logits(self, parameters: Mapping[str, Tensor], inputs: Tensor, categories: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            features = self._call("body", parameters, self._call("embed", parameters, inputs, categories))
            return self._call("classifier", parameters, features).float()

    def _model(self, position: int) -> NetModel:
        """The member's best weights as a model of its own."""
        tensors, start = {}, 0
        for name, shape in self.weights.shapes.items():
            if not name.startswith("own."):
                tensors[name] = self.best[position, start : start + shape.numel()].reshape(shape).clone()
            start += shape.numel()
        tensors.update({k: v.clone() for k, v in self.best_buffers.items()})
        return NetModel(self.architecture, tensors)

    architecture: dict[str, Any]

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """The whole state after an epoch."""
        tensors = {
            "flat": self.weights.flat, "first": self.optimizer.first, "second": self.optimizer.second,
            "best": self.best, "best_loss": self.best_loss, "waited": self.waited,
            **{f"buffer/{k}": v for k, v in self.buffers.items()},
            **{f"best_buffer/{k}": v for k, v in self.best_buffers.items()},
            **{f"hyper/{k}": v for k, v in self.hyper.items()},
            **{f"state/{key}/{k}": v for key, part in self.state.items() for k, v in part.items()},
            **{f"generator/{i}": g.get_state() for i, g in enumerate(self.generators)},
        }  # fmt: skip
        for i, outcome in enumerate(self.outcomes):
            if isinstance(outcome.model, NetModel):
                tensors.update({f"done/{i}/{k}": v for k, v in outcome.model.tensors().items()})
        numbers = {
            "epoch": self.epoch, "phase": self.phase, "steps": self.optimizer.steps, "alive": list(self.alive),
            "outcomes": [{"error": o.error, "budget_used": o.budget_used, "history": list(o.history)} for o in self.outcomes],
        }  # fmt: skip
        return Checkpoint({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, numbers)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was made, bit for bit."""
        tensors, numbers = checkpoint
        get = {
            k: v.to(self.device) for k, v in tensors.items() if not k.startswith(("generator/", "best_loss", "waited"))
        }
        self.alive, self.epoch = list(numbers["alive"]), numbers["epoch"]
        self._enter(numbers["phase"])
        self.weights.flat = get["flat"].clone()
        self.weights.views = self.weights._views()
        self.optimizer.first, self.optimizer.second = get["first"], get["second"]
        self.optimizer.steps = numbers["steps"]
        self.hyper = _prefixed(get, "hyper/")
        self.optimizer.rate = self.hyper["learning_rate"][:, None]
        self.optimizer.decay = self.hyper["weight_decay"][:, None]
        self.best, self.best_loss, self.waited = get["best"], tensors["best_loss"], tensors["waited"]
        self.buffers, self.best_buffers = _prefixed(get, "buffer/"), _prefixed(get, "best_buffer/")
        self.state = {key: _prefixed(get, f"state/{key}/") for key in self.state}
        for i, generator in enumerate(self.generators):
            generator.set_state(tensors[f"generator/{i}"])
        for i, saved in enumerate(numbers["outcomes"]):
            done = _prefixed(get, f"done/{i}/")
            model = NetModel(self.architecture, done) if done else None
            self.outcomes[i] = Outcome(model, saved["error"], saved["budget_used"], list(saved["history"]))


class NetModel(Model):
    """A trained net."""

    kind = "net"

    def __init__(self, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._architecture = dict(architecture)
        self._tensors = {k: v.detach() for k, v in tensors.items()}
        self._net: Net | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by name."""
        return dict(self._tensors)

    def architecture(self) -> dict[str, Any]:
        """What `build_net` needs."""
        return dict(self._architecture)

    @classmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NetModel:
        """The inverse of `tensors` and `architecture`."""
        return cls(architecture, tensors)

    @torch.no_grad()
    def logits(self, split: Split) -> Tensor:
        """Rows -> logits [n, C]."""
        if self._net is None:
            self._net = build_net(self._architecture, seed=0)
            self._net.load_state_dict(self._tensors)
        net = self._net.to(split.labels.device).eval()
        pieces = zip(split.numeric.split(EVALUATION_ROWS), split.categorical.split(EVALUATION_ROWS), strict=True)
        return torch.cat([net(inputs, categories) for inputs, categories in pieces]).float()


def build_net(architecture: Mapping[str, Any], seed: int) -> Net:
    """A net from its description, with weights drawn from `seed` and the global generator left as it was."""
    from models.balancing.discovery import component

    head = component(architecture["head"], "head").build({}) if architecture["head"] else None
    assert head is None or isinstance(head, Head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture["net"] == "resnet32":
            return resnet32(
                architecture["channels"], architecture["mean"], architecture["deviation"], architecture["classes"], head
            )
        return mlp(
            architecture["numeric"],
            architecture["cardinalities"],
            architecture["hidden"],
            architecture["classes"],
            head,
        )


class _NetLearner(Learner):
    """Training of a net, whatever its architecture."""

    image: ClassVar[bool]

    def refuses(self, recipe: Recipe, image: bool) -> str | None:
        """Nets take every recipe; each architecture takes its kind of data."""
        if image != self.image:
            return f"{self.name} works on {'images' if self.image else 'tables'}"
        return None

    def space(self) -> dict[str, Range]:
        """Learning rate and decoupled weight decay."""
        return {
            "learning_rate": Range(1e-3, 3e-4, 5e-3, log=True, minimum=0.0),
            "weight_decay": Range(0.1, 1e-3, 1.0, log=True, minimum=0.0),
        }

    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """What `build_net` needs, as JSON."""
        raise NotImplementedError

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
        """Train the members as one population; one by one where the net or a method cannot be batched."""
        space = self.space()
        members = [replace(m, values={**{k: r.default for k, r in space.items()}, **m.values}) for m in members]
        architecture = self.architecture(recipe, inputs, train.classes, plan)
        nets = [build_net(architecture, m.seed) for m in members]
        if len(members) > 1 and not (recipe.batched and nets[0].batched):
            return [self.fit(recipe, [m], train, valid, inputs, plan, None, on_epoch)[0] for m in members]
        population = Population(recipe, members, nets, train, valid, plan)
        population.architecture = architecture
        if resume is not None:
            population.restore(resume)
        while population.alive and population.epoch < plan.budget:
            population.run_epoch()
            if on_epoch is not None:
                on_epoch(population.epoch, population.checkpoint)
        return population.outcomes


class MLP(_NetLearner):
    """The multilayer perceptron, for tables."""

    name = "mlp"
    image = False

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

    def architecture(self, recipe: Recipe, inputs: Input, classes: int, plan: Plan) -> dict[str, Any]:
        """Channels and their statistics."""
        assert inputs.image is not None
        return {
            "net": "resnet32", "channels": inputs.image[0], "mean": list(inputs.mean),
            "deviation": list(inputs.deviation), "classes": classes, "head": recipe.head.name if recipe.head else None,
        }  # fmt: skip
