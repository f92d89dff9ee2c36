"""Methods that cannot act together are named with the reason; what methods declare about themselves is what they do."""

import pytest
import torch

from models.balancing import catalogue
from models.balancing.component import Loss, Sampler, Scores, WeightAdjuster
from models.balancing.probe import case
from models.data import Statistics
from models.errors import InputError
from models.partners import cautions, favours_rare
from models.recipe import parse

ADJUSTERS = [m for m in catalogue().values() if m.slot == "adjust" and not issubclass(m, WeightAdjuster)]


def named(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda m: m.name)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"loss": "balanced_softmax", "adjust": "prior_threshold"}, ("prior_threshold", "balanced_softmax", "win twice")),
        ({"loss": "balanced_softmax", "adjust": "logit_adjustment"}, ("logit_adjustment", "balanced_softmax", "win twice")),
        ({"schedule": "crt", "adjust": "prior_threshold"}, ("prior_threshold", "class_balanced_sampling", "win twice")),
        ({"loss": "g_mean_loss", "adjust": "prior_threshold"}, ("prior_threshold", "g_mean_loss", "win twice")),
        ({"loss": "balanced_accuracy_loss", "adjust": "logit_adjustment"}, ("logit_adjustment", "balanced_accuracy_loss", "win twice")),
        ({"loss": "auc_margin", "adjust": "prior_threshold"}, ("prior_threshold", "auc_margin", "win twice")),
        ({"adjust": ["nearest_class_mean", "prior_threshold"]}, ("prior_threshold", "nearest_class_mean", "win twice")),
        ({"adjust": ["balanced_equalized_odds", "prior_threshold"]}, ("prior_threshold", "balanced_equalized_odds", "undoes")),
        ({"adjust": ["prior_threshold", "logit_adjustment"]}, ("logit_adjustment", "prior_threshold", "undoes")),
        ({"adjust": ["nearest_class_mean", "tau_normalization"]}, ("tau_normalization", "nearest_class_mean", "linear")),
        ({"loss": "ldam", "adjust": "tau_normalization"}, ("tau_normalization", "cosine", "linear")),
        ({"resample": "smote", "mix": "cutmix"}, ("smote", "cutmix", "no data suit both")),
        ({"schedule": "mislas", "mix": "remix"}, ("mislas", "remix", "switches slot 'mix'")),
        ({"schedule": "mislas", "loss": "focal"}, ("mislas", "focal", "switches slot 'loss'")),
        ({"adjust": ["temperature", "temperature"]}, ("temperature", "twice")),
        ({"loss": "f_beta_loss", "weigh": "group_dro"}, ("f_beta_loss", "group_dro", "no loss per row")),
    ],
)  # fmt: skip
def test_what_cannot_act_together_is_named_with_the_reason(spec, said):
    with pytest.raises(InputError) as caught:
        parse(spec, "here")
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"loss": "balanced_softmax", "adjust": ["bias_corrected_temperature", "prior_threshold"]},
        {"loss": "auc_margin", "adjust": ["bias_corrected_temperature", "prior_threshold"]},
        {"resample": "random_over", "adjust": "prior_threshold"},
        {"loss": "ldam", "schedule": "drw", "adjust": "logit_adjustment"},
        {"adjust": ["prior_threshold", "balanced_equalized_odds"]},
        {"adjust": ["tau_normalization", "nearest_class_mean"]},
        {"adjust": ["temperature", "prior_threshold", "bias_corrected_temperature"]},
    ],
)
def test_what_only_looks_alike_is_not_refused(spec):
    parse(spec)


def test_targets_that_no_method_shares_are_refused(monkeypatch):
    monkeypatch.setattr(catalogue()["mixup"], "tasks", frozenset({"regression"}))
    with pytest.raises(InputError, match=r"'mixup' serves regression .* 'focal' .*no target suits both"):
        parse("mixup_focal")


@pytest.mark.parametrize(
    ("spec", "pair"),
    [
        ("balanced_softmax_class_balanced_sampling", ("balanced_softmax", "class_balanced_sampling")),
        ("balanced_softmax_crt", ("balanced_softmax", "class_balanced_sampling")),
        ("weighted_ce_drw", ("weighted_ce", "effective_number")),
        ("weighted_ce_raking", ("weighted_ce", "raking")),
        ("integrated_risk_crt", ("integrated_risk", "class_balanced_sampling")),
        ("balanced_softmax_tau_normalization", ("balanced_softmax", "tau_normalization")),
    ],
)
def test_two_corrections_in_training_are_warned_of(spec, pair):
    (caution,) = cautions(parse(spec))
    assert all(f"'{name}'" in caution for name in pair)


def test_one_correction_is_no_reason_to_warn():
    for spec in ("balanced_softmax", "ldam_drw", "crt", "random_over_prior_threshold", "mixup", "group_dro"):
        assert cautions(parse(spec)) == ()


def test_what_favours_rare_classes_already():
    assert all(favours_rare(parse(s)) for s in ("balanced_softmax", "smote", "drw", "crt", "class_balanced_sampling"))
    assert all(favours_rare(parse(s)) for s in ("self_paced", "multiplicative_adjustment"))
    assert favours_rare(parse("g_mean_loss"))
    assert not any(favours_rare(parse(s)) for s in ("none", "focal", "mixup", "group_dro", "prior_threshold"))
    assert not favours_rare(parse("auc_margin")), "it says nothing of where a class ends"


# --- what methods declare ---


