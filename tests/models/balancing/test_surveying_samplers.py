"""Samplers that look at the net, or at groups, against their papers."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.component import Seen, View
from models.balancing.sample.adaptive_allocation import learning_curves, next_rows
from models.balancing.sample.high_resource import high_resource
from models.balancing.sample.margin_balanced import even_over, margin_bins
from models.balancing.sample.self_paced import admitted, ranks_within
from models.balancing.schedule.high_resource_first import HighResourceFirst
from models.data import Statistics, one_hot


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


LABELS = torch.tensor([0] * 160 + [1] * 40)
COUNTS = torch.tensor([160.0, 40.0])
STATISTICS = Statistics(COUNTS, torch.tensor([200.0]), COUNTS[:, None], 200)
LOGITS = 2 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
FEATURES = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))


def view(logits=LOGITS, progress=0.0):
    seen = Seen(FEATURES, logits, LABELS, LABELS * 0, torch.ones(200))
    return View({}, lambda: seen, lambda: seen, STATISTICS, torch.Generator().manual_seed(0), progress)


def begun(part, progress=0.0):
    return part.survey(
        part.init(LABELS, LABELS * 0, STATISTICS, torch.Generator().manual_seed(0)), view(progress=progress)
    )


def test_margin_bins_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.0, 0.0, 1.0]])
    labels = torch.tensor([0, 0, 2])
    close(margin_bins(p.clamp(min=1e-9).log(), labels, 10), [7, 3, 9])
    assert margin_bins(-p.clamp(min=1e-9).log(), labels, 10).tolist()[2] == 2


def test_margin_bins_are_drawn_alike_before_the_first_survey_rows_are():
    part = component("margin_balanced").build({"bins": 5.0, "warm": 0.0})
    state = part.init(LABELS, LABELS * 0, STATISTICS, torch.Generator())
    close(part.probabilities(state, LABELS, LABELS * 0, STATISTICS, 0.0), torch.full((200,), 1 / 200))
    state = begun(part)
    p = part.probabilities(state, LABELS, LABELS * 0, STATISTICS, 0.0)
    each = torch.stack([p[state["bin"] == b].sum() for b in range(5)])
    close(each, torch.full((5,), 0.2))
    close(even_over(torch.tensor([0, 0, 3])), [0.25, 0.25, 0.5])


def test_validation_rows_count_by_their_margin_bins_once_these_are_known_and_earlier_epochs_no_more():
    part = component("margin_balanced").build({"bins": 5.0, "warm": 0.5})
    start = part.init(LABELS, LABELS * 0, STATISTICS, torch.Generator())
    warming, known = (part.survey(start, view(progress=at)) for at in (0.0, 0.5))
    assert part.judged(warming, LABELS, LABELS * 0, STATISTICS) is None
    weights = part.judged(known, LABELS, LABELS * 0, STATISTICS)
    close(torch.stack([weights[known["valid_bin"] == b].sum() for b in range(5)]), torch.full((5,), 0.2))
    assert not part.judges_anew(start, warming)
    assert part.judges_anew(warming, known)
    assert not part.judges_anew(known, part.survey(known, view(progress=0.6)))


def test_every_batch_is_of_one_topic_and_even_over_its_margin_bins():
    part = component("topic_margin_balanced").build({"bins": 4.0, "topics": 3.0, "warm": 0.0})
    state = begun(part)
    order = part.order(state, 60, 500, torch.Generator().manual_seed(0))
    topics = state["topic"][order]
    assert order.shape == (60, 500)
    assert (topics == topics[:, :1]).all()
    assert len(topics[:, 0].unique()) == 3
    share = one_hot(state["bin"][order[0]], 4).mean(0)
    present = [b for b in range(4) if ((state["bin"] == b) & (state["topic"] == topics[0, 0])).any()]
    torch.testing.assert_close(share[present], torch.full((len(present),), 1 / len(present)), rtol=0, atol=0.07)
    p = part.probabilities(state, LABELS, LABELS * 0, STATISTICS, 0.0)
    close(torch.stack([p[state["topic"] == t].sum() for t in range(3)]), torch.full((3,), 1 / 3))


def test_topics_stay_and_bins_are_those_of_the_net_when_it_has_warmed_up():
    part = component("topic_margin_balanced").build({"warm": 0.3})
    first = begun(part)
    assert not first["bin"].any()
    taught = part.survey(first, view(LOGITS, 0.3))
    assert torch.equal(first["topic"], taught["topic"])
    assert torch.equal(taught["bin"], margin_bins(LOGITS, LABELS, 10))
    later = part.survey(taught, view(LOGITS.flip(0), 0.6))
    assert torch.equal(later["bin"], taught["bin"])


def test_ranks_and_admission_by_hand():
    labels, losses = torch.tensor([0, 1, 0, 0, 1, 0]), torch.tensor([3.0, 9.0, 1.0, 2.0, 8.0, 4.0])
    ranks = ranks_within(labels, losses, 2)
    close(ranks, [0.5, 0.5, 0.0, 0.25, 0.0, 0.75])
    bar = torch.tensor([1.5, 8.5])[labels]
    assert admitted(losses, ranks, bar, 0.3, 0.0).tolist() == [False, False, True, True, True, False]
    assert admitted(losses, ranks, bar, 0.3, 0.5).tolist() == [False, True, True, True, True, False]
    assert admitted(losses, ranks, bar, 0.3, 1.0).all()


def test_the_curriculum_begins_with_the_easiest_of_each_class_and_ends_with_all_rows():
    part = component("self_paced").build({"begin": 0.25, "full": 0.5, "power": 0.0})
    state = begun(part)
    losses = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    p = part.probabilities(state, LABELS, LABELS * 0, STATISTICS, 0.0)
    for label, count in [(0, 160), (1, 40)]:
        own = label == LABELS
        drawn = own & (p > 0)
        assert int(drawn.sum()) == count // 4
        assert losses[drawn].max() < losses[own & (p == 0)].min()
        close(p[own].sum(), 0.5)
    at_end = part.probabilities(state, LABELS, LABELS * 0, STATISTICS, 0.5)
    close(at_end, 0.5 / COUNTS[LABELS])


def test_a_net_that_learns_faster_is_shown_more():
    part = component("self_paced").build({"begin": 0.25, "full": 1.0})
    state = begun(part)
    shown = []
    for scale in (0.0, 3.0):
        better = LOGITS + scale * (2 * one_hot(LABELS, 2) - 1)
        after = part.survey(state, view(better, 0.3))
        close(after["bar"], state["bar"])
        shown.append(int((part.probabilities(after, LABELS, LABELS * 0, STATISTICS, 0.3) > 0).sum()))
    assert shown[1] > shown[0] > 50


def test_high_resource_groups_come_first_and_then_a_mixture():
    counts = torch.tensor([900.0, 90.0, 10.0, 0.0])
    assert high_resource(counts).tolist() == [True, False, False, False]
    statistics = Statistics(torch.tensor([1000.0]), counts, counts[None], 1000)
    groups = torch.repeat_interleave(torch.arange(4), counts.long())
    first, second = HighResourceFirst(start=0.6, temperature=2.0).phases()
    p = first.switch["sample"].probabilities({}, groups * 0, groups, statistics, 0.0)
    close(p[:900], torch.full((900,), 1 / 900))
    assert (p[900:] == 0).all()
    p = second.switch["sample"].probabilities({}, groups * 0, groups, statistics, 0.8)
    shares = torch.stack([p[groups == g].sum() for g in range(3)])
    roots = torch.tensor([math.sqrt(n) for n in (900, 90, 10)])
    close(shares, roots / roots.sum())
    assert second.restart
    assert first.share == pytest.approx(0.6)


def test_without_validation_rows_of_a_large_group_all_of_them_choose_the_epoch():
    counts = torch.tensor([900.0, 90.0, 10.0])
    statistics, part = (
        Statistics(torch.tensor([1000.0]), counts, counts[None], 1000),
        component("high_resource").build({}),
    )
    small, both = torch.tensor([1, 2, 2]), torch.tensor([0, 1, 0])
    assert part.judged({}, small * 0, small, statistics) is None
    close(part.judged({}, both * 0, both, statistics), [0.5, 0.0, 0.5])


# --- learning curves of groups ---


def test_a_learning_curve_is_fitted_in_logarithms_and_one_that_rises_is_flat():
    n = torch.tensor([10.0, 40.0, 90.0])
    falling, rising = 3 * n**-0.5, n**0.2
    sums = [
        torch.stack([torch.ones(3), n.log(), loss.log(), n.log() ** 2, n.log() * loss.log()]).sum(1)
        for loss in (falling, rising)
    ]
    a, b, known = learning_curves(torch.stack([*sums, torch.tensor([1.0, 1, 1, 1, 1])]))
    close(a[0], 3.0)
    close(b[:2], [0.5, 0.0])
    assert known.tolist() == [True, True, False]


def test_rows_go_where_a_row_gains_most_until_all_gain_alike_as_the_greedy_way_ends():
    a, b, start = torch.tensor([1.0, 4.0, 2.0]), torch.tensor([0.5, 0.5, 0.0]), torch.tensor([100.0, 100.0, 100.0])
    # From equal beginnings equal gains mean n_2 / n_1 = 4^(1 / 1.5).
    more = next_rows(a, b, torch.ones(3), start, 600.0)
    ratio = 4 ** (1 / 1.5)
    close(more, [800 / (1 + ratio) - 100, 800 * ratio / (1 + ratio) - 100, 0.0])
    greedy = start.clone()
    for _ in range(600):
        greedy[(a * b * greedy ** (-b - 1)).argmax()] += 1
    assert (greedy - start - more).abs().max() <= 1
    close(next_rows(a, b, torch.ones(3), start, 20.0), [0.0, 20.0, 0.0])
    close(next_rows(a, 0 * b, torch.ones(3), start, 30.0), [10.0, 10.0, 10.0])


def test_rounds_of_collecting_are_even_at_first_and_follow_the_curves_then():
    groups, part = torch.tensor([0] * 150 + [1] * 50), component("adaptive_allocation").build({})
    counts = torch.tensor([150.0, 50.0])
    statistics = Statistics(COUNTS, counts, torch.ones(2, 2), 200)

    def seen(losses):
        odds = torch.log(torch.expm1(torch.tensor(losses)))[groups]
        logits = torch.stack([torch.where(LABELS == 0, -odds, odds), torch.zeros(200)], 1)
        return Seen(FEATURES, logits, LABELS, groups, torch.ones(200))

    def survey(state, losses):
        return part.survey(
            state, View({}, lambda: seen(losses), lambda: seen(losses), statistics, torch.Generator(), 0.0)
        )

    state = part.init(LABELS, groups, statistics, torch.Generator())
    close(part.probabilities(state, LABELS, groups, statistics, 0.0)[groups == 1].sum(), 0.5)
    for losses, collected in (([9.0, 9.0], [100.0, 100.0]), ([0.4, 2.0], [200.0, 200.0])):
        state = survey(state, losses)
        close(state["collected"], collected)
    # Of the first group no more is learned, so that the second gets all rows of the round.
    state = survey(state, [0.4, 1.0])
    close(state["collected"], [200.0, 400.0])
    close(part.probabilities(state, LABELS, groups, statistics, 0.5)[groups == 1].sum(), 2 / 3)
