"""The split by users: no row of a test user reaches training, and such a user is scored by its profile alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kgplug
from kgplug import jobs, models
from kgplug.data.interactions import Interactions
from kgplug.data.list_hits import list_hits, ndcg
from kgplug.data.ranking.auc import auc
from kgplug.errors import DataError, UsageError
from kgplug.evaluation.ctr import label_pairs
from kgplug.evaluation.new_users import by_profile, profile_and_rest, with_profiles
from kgplug.graph.schema import GraphSchema
from kgplug.jobs import health as jobs_health
from kgplug.jobs.data import Sets
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.models.ease import EASE
from kgplug.recommenders.models.item_knn import ItemKNN
from kgplug.recommenders.models.popularity import Popularity
from kgplug.training.runs import Runs
from tests.unit.helpers import contract
from tests.unit.helpers.planted import directors_and_fans, two_tastes

NEW = jobs.Split((0.6, 0.2, 0.2), by="new-users")
shares = st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2), (0.5, 0.5), (1.0, 0.0), (0.1, 0.1, 0.8)])
cells = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 5)), min_size=1, unique=True)


def _rows(pairs: list[tuple[int, int]]) -> Interactions:
    users, items = np.array(pairs).T
    return Interactions.from_arrays(np.arange(20), np.arange(6), users, items, timestamps=(users * 7 + items) % 11)


@given(cells, shares, st.sampled_from(["random", "time"]), st.integers(0, 9))
def test_no_two_sets_have_a_user_in_common_and_the_fractions_are_of_users(pairs, fractions, order, seed) -> None:
    rows = _rows(pairs)
    parts = rows.split(fractions, seed=seed, by="new-users", order=order)
    assert sorted(np.concatenate([part.pairs for part in parts])) == list(rows.pairs)
    users = [set(part.users.tolist()) for part in parts]
    assert sum(map(len, users)) == len(set(rows.users.tolist()))
    for share, found in zip(fractions, users, strict=True):
        assert abs(len(found) - share * len(set(rows.users.tolist()))) < 1


def test_one_more_user_moves_at_most_one_other_at_each_cut_and_its_set_is_random() -> None:
    pairs = [(user, item) for user in range(20) for item in range(6)]
    whole = _rows(pairs).split((0.5, 0.3, 0.2), by="new-users")
    fewer = _rows([pair for pair in pairs if pair[0] != 7]).split((0.5, 0.3, 0.2), by="new-users")
    moved = sum(len(set(one.users) ^ set(other.users) - {7}) for one, other in zip(whole, fewer, strict=True))
    assert moved <= 2 * 2 + 1  # a moved user leaves one set and joins another
    tested = [set(_rows(pairs).split((0.8, 0.2), seed=seed, by="new-users")[1].users.tolist()) for seed in range(40)]
    assert set().union(*tested) == set(range(20)) and tested[0] != tested[1]


def test_profiles_have_four_fifths_of_a_users_rows_by_time_the_earliest() -> None:
    rows = _rows([(user, item) for user in range(20) for item in range(5)])
    profile, rest = profile_and_rest(rows, order="time")
    assert np.bincount(profile.users).tolist() == [4] * 20 and np.bincount(rest.users).tolist() == [1] * 20
    assert profile.timestamps is not None and rest.timestamps is not None
    for user in range(20):
        assert profile.timestamps[profile.users == user].max() <= rest.timestamps[rest.users == user].min()


def test_runs_of_other_splits_keep_their_fingerprint_and_early_runs_know_no_split_by_users() -> None:
    fields = {"fractions": (0.8, 0.1, 0.1), "seed": 0, "by": "user", "order": "random", "method": "keys"}
    assert asdict(jobs.Split()) == fields
    with pytest.raises(UsageError, match=r"early runs"):
        _rows([(0, 0), (1, 1)]).split((0.5, 0.5), by="new-users", method="positions")


@pytest.mark.training
@pytest.mark.parametrize("name", ["EASE", "MF", "Blend", "CEASE"])
def test_no_row_of_a_validation_or_test_user_reaches_training(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interactions, knowledge, *_ = directors_and_fans(fans=6)
    fit, fitted = Recommender.fit, []

    def watched(self: Recommender, rows: Interactions, *others: object, **options: object) -> Recommender:
        fitted.append((rows, options.get("valid")))
        return fit(self, rows, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Recommender, "fit", watched)
    data, runs = jobs.GraphData(GraphSchema(), interactions, knowledge), Runs(tmp_path)
    settings = contract.SETTINGS[name]
    run_dir = jobs.train(name, data, runs, settings=settings, split=NEW, progress=False)
    train, valid, test = (set(part.users.tolist()) for part in NEW.interactions(interactions) if part is not None)
    assert valid and test and not train & (valid | test)
    assert fitted
    for rows, own_valid in fitted:
        assert set(rows.users.tolist()) <= train
        assert own_valid is None or set(own_valid.users.tolist()) <= train
    model = models.load(run_dir)
    assert isinstance(model, Recommender)
    assert set(np.flatnonzero(np.diff(model.seen.indptr)).tolist()) == train
    assert 0.5 < runs.info(run_dir).metrics["AUC (validation)"] <= 1
    assert not runs.info(run_dir).health


def test_a_model_whose_scores_are_not_numbers_becomes_a_run_without_a_metric(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interactions, *_ = directors_and_fans()
    monkeypatch.setattr(Popularity, "_score_new_users", lambda self, likes: np.full(likes.shape, np.nan, np.float32))
    data, runs = jobs.GraphData(GraphSchema(), interactions, None), Runs(tmp_path)
    assert runs.info(jobs.train("Popularity", data, runs, split=NEW, progress=False)).metrics == {}


def test_users_who_know_every_item_become_a_run_without_a_metric(tmp_path: Path) -> None:
    rows = _rows([(user, item) for user in range(20) for item in range(6)])
    data, runs = jobs.GraphData(GraphSchema(), rows, None), Runs(tmp_path)
    assert runs.info(jobs.train("Popularity", data, runs, split=NEW, progress=False)).metrics == {}


def test_too_few_users_for_a_training_set_are_said_plainly(tmp_path: Path) -> None:
    data = jobs.GraphData(GraphSchema(), _rows([(3, 0), (3, 1)]), None)
    split = jobs.Split((0.01, 0.09, 0.9), by="new-users")
    expected = r"leaves no row for training: there are 2 rows of 1 user, and the training set's fraction is 0\.01\. Use"
    with pytest.raises(DataError, match=expected):
        jobs.train("Popularity", data, Runs(tmp_path), split=split, progress=False)
    assert not Runs(tmp_path).list()


def test_signs_of_collapse_are_looked_for_in_lists_by_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, *_ = directors_and_fans(fans=6)
    train, valid, test = NEW.interactions(interactions)
    assert valid is not None
    model, measured = ItemKNN().fit(train), []
    monkeypatch.setattr("kgplug.evaluation.health.worse_than_popularity", lambda *given, **_: measured.append(given))
    jobs_health.after_training(model, Sets(train, valid, test), NEW, seconds=1.0)
    ((scoring, known, predicted),) = measured
    profile, rest = profile_and_rest(valid)
    assert np.array_equal(predicted.pairs, rest.pairs)
    assert np.array_equal(known.pairs, np.sort(np.concatenate([train.pairs, profile.pairs])))
    user = rest.users[:1]
    expected, _ = model.recommend_for(profile.items[profile.users == user[0]], 5)
    assert np.array_equal(scoring.recommend(user, 5)[0][0], expected)


@pytest.mark.training
@pytest.mark.parametrize("name", contract.NAMES)
def test_every_model_scores_a_user_by_the_profile_as_it_scores_a_new_user(name: str) -> None:
    interactions = contract.interactions()
    train, test = interactions.split((0.7, 0.3), by="new-users", seed=1)
    model = kgplug.create(name, **contract.SETTINGS[name])
    assert isinstance(model, Recommender)
    model.fit(train, contract.knowledge() if model.inputs.triples else None, progress=False)
    profile, _ = profile_and_rest(test)
    scoring = by_profile(model, with_profiles(train, profile))
    users = np.unique(profile.users)
    items, scores = scoring.recommend(users, 5)
    for user, listed, theirs in zip(users, items, scores, strict=True):
        mine = profile.take(profile.users == user)
        expected, values = model.recommend_for(mine.items[mine.is_like], 5, exclude=mine.items)
        assert np.array_equal(listed[listed >= 0], expected)
        close = {"rtol": 1e-3} if name in ("DKN", "RippleNet") else {"rtol": 1e-5, "atol": 1e-7}  # draws of each batch
        np.testing.assert_allclose(theirs[listed >= 0], values, **close)
        pairs = scoring.score(np.array([user]), np.arange(interactions.n_items))
        np.testing.assert_allclose(pairs[expected], values, rtol=1e-3, atol=1e-5)  # in lists, ties have one score


def test_metrics_of_new_users_are_those_of_slow_code() -> None:
    interactions = two_tastes(n_users=60)
    train, _, test = NEW.interactions(interactions)
    assert test is not None
    profile, rest = profile_and_rest(test)
    model = ItemKNN().fit(train)
    table = kgplug.evaluate(model, train, rest, profiles=profile, k=10, warn=False).iloc[0]
    recalls = []
    for user in np.unique(rest.likes().users):
        mine = profile.take(profile.users == user)
        listed, _ = model.recommend_for(mine.items[mine.is_like], 10, exclude=mine.items)
        right = set(rest.items[(rest.users == user) & rest.is_like].tolist())
        recalls.append(len(right & set(listed.tolist())) / len(right))
    assert table["recall@10"] == pytest.approx(np.mean(recalls)) and table["users"] == len(recalls)
    pairs = label_pairs(rest, [train, profile, rest], np.random.default_rng(0))
    scores = []
    for user, item in zip(pairs.users, pairs.items, strict=True):
        likes = profile.items[(profile.users == user) & profile.is_like]
        everything, values = model.recommend_for(likes, interactions.n_items)
        scores.append(dict(zip(everything.tolist(), values.tolist(), strict=True))[int(item)])
    assert table["AUC"] == pytest.approx(auc(pairs.labels, np.array(scores)))


@pytest.mark.parametrize("model", [ItemKNN, EASE])
def test_a_model_of_taste_beats_popularity_for_users_it_has_never_seen(model: type[Recommender]) -> None:
    interactions, *_ = directors_and_fans(fans=12)
    train, _, test = NEW.interactions(interactions)
    assert test is not None
    profile, rest = profile_and_rest(test)
    fitted = {"taste": model().fit(train), "popular": Popularity().fit(train)}
    table = kgplug.evaluate(fitted, train, rest, profiles=profile, baseline="popular", warn=False)
    found = {each.metric: each for each in table.attrs["differences"]}
    for metric in ("AUC", "NDCG@10", "recall@10"):
        assert found[metric].difference > 0.2 and found[metric].more_than_chance, str(found[metric])
    untaught = kgplug.evaluate(fitted, train, rest, warn=False)  # without profiles, all new users are alike
    assert untaught.loc["taste", "NDCG@10"] < table.loc["taste", "NDCG@10"] / 2


def test_users_who_are_not_new_are_refused() -> None:
    interactions = two_tastes()
    train, _, test = NEW.interactions(interactions)
    assert test is not None
    profile, rest = profile_and_rest(test)
    knowing = Popularity().fit(with_profiles(train, profile))
    with pytest.raises(UsageError, match=r"of these \d+ users are among the users that Popularity was fitted on"):
        kgplug.evaluate(knowing, train, rest, profiles=profile)
    seen, held_out = interactions.split((0.5, 0.5))
    profile, rest = profile_and_rest(held_out)
    with pytest.raises(UsageError, match=r"users are in the training set, such as .* Split the interactions with by="):
        kgplug.evaluate(Popularity().fit(seen), seen, rest, profiles=profile)
    with pytest.raises(UsageError, match=r"The test set leaks"):
        kgplug.evaluate(Popularity().fit(train), train, test, profiles=test)


def test_validation_users_without_a_profile_are_refused() -> None:
    train, valid, test = NEW.interactions(two_tastes(n_users=60))
    assert valid is not None and test is not None
    profile, rest = profile_and_rest(test)
    model = Popularity().fit(train)
    with pytest.raises(UsageError, match=r"No user of the validation set has a profile.* Omit valid\."):
        kgplug.evaluate(model, train, rest, valid=valid, profiles=profile)
    more, rest_of_valid = profile_and_rest(valid)
    both = with_profiles(profile, more)
    assert kgplug.evaluate(model, train, rest, valid=rest_of_valid, profiles=both, warn=False)["ACC"].notna().all()


@pytest.mark.training
def test_a_search_for_new_users_maximises_the_ndcg_of_their_lists(tmp_path: Path) -> None:
    interactions, *_ = directors_and_fans(fans=6)
    data, runs = jobs.GraphData(GraphSchema(), interactions, None), Runs(tmp_path)
    found = jobs.tune("EASE", data, runs, trials=3, split=NEW, progress=False)
    train, valid, _ = NEW.interactions(interactions)
    assert valid is not None
    profile, rest = profile_and_rest(valid)
    known = with_profiles(train, profile)
    model = by_profile(EASE(**found.settings).fit(train), known)
    users = np.unique(rest.likes().users)
    hits = list_hits(model.recommend(users, 10)[0], rest.likes(), users, (10,))[0]
    assert found.best == pytest.approx(ndcg(hits).mean(), abs=1e-6)