def _scores(prior: torch.Tensor, shift: torch.Tensor, rows: int = 2000) -> tuple[Scores, torch.Tensor]:
    """Calibrated scores with this prior, shifted, and labels drawn from the unshifted ones."""
    g = torch.Generator().manual_seed(0)
    z = torch.log_softmax(prior.log() + torch.randn(rows, len(prior), generator=g).double(), -1)
    labels = torch.multinomial(z.exp(), 1, generator=g).squeeze(1)
    moved = torch.log_softmax(z + shift, -1)
    return Scores(moved, moved), labels


@named(ADJUSTERS)
def test_what_an_adjuster_says_of_decision_and_prior_is_what_it_does(method):
    classes = 4 if "multiclass" in method.tasks else 2
    counts = torch.tensor([600.0, 250.0, 100.0, 50.0][:classes])
    prior = (counts / counts.sum()).double()
    groups = torch.arange(2000) % 2
    cells = counts[:, None].expand(-1, 2) / 2
    statistics = Statistics(counts, torch.full((2,), counts.sum() / 2), cells, int(counts.sum()))
    scores, labels = _scores(prior, -prior.log())
    part = method.build({})
    state = part.fit(scores, labels, groups, torch.ones(2000), statistics)
    other = torch.randn(2000, classes, generator=torch.Generator().manual_seed(1)).double()
    plain = part.adjust(state, scores, groups).decision
    moved = part.adjust(state, scores._replace(decision=scores.decision + other), groups).decision
    if torch.equal(plain, scores.decision):
        assert method.decides == "as_before"
    else:
        assert method.decides == ("anew" if torch.allclose(plain, moved) else "shifted")
    stretched = torch.log_softmax(3 * scores.log_probabilities, -1)
    over = scores._replace(log_probabilities=stretched)
    given, fitted = (
        stretched,
        part.adjust(part.fit(over, labels, groups, torch.ones(2000), statistics), over, groups).log_probabilities,
    )
    gain = (fitted - given).gather(1, labels[:, None]).mean()
    assert method.calibrates == bool(gain > 0.1), f"the log loss falls by {float(gain):.2f}"
    probabilities = part.adjust(state, scores, groups).log_probabilities.exp()
    frequencies = torch.bincount(labels, minlength=classes) / 2000
    fits = bool((probabilities.mean(0) - frequencies).abs().max() < 0.015)
    assert method.restores_prior == fits


@named([m for m in catalogue().values() if issubclass(m, Sampler) and m.corrects_prior != "no"])
def test_a_sampler_that_corrects_the_prior_ends_with_classes_drawn_more_alike(method):
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([80, 15, 5]))
    groups = torch.arange(100) % 2
    cells = torch.bincount(labels * 2 + groups, minlength=6).reshape(3, 2).float()
    statistics, part = Statistics(cells.sum(1), cells.sum(0), cells, 100), method.build({})
    p = part.probabilities(part.init(labels, groups, statistics, torch.Generator()), labels, groups, statistics, 1.0)
    shares = torch.stack([p[labels == c].sum() for c in range(3)])
    if method.corrects_prior == "wholly":
        torch.testing.assert_close(shares, torch.full((3,), 1 / 3))
    else:
        assert 0.06 < shares[2] < 1 / 3


INPUTS = torch.tensor([[0.7, 0.3], [0.4, 0.6]])  # the share of each class that has the first input, and the second


def _learned(method: type[Loss], counts: torch.Tensor, steps: int = 300) -> torch.Tensor:
    """The probability of class 1 of each of two inputs [2] that the loss comes to, from these counts of the two classes."""
    cells = counts[:, None] * INPUTS
    statistics = Statistics(counts, counts.sum(None, keepdim=True), counts[:, None], int(counts.sum()), task="binary")
    targets = torch.eye(2).repeat_interleave(2, 0)
    seen = case(method, rows=4).batch._replace(
        targets=targets, labels=targets.argmax(1), weights=cells.ravel(), groups=torch.zeros(4, dtype=torch.long)
    )
    part, logits = method.build({}), torch.zeros(2, 2, requires_grad=True)
    own = {k: v.requires_grad_() for k, v in part.parameters(statistics, 1, torch.Generator()).items()}
    state = part.init(statistics)
    optimizer = torch.optim.Adam([logits, *own.values()], lr=0.03)
    for _ in range(steps):
        said = logits.repeat(2, 1)
        losses = part.losses({**state, **own}, said, seen, torch.tensor(1.0))
        loss = losses if part.set_level else (losses * seen.weights).sum() / seen.weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = {
            k: v
            for k, v in part.advance({**state, **own}, said.detach(), seen, torch.tensor(1.0)).items()
            if k in state
        }
    return torch.softmax(logits.detach(), -1)[:, 1]


@named([m for m in catalogue().values() if issubclass(m, Loss) and m.corrects_prior == "wholly"])
def test_a_loss_that_corrects_the_prior_wholly_learns_the_same_whatever_the_class_frequencies(method):
    found = [_learned(method, torch.tensor(counts)) for counts in ((100.0, 100.0), (95.0, 5.0))]
    if method.ranks:
        found = [p - p.mean() for p in found]
    else:
        assert all((p > 0.5).tolist() == [False, True] for p in found), "the class of which the input is more typical"
    torch.testing.assert_close(found[0], found[1], atol=0.02, rtol=0)


def test_plain_training_and_f_beta_do_learn_the_class_frequencies():
    for name in ("none", "f_beta_loss"):
        even, rare = (_learned(catalogue()[name], torch.tensor(counts)) for counts in ((100.0, 100.0), (95.0, 5.0)))
        assert (even > 0.5).tolist() == ([False, True] if name == "none" else [True, True])
        assert not torch.allclose(even, rare, atol=0.05)
