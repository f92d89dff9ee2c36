"""Claims can be measured, the page says what was measured, and one method of each family does what it claims."""

import json

import numpy as np
import pytest
import torch

from benchmarks.claims import COLUMNS, NAME, PAGE, cells, page
from benchmarks.effects import Effect, Terms, effect, effect_on_nets
from benchmarks.measures import known, measures
from benchmarks.problems import KINDS, drawn
from benchmarks.table import RESULTS, Figures, read
from models.adjustment import together
from models.balancing.claim import PROBLEMS, Claim, claim_of
from models.balancing.discovery import catalogue, component

torch.set_num_threads(1)
QUICK = Terms(tries=0, epochs=8, scale=0.5, hidden=(24,))


def named(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda m: m.name)


@pytest.fixture(scope="module")
def figures():
    """What can be measured on each problem."""
    found = {}
    for problem in KINDS:
        parts, attributes = drawn(problem, 0, 0.2)
        logits = torch.randn(len(parts.test), parts.test.outputs, generator=torch.Generator().manual_seed(0))
        scores = together([logits], parts.test.task)
        found[problem] = measures(scores, parts.test, attributes["test"], parts.train)
    return found


@named(catalogue().values())
def test_the_claim_is_about_a_problem_that_suits_the_method_and_a_figure_that_the_problem_has(method, figures):
    claim = claim_of(method)
    kind = KINDS[claim.problem]
    assert kind.task in method.tasks
    assert "groups" not in method.needs or (kind.groups > 1 and not kind.hidden)
    assert "image" not in method.needs or kind.image
    assert "table" not in method.needs or not kind.image
    assert np.isfinite(known(figures[claim.problem], claim.measure, claim.problem))
    assert claim.text
    assert claim.text[0].islower()
    assert not claim.text.endswith(".")


@pytest.mark.parametrize("problem", KINDS)
def test_a_problem_is_drawn_again_from_its_seed_and_its_parts_share_no_rows(problem):
    (first, _), (again, _), (other, _) = (drawn(problem, seed, 0.1) for seed in (3, 3, 4))
    assert torch.equal(first.train.numeric, again.train.numeric)
    assert not torch.equal(first.train.numeric, other.train.numeric)
    rows = [first.train, first.valid, first.calib, first.test]
    flat = torch.cat([r.numeric.reshape(len(r), -1).float() for r in rows])
    assert len(torch.unique(flat, dim=0)) == len(flat)
    assert set(first.test.labels.tolist()) <= set(range(first.train.classes))
    assert problem in PROBLEMS


def test_gains_and_verdict_by_hand():
    less = Claim("lowers a cost", "rare_positive", "cost")
    found = Effect("m", "loss", less, (0.5, 0.6, 0.7, 0.6, 0.5), (0.4, 0.5, 0.6, 0.5, 0.4), "mlp")
    np.testing.assert_allclose(found.gains, 0.1)
    assert found.holds
    wide = Effect("m", "loss", less, (0.5, 0.6), (0.4, 0.6), "mlp")
    low, high = wide.interval
    assert (low + high) / 2 == pytest.approx(0.05)
    assert high - 0.05 == pytest.approx(12.7062 * 0.05, rel=1e-4)
    assert not wide.holds
    assert cells(wide)[10] == "does not hold"


@pytest.mark.parametrize(("near", "draws"), [(np.inf, 3), (-1.0, 2)])
def test_further_rows_are_drawn_where_the_interval_ends_near_zero(near, draws):
    terms = Terms(seeds=(0, 1), further=(2,), near=near, tries=0, epochs=1, scale=0.1, hidden=(4,))
    found = effect(component("prior_threshold"), terms)
    assert (len(found.gains), cells(found)[-1]) == (draws, draws)


def test_the_page_says_what_was_measured():
    result = read(RESULTS / f"{NAME}.json")
    assert isinstance(result, Figures)
    assert result.columns == COLUMNS
    assert PAGE.read_text(encoding="utf-8") == page(result), "stale: .venv/bin/python -m benchmarks.claims --page"
    measured = {row[0] for row in result.rows}
    assert measured <= set(catalogue())
    json.dumps(result.model_dump())


def test_what_was_measured_is_what_the_method_claims_today():
    result = read(RESULTS / f"{NAME}.json")
    assert isinstance(result, Figures)
    for row in result.rows:
        claim = claim_of(component(str(row[0])))
        same = row[10] == "not measured" or row[2:5] == (claim.text, claim.problem, claim.measure)
        assert same, f"stale: .venv/bin/python -m benchmarks.claims {row[0]}"


FAMILIES = (
    "random_over",  # resample
    "class_balanced_sampling", "class_group_balanced",  # sample: rare classes, groups
    "balanced_softmax", "weighted_ce",  # loss: by counts, by weights
    "group_dro",  # weigh
    "squared_error_rate_gap",  # regularize
    "drw",  # schedule
    "prior_threshold", "temperature", "bias_corrected_temperature",  # adjust: decisions, probabilities
    "balanced_equalized_odds",  # adjust: groups
    "backdoor_adjustment",  # adjust: ensembles
    "last_layer_retraining", "nearest_class_mean",  # adjust: weights
)  # fmt: skip


@named([component(name) for name in FAMILIES])
def test_one_method_of_each_family_does_what_it_claims_over_five_nets(method):
    found = effect_on_nets(method, QUICK)
    assert found.holds, f"{found.claim.measure}: {found.without} -> {found.with_it}"
