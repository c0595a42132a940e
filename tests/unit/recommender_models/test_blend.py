"""Blend: equal to its equations, better than its members, made of models or runs, saved as one model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.errors import UsageError
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.models._blend_members import keep, kept
from kgplug.recommenders.models.als import ALS
from kgplug.recommenders.models.blend import Blend, listwise_weights
from kgplug.recommenders.models.ease import EASE
from kgplug.recommenders.models.mf import MF
from tests.unit.helpers.planted import directors_and_fans, popular

pytestmark = pytest.mark.training

Sets = tuple[Interactions, Interactions, Interactions]


@pytest.fixture(scope="module")
def sets() -> Sets:
    return popular(0).split((0.6, 0.2, 0.2), seed=0, by="row")


def literal_loss(weights: np.ndarray, likes: np.ndarray, others: np.ndarray, lists: np.ndarray, n_items: int) -> float:
    """−log softmax of each like, against its user's other items, by loops."""
    total = 0.0
    for like, user in zip(likes, lists, strict=True):
        own = math.exp(sum(w * s for w, s in zip(weights, like, strict=True)))
        rest = sum(math.exp(sum(w * s for w, s in zip(weights, other, strict=True))) for other in others[user])
        total -= math.log(own / (own + rest * n_items / others.shape[1]))
    return total / len(likes) + 1e-4 * sum(w * w for w in weights)


def test_the_weights_are_the_best_of_the_written_out_likelihood() -> None:
    rng = np.random.default_rng(0)
    others, lists = rng.normal(size=(6, 20, 3)), np.repeat(np.arange(6), 4)
    likes = rng.normal(size=(24, 3)) + np.array([1.0, 0.3, -2.0])  # the third member is wrong
    found = listwise_weights(likes, others, lists, n_items=50)
    assert found[2] == 0 and found[0] > 0 and found[1] > 0
    best = literal_loss(found, likes, others, lists, 50)
    for change in (np.eye(3), -np.eye(3)):
        for step in change * 0.01:
            if (found + step >= 0).all():
                assert literal_loss(found + step, likes, others, lists, 50) > best
    same = listwise_weights(likes[:, [0, 0]], others[:, :, [0, 0]], lists, n_items=50)
    assert same[0] == pytest.approx(same[1], rel=1e-3)


