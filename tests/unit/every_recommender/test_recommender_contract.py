"""What every recommender must do, on a data set whose right answer is known.

The data and each model's settings are in `contract.py`. A model that is registered without settings there fails here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.ranking.ties import ROUNDING
from kgplug.errors import DataError, RunError, UsageError
from kgplug.recommenders.base import Recommender
from tests.unit.helpers import contract
from tests.unit.helpers.contract import N_USERS, NAMES, SETTINGS, left_out

pytestmark = pytest.mark.training

IMPERSONAL = {"Popularity"}  # gives everybody the same list, so it cannot tell the tastes apart


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return contract.interactions()


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    return contract.knowledge()


def _fit(name: str, interactions: Interactions, knowledge: KnowledgeGraph, **options) -> Recommender:
    model = kgplug.create(name, **SETTINGS[name])
    assert isinstance(model, Recommender)
    return model.fit(interactions, knowledge if model.inputs.triples else None, progress=False, **options)


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, interactions: Interactions, knowledge: KnowledgeGraph) -> Recommender:
    assert request.param in SETTINGS, f"{request.param} is registered: give it an entry in SETTINGS of contract.py"
    return _fit(request.param, interactions, knowledge)


def _everybody(model: Recommender) -> np.ndarray:
    return np.arange(len(model.user_keys))


def _all_pairs(model: Recommender) -> tuple[np.ndarray, np.ndarray]:
    users, items = np.indices((len(model.user_keys), len(model.item_keys))).reshape(2, -1)
    return users, items


def test_no_model_is_listed_here_that_is_not_registered() -> None:
    assert set(SETTINGS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_cites_a_source(name: str) -> None:
    text = type(kgplug.create(name)).__doc__ or ""
    assert re.search(r"\b(19|20)\d\d\b", text), f"the docstring of {name} names no paper with its year"
    assert any(word in text for word in ("et al.", '"', "“")), f"the docstring of {name} names no authors or title"


@pytest.mark.parametrize("name", NAMES)
def test_its_name_is_its_name_in_any_case(name: str) -> None:
    assert kgplug.create(name.lower()).name == name


def test_it_recommends_the_film_of_ones_taste(model: Recommender) -> None:
    users = np.arange(N_USERS)
    items, _ = model.recommend(users, 1)
    right = np.array([f"film {left_out(user):02}" for user in users])
    if model.name in IMPERSONAL:
        assert (items >= 0).all()
    else:
        assert (model.item_keys[items[:, 0]] == right).mean() >= 0.75  # a guess is right for one in seven


def test_scores_are_finite_and_probabilities_where_they_are_said_to_be(model: Recommender) -> None:
    scores = model.score(*_all_pairs(model))
    assert scores.dtype == np.float32 and np.isfinite(scores).all()
    if model.scores_are_probabilities:
        assert scores.min() >= 0 and scores.max() <= 1


def test_lists_are_what_the_scores_say(model: Recommender) -> None:
    n_users, n_items = len(model.user_keys), len(model.item_keys)
    scores = model.score(*_all_pairs(model)).reshape(n_users, n_items)
    items, listed = model.recommend(_everybody(model), n_items, exclude_seen=False)
    assert items.dtype == np.int64 and listed.dtype == np.float32
    assert np.allclose(listed, np.take_along_axis(scores, items, axis=1), rtol=1e-4, atol=1e-5)
    assert (np.diff(listed, axis=1) <= 0).all() and (np.sort(items, axis=1) == np.arange(n_items)).all()


def test_before_a_sigmoid_pairs_and_lists_have_the_same_scores(model: Recommender) -> None:
    own, side = model.score_parts(*_all_pairs(model))
    listed = model._unfinished_block(_everybody(model))[0]
    np.testing.assert_allclose((own + side).reshape(listed.shape), listed, rtol=1e-4, atol=1e-5)


def test_a_pair_has_the_same_score_next_to_any_other_pairs(model: Recommender) -> None:
    users, items = _all_pairs(model)
    order = np.random.default_rng(0).permutation(len(users))
    whole = model.score(users, items)
    assert np.allclose(model.score(users[order], items[order]), whole[order], rtol=1e-4, atol=1e-5)
    assert np.allclose(model.score(users[7:8], items[7:8]), whole[7:8], rtol=1e-4, atol=1e-5)
    assert model.score(users[:0], items[:0]).shape == (0,)


def test_seen_films_are_left_out_including_low_rated_ones(model: Recommender, interactions: Interactions) -> None:
    items, _ = model.recommend(_everybody(model), 99)
    seen = set(interactions.pairs.tolist())
    listed = [(user, item) for user, row in enumerate(items) for item in row if item >= 0]
    assert len(listed) == len(model.user_keys) * len(model.item_keys) - len(seen)
    assert not seen & {user * len(model.item_keys) + item for user, item in listed}


def test_more_rows_can_be_left_out_and_strangers_among_them_are_passed_over(model: Recommender) -> None:
    first, _ = model.recommend(np.array([3]), 1)
    frame = pd.DataFrame({"user": [3, 3, 12345], "film": [model.item_keys[first[0, 0]], "new", "new"]})
    more = Interactions.from_dataframe(frame, user="user", item="film")
    assert first[0, 0] not in model.recommend(np.array([3]), 99, also_seen=more)[0]
    assert model.recommend(np.array([3]), 1, exclude_seen=False, also_seen=more)[0][0, 0] != first[0, 0]


def test_only_and_exclude_take_numbers_or_masks_and_keep_scores(model: Recommender) -> None:
    users, wanted = _everybody(model), model.item_indices(["film 03", "film 99", "film 00"])
    assert model.item_keys[wanted].tolist() == ["film 03", "film 99", "film 00"]
    mask = np.isin(np.arange(len(model.item_keys)), wanted)
    items, scores = model.recommend(users, 3, exclude_seen=False, only=wanted)
    assert (np.sort(items, axis=1) == np.sort(wanted)).all()
    assert np.allclose(scores, model.score(np.repeat(users, 3), items.ravel()).reshape(-1, 3), rtol=1e-4, atol=1e-5)
    for may, may_not in ((mask, None), (None, ~mask), (None, np.flatnonzero(~mask))):
        same, _ = model.recommend(users, 3, exclude_seen=False, only=may, exclude=may_not)
        assert np.array_equal(same, items)
    both, _ = model.recommend(users, 3, exclude_seen=False, only=mask, exclude=wanted[:1])
    assert (both[:, 2] == -1).all() and wanted[0] not in both
    whole = model.recommend(users, 99)[0]
    kept, _ = model.recommend(users, 99, only=wanted)
    assert [row[row >= 0].tolist() for row in kept] == [row[mask[row] & (row >= 0)].tolist() for row in whole]


def test_invalid_filters_and_unknown_keys_are_refused_in_one_sentence(model: Recommender) -> None:
    with pytest.raises(UsageError, match=r"only: .* found keys\. model\.item_indices\(keys\) returns the indices"):
        model.recommend(np.array([0]), 3, only=np.array(["film 03"]))
    for wrong in (np.array([99]), np.array([-1])):
        with pytest.raises(UsageError, match=r"exclude: expected item indices from 0 to 12"):
            model.recommend(np.array([0]), 3, exclude=wrong)
    with pytest.raises(UsageError, match=r"only: expected item indices or a mask of 13 booleans"):
        model.recommend(np.array([0]), 3, only=np.array([True]))
    with pytest.raises(UsageError, match=rf"{model.name} does not know item 'film 77'"):
        model.item_indices(["film 03", "film 77"])
    assert model.item_indices(["film 77", "film 03"], skip_unknown=True).tolist() == [3]
    assert (model.recommend(np.array([0]), 3, only=np.array([], dtype=np.int64))[0] == -1).all()


def test_keys_give_a_table_with_the_lists_that_indices_give(model: Recommender) -> None:
    keys = model.user_keys[[3, 0]].tolist()
    table = model.recommend(users=keys, k=4, exclude=["film 00"])
    items, scores = model.recommend(np.array([3, 0]), 4, exclude=model.item_indices(["film 00"]))
    rows, ranks = np.nonzero(items >= 0)
    assert table.columns.tolist() == ["user", "item", "rank", "score"]
    assert table["user"].tolist() == [keys[row] for row in rows]
    assert table["item"].tolist() == model.item_keys[items[rows, ranks]].tolist()
    assert table["rank"].tolist() == (ranks + 1).tolist()
    assert table["score"].tolist() == scores[rows, ranks].tolist()
    alone = model.recommend(users=keys[0], k=4, exclude=["film 00"])
    pd.testing.assert_frame_equal(alone, table[table["user"] == keys[0]].reset_index(drop=True), rtol=1e-4)


def test_unknown_users_and_two_ways_at_once_are_refused(model: Recommender) -> None:
    with pytest.raises(UsageError, match=rf"{model.name} does not know .* 4711"):
        model.recommend(users=[4711])
    with pytest.raises(UsageError, match="not both"):
        model.recommend(np.array([0]), users=[model.user_keys[0]])  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="found neither"):
        model.recommend()  # type: ignore[call-overload]


def test_old_names_of_look_ups_work_and_warn(model: Recommender) -> None:
    with pytest.warns(DeprecationWarning, match="item_numbers is now called item_indices"):
        assert model.item_numbers(["film 03"]).tolist() == [3]


def test_diversity_changes_the_order_and_not_the_scores(model: Recommender) -> None:
    vectors = np.eye(2, dtype=np.float32)[np.arange(len(model.item_keys)) % 2]  # by taste
    users = _everybody(model)
    plain, diverse = (model.recommend(users, 4, vectors=vectors, diversity=share) for share in (0, 0.9))
    assert np.array_equal(plain[0], model.recommend(users, 4)[0])
    items, scores = diverse
    assert np.array_equal(items[:, 0], plain[0][:, 0]) and (items[:, 0] % 2 != items[:, 1] % 2).all()
    assert np.allclose(scores, model.score(np.repeat(users, 4), items.ravel()).reshape(-1, 4), rtol=1e-4, atol=1e-5)
    if model.item_vectors() is not None:
        assert model.recommend(users, 4, diversity=0.5)[0].shape == (13, 4)


def test_k_beyond_the_catalogue_gives_shorter_lists_with_end_marks(model: Recommender) -> None:
    items, scores = model.recommend(np.array([0]), 1000)
    assert items.shape == scores.shape == (1, len(model.item_keys))
    ended = items[0] == -1
    assert ended.any() and (np.isneginf(scores[0]) == ended).all() and (np.diff(ended.astype(int)) >= 0).all()


def test_a_user_without_a_like_gets_a_list(model: Recommender) -> None:
    user = model.user_index(99)
    items, scores = model.recommend(np.array([user]), 5)
    assert (items >= 0).all() and np.isfinite(scores).all()


def test_somebody_who_was_not_in_the_training_gets_the_taste_of_the_likes(model: Recommender) -> None:
    for taste in (0, 1):
        likes = model.item_indices([f"film {film:02}" for film in range(taste, 8, 2)])
        items, scores = model.recommend_for(likes, 99)
        assert items.dtype == np.int64 and scores.dtype == np.float32 and np.isfinite(scores).all()
        assert len(items) == len(model.item_keys) - len(likes) and not np.isin(items, likes).any()
        assert (np.diff(scores) <= 0).all()
        if model.scores_are_probabilities:
            assert scores.min() >= 0 and scores.max() <= 1
        if model.name not in IMPERSONAL:
            assert set(items[:2] % 2) == {taste}
        kept, _ = model.recommend_for(likes, 1, only=model.item_indices(["film 09"]))
        assert kept.tolist() == [9]
        nobody, _ = model.recommend_for(np.array([], dtype=np.int64), 3)
        assert len(nobody) == 3


def test_unknown_users_and_wrong_lengths_are_refused_in_one_sentence(model: Recommender) -> None:
    with pytest.raises(UsageError, match=r"does not know user 4711\. It knows 13, such as 0, 1, 2"):
        model.user_index(4711)
    with pytest.raises(UsageError, match=r"does not know item 'nothing'"):
        model.item_index("nothing")
    with pytest.raises(UsageError, match=r"k must be at least 1"):
        model.recommend(np.array([0]), 0)
    for wrong in (-1, len(model.user_keys)):
        with pytest.raises(UsageError, match=r"users: expected indices from 0 to 12"):
            model.recommend(np.array([wrong]), 1)
        with pytest.raises(UsageError, match=r"users: expected indices from 0 to 12"):
            model.score(np.array([wrong]), np.array([0]))
    for wrong in (-1, len(model.item_keys)):
        with pytest.raises(UsageError, match=r"items: expected indices from 0 to \d+, found"):
            model.score(np.array([0]), np.array([wrong]))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_is_not_trained_says_so(name: str, tmp_path: Path) -> None:
    model, nobody = kgplug.create(name), np.array([0])
    assert isinstance(model, Recommender)
    for ask in (
        lambda: model.recommend(nobody, 1),
        lambda: model.score(nobody, nobody),
        lambda: model.recommend_for(nobody, 1),
        lambda: model.save(tmp_path / "run"),
    ):
        with pytest.raises(UsageError, match=rf"{name} is not trained yet: call fit"):
            ask()


def _clear(scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return for which users each two neighbouring scores are clearly tied or clearly not, bool (n_users,)."""
    gaps = -np.diff(-np.sort(-scores.astype(float), axis=1), axis=1)
    tolerance = sizes[:, None] * ROUNDING
    return np.all((gaps <= tolerance / 2) | (gaps > 2 * tolerance), axis=1)


