"""Automatic settings of models without epochs: what is measured, chosen, learnt in full, told and kept."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.sampling import negative_sampler
from kgplug.errors import TrainingError
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.models.als import ALS
from kgplug.recommenders.models.cease import CEASE
from kgplug.recommenders.models.ease import EASE
from kgplug.recommenders.parts.choosing import validation_lists
from kgplug.recommenders.parts.choosing.chosen_by_lists import Search, Tried, best_of
from kgplug.recommenders.parts.choosing.validation_lists import Measured, Validation
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.planted import directors_and_fans, popular, shuffled, tiny

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def sets() -> tuple[Interactions, Interactions, Interactions]:
    return popular(0).split((0.6, 0.2, 0.2), seed=0, by="row")


def test_lists_and_scores_are_measured_as_written_out(sets: tuple[Interactions, Interactions, Interactions]) -> None:
    train, valid, _ = sets
    some = np.arange(train.n_items) % 3 > 0
    model = EASE(settings="defaults").fit(train)
    found = Validation(train, valid, seed=5, items=some).measure(model)
    likes = [(int(u), int(i)) for u, i in zip(valid.users, valid.items, strict=True) if some[i]]
    users = sorted({user for user, _ in likes})
    gains = []
    for user in users:
        scores = model.score(np.full(train.n_items, user), np.arange(train.n_items))
        seen = set(train.items[train.users == user])
        counts = np.bincount(train.items, minlength=train.n_items)
        free = [item for item in range(train.n_items) if some[item] and item not in seen]
        best = sorted(free, key=lambda item: (-round(float(scores[item]), 6), -counts[item], item))[:10]
        wanted = {item for own, item in likes if own == user}
        dcg = sum(1 / math.log2(rank + 2) for rank, item in enumerate(best) if item in wanted)
        gains.append(dcg / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(wanted)))))
    np.testing.assert_allclose(found.ndcg, gains, atol=1e-6)
    drawn = negative_sampler(train, valid).draw(
        np.array([user for user, _ in likes]), np.random.default_rng([5, 0x7A11D])
    )
    against = [(user, int(item)) for (user, _), item in zip(likes, drawn, strict=True) if item >= 0 and some[item]]
    one, other = (model.score(*map(np.array, zip(*pairs, strict=True))) for pairs in (likes, against))
    wins = sum(float(a > b) + 0.5 * float(a == b) for a in one for b in other)
    assert found.auc == pytest.approx(wins / len(one) / len(other), abs=1e-9)


def test_of_choices_with_equally_good_lists_the_one_with_the_best_auc_is_taken() -> None:
    rng = np.random.default_rng(0)
    ndcg = rng.random(400)
    equal = ndcg + rng.normal(0, 0.1, 400)
    equal += ndcg.mean() - 0.001 - equal.mean()  # 0.2 % behind, less than one standard error of 0.005
    first, second = Tried({}, Measured(ndcg, 0.7)), Tried({}, Measured(equal, 0.8))
    assert best_of([first, second, Tried({}, Measured(ndcg - 0.1, 0.9))]) is second
    assert best_of([first, Tried({}, Measured(ndcg - 0.001, 0.8))]) is first  # every user's list is worse
    much = ndcg + rng.normal(0, 1, 400)
    much += ndcg.mean() * 0.97 - much.mean()  # 3 % behind is too much, even if chance explains it
    assert best_of([first, Tried({}, Measured(much, 0.8))]) is first
    collapsed = Tried({}, None)
    assert best_of([collapsed, first]) is first and best_of([collapsed, collapsed]) is collapsed


def test_each_setting_climbs_from_the_best_choice_before_it() -> None:
    search = Search({"w": 1.0, "x": 1.0}, {"w": (1.0, 0.5, 2.0), "x": 3.0})

    def seen(best: dict[str, float]) -> list[dict[str, float]]:
        for changes in search.turns():
            search.tried.append(Tried(changes, Measured(np.full(4, best.get(str(changes), 0.1)), 0.5)))
        return [each.changes for each in search.tried]

    # w = 0.5 leads; then x is raised twice, as long as that leads, and not lowered
    best = {str({}): 0.2, str({"w": 0.5}): 0.3, str({"w": 0.5, "x": 3.0}): 0.4, str({"w": 0.5, "x": 9.0}): 0.35}
    assert seen(best) == [{}, {"w": 0.5}, {"w": 2.0}, {"w": 0.5, "x": 3.0}, {"w": 0.5, "x": 9.0}]
    search = Search({"x": 1.0}, {"x": 3.0})
    assert seen({str({}): 0.2, str({"x": 0.3333}): 0.3}) == [{}, {"x": 3.0}, {"x": 0.3333}, {"x": 0.1111}]


@pytest.mark.parametrize("make", [EASE, ALS])
def test_where_popularity_matters_its_weight_makes_scores_better_and_lists_no_worse(
    make: type[EASE] | type[ALS], sets: tuple[Interactions, Interactions, Interactions]
) -> None:
    train, valid, test = sets
    plain, chosen = make(settings="defaults").fit(train), make().fit(train, valid=valid)
    assert plain.config.popularity == 0.0
    if make is EASE:
        assert chosen.config.popularity > 0.0
    before, after = (kgplug.evaluate(model, train, test, valid=valid, warn=False).iloc[0] for model in (plain, chosen))
    assert after["AUC"] > before["AUC"] + 0.005
    assert after["NDCG@10"] > before["NDCG@10"] - 0.003
    again = make().fit(train, valid=valid)
    pairs = np.zeros(train.n_items, dtype=np.int64), np.arange(train.n_items)
    np.testing.assert_array_equal(again.score(*pairs), chosen.score(*pairs))
    assert again.tried == chosen.tried


def test_the_winner_is_learnt_in_full_and_told_and_kept(
    sets: tuple[Interactions, Interactions, Interactions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    monkeypatch.setattr("kgplug.recommenders.parts.choosing.chosen_by_lists._ITEMS_TO_CHOOSE_ON", 60)
    learnt: list[int] = []
    weights: list[float] = []
    learn = EASE._learn_items

    def noted(self: EASE, items: np.ndarray, rows: sparse.csr_matrix, users: np.ndarray, l2: float) -> None:
        learnt.append(len(items))
        weights.append(l2)
        learn(self, items, rows, users, l2)

    monkeypatch.setattr(EASE, "_learn_items", noted)
    model = EASE().fit(train, valid=valid)
    assert max(learnt[:-1]) <= 60 < learnt[-1] == len(model.known) and len(learnt) == len(model.tried)
    assert model.tried[0]["settings"] == {} and set(model.tried[1]["settings"]) == {"popularity"}  # the defaults, twice
    default = float(np.mean([likes**-0.5 for likes in np.bincount(train.users) for _ in range(likes)])) * 500
    assert weights[0] == pytest.approx(default * 60 / train.n_items, rel=1e-3)  # fewer items: larger weights, less L2
    assert weights[-1] == model.config.l2
    best = [trial for trial in model.tried if trial["chosen"]]
    assert len(best) == 1 and best[0]["metric"] == "NDCG@10"
    assert best[0]["value"] >= 0.98 * max(trial["value"] for trial in model.tried)
    assert {name: getattr(model.config, name) for name in best[0]["settings"]} == best[0]["settings"]
    plain = EASE(l2=model.config.l2).fit(train)
    np.testing.assert_array_equal(plain.weights, model.weights)
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, EASE) and loaded.tried == model.tried
    np.testing.assert_array_equal(loaded.recommend(np.arange(9), 5)[0], model.recommend(np.arange(9), 5)[0])


def test_nothing_is_chosen_if_a_setting_is_given_or_few_likes_could_choose(
    sets: tuple[Interactions, Interactions, Interactions],
) -> None:
    train, valid, _ = sets
    assert EASE(l2=5.0).fit(train, valid=valid).tried == []
    assert EASE(settings="defaults").fit(train, valid=valid).tried == []
    assert EASE().fit(train, valid=valid.take(np.arange(99))).tried == []
    assert EASE().fit(train, valid=valid.take(np.arange(100))).tried != []
    assert EASE().fit(train.take(np.arange(999))).tried == []
    given = EASE(settings="auto", user_power=0.0).fit(train, valid=valid)
    assert given.tried != [] and given.config.user_power == 0.0 and given.config.popularity > 0
    given = EASE(settings="auto", popularity=0.0).fit(train, valid=valid)
    assert given.tried != [] and given.config.popularity == 0.0
    given = EASE(settings="auto", l2=50.0).fit(train, valid=valid)
    assert (
        given.config.popularity > 0 and given.config.l2 == 50.0 and {} in [trial["settings"] for trial in given.tried]
    )
    empty = Validation(train, valid.take(np.zeros(len(valid), dtype=bool)), seed=0, items=None)
    assert empty.measure(given).mean == 0.0


def test_without_a_validation_set_a_tenth_chooses_and_all_rows_are_learnt(
    sets: tuple[Interactions, Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = sets[0]
    left_out: list[int] = []
    measure = Validation.measure

    def noted(self: Validation, model: Recommender) -> Measured:
        left_out.append(model.seen.nnz)
        return measure(self, model)

    monkeypatch.setattr(Validation, "measure", noted)
    model = EASE().fit(train)
    assert model.tried and model.config.popularity > 0
    learnt, _ = train.split((0.9, 0.1), seed=0, by="row")
    assert {*left_out} == {len(learnt)}  # lists leave out the rows learnt, not those held out
    plain = EASE(l2=model.config.l2, popularity=model.config.popularity).fit(train)
    items, scores = model.recommend(np.arange(train.n_users), 10)
    expected = plain.recommend(np.arange(train.n_users), 10)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert not model.seen[np.arange(train.n_users)[:, None], items].toarray().any()


def test_a_choice_that_collapses_is_not_taken(
    sets: tuple[Interactions, Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    monkeypatch.setattr(ALS.config_class, "grid", {"l2": 1e4})
    model = ALS().fit(train, valid=valid)
    collapsed = [trial for trial in model.tried if trial["note"]]
    assert {trial["note"] for trial in collapsed} == {"the model has collapsed"} and not model.health
    assert not any(trial["chosen"] or trial["value"] for trial in collapsed)


def test_a_graph_that_misleads_weighs_less_than_one_that_helps() -> None:
    interactions, knowledge, _, _ = directors_and_fans(0, fans=12)
    train, valid = interactions.split((0.7, 0.3), seed=0, by="row")
    helps = CEASE().fit(train, knowledge, valid=valid).config.knowledge_weight
    misleads = CEASE().fit(train, shuffled(knowledge, 0), valid=valid).config.knowledge_weight
    assert helps >= 2.5 > misleads, (helps, misleads)


def test_a_choice_whose_training_fails_is_left_out(
    sets: tuple[Interactions, Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    learn = EASE._learn

    def failing(self: EASE, data: TrainingData, *, cheaply: bool = False) -> np.ndarray | None:
        if self.config.l2 and self.config.l2 < 200:
            raise TrainingError("No inverse.")
        return learn(self, data, cheaply=cheaply)

    monkeypatch.setattr(EASE, "_learn", failing)
    model = EASE().fit(train, valid=valid)
    failed = [trial for trial in model.tried if trial["note"]]
    assert [(trial["note"], trial["chosen"]) for trial in failed] == [("No inverse.", False)]
    monkeypatch.setattr(EASE, "_learn", lambda *_, **__: (_ for _ in ()).throw(TrainingError("Never.")))
    with pytest.raises(TrainingError, match=r"Never\."):
        EASE().fit(train, valid=valid)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_liked_items_among_many_are_all_tried(seed: int) -> None:
    keys, users = np.arange(3_000), np.repeat(np.arange(300), 4)
    likes = Interactions.from_arrays(np.arange(300), keys, users, 7 * np.tile(np.arange(4), 300) + users % 3)
    train, valid = likes.split((0.8, 0.2), seed=seed, by="row")
    model = EASE().fit(train, valid=valid, seed=seed)
    assert len(model.known) <= 12 and not any(trial["note"] for trial in model.tried)


def test_als_adds_popularity_to_all_scores() -> None:
    interactions, _ = tiny()
    plain, more = ALS(l2=0.1).fit(interactions), ALS(l2=0.1, popularity=0.5).fit(interactions)
    users, items = np.indices((interactions.n_users, interactions.n_items)).reshape(2, -1)
    counts = np.bincount(interactions.likes().items, minlength=interactions.n_items)
    np.testing.assert_allclose(
        more.score(users, items), plain.score(users, items) + 0.5 * np.log1p(counts[items]), atol=1e-5
    )
    nobody = np.array([], dtype=np.int64)
    items, scores = more.recommend_for(nobody, interactions.n_items)
    before = dict(zip(*plain.recommend_for(nobody, interactions.n_items), strict=True))
    expected = [before[item] + 0.5 * np.log1p(counts[item]) for item in items]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_of_many_users_a_sample_is_measured(
    sets: tuple[Interactions, Interactions, Interactions], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    monkeypatch.setattr(validation_lists, "MOST_USERS", 50)
    model = EASE(settings="defaults").fit(train)
    one, other = (Validation(train, valid, seed=seed, items=None).measure(model) for seed in (0, 1))
    assert len(one.ndcg) == len(other.ndcg) == 50 and one.ndcg.mean() != other.ndcg.mean()