def test_scores_and_lists_are_the_weighted_sum(sets: Sets) -> None:
    train, valid, _ = sets
    model = Blend(members="EASE,Popularity,MF", weights=(0.5, 0.25, 2.0)).fit(train, valid=valid, progress=False)
    users, items = np.indices((train.n_users, train.n_items)).reshape(2, -1)
    total = np.zeros((train.n_users, train.n_items))
    for weight, member in zip(model.config.weights, model.members, strict=True):
        own, side = member.score_parts(users, items)
        scores = (own + side).reshape(total.shape)
        likes = np.flatnonzero(np.diff(train.likes().matrix().indptr))
        some = likes[:: -(-len(likes) // 256)]
        total += weight * scores / scores[some].std(axis=1).mean()
    np.testing.assert_allclose(model.score(users, items).reshape(total.shape), total, atol=1e-4)
    listed, values = model.recommend(np.arange(train.n_users), 5)
    total[train.users, train.items] = -np.inf
    np.testing.assert_allclose(values, -np.sort(-total, axis=1)[:, :5], atol=1e-4)
    assert np.isfinite(np.take_along_axis(total, listed, axis=1)).all()
    liked = np.flatnonzero(train.likes().matrix()[0].toarray()[0])
    plain = {"settings": "defaults"}
    one = Blend(members="EASE", weights=(1.0,), member_settings=(plain,)).fit(train)
    np.testing.assert_array_equal(one.recommend_for(liked, 5)[0], EASE(**plain).fit(train).recommend_for(liked, 5)[0])


def test_it_is_better_than_its_members_where_each_knows_a_part(sets: Sets) -> None:
    train, valid, test = sets
    blend = Blend(members="EASE,Popularity", member_settings=({"settings": "defaults"}, {})).fit(train, valid=valid)
    assert min(blend.config.weights) > 0
    found = kgplug.evaluate({"blend": blend, "EASE": blend.members[0], "Popularity": blend.members[1]}, train, test)
    for metric in ("AUC", "NDCG@10"):
        assert found.loc["blend", metric] > found.loc[["EASE", "Popularity"], metric].max() - 1e-9, found
    again = Blend(members="EASE,Popularity", member_settings=({"settings": "defaults"}, {})).fit(train, valid=valid)
    assert again.config == blend.config and again.tried == blend.tried


def test_weights_are_doubled_and_halved_as_long_as_the_lists_become_better(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    monkeypatch.setattr(Blend, "_learnt_weights", lambda *_: np.array([0.02, 1.0]))
    blend = Blend(members="EASE,Popularity", member_settings=({"settings": "defaults"}, {})).fit(train, valid=valid)
    weights = [trial["settings"]["weights"] for trial in blend.tried]
    assert weights[:3] == [[0.02, 1.0], [0.04, 1.0], [0.08, 1.0]]
    values = {tuple(trial["settings"]["weights"]): trial["value"] for trial in blend.tried}
    assert values[blend.config.weights] > values[0.02, 1.0] and blend.config.weights[0] > 0.1


def test_a_member_that_is_clearly_better_alone_gets_all_weight(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid, _ = sets
    monkeypatch.setattr(Blend, "_learnt_weights", lambda *_: np.array([0.0, 1.0]))
    monkeypatch.setattr("kgplug.recommenders.models.blend._MOST_TURNS", 1)
    blend = Blend(members="EASE,ItemKNN", member_settings=({}, {"neighbours": 1})).fit(train, valid=valid)
    assert blend.config.weights == (1.0, 0.0)
    assert [trial["chosen"] for trial in blend.tried] == [False] * (len(blend.tried) - 1) + [True]
    np.testing.assert_array_equal(blend.recommend(np.arange(50), 9)[0], blend.members[0].recommend(np.arange(50), 9)[0])


def test_runs_are_members_like_models_and_a_run_of_other_rows_is_refused(sets: Sets, tmp_path: Path) -> None:
    train, valid, _ = sets
    MF(epochs=5).fit(train, valid=valid, progress=False).save(tmp_path / "mf")
    EASE().fit(train, valid=valid).save(tmp_path / "ease")
    of_runs = Blend(members=f"{tmp_path / 'mf'}, {tmp_path / 'ease'}").fit(train, valid=valid)
    of_models = Blend(members="MF,EASE", member_settings=({"epochs": 5}, {})).fit(train, valid=valid, progress=False)
    pairs = np.arange(99) % train.n_users, np.arange(99) % train.n_items
    np.testing.assert_array_equal(of_runs.score(*pairs), of_models.score(*pairs))
    assert of_runs.config.members == "MF,EASE" and of_runs.config.weights == of_models.config.weights
    unsure = Blend(members=f"{tmp_path / 'mf'},{tmp_path / 'ease'}").fit(train)  # no row is left to choose on
    assert unsure.config.weights == (0.5, 0.5)
    with pytest.raises(UsageError, match="is a run, which already has settings"):
        Blend(members=str(tmp_path / "mf"), member_settings=({"epochs": 3},))
    with pytest.raises(UsageError, match=r"run mf was trained on other rows .* Name its model instead \(MF\)"):
        Blend(members=str(tmp_path / "mf")).fit(train.take(np.arange(len(train) - 1)), valid=valid)


def test_saved_and_trained_again_it_keeps_members_settings_and_weights(sets: Sets, tmp_path: Path) -> None:
    train, valid, _ = sets
    model = Blend(members="MF,EASE", member_settings=({"epochs": 30, "patience": 2}, {})).fit(
        train, valid=valid, progress=False
    )
    model.save(tmp_path / "run")
    loaded = kgplug.load(tmp_path / "run")
    assert isinstance(loaded, Blend) and loaded.config == model.config and loaded.tried == model.tried
    users = np.arange(train.n_users)
    for one, other in zip(loaded.recommend(users, 9), model.recommend(users, 9), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.publication(k=3).lists is not None
    epochs = model.members[0].history["best_epoch"] + 1
    assert model.config.member_settings[0]["epochs"] == epochs
    every = train.take(np.arange(len(train) - 3))
    final = Blend(**model.config.model_dump()).fit(every, progress=False)
    assert final.config.weights == model.config.weights and len(final.members[0].history["losses"]) == epochs
    assert final.members[1].config.l2 == model.members[1].config.l2 and final.members[1].tried == []


def test_without_a_validation_set_a_tenth_chooses_and_all_rows_are_learnt(sets: Sets) -> None:
    train = sets[0]
    model = Blend(members="EASE,Popularity").fit(train)
    assert model.tried and len(set(model.config.weights)) == 2
    assert all((member.seen != model.seen).nnz == 0 for member in model.members)
    few = Blend(members="EASE,Popularity").fit(train.take(np.arange(500)))
    assert few.config.weights == (0.5, 0.5) and few.tried == []


def test_an_interrupted_blend_continues_with_the_members_that_are_trained(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid, _ = sets
    settings: dict[str, Any] = {"members": "MF,ALS", "member_settings": ({"epochs": 9}, {"embedding_dim": 8})}
    whole = Blend(**settings).fit(train, valid=valid, progress=False)
    trained: list[str] = []

    def interrupted(fit: Callable[..., Recommender]) -> Callable[..., Recommender]:
        def noted(self: Recommender, *data: object, **options: object) -> Recommender:
            trained.append(self.name)
            if trained == ["MF", "ALS"]:
                raise KeyboardInterrupt
            return fit(self, *data, **options)

        return noted

    monkeypatch.setattr(MF, "fit", interrupted(MF.fit))
    monkeypatch.setattr(ALS, "fit", interrupted(ALS.fit))
    path = tmp_path / "blend.safetensors"
    with pytest.raises(KeyboardInterrupt):
        Blend(**settings).fit(train, valid=valid, checkpoint=path, progress=False)
    assert [each.name for each in tmp_path.iterdir()] == ["blend-finished-member-0.safetensors"]
    resumed = Blend(**settings).fit(train, valid=valid, checkpoint=path, progress=False)
    assert trained == ["MF", "ALS", "ALS"] and list(tmp_path.iterdir()) == []
    assert resumed.config == whole.config
    users = np.arange(train.n_users)
    np.testing.assert_array_equal(resumed.recommend(users, 9)[1], whole.recommend(users, 9)[1])


def test_a_kept_member_of_other_data_or_a_damaged_file_is_trained_again(sets: Sets, tmp_path: Path) -> None:
    member = EASE(settings="defaults").fit(sets[0])
    path = tmp_path / "member.safetensors"
    keep(path, member, "these data")
    found = kept(path, "EASE", "these data", member)
    assert found is not None
    np.testing.assert_array_equal(found.recommend(np.arange(9), 5)[1], member.recommend(np.arange(9), 5)[1])
    assert kept(path, "EASE", "other data", member) is None
    content = bytearray(path.read_bytes())
    content[-5] ^= 255
    path.write_bytes(content)
    assert kept(path, "EASE", "these data", member) is None
    assert kept(tmp_path / "none", "EASE", "these data", member) is None


def test_without_a_validation_set_the_two_trainings_have_their_own_checkpoints(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGPLUG_CHECKPOINT_S", "0")
    model = Blend(members="MF,Popularity", member_settings=({"epochs": 20}, {}))
    model.fit(sets[0], checkpoint=tmp_path / "blend.safetensors", progress=False)
    assert model.tried and list(tmp_path.iterdir()) == []


def test_vectors_are_those_of_the_weightiest_member_and_never_of_one_without_weight(sets: Sets) -> None:
    train = sets[0]
    small = ({"embedding_dim": 4}, {}, {"epochs": 3, "embedding_dim": 8})
    model = Blend(members="ALS,EASE,MF", weights=(1.0, 9.0, 2.0), member_settings=small).fit(train, progress=False)
    items, users = model.item_vectors(), model.user_vectors()
    assert items is not None and users is not None
    assert items.shape == (train.n_items, 8) and users.shape == (train.n_users, 8)
    dead = ({"embedding_dim": 4, "l2": 1e9}, {}, {"epochs": 3})
    model = Blend(members="ALS,EASE,MF", weights=(0.0, 9.0, 0.0), member_settings=dead).fit(train, progress=False)
    assert model.item_vectors() is None and model.user_vectors() is None
    assert model.members[0].health and not model.health


def test_a_folder_with_a_model_s_name_is_not_taken_for_a_run(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "EASE").mkdir()
    monkeypatch.chdir(tmp_path)
    model = Blend(members="EASE,Popularity", weights=(1.0, 1.0)).fit(sets[0])
    model.save(tmp_path / "run")
    assert isinstance(kgplug.load(tmp_path / "run"), Blend)


def test_members_decide_what_it_needs_and_wrong_ones_are_one_sentence() -> None:
    assert not Blend(members="EASE, LightGCN").inputs.triples and Blend(members="EASE,MKR").inputs.triples
    assert Blend().inputs.triples and str(Blend().inputs) == "likes + triples"
    for members, message in (
        ("EASE,Blend", 'Unknown member of Blend "Blend"'),
        ("EASE,TransE", 'Unknown member of Blend "TransE"'),
        ("EASE,LihgtGCN", 'Unknown member of Blend "LihgtGCN".*LightGCN'),
        (" , ", "expected names of recommenders"),
    ):
        with pytest.raises(UsageError, match=message):
            Blend(members=members)
    with pytest.raises(UsageError, match=r'Unknown setting of MF "epoch"'):
        Blend(members="EASE,MF", member_settings=({}, {"epoch": 3}))
    with pytest.raises(UsageError, match="weights needs one entry for each of the 2 members"):
        Blend(members="EASE,MF", weights=(1.0,))
    for wrong in ((-1.0, 2.0), (0.0, 0.0)):
        with pytest.raises(UsageError, match="weights must be 0 or more, and one above 0"):
            Blend(members="EASE,MF", weights=wrong)


def test_a_graph_that_only_one_member_reads_helps_the_blend() -> None:
    interactions, knowledge, _, _ = directors_and_fans(0, fans=12)
    train, valid, test = interactions.split((0.5, 0.25, 0.25), seed=0, by="row")
    blend = Blend(members="CEASE,ALS", member_settings=({}, {"embedding_dim": 8})).fit(train, knowledge, valid=valid)
    found = kgplug.evaluate({"blend": blend, "CEASE": blend.members[0], "ALS": blend.members[1]}, train, test)
    assert found.loc["blend", "NDCG@10"] > found["NDCG@10"].drop("blend").max() - 0.01, found
    assert min(blend.config.weights) > 0
    assert found.loc["CEASE", "NDCG@10"] > found.loc["ALS", "NDCG@10"] + 0.05
