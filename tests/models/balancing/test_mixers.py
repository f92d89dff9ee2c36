"""Mixtures of rows against their papers."""

import pytest
import torch

from models.balancing import component
from models.balancing.mix.balanced_mixup import blend
from models.balancing.mix.cutmix import box, pasted
from models.balancing.mix.lisa import chosen_partners
from models.balancing.mix.margin_aware_mixup import margin_share
from models.balancing.mix.remix import target_share
from models.balancing.probe import case
from models.data import one_hot


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_remix_gives_the_target_to_the_minority_by_its_three_cases():
    rows, partners = (
        torch.tensor([300.0, 300.0, 100.0, 100.0, 100.0]),
        torch.tensor([100.0, 100.0, 300.0, 300.0, 100.0]),
    )
    close(target_share(torch.tensor(0.4), rows, partners, 3.0, 0.5), [0.0, 0.0, 0.4, 0.4, 0.4])
    close(target_share(torch.tensor(0.7), rows, partners, 3.0, 0.5), [0.7, 0.7, 1.0, 1.0, 0.7])


def test_remix_without_a_cut_is_mixup():
    given = case(component("remix"))
    remix, mixup = component("remix").build({"cut": 0.0, "alpha": 0.4}), component("mixup").build({"alpha": 0.4})
    draws = {k: v[0] for k, v in mixup.draw(torch.Generator().manual_seed(0), 1, 16).items()}
    ours = remix.mix(remix.init(given.statistics), given.batch, None, draws, given.progress)
    theirs = mixup.mix({}, given.batch, None, draws, given.progress)
    close(ours.inputs, theirs.inputs)
    close(ours.targets, theirs.targets)


def test_margin_share_by_hand():
    rows, partners = torch.tensor([16.0]), torch.tensor([1.0])
    middle = 0.5 / 1.5
    for distance, expected in [(0.0, 1.0), (middle, 0.5), (1.0, 0.0), (middle / 2, 0.75), ((1 + middle) / 2, 0.25)]:
        close(margin_share(torch.tensor(distance), rows, partners, -0.25), [expected])


def test_margin_aware_mixup_of_even_classes_is_mixup():
    even = torch.tensor([7.0])
    for distance in (0.1, 0.5, 0.8):
        close(margin_share(torch.tensor(distance), even, even, -0.25), [1 - distance])
        close(margin_share(torch.tensor(distance), even, 9 * even, 0.0), [1 - distance])


def test_balanced_mixup_by_hand_and_its_share_follows_beta():
    close(blend(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor(0.25)), [1.5])
    kind = component("balanced_mixup")
    part, given = kind.build({"alpha": 0.5}), case(kind)
    mixed = part.mix({}, given.batch, given.partner, {"uniform": torch.tensor(0.36)}, given.progress)
    share = 0.36**2
    close(mixed.targets, (1 - share) * given.batch.targets + share * given.partner.targets)
    drawn = part.draw(torch.Generator().manual_seed(0), 20000, 1)["uniform"] ** (1 / 0.5)
    assert drawn.mean().item() == pytest.approx(0.5 / 1.5, abs=0.01)


def test_balanced_mixup_draws_its_partners_from_classes_alike():
    labels = torch.tensor([0] * 90 + [1] * 10)
    counts = torch.tensor([90.0, 10.0])
    from models.data import Statistics

    statistics = Statistics(counts, torch.tensor([100.0]), counts[:, None], 100)
    p = component("balanced_mixup").build({}).partners().probabilities({}, labels, labels * 0, statistics, 0.5)
    close(p[:90].sum(), 0.5)


