"""DKN: its convolutions and attention one number at a time, titles, its road from triples to scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kgplug.data.interactions import Interactions
from kgplug.errors import DataError
from kgplug.recommenders.click_through.pairs import ClickThroughData, Pairs
from kgplug.recommenders.models import dkn
from kgplug.recommenders.models._dkn_titles import read_titles
from kgplug.recommenders.models.dkn import DKN, DKNTask, draw_histories, item_channels
from kgplug.recommenders.training_data import TrainingData
from tests.unit.helpers.planted import directors_and_fans, shuffled, tiny, unseen_share
from tests.unit.helpers.pretrained_stub import share_of_tails
from tests.unit.helpers.stirred import stirred

pytestmark = pytest.mark.training

SMALL = {
    "side": False,
    "embedding_dim": 4,
    "filters": 3,
    "hidden_dim": 5,
    "history": 2,
    "epochs": 3,
    "batch_size": 4,
    "device": "cpu",
}
PLANTED = {
    "side": False,
    "embedding_dim": 16,
    "filters": 32,
    "epochs": 60,
    "batch_size": 64,
    "learning_rate": 0.01,
    "device": "cpu",
}
TITLES = {0: "The war", 1: "war & Peace, the end", 2: "", 3: "End"}  # item 4 has none


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take vectors that need no training: which tails an item has, turned at random."""
    monkeypatch.setattr(dkn, "item_entities", share_of_tails)


def titled(interactions: Interactions) -> Interactions:
    return interactions.with_texts(TITLES)


def fitted(**settings) -> DKN:
    interactions, knowledge = tiny()
    return DKN(**{**SMALL, **settings}).fit(titled(interactions), knowledge, progress=False)


def weights_of(model: DKN) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}


def literal_vector(model: DKN, item: int) -> np.ndarray:
    """Build the matrix of channels of each token, slide each filter over it, take the largest."""
    w, network = weights_of(model), model.network
    channels = network.channels.double().numpy()
    turned = [
        np.tanh(w[f"turns.{c}.weight"] @ channel[item] + w[f"turns.{c}.bias"]) for c, channel in enumerate(channels)
    ]
    tokens = []
    for word, held in zip(network.words[item].tolist(), network.held[item].tolist(), strict=True):
        vector = w["word_vectors"][word] if word else np.zeros(4)
        tokens.append(np.concatenate([vector, *turned]) * held)
    found = []
    for number, width in enumerate(model.config.widths):
        weight, bias = w[f"convolutions.{number}.weight"], w[f"convolutions.{number}.bias"]
        for f in range(3):
            windows = [np.concatenate(tokens[t : t + width]) for t in range(len(tokens) - width + 1)]
            found.append(max(max(0.0, float(weight[f] @ window + bias[f])) for window in windows))
    return np.array(found)


def literal_dnn(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> float:
    hidden = np.maximum(w[f"match.{name}_layer.weight"] @ x + w[f"match.{name}_layer.bias"], 0)
    return float(w[f"match.{name}_output.weight"][0] @ hidden + w[f"match.{name}_output.bias"][0])


def literal_logit(model: DKN, liked: list[int], item: int) -> float:
    w, candidate = weights_of(model), literal_vector(model, item)
    history = [literal_vector(model, i) for i in liked]
    if model.config.attention == "dot":
        near = [float(h @ candidate) for h in history]
    else:
        near = [literal_dnn(w, "attention", np.concatenate([h, candidate])) for h in history]
    total = sum(math.exp(x) for x in near)
    user = sum((math.exp(x) / total * h for x, h in zip(near, history, strict=True)), np.zeros(len(candidate)))
    score = (
        user @ candidate if model.config.head == "dot" else literal_dnn(w, "head", np.concatenate([user, candidate]))
    )
    return float(score + w["global_bias"][0])


@pytest.mark.parametrize(
    ("attention", "head", "context"), [("dot", "dot", True), ("dnn", "dot", False), ("dnn", "dnn", True)]
)
def test_scores_are_those_of_the_equations(attention: str, head: str, context: bool) -> None:
    model = stirred(fitted(attention=attention, head=head, context=context))
    assert np.allclose(model.item_vectors(), [literal_vector(model, i) for i in range(5)], atol=1e-5)
    users, items = np.indices((4, 5)).reshape(2, -1)
    liked = [[int(i) for i in row if i >= 0] for row in model.network.histories]
    expected = [1 / (1 + math.exp(-literal_logit(model, liked[u], i))) for u, i in zip(users, items, strict=True)]
    assert np.allclose(model.score(users, items), expected, atol=1e-5)
    assert np.allclose(model._score_block(np.arange(4)).ravel(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["dot", "dnn"])
def test_in_training_the_like_is_left_out_of_the_history(kind: str) -> None:
    model, (interactions, _) = stirred(fitted(history=3, attention=kind, head=kind)), tiny()
    likes = interactions.likes().matrix()
    task = DKNTask(model.network, model.config, ClickThroughData(interactions, None, seed=0), likes)
    task.batches(0, np.random.default_rng(0))
    pairs = Pairs(
        np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 3, 3, 4, 0]), np.array([1.0, 1, 1, 0, 0, 0], np.float32)
    )
    with torch.no_grad():
        logits, _ = task.logits(pairs)
    rows = [([1], 0), ([], 1), ([], 3), ([1], 3), ([], 4), ([], 0)]
    assert np.allclose(logits.numpy(), [literal_logit(model, liked, item) for liked, item in rows], atol=1e-5)


