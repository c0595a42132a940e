"""Rules: mined exactly, added up as defined, chosen on the validation set, explained, saved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import kgplug
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.embeddings import Rules, TransE
from kgplug.embeddings.prediction import ask, predict
from kgplug.embeddings.rules.choosing import chosen_ways, reciprocal_ranks
from kgplug.embeddings.rules.edges import Edges
from kgplug.embeddings.rules.mining import mine
from kgplug.embeddings.rules.rule_set import RuleSet
from kgplug.embeddings.rules.scoring import RuleScorer, known_rules
from kgplug.errors import DataError, RunError, UsageError
from tests.unit.helpers.literal_rules import fact_rules, path_rules, score, strengths_for

pytestmark = pytest.mark.training

N_ENTITIES, N_RELATIONS = 9, 3
MINING = {"min_support": 1, "min_confidence": 0.0, "pc": 2.0, "max_rules": 10**6, "max_steps": 10**9, "seed": 0}


def random_triples(seed: int, n: int = 40) -> np.ndarray:
    """Triples of a small random graph, some of them loops."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.integers(0, size, n) for size in (N_ENTITIES, N_RELATIONS, N_ENTITIES)], axis=1)
    return np.unique(drawn, axis=0)


def edges_of(triples: np.ndarray) -> Edges:
    return Edges.of_triples(triples, n_entities=N_ENTITIES, n_relations=N_RELATIONS)


def mined(triples: np.ndarray, **settings: float) -> tuple[RuleSet, float]:
    return mine(edges_of(triples), **{**MINING, **settings}, progress=False)  # type: ignore[arg-type]


def as_dict(rows: np.ndarray) -> dict[tuple[int, ...], tuple[int, ...]]:
    found = {tuple(row[:-2]): tuple(row[-2:]) for row in rows.tolist()}
    assert len(found) == len(rows)  # every rule once
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_mined_rules_and_their_counts_are_those_of_literal_loops(seed: int) -> None:
    triples = random_triples(seed)
    rules, share = mined(triples)
    assert share == 1
    assert as_dict(rules.paths) == path_rules(triples.tolist(), N_RELATIONS)
    assert as_dict(rules.facts) == fact_rules(triples.tolist(), N_RELATIONS)


def test_the_same_rules_are_found_if_relations_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    triples = random_triples(0)
    whole = mined(triples)[0]
    monkeypatch.setattr("kgplug.embeddings.rules.mining._COUNTS", 1)  # one relation at a time
    assert as_dict(mined(triples)[0].paths) == as_dict(whole.paths)


def test_a_repeated_triple_counts_once() -> None:
    triples = random_triples(0)
    once, twice = mined(triples)[0], mined(np.concatenate([triples, triples]))[0]
    assert np.array_equal(once.paths, twice.paths) and np.array_equal(once.facts, twice.facts)


def test_rules_below_a_minimum_are_left_out_and_the_most_confident_are_kept() -> None:
    triples = random_triples(1)
    rules = mined(triples)[0]
    confidences = rules.confidences(2.0)
    some = mined(triples, min_support=2, min_confidence=0.3)[0]
    support = np.concatenate([rules.paths[:, -2], rules.facts[:, -2]])
    assert len(some) == ((support >= 2) & (confidences >= 0.3)).sum() > 0
    few = mined(triples, max_rules=50)[0]
    assert 10 < len(few.facts) <= 50
    least = few.confidences(2.0)[len(few.paths) :].min()
    assert (confidences[len(rules.paths) :] > least + 0.001).sum() < 50  # a thousandth, the precision of the threshold


def test_the_most_confident_rules_are_kept_even_if_nothing_is_added_to_the_body() -> None:
    triples = random_triples(1)
    whole, few = (mined(triples, pc=1e-20, **limit)[0] for limit in ({}, {"max_rules": 300}))
    sure = [(rules.facts[:, -2] == rules.facts[:, -1]).sum() for rules in (whole, few)]
    assert 0 < sure[0] < 300 < len(whole.facts) and sure[1] == sure[0]