def test_lisa_partners_are_eligible_and_drawn_evenly():
    eligible = torch.tensor(
        [[False, True, True, False], [True, False, False, False], [False] * 4, [True, True, True, False]]
    )
    seen = torch.zeros(4, 4)
    g = torch.Generator().manual_seed(0)
    for _ in range(3000):
        partners = chosen_partners(
            torch.arange(4), eligible, torch.rand(4, generator=g).argsort(), torch.randint(4, (4,), generator=g)
        )
        seen[torch.arange(4), partners] += 1
    share = seen / 3000
    assert share[2, 2] == 1
    assert share[1, 0] == 1
    torch.testing.assert_close(share[0], torch.tensor([0.0, 0.5, 0.5, 0.0]), rtol=0, atol=0.04)
    torch.testing.assert_close(share[3], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.0]), rtol=0, atol=0.04)


@pytest.mark.parametrize(("kind", "same"), [(0.0, "class"), (0.99, "group")])
def test_lisa_mixes_within_a_class_or_within_a_group(kind, same):
    method = component("lisa")
    given = case(method, 64)
    labels, groups = given.batch.labels, given.batch.groups
    inputs = torch.cat([one_hot(labels, given.classes), one_hot(groups, 3)], 1)
    draws = {k: v[0] for k, v in method.build({}).draw(torch.Generator().manual_seed(0), 1, 64).items()}
    draws["kind"], state = torch.tensor(kind), method.build({}).init(given.statistics)
    mixed = method.build({}).mix(state, given.batch._replace(inputs=inputs), None, draws, given.progress)
    by_class, by_group = mixed.inputs[:, : given.classes], mixed.inputs[:, given.classes :]
    kept, changed = (by_class, by_group) if same == "class" else (by_group, by_class)
    assert (kept.max(1).values > 0.999).all()
    assert (changed.max(1).values < 0.999).float().mean() > 0.5
    close(mixed.targets, by_class)


def test_lisa_shares_follow_beta_2_2():
    shares = component("lisa").build({}).draw(torch.Generator().manual_seed(0), 40, 500)["uniforms"].median(-1).values
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.var().item() == pytest.approx(1 / 20, rel=0.05)


def test_box_by_hand():
    mask = box(torch.tensor(0.75), torch.tensor([0.5, 0.5]), 8, 8)
    assert mask.sum() == 16
    assert mask[2:6, 2:6].all()
    corner = box(torch.tensor(0.75), torch.tensor([0.0, 0.99]), 8, 8)
    assert corner.sum() == 2 * 3
    assert corner[:2, 5:].all()
    assert box(torch.tensor(1.0), torch.tensor([0.5, 0.5]), 8, 8).sum() == 0
    assert box(torch.tensor(0.0), torch.tensor([0.5, 0.5]), 8, 8).sum() == 64


def test_a_pasted_box_changes_targets_by_its_area():
    given = case(component("cutmix"))
    mask = box(torch.tensor(0.75), torch.tensor([0.5, 0.5]), 8, 8)
    mixed = pasted(given.batch, given.partner.inputs, given.partner.targets, mask)
    close(mixed.targets, 0.75 * given.batch.targets + 0.25 * given.partner.targets)
    close(mixed.inputs[:, :, 3, 3], given.partner.inputs[:, :, 3, 3])
    close(mixed.inputs[:, :, 0, 0], given.batch.inputs[:, :, 0, 0])


def test_cmo_rests_at_the_ends_of_training_and_draws_rare_classes():
    kind = component("cmo")
    given, part = case(kind), kind.build({"probability": 1.0})
    draws = {"whether": torch.tensor(0.5), "share": torch.tensor(0.25), "centre": torch.tensor([0.5, 0.5])}
    for progress, changes in [(0.0, False), (0.5, True), (0.99, False)]:
        mixed = part.mix({}, given.batch, given.partner, draws, torch.tensor(progress))
        assert torch.equal(mixed.inputs, given.batch.inputs) is not changes
    labels = torch.repeat_interleave(torch.arange(4), given.statistics.class_counts.long())
    for power in (1.0, 0.5):
        p = kind.build({"power": power}).partners().probabilities({}, labels, labels, given.statistics, 0.5)
        share = torch.stack([p[labels == c].sum() for c in range(4)])
        expected = given.statistics.class_counts ** (1 - power)
        close(share, expected / expected.sum())