def test_blocks_of_users_change_nothing(model: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    users = _everybody(model)
    whole, scores = model.recommend(users, 4)
    unfinished = model._unfinished_block(users)[0]
    clear = _clear(unfinished, model._score_sizes(users, unfinished))
    monkeypatch.setattr(type(model), "score_block_cells", 3 * len(model.item_keys))
    blocks, again = model.recommend(users, 4)
    assert np.allclose(scores, again, rtol=1e-4, atol=1e-5) and (whole == blocks).mean() > 0.9
    assert np.array_equal(whole[clear], blocks[clear]) and clear.mean() > 0.5


@pytest.mark.parametrize("options", [{}, {"diversity": 0.4}], ids=["by score", "diverse"])
def test_rounding_changes_no_list(model: Recommender, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores as other processors, threads and sizes of blocks give them: off in their last digits."""
    users, rng, kind = _everybody(model), np.random.default_rng(0), type(model)
    if options:
        options = {**options, "vectors": rng.integers(-1, 2, size=(len(model.item_keys), 3)).astype(np.float32)}
    unfinished = model._unfinished_block(users)[0]
    clear = _clear(unfinished, model._score_sizes(users, unfinished))
    whole, likes = model.recommend(users, 5, **options)[0], model.item_indices(["film 00", "film 02"])
    true_block, true_new_users = kind._unfinished_block, kind._unfinished_new_users

    def off(scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return (scores + rng.uniform(-1, 1, scores.shape) * 2.0**-23 * sizes[:, None]).astype(np.float32)

    def block(self: Recommender, some: np.ndarray) -> tuple:
        scores, finish = true_block(self, some)
        return off(scores, self._score_sizes(some, scores)), finish

    def new_users(self: Recommender, some: sparse.csr_matrix) -> tuple:
        scores, finish = true_new_users(self, some)
        return off(scores, self._score_sizes(None, scores)), finish

    listed = model.recommend_for(likes, 5, **options)[0]
    monkeypatch.setattr(kind, "_unfinished_block", block)
    monkeypatch.setattr(kind, "_unfinished_new_users", new_users)
    for _ in range(5):
        assert np.array_equal(model.recommend(users, 5, **options)[0][clear], whole[clear])
        published = model.publication(k=5, **options).lists
        assert published is not None and np.array_equal(published.items[clear], whole[clear])
        assert np.array_equal(model.recommend_for(likes, 5, **options)[0], listed)


def test_saved_and_loaded_it_is_the_same_model(model: Recommender, tmp_path: Path) -> None:
    model.save(tmp_path / "run", note="kept")
    for again in (kgplug.load(tmp_path / "run"), type(model).load(tmp_path / "run")):
        assert isinstance(again, type(model))
        assert (again.config, again.seed, again.run, again.history) == (
            model.config, model.seed, model.run, model.history,
        )  # fmt: skip
        assert np.array_equal(again.user_keys, model.user_keys) and np.array_equal(again.item_keys, model.item_keys)
        assert np.array_equal(again.score(*_all_pairs(again)), model.score(*_all_pairs(model)))
        assert np.array_equal(again.liked.toarray(), model.liked.toarray()) and again.liked.nnz < again.seen.nnz
        for mine, theirs in zip(
            model.recommend(_everybody(model), 5), again.recommend(_everybody(again), 5), strict=True
        ):
            assert np.array_equal(mine, theirs)


def test_an_altered_run_and_a_run_of_another_model_are_refused(model: Recommender, tmp_path: Path) -> None:
    class Other(type(model)):  # type: ignore[misc]
        name = "Other"

    folder = tmp_path / "run"
    model.save(folder)
    with pytest.raises(RunError, match=f"holds {model.name}, not Other"):
        Other.load(folder)
    path = folder / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"truncated or altered"):
        kgplug.load(folder)


def test_what_is_published_fits_the_catalogue(model: Recommender) -> None:
    published = model.publication(k=3, details={"a": 1})
    assert (published.model, published.run, published.details) == (model.name, model.run, {"a": 1})
    assert re.fullmatch(r"[a-z0-9-]+", published.run)
    assert published.lists is not None and published.lists.items.shape == (13, 3)
    for part in published.vectors:
        assert part.vectors.dtype == np.float32 and len(part.vectors) == len(part.keys)
        assert np.isfinite(part.vectors).all()


@pytest.mark.parametrize("name", NAMES)
def test_unknown_settings_and_values_out_of_range_are_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UsageError, match=f'Unknown setting of {name} "embeding_dim"'):
        kgplug.create(name, embeding_dim=3)
    if "embedding_dim" in SETTINGS[name]:
        with pytest.raises(UsageError, match=f"{name}: embedding_dim=0"):
            kgplug.create(name, embedding_dim=0)


def test_the_same_seed_gives_the_same_model(
    model: Recommender, interactions: Interactions, knowledge: KnowledgeGraph
) -> None:
    again = _fit(model.name, interactions, knowledge)
    assert np.array_equal(again.score(*_all_pairs(again)), model.score(*_all_pairs(model)))
    assert again.run != model.run


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_learnt_from_is_one_sentence(name: str, interactions, knowledge) -> None:
    with pytest.raises(DataError, match=r"none of the .* training rows is a like"):
        _fit(name, interactions.with_like_threshold(6), knowledge)
    other = interactions.aligned_to(interactions.user_keys[1:], interactions.item_keys)
    with pytest.raises(UsageError, match=r"must come from the same split"):
        _fit(name, interactions, knowledge, valid=other)
    model = kgplug.create(name, **SETTINGS[name])
    if model.inputs.triples:
        with pytest.raises(DataError, match=r"needs a knowledge graph"):
            model.fit(interactions)