def test_a_sample_is_the_same_for_the_same_seed_and_its_estimates_are_close() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.integers(0, 300, 6000), rng.integers(0, 2, 6000), rng.integers(0, 300, 6000)], axis=1)
    half = drawn[: len(drawn) // 2] + np.array([0, 2, 0])  # relations 2 and 3 repeat half of 0 and 1
    triples = np.unique(np.concatenate([drawn, half]), axis=0)
    edges = Edges.of_triples(triples, n_entities=300, n_relations=4)

    def sample(seed: int, max_steps: int) -> tuple[RuleSet, float]:
        return mine(edges, **{**MINING, "min_support": 2, "seed": seed, "max_steps": max_steps}, progress=False)

    whole, _ = sample(0, 10**9)
    first, share = sample(3, 100_000)
    again, _ = sample(3, 100_000)
    other, _ = sample(4, 100_000)
    assert 0.05 < share < 0.6
    assert np.array_equal(first.paths, again.paths) and np.array_equal(first.facts, again.facts)
    assert not np.array_equal(first.paths, other.paths)
    exact, estimated = as_dict(whole.paths), as_dict(first.paths)
    paths = sorted((key for key in exact if key[2] >= 0), key=lambda key: -exact[key][0])
    for key in paths[:10]:
        assert estimated[key] == pytest.approx(exact[key], rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_a_literal_sum_for_every_triple(seed: int) -> None:
    triples = random_triples(seed)
    settings = {"min_support": 2, "min_confidence": 0.2}
    edges = edges_of(triples)
    scorer = RuleScorer(edges, known_rules(edges, mined(triples, **settings)[0]), pc=2.0)
    ways = np.array([[0.7, 0.5, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    queries = np.array([(x, step) for x in range(N_ENTITIES) for step in range(2 * N_RELATIONS)])
    broadcast = np.broadcast_to(ways, (len(queries), *ways.shape))
    found = scorer.scores(queries[:, 0], queries[:, 1], broadcast, predicted_only=True)
    for row, (x, step) in enumerate(queries.tolist()):
        start = [[t for t in triples.tolist() if t[1] == step % N_RELATIONS and t[0] != t[2]], step >= N_RELATIONS]
        of_x = [t[2] if start[1] else t[0] for t in start[0]].count(x) / max(1, len(start[0]))
        for y in range(N_ENTITIES):
            strengths = strengths_for((x, step, y), triples.tolist(), N_RELATIONS, pc=2.0, **settings)
            of_y = [t[0] if start[1] else t[2] for t in start[0]].count(y) / max(1, len(start[0]))
            for way, each in enumerate(ways):
                if not strengths:
                    assert np.isneginf(found[row, way, y])
                    continue
                expected = score(strengths, tuple(each)) + 1e-3 * (of_x + of_y)
                assert found[row, way, y] == pytest.approx(expected, abs=1e-5)


def test_with_discount_one_the_score_is_the_noisy_or_and_with_zero_the_maximum() -> None:
    triples = random_triples(2)
    edges = edges_of(triples)
    scorer = RuleScorer(edges, known_rules(edges, mined(triples)[0]), pc=2.0)
    ways = np.array([[[1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]])
    either, most = scorer.scores(np.array([0]), np.array([1]), ways, predicted_only=True)[0]
    confidences = scorer.rules.confidences(2.0)
    for y in range(1, N_ENTITIES):
        numbers = scorer.rules_for(0, 1, y)
        assert (np.diff(confidences[numbers]) <= 1e-6).all()  # strongest first
        if len(numbers) == 0:
            continue
        short = [n for n in numbers if n >= len(scorer.rules.paths) or scorer.rules.paths[n, 2] < 0]
        if short:
            assert 1 - np.exp(-either[y]) == pytest.approx(1 - np.prod(1 - confidences[short]), abs=2e-3)
        if numbers[0] >= len(scorer.rules.paths):
            assert 1 - np.exp(-most[y]) == pytest.approx(confidences[numbers[0]], abs=2e-3)


def test_ranks_to_choose_by_are_those_of_the_evaluation() -> None:
    triples = random_triples(3, n=60)
    model = Rules(min_support=1).fit(graph_of(triples), valid=triples[::4], progress=False)
    way = model._ways[:1]
    model._ways = np.tile(way, (2 * N_RELATIONS, 1))
    found = reciprocal_ranks(model.scorer, triples[::4], triples, way)[:, 0]
    ranks = model.ranks(triples[::4], triples)  # heads, tails
    np.testing.assert_allclose(found, 1 / np.concatenate([ranks[:, 1], ranks[:, 0]]))


def test_the_best_way_is_chosen_for_each_step_and_few_queries_hardly_count() -> None:
    reciprocal = np.array([[0.2, 0.9]] * 100 + [[0.9, 0.2]] * 50 + [[1.0, 0.0]])
    steps = np.array([0] * 100 + [1] * 50 + [2])
    assert chosen_ways(reciprocal, steps, n_steps=4, prior=10).tolist() == [1, 0, 1, 1]


def graph_of(triples: np.ndarray) -> KnowledgeGraph:
    keys = np.array([f"e{n}" for n in range(N_ENTITIES)], dtype=object)
    names = np.array(["A", "B", "C"], dtype=object)
    return KnowledgeGraph(keys, np.full(N_ENTITIES, "", dtype=object), names, triples)


def films(n: int = 60) -> tuple[KnowledgeGraph, KnowledgeGraph]:
    """Training and test triples: a sequel has its predecessor's director; one film in four lacks this triple."""
    rng = np.random.default_rng(0)
    rows, missing = [], []
    for film in range(n):
        director = f"d{rng.integers(0, 25)}"
        rows += [(f"f{film}", "SEQUEL", f"g{film}"), (director, "DIRECTED", f"f{film}")]
        rows += [(f"f{film}", "GENRE", f"genre{rng.integers(0, 4)}")]
        (missing if film % 4 == 0 else rows).append((director, "DIRECTED", f"g{film}"))
    whole = KnowledgeGraph.from_dataframe(pd.DataFrame(rows + missing, columns=["head", "relation", "tail"]))
    rank = {key: number for number, key in enumerate(whole.entity_keys)}
    names = list(whole.relations)
    held_out = np.array([(rank[h], names.index(r), rank[t]) for h, r, t in missing])
    known = {tuple(row) for row in held_out.tolist()}
    train = np.array([row for row in whole.triples.tolist() if tuple(row) not in known])
    return tuple(
        KnowledgeGraph(whole.entity_keys, whole.entity_labels, whole.relations, part) for part in (train, held_out)
    )  # type: ignore[return-value]


@pytest.fixture(scope="module")
def trained() -> Rules:
    return Rules().fit(films()[0], progress=False)


def test_a_planted_rule_is_found_and_predicts_the_held_out_links(trained: Rules) -> None:
    train, test = films()
    assert (1 / trained.ranks(test.triples, train.triples)).mean() > 0.9
    best = next(rule for rule in trained.best_rules(5, relation="DIRECTED") if "SEQUEL(Z, Y)" in rule.rule)
    assert (best.support, best.body_size) == (45, 60)
    assert best.rule == "DIRECTED(X, Y) <- DIRECTED(X, Z), SEQUEL(Z, Y)"
    assert best.body == [("DIRECTED", True), ("SEQUEL", True)]


def test_predicted_links_are_the_held_out_ones_with_the_rule_that_supports_each(trained: Rules) -> None:
    train, test = films()
    found = predict(trained, ask(trained, train, "DIRECTED"), k=len(test.triples)).to_dataframe()
    keys = trained.entity_keys
    expected = {(keys[h], keys[t]) for h, _, t in test.triples}
    assert len({*zip(found["head"], found["tail"], strict=True)} & expected) >= 0.9 * len(expected)
    assert found["reason"][0].startswith("DIRECTED(X, Y) <- DIRECTED(X, Z), SEQUEL(Z, Y)   0.73")


@pytest.mark.parametrize("end", ["head", "tail"])
@pytest.mark.parametrize("block", [1, 1000, 4_000_000])
def test_scores_of_pairs_are_those_of_single_triples_and_pairs_without_a_rule_are_not_predicted(
    trained: Rules, end: str, block: int
) -> None:
    few, many = np.arange(0, 30, 7), np.arange(0, len(trained.entity_keys), 2)
    heads, tails = (few, many) if end == "head" else (many, few)
    relation = list(trained.relations).index("DIRECTED")
    seen = 0
    for some_heads, some_tails, scores in trained.pair_scores(relation, heads, tails, block_floats=block):
        assert scores.shape == (len(some_heads), len(some_tails))
        pairs = np.array([(h, relation, t) for h in some_heads for t in some_tails])
        single = trained.score_triples(pairs).reshape(scores.shape)
        predicted = np.isfinite(scores)
        np.testing.assert_allclose(scores[predicted], single[predicted], atol=1e-6)
        assert all(
            bool(trained.explain(h, relation, t)) == predicted[i, j]
            for i, h in enumerate(some_heads.tolist()[:3])
            for j, t in enumerate(some_tails.tolist()[:9])
        )
        seen += scores.size
    assert seen == len(heads) * len(tails)


def test_a_rule_with_constants_is_written_with_their_keys() -> None:
    rows = [(f"p{n}", "PLAYS", "chess") for n in range(9)] + [(f"p{n}", "LIKES", "tea") for n in range(8)]
    rows += [("q", "LIKES", "milk"), ("q", "PLAYS", "go")]
    graph = KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
    model = Rules().fit(graph, progress=False)
    head, relation, tail = list(graph.entity_keys).index("p8"), 0, list(graph.entity_keys).index("tea")
    texts = [reason.text for reason in model.explain(head, relation, tail)]
    assert texts[0] == "LIKES(X, 'tea') <- PLAYS(X, 'chess')"
    assert "LIKES(X, 'tea') <- PLAYS(X, Z)" in texts


def test_a_saved_model_scores_explains_and_predicts_the_same(trained: Rules, tmp_path) -> None:
    train, test = films()
    trained.save(tmp_path / "run", split=None)
    assert isinstance(kgplug.load(tmp_path / "run"), Rules)
    loaded = Rules.load(tmp_path / "run")
    assert loaded.run == trained.run and loaded.history == trained.history and loaded.config == trained.config
    assert np.array_equal(loaded.score_triples(test.triples), trained.score_triples(test.triples))
    assert np.array_equal(loaded.ranks(test.triples, train.triples), trained.ranks(test.triples, train.triples))
    assert loaded.explain(*test.triples[0].tolist()) == trained.explain(*test.triples[0].tolist())


def test_a_second_training_forgets_the_first() -> None:
    model = Rules().fit(films()[0], valid=films()[1], progress=False)
    one = KnowledgeGraph.from_dataframe(pd.DataFrame([("a", "r", "b")], columns=["head", "relation", "tail"]))
    for graph in (one, films()[0]):
        model.fit(graph, progress=False)
        new = Rules().fit(graph, progress=False)
        assert np.array_equal(model._ways, new._ways) and model.history == new.history


def test_the_same_seed_gives_the_same_model() -> None:
    first, second = (Rules().fit(films()[0], seed=1, progress=False) for _ in range(2))
    assert np.array_equal(first.rules.facts, second.rules.facts) and np.array_equal(first._ways, second._ways)


def test_an_entity_is_erased_from_rules_and_triples(trained: Rules, tmp_path) -> None:
    from kgplug.data.artefact import read_artefact, write_artefact

    trained.save(tmp_path / "run", split=None)
    arrays, content = read_artefact(tmp_path / "run")
    entity = list(trained.entity_keys).index("genre1")
    assert (arrays["rules.facts"][:, [1, 3]] == entity).any()
    kept = Rules.user_arrays().without(arrays, entity, len(trained.entity_keys))
    assert not (kept["rules.facts"][:, [1, 3]] == entity).any()
    write_artefact(tmp_path / "erased", kept, content)
    after = Rules.load(tmp_path / "erased")
    assert len(after.rules.facts) < len(trained.rules.facts)
    assert np.isfinite(after.score_triples(films()[1].triples)).all()


def test_what_needs_vectors_is_refused_in_one_sentence(trained: Rules) -> None:
    for ask_for in (
        trained.entity_vectors,
        trained.relation_vectors,
        trained.publication,
        lambda: trained.nearest(0),
        lambda: trained.vectors_of(trained.entity_keys),
    ):
        with pytest.raises(UsageError, match=r"Rules has no vectors, so it cannot be published"):
            ask_for()


def test_bad_input_is_refused(trained: Rules, tmp_path) -> None:
    with pytest.raises(UsageError, match="not trained yet"):
        _ = Rules().scorer
    with pytest.raises(UsageError, match="index out of range"):
        trained.explain(0, 99, 0)
    with pytest.raises(UsageError, match='Unknown setting of Rules "suport"'):
        Rules(suport=2)
    with pytest.raises(DataError, match="needs at least one triple"):
        Rules().fit(graph_of(np.empty((0, 3), dtype=np.int64)))
    TransE(epochs=1, embedding_dim=4).fit(films()[0], progress=False).save(tmp_path / "other")
    with pytest.raises(RunError, match="holds TransE, not Rules"):
        Rules.load(tmp_path / "other")


def test_a_graph_without_rules_is_reported() -> None:
    graph = KnowledgeGraph.from_dataframe(pd.DataFrame([("a", "r", "b")], columns=["head", "relation", "tail"]))
    model = Rules(min_support=2).fit(graph, progress=False)
    assert model.health == ["no rule was found, so no link can be predicted"]
    assert np.isfinite(model.score_triples(graph.triples)).all()
    assert len(predict(model, ask(model, graph, "r", head_label="", tail_label=""), k=5)) == 0
