"""Negatives: never a known training row, and everything else equally often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data import sampling
from kgplug.data.interactions import Interactions
from kgplug.data.sampling import ComplementSampler, PopularSampler, RowSampler, TailCorrupter, negative_sampler
from kgplug.recommenders.click_through.pairs import ClickThroughData

pytestmark = pytest.mark.training


@given(
    n_groups=st.integers(1, 5),
    n_members=st.integers(1, 6),
    held=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_draw_is_a_member_that_the_group_does_not_hold(n_groups, n_members, held, seed):
    held = [(group % n_groups, member % n_members) for group, member in held]
    groups = np.array([group for group, _ in held], dtype=np.int64)
    members = np.array([member for _, member in held], dtype=np.int64)
    sampler = ComplementSampler(groups, members, n_groups=n_groups, n_members=n_members)
    asked = np.arange(n_groups).repeat(30)
    drawn = sampler.draw(asked, np.random.default_rng(seed))
    for group in range(n_groups):
        free = set(range(n_members)) - {member for other, member in held if other == group}
        assert sampler.n_free[group] == len(free)
        assert set(drawn[asked == group]) <= (free or {-1})


def test_free_members_are_drawn_equally_often():
    sampler = ComplementSampler(np.array([0, 0, 0, 1]), np.array([0, 3, 4, 2]), n_groups=2, n_members=7)
    drawn = sampler.draw(np.zeros(40_000, dtype=np.int64), np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=7)
    assert counts[[0, 3, 4]].sum() == 0
    assert np.abs(counts[[1, 2, 5, 6]] / 10_000 - 1).max() < 0.05


def test_popular_members_are_drawn_in_proportion_to_their_weights_and_held_ones_never():
    held = ComplementSampler(np.array([0, 0, 1, 1, 1]), np.array([0, 3, 0, 1, 2]), n_groups=3, n_members=5)
    weights = np.array([100.0, 1.0, 2.0, 50.0, 4.0])
    sampler, rng = PopularSampler(held, weights), np.random.default_rng(0)
    for group, free in ((0, [1, 2, 4]), (1, [3, 4]), (2, [0, 1, 2, 3, 4])):
        drawn = sampler.draw(np.full(40_000, group), rng)
        counts = np.bincount(drawn, minlength=5)
        assert counts.sum() == counts[free].sum()
        if group != 0:  # the free members of group 0 have 4 % of the weight: after ten redraws, a draw is uniform
            np.testing.assert_allclose(counts[free] / 40_000, weights[free] / weights[free].sum(), atol=0.01)
    everything = ComplementSampler(np.zeros(5, dtype=np.int64), np.arange(5), n_groups=1, n_members=5)
    assert PopularSampler(everything, weights).draw(np.zeros(3, dtype=np.int64), rng).tolist() == [-1, -1, -1]


def test_popular_members_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "DRAWN_AT_ONCE", 7)
    held = ComplementSampler(np.array([0, 1, 1]), np.array([0, 1, 2]), n_groups=3, n_members=4)
    sampler, groups = PopularSampler(held, np.array([8.0, 1.0, 2.0, 4.0])), np.arange(1_000) % 3
    holds, sizes = held.holds, list[int]()

    def noted(groups: np.ndarray, members: np.ndarray) -> np.ndarray:
        sizes.append(len(groups))
        return holds(groups, members)

    monkeypatch.setattr(held, "holds", noted)
    drawn = sampler.draw(groups, np.random.default_rng(0))
    assert max(sizes) == 7 and not holds(groups, drawn).any() and set(drawn.tolist()) == {0, 1, 2, 3}


@given(
    held=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20),
)
def test_a_sampler_knows_which_members_a_group_holds(held, asked):
    sampler = ComplementSampler(*np.array(held, dtype=np.int64).reshape(-1, 2).T, n_groups=5, n_members=6)
    found = sampler.holds(*np.array(asked, dtype=np.int64).reshape(-1, 2).T)
    assert found.tolist() == [pair in held for pair in asked]


@pytest.fixture
def rated() -> Interactions:
    rng = np.random.default_rng(3)
    pairs = pd.DataFrame([(u, i) for u in range(30) for i in range(20)], columns=["user", "item"])
    pairs["rating"] = rng.integers(1, 6, len(pairs))
    pairs = pairs[rng.random(len(pairs)) < 0.5]
    return Interactions.from_dataframe(pairs, user="user", item="item", rating="rating", like_threshold=4)


def codes(pairs) -> set[int]:
    return set((pairs.users * 1000 + pairs.items).tolist())


def negatives_of(data: ClickThroughData, epochs: int) -> set[int]:
    drawn: set[int] = set()
    for epoch in range(epochs):
        for batch in data.epoch(np.random.default_rng([0, epoch]), 64):
            chosen = batch.labels == 0
            drawn |= set((batch.users[chosen] * 1000 + batch.items[chosen]).tolist())
    return drawn


def test_training_negatives_avoid_only_training_likes(rated):
    train, valid, test = rated.split((0.6, 0.2, 0.2), seed=0, by="row")
    drawn = negatives_of(ClickThroughData(train, valid, seed=0), epochs=60)
    assert not drawn & codes(train.likes())
    users = set(train.likes().users.tolist())
    for other in (test.likes(), valid.likes(), train.take(~train.is_like)):  # as likely as any: no leak
        reachable = {code for code in codes(other) if code // 1000 in users}
        assert len(drawn & reachable) > 0.95 * len(reachable) > 0


def test_low_rated_items_are_never_negatives_if_the_setting_says_so(rated):
    drawn = negatives_of(ClickThroughData(rated, None, seed=0, exclude_low_rated=True), epochs=20)
    assert drawn
    assert not drawn & codes(rated)


def test_a_share_of_the_negatives_are_the_users_dislikes(rated):
    data = ClickThroughData(rated, None, seed=0, exclude_low_rated=True, dislike_share=0.3, per_like=4)
    low = rated.take(~rated.is_like)
    batches = [batch for epoch in range(20) for batch in data.epoch(np.random.default_rng([0, epoch]), 64)]
    drawn = np.concatenate([(batch.users * 1000 + batch.items)[batch.labels == 0] for batch in batches])
    has_some = np.isin(drawn // 1000, low.users)
    disliked = np.isin(drawn, sorted(codes(low)))
    assert disliked[has_some].mean() == pytest.approx(0.3, abs=0.02)
    likers = set(rated.likes().users.tolist())
    assert set(drawn[disliked].tolist()) == {code for code in codes(low) if code // 1000 in likers}
    assert not set(drawn.tolist()) & codes(rated.likes())


def test_dislikes_are_drawn_in_proportion_to_their_confidence():
    users, items = np.array([0, 0, 2, 2, 2]), np.array([1, 3, 0, 2, 4])
    rows = Interactions.from_arrays(np.arange(4), np.arange(5), users, items, weights=np.array([1, 3, 1, 5, 2]))
    asked = np.repeat(np.arange(4), 20_000)
    drawn = RowSampler(rows).draw(asked, np.random.default_rng(0))
    assert (drawn[(asked == 1) | (asked == 3)] == -1).all()
    logs = np.log(1 + np.array([1, 3, 1, 5, 2]) / 2)
    for user in (0, 2):
        found = np.bincount(drawn[asked == user], minlength=5) / 20_000
        expected = np.zeros(5)
        expected[items[users == user]] = logs[users == user] / logs[users == user].sum()
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_without_dislikes_all_negatives_are_drawn(rated):
    data = ClickThroughData(rated.likes(), None, seed=0, dislike_share=1.0)
    batch = next(iter(data.epoch(np.random.default_rng(0), 50)))
    assert (batch.labels == 0).any() and (batch.items >= 0).all()


def test_negatives_are_new_in_every_epoch(rated):
    data = ClickThroughData(rated, None, seed=0)
    first, second = (
        {tuple(row) for batch in data.epoch(np.random.default_rng([0, epoch]), 64) for row in zip(
            batch.users[batch.labels == 0], batch.items[batch.labels == 0], strict=True)}
        for epoch in (0, 1)
    )  # fmt: skip
    assert first != second


def test_an_epoch_has_every_like_once_with_one_negative(rated):
    batches = list(ClickThroughData(rated, None, seed=0).epoch(np.random.default_rng(0), 50))
    likes = rated.likes()
    positives = sorted(code for b in batches for code in (b.users * 1000 + b.items)[b.labels == 1].tolist())
    assert positives == sorted(codes(likes))
    assert sum(int((b.labels == 0).sum()) for b in batches) == len(likes)
    assert max(len(b) for b in batches) <= 50


def test_with_several_negatives_an_epoch_has_every_like_once_and_each_negative_beside_its_like(rated):
    data = ClickThroughData(rated, None, seed=0, per_like=3, popularity=0.5)
    likes = rated.likes()
    times = 1.0 + np.bincount(likes.items, minlength=likes.n_items)
    batches = list(data.epoch(np.random.default_rng(0), 50))
    assert sum(int(batch.labels.sum()) for batch in batches) == len(likes)
    for batch in batches:
        liked, negatives = batch.matched()
        assert len(negatives) == 3 * batch.labels.sum() == (batch.labels == 0).sum()
        assert (batch.labels[liked] == 1).all() and (batch.labels[negatives] == 0).all()
        np.testing.assert_array_equal(batch.users[liked], batch.users[negatives])
        assert not set((batch.users * 1000 + batch.items)[negatives].tolist()) & codes(likes)
        chances = np.sqrt(times) / np.sqrt(times).sum()
        np.testing.assert_allclose(batch.log_chances, np.log(chances[batch.items] * likes.n_items), rtol=1e-5)


def test_the_loss_of_several_negatives_equals_its_definition(rated):
    data = ClickThroughData(rated, None, seed=0, per_like=3, popularity=0.5)
    batch = next(iter(data.epoch(np.random.default_rng(0), 50)))
    logits = np.random.default_rng(1).normal(size=len(batch))
    like, negative = 0.0, 0.0
    for logit, label, log_chance in zip(logits, batch.labels, batch.log_chances, strict=True):
        p = 1 / (1 + np.exp(-(logit - log_chance)))
        like, negative = (like - np.log(p), negative) if label else (like, negative - np.log(1 - p))
    expected = (like / batch.labels.sum() + negative / (batch.labels == 0).sum()) / 2
    assert data.log_loss(torch.from_numpy(logits), batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_a_like_and_of_its_negatives_is_multiplied_by_the_likes_weight(rated):
    likes = rated.likes()
    weights = np.random.default_rng(2).lognormal(0, 1, len(likes)).astype(np.float32)
    weighted = replace(likes, weights=weights)
    confidence = {
        int(user * 1000 + item): np.log(1 + weight / np.median(weights))
        for user, item, weight in zip(likes.users, likes.items, weights, strict=True)
    }
    mean = sum(confidence.values()) / len(confidence)
    for per_like in (1, 3):
        data = ClickThroughData(weighted, None, seed=0, per_like=per_like)
        batch = next(iter(data.epoch(np.random.default_rng(0), 50)))
        logits = np.random.default_rng(1).normal(size=len(batch))
        own, expected = batch.own_likes(), 0.0
        for user, item, label, logit in zip(batch.users, own, batch.labels, logits, strict=True):
            p = 1 / (1 + np.exp(-logit))
            loss = -np.log(p) if label else -np.log(1 - p) / per_like
            expected += loss * confidence[int(user * 1000 + item)] / mean
        n = batch.labels.sum() + (batch.labels == 0).sum() / per_like
        assert data.log_loss(torch.from_numpy(logits), batch).item() == pytest.approx(expected / n, rel=1e-5)


def test_a_comparison_is_multiplied_by_the_weight_of_its_like(rated):
    likes = rated.likes()
    weights = np.random.default_rng(2).lognormal(0, 1, len(likes)).astype(np.float32)
    data = ClickThroughData(replace(likes, weights=weights), None, seed=0)
    batch = next(iter(data.comparisons(np.random.default_rng(0), 50)))
    logits = np.random.default_rng(1).normal(size=2 * len(batch))
    logs = np.log(1 + weights.astype(float) / np.median(weights))
    expected = 0.0
    for row, (user, liked) in enumerate(zip(batch.users, batch.liked, strict=True)):
        (place,) = np.flatnonzero((likes.users == user) & (likes.items == liked))
        apart = logits[row] - logits[len(batch) + row]
        expected += np.log(1 + np.exp(-apart)) * logs[place] / logs.mean()
    found = data.comparison_loss(torch.from_numpy(logits), batch).item()
    assert found == pytest.approx(expected / len(batch), rel=1e-5)


def test_popular_negatives_teach_the_same_logits_as_uniform_ones():
    rng, n_items = np.random.default_rng(0), 12
    chances = 0.5 ** np.arange(n_items) + 0.01
    frame = pd.DataFrame({"user": np.arange(6_000), "item": rng.choice(n_items, 6_000, p=chances / chances.sum())})
    likes = Interactions.from_dataframe(frame, user="user", item="item")
    learnt = []
    for popularity in (0.0, 0.5):
        data = ClickThroughData(likes, None, seed=0, per_like=20, popularity=popularity)
        (batch,) = data.epoch(np.random.default_rng(1), 2 * len(likes))
        bias = torch.zeros(n_items, requires_grad=True)
        optimizer = torch.optim.LBFGS([bias], max_iter=100)

        def loss(batch=batch, data=data, bias=bias, optimizer=optimizer):
            optimizer.zero_grad()
            value = data.log_loss(bias[torch.from_numpy(batch.items)], batch)
            value.backward()
            return value

        optimizer.step(loss)
        learnt.append(bias.detach().numpy() - bias.detach().numpy().mean())
    assert np.ptp(learnt[0]) > 3
    np.testing.assert_allclose(learnt[1], learnt[0], atol=0.35)


def test_validation_pairs_are_fixed_and_avoid_training_and_validation_rows(rated):
    train, valid, _ = rated.split((0.6, 0.2, 0.2), seed=0, by="row")
    pairs, again = (ClickThroughData(train, valid, seed=5).valid for _ in range(2))
    other = ClickThroughData(train, valid, seed=6).valid
    assert pairs is not None and again is not None and other is not None
    assert (pairs.items == again.items).all() and (pairs.items != other.items).any()
    negatives = set((pairs.users * 1000 + pairs.items)[pairs.labels == 0].tolist())
    assert not negatives & (codes(train) | codes(valid))


def test_the_validation_metric_is_the_area_under_the_roc_curve(rated):
    from sklearn.metrics import roc_auc_score

    data = ClickThroughData(rated, rated, seed=0)
    assert data.valid is not None
    scores = np.random.default_rng(0).integers(0, 9, len(data.valid)).astype(np.float32)  # with ties
    assert data.validation_auc(scores) == pytest.approx(roc_auc_score(data.valid.labels, scores))


def test_a_user_who_likes_the_whole_catalogue_gets_no_negative():
    frame = pd.DataFrame([(0, 0), (0, 1), (1, 0)], columns=["user", "item"])
    likes = Interactions.from_dataframe(frame, user="user", item="item")
    assert negative_sampler(likes).draw(np.array([0, 1]), np.random.default_rng(0)).tolist() == [-1, 1]
    (batch,) = ClickThroughData(likes, None, seed=0).epoch(np.random.default_rng(0), 100)
    assert sorted(zip(batch.users, batch.items, batch.labels, strict=True)) == [
        (0, 0, 1),
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, 0),
    ]


def test_corrupt_tails_make_no_known_triple_and_stay_in_the_range_of_the_relation():
    rng = np.random.default_rng(0)
    triples = np.unique(
        np.stack([rng.integers(0, 9, 60), rng.integers(0, 3, 60), rng.integers(0, 12, 60)], axis=1), axis=0
    )
    corrupter, known = TailCorrupter(triples), set(map(tuple, triples.tolist()))
    rows = np.arange(len(triples)).repeat(200)
    drawn = corrupter.draw(rows, np.random.default_rng(1))
    for row, (head, relation, _) in enumerate(triples.tolist()):
        of_relation = set(triples[triples[:, 1] == relation, 2].tolist())
        free = {tail for tail in of_relation if (head, relation, tail) not in known}
        assert set(drawn[rows == row].tolist()) == (free or {-1})


def test_no_triples_need_no_corrupt_tails():
    none = np.empty(0, dtype=np.int64)
    assert len(TailCorrupter(np.empty((0, 3), dtype=np.int64)).draw(none, np.random.default_rng(0))) == 0