@pytest.mark.parametrize("cells", [1, 40, 100])
def test_blocks_of_users_and_items_change_nothing(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(attention="dnn")
    pairs = np.indices((4, 5)).reshape(2, -1)
    whole, block = model.score(*pairs), model._score_block(np.arange(4))
    monkeypatch.setattr(dkn, "_CELLS", cells)
    assert np.allclose(model.score(*pairs), whole, atol=1e-6)
    assert np.allclose(model._score_block(np.arange(4)), block, atol=1e-6)


def test_titles_are_words_in_lower_case_and_an_empty_one_is_a_token_without_a_word() -> None:
    titles = read_titles(np.array(["B a!", "a, b c d", ""], dtype=object), most=3)
    assert titles.words.tolist() == [[2, 1, 0], [1, 2, 3], [0, 0, 0]] and titles.n_words == 4
    assert titles.held.tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert read_titles(np.array(["a"], dtype=object), most=9, least=2).words.tolist() == [[1, 0]]


def test_histories_are_drawn_from_the_likes_without_repetition() -> None:
    likes = tiny()[0].likes().matrix()
    drawn = [draw_histories(likes, 2, np.random.default_rng(seed)) for seed in range(20)]
    full = draw_histories(likes, 5, np.random.default_rng(0))
    for user in range(4):
        liked = set(likes[user].indices.tolist())
        assert sorted(i for i in full[user] if i >= 0) == sorted(liked)
        assert {int(i) for each in drawn for i in each[user] if i >= 0} == liked
        assert all(len({i for i in each[user] if i >= 0}) == min(2, len(liked)) for each in drawn)


def test_the_context_is_the_mean_of_the_neighbours() -> None:
    interactions, knowledge = tiny()
    found = share_of_tails("", TrainingData(interactions, knowledge))
    own, context = item_channels(found, knowledge, context=True)
    known, number = found.model.entity_vectors(), dict(zip(knowledge.entity_keys, range(99), strict=False))
    size = own[0, 0] / found.vectors[0, 0]
    assert np.allclose(context[1], (known[number["a"]] + known[number["b"]]) / 2 * size, atol=1e-6)
    assert not context[4].any() and not own[4].any()  # item 4 has no entity


def test_unseen_films_of_ones_director_come_first_and_not_with_shuffled_triples() -> None:
    interactions, knowledge, director, fan_of = directors_and_fans()
    likes = interactions.with_texts(dict.fromkeys(range(interactions.n_items), "a film"))
    right = unseen_share(DKN(**PLANTED).fit(likes, knowledge, progress=False), director, fan_of)
    wrong = unseen_share(DKN(**PLANTED).fit(likes, shuffled(knowledge), progress=False), director, fan_of)
    assert right > 0.35 and wrong < right - 0.2


def test_words_alone_tell_the_director_too() -> None:
    interactions, knowledge, director, fan_of = directors_and_fans()
    likes = interactions.with_texts({film: f"part {film} by d{d}" for film, d in enumerate(director)})
    model = DKN(**PLANTED).fit(likes, shuffled(knowledge), progress=False)
    assert unseen_share(model, director, fan_of) > 0.35


@pytest.mark.parametrize("texts", [None, {}])
def test_missing_titles_are_one_sentence(texts: dict | None) -> None:
    interactions, knowledge = tiny()
    likes = interactions if texts is None else interactions.with_texts(texts)
    with pytest.raises(DataError, match=r"none of the 5 items has one.* use interactions\.with_texts"):
        DKN(**SMALL).fit(likes, knowledge)


def test_texts_follow_their_items() -> None:
    interactions = titled(tiny()[0])
    some = interactions.aligned_to(interactions.user_keys, np.array([1, 3, 77], dtype=object))
    assert some.item_texts is not None and some.item_texts.tolist() == [TITLES[1], TITLES[3], ""]
    assert all(part.item_texts is interactions.item_texts for part in interactions.split((0.5, 0.5)))
