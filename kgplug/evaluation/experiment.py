"""Experiments: several models on one test set, and click-through over several seeds."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.ranking.auc import auc_by_group
from kgplug.data.values.whole_numbers import whole_number
from kgplug.errors import TrainingError, UsageError
from kgplug.evaluation.beyond_accuracy import COLD, evaluate_beyond
from kgplug.evaluation.ctr import LabelledPairs, best_threshold, label_pairs, warm_items
from kgplug.evaluation.health import worse_than_popularity
from kgplug.evaluation.link_prediction import evaluate_link_prediction
from kgplug.evaluation.metrics import click_through
from kgplug.evaluation.metrics.click_through import AUC, ScoredPairs
from kgplug.evaluation.metrics.ranked_lists import NDCG
from kgplug.evaluation.new_users import by_profile, refuse_seen_users, with_profiles
from kgplug.evaluation.protocol import ClickThroughParts, Protocol, divide
from kgplug.evaluation.ranking import check_lengths, evaluate_ranking
from kgplug.evaluation.significance import compare_by_user
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.health import model_findings
from kgplug.renamed import renamed

if TYPE_CHECKING:
    from kgplug.embeddings.link_predictor import LinkPredictor

Evaluated: TypeAlias = "Recommender | LinkPredictor"
_log = logging.getLogger(__name__)

_TRAINING_PAIRS = 100_000  # maximum number of training likes that are scored for the median score
_SCORED_PAIRS = 1_000_000  # pairs scored at a time


def evaluate(
    models: Evaluated | Sequence[Evaluated] | Mapping[str, Evaluated],
    train: Interactions | KnowledgeGraph,
    test: Interactions | KnowledgeGraph,
    *,
    valid: Interactions | KnowledgeGraph | None = None,
    profiles: Interactions | None = None,
    k: int | Iterable[int] = (10, 20),
    seed: int = 0,
    relevant: Literal["likes", "all"] = "likes",
    beyond: bool = False,
    cold: int = COLD,
    baseline: str | None = None,
    warn: bool = True,
) -> pd.DataFrame:
    """Measure one or several models on one test set.

    Recommenders are measured on feedback, by click-through and full ranking. Embeddings are measured on triples, by
    link prediction (filtered, realistic ranks among all entities; see `kgplug.evaluation.link_prediction`).

    AUC and ACC are measured on the test likes and an equal number of negatives: the same users, with items that they
    have no feedback on. The negatives are the same for every model. For ACC, a probability of at least 0.5 counts as a
    like. For scores that are not probabilities, the threshold is the best one on the validation set or, without a
    validation set, the median score of training pairs. A user's list leaves out the items that this user has in `train`
    and `valid`. The reference page "Metrics" defines each metric.

    Several recommenders are also compared user by user, to find out whether a difference in AUC or in a list metric is
    more than chance. The test is a paired bootstrap over the test users, with Holm's correction for all comparisons of
    the table (`kgplug.evaluation.significance`). Its results are in `attrs["differences"]` of the returned table. They
    say whether other users would show a difference between these trained models, not whether models trained with
    another seed would.

    Args:
        models: One fitted model, several, or name → fitted model; all of one kind.
        train, test, valid: Sets of one split: `Interactions` for recommenders, `KnowledgeGraph` for embeddings. The
            models were fitted on `train`.
        profiles: Profiles of new users, for a split by "new-users": rows of users who have no row in `train`. If given,
            every user is scored as a new user, from the likes in the profile alone, and lists leave out the items of
            the profile. `profiles, test = kgplug.evaluation.new_users.profile_and_rest(test)` splits a test set into
            profiles and rows to predict. Omit `valid` unless its users also have profiles.
        k: Lengths of the lists.
        seed: Seed of the negatives.
        relevant: Which test rows are relevant in the list metrics: "likes" for those that are likes, or "all".
        beyond: Also measure novelty, diversity and popularity of the lists, and accuracy by groups
            (`kgplug.evaluation.beyond_accuracy`). These columns follow the others.
        cold: Number of training likes below which a user or item is cold.
        baseline: Name of the recommender with which the others are compared. None: the one with the highest NDCG at the
            lowest k.
        warn: Log the signs that a recommender has collapsed (`kgplug.evaluation.health`). `attrs["health"]` of the
            returned table has them in any case.

    Returns:
        One row per model, indexed by its name: AUC, ACC, then for each k precision@k, recall@k, F1@k, NDCG@k, hit@k,
        MRR@k and coverage@k. "users" is the number of users measured, "left out" the number of test users without a
        relevant row. Embeddings have MRR, hits@1, hits@3, hits@10, MRR heads and MRR tails.

        `attrs["differences"]` is a list with one `kgplug.evaluation.significance.Difference` per recommender (except
        the baseline) and metric. `pd.DataFrame(table.attrs["differences"])` makes it a table, and `print` shows each as
        a sentence.

    Raises:
        UsageError: test feedback was trained on, or the sets or models do not fit together.
        DataError: the test set has no like, or no triple.
    """
    lengths, named = check_lengths(k), _named(models)
    recommenders = {name: model for name, model in named.items() if isinstance(model, Recommender)}
    embeddings = {name: cast("LinkPredictor", model) for name, model in named.items() if name not in recommenders}
    if embeddings and recommenders:
        raise UsageError("Recommenders and embeddings have no metric in common. Evaluate models of one kind at a time.")
    expected: type[object] = KnowledgeGraph if embeddings else Interactions
    given: dict[str, object] = {"train": train, "test": test, "valid": valid}
    if profiles is not None:
        given["profiles"] = profiles
    if embeddings and profiles is not None:
        raise UsageError("profiles are those of new users, and embeddings have no users. Omit profiles.")
    for what, each in given.items():
        if each is not None and not isinstance(each, expected):
            raise UsageError(f"evaluate: {what} must be {expected.__name__}; found {type(each).__name__}.")
    sets: Any = (train, test, valid)  # their type was checked above
    if profiles is not None and valid is not None and not np.isin(sets[2].users, profiles.users).any():
        raise UsageError(
            "No user of the validation set has a profile, so this set cannot choose the threshold of ACC. Omit valid."
        )
    if baseline is not None and baseline not in recommenders:
        raise UsageError(
            f'baseline "{baseline}": expected one of the recommenders ({", ".join(recommenders) or "there is none"}).'
        )
    if embeddings:
        return _evaluate_embeddings(embeddings, *sets)
    table, by_user = evaluate_recommenders(
        recommenders, *sets, profiles=profiles, k=lengths, seed=seed, relevant=relevant, beyond=beyond, cold=cold,
        warn=warn,
    )  # fmt: skip
    table.attrs["differences"] = compare_by_user(by_user, NDCG.column(lengths[0]), baseline=baseline)
    return table


def _named(models: Evaluated | Sequence[Evaluated] | Mapping[str, Evaluated]) -> dict[str, Evaluated]:
    """Return models by name; models with the same name are numbered."""
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        several: list[Any] = [models] if _is_model(models) else list(cast("Sequence[Evaluated]", models))
        names = [model.name if _is_model(model) else repr(model) for model in several]
        named = {
            name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}": model
            for i, (name, model) in enumerate(zip(names, several, strict=True))
        }
    if not named:
        raise UsageError('evaluate() needs at least one model, such as model, [model, other] or {"MKR": model}.')
    for name, model in named.items():
        if not _is_model(model):
            raise UsageError(f'Model "{name}": expected a fitted model, found a {type(model).__name__}.')
    return named


def _is_model(value: object) -> bool:
    if isinstance(value, Recommender):
        return True
    from kgplug.embeddings.link_predictor import LinkPredictor

    return isinstance(value, LinkPredictor)


def _evaluate_embeddings(
    models: Mapping[str, LinkPredictor], train: KnowledgeGraph, test: KnowledgeGraph, valid: KnowledgeGraph | None
) -> pd.DataFrame:
    """Measure embeddings by link prediction, one row per model."""
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        if not model.is_trained:
            raise UsageError(f'Model "{name}" has not been fitted; call fit() first.')
        if not (
            np.array_equal(model.entity_keys, test.entity_keys) and np.array_equal(model.relations, test.relations)
        ):
            raise UsageError(
                f'Model "{name}" was fitted on other entities or relations than the test set has; take all sets from '
                "one split."
            )
        known = np.concatenate([each.triples for each in (train, valid, test) if each is not None])
        rows.append(evaluate_link_prediction(model, test.triples, known))
    return pd.DataFrame(rows, index=pd.Index(list(models), name="model"))


def evaluate_recommenders(
    models: Mapping[str, Recommender],
    train: Interactions,
    test: Interactions,
    valid: Interactions | None,
    *,
    profiles: Interactions | None = None,
    k: Iterable[int],
    seed: int = 0,
    relevant: Literal["likes", "all"] = "likes",
    beyond: bool = False,
    cold: int = COLD,
    warn: bool = True,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Measure recommenders by click-through and full ranking; the arguments are those of `evaluate`.

    Returns:
        (table, by_user): `table` has one row per model, as `evaluate` returns it. `by_user` maps the name of each model
        to a frame with one row per test user, indexed by the user's key. The frame has a column for AUC and for each
        list metric. The mean of a column is the metric.
    """
    lengths = check_lengths(k)
    seed = whole_number(seed, "seed")
    given = {"training": train, "profile": profiles, "validation": valid, "test": test}
    parts = {name: part for name, part in given.items() if part is not None}
    _check_parts(parts)
    for name, model in models.items():
        _check_model(name, model, test)
    scoring = dict(models)
    if profiles is not None:
        for learnt in (train, *models.values()):
            refuse_seen_users(learnt, profiles, test)
        train = with_profiles(train, profiles)
        scoring = {name: by_profile(model, train) for name, model in models.items()}
    rng = np.random.default_rng(seed)
    pairs = label_pairs(test, list(parts.values()), rng)
    held_out = valid is not None and bool(valid.is_like.any())
    reference = label_pairs(parts["validation"], list(parts.values()), rng) if held_out else _training_pairs(train, rng)
    rows: list[dict[str, Any]] = []
    by_user: dict[str, pd.DataFrame] = {}
    for name, model in scoring.items():
        scores = score_pairs(model, pairs)
        result = evaluate_ranking(model, train, test, valid=valid, k=lengths, relevant=relevant)
        row = {
            **_of_clicks(ScoredPairs(pairs.labels, scores, _threshold(model, reference, held_out=held_out))),
            **result.metrics,
            "users": result.users,
            "left out": result.left_out,
        }
        if beyond:
            row |= evaluate_beyond(
                model, train, test, valid=valid, k=lengths, relevant=relevant, cold=cold, pairs=pairs, scores=scores
            )
        rows.append(row)
        users, shares = auc_by_group(pairs.labels, scores, pairs.users)
        values = pd.DataFrame({AUC.name: shares}, index=users).join(result.by_user, how="outer")
        by_user[name] = values.set_index(test.user_keys[values.index])
    table = pd.DataFrame(rows, index=pd.Index(list(models), name="model"))
    findings = {name: model_findings(model) for name, model in models.items()}
    table.attrs["health"] = _health(scoring, findings, train, test, valid, warn=warn)
    return table, by_user


def _of_clicks(pairs: ScoredPairs) -> dict[str, float]:
    return {metric.name: metric.measure(pairs) for metric in click_through.METRICS}


def _health(
    models: Mapping[str, Recommender],
    findings: Mapping[str, list[str]],
    train: Interactions,
    test: Interactions,
    valid: Interactions | None,
    *,
    warn: bool,
) -> dict[str, list[str]]:
    """Return the signs of collapse by model name, and log them if `warn`. Healthy models are left out.

    The signs are those in `findings`, and lists that are clearly worse than lists of the most popular items.

    Args:
        models: Models by name.
        findings: Signs that are already known, by model name.
        train, test, valid, warn: As in `evaluate`.
    """
    found: dict[str, list[str]] = {}
    for name, model in models.items():
        worse = worse_than_popularity(model, train, test, valid=valid)
        said = findings[name] + ([] if worse is None else [worse])
        if said:
            found[name] = said
            if warn:
                _log.warning("%s: %s.", name, "; ".join(said))
    return found


@renamed(positive="like_threshold", split="fractions")
def evaluate_ctr(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph | None = None,
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    like_threshold: float | None = 4,
    seeds: Sequence[int] = (0, 1, 2),
    protocol: Protocol = "honest",
    progress: bool | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Train and test a model's click-through prediction, once per seed.

    A row is positive if its rating is at least `like_threshold`. Every row is positive if there are no ratings, or if
    ratings are only counts of merged source rows (`Interactions.ratings_are_counts`). One negative is drawn per
    positive, for the same user, among the items on which the user has no feedback at all.

    - protocol="honest": the positives are split by row, then negatives are drawn for each set.
    - protocol="paper": as in the papers, negatives are drawn once for all positives, then positives and negatives are
      split by row. The rows of one set then reveal rows of the other sets, so metrics are too high. The model gets the
      negatives of the training set as rows below `like_threshold`.

    The validation set chooses the epoch (by AUC, unless `goal` is given) and, for scores that are not probabilities,
    the threshold of ACC.

    Args:
        name: Name of the model, as in `kgplug.create`.
        interactions: All feedback.
        knowledge: Triples, for a model that needs them.
        fractions: Shares of the training, validation and test set.
        like_threshold: The lowest rating of a positive row; None: every row is positive.
        seeds: Each seed gives one split, one draw of negatives and one training.
        progress: Whether to show a progress bar. None: only on a terminal.
        settings: Settings of the model.

    Returns:
        One row per seed: model, protocol, seed, AUC, ACC, "warm AUC" (on pairs whose item has a training positive),
        "valid AUC" (on the validation set, to choose settings; NaN if it has no like), epochs, and training seconds.

    Raises:
        UsageError: a name, setting or argument is wrong.
        DataError: there are too few positives, or the model needs a knowledge graph and there is none.
    """
    from kgplug import models

    if len(seeds) == 0:
        raise UsageError("seeds: expected at least one, such as (0, 1, 2).")
    model = models.create(name, **settings)
    if not isinstance(model, Recommender):
        raise UsageError(
            f"{name} is an embedding, which predicts no clicks. Name a recommender (`kgplug models` lists them)."
        )
    if "goal" in type(model.config).model_fields:
        settings = {"goal": "clicks", **settings}
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        model = cast("Recommender", models.create(name, **settings))
        data = divide(interactions, fractions, like_threshold=like_threshold, protocol=protocol, seed=seed)
        began = time.perf_counter()
        model.fit(
            data.train, knowledge if model.inputs.triples else None, valid=data.valid, seed=seed, progress=progress
        )
        seconds = time.perf_counter() - began
        rows.append({
            "model": model.name,
            "protocol": protocol,
            "seed": seed,
            **measure_clicks(model, data),
            "epochs": len(model.history.get("losses", [])),
            "seconds": round(seconds, 2),
        })  # fmt: skip
    return pd.DataFrame(rows)


def measure_clicks(model: Recommender, data: ClickThroughParts) -> dict[str, float]:
    """Measure a fitted model as `evaluate_ctr` does.

    Return AUC, ACC and "warm AUC" of the test pairs, and "valid AUC", the AUC of the validation pairs.

    Args:
        model: Model fitted on `data.train`.
        data: Sets and pairs from `kgplug.evaluation.protocol.divide`.
    """
    pairs, scores = data.test_pairs, score_pairs(model, data.test_pairs)
    warm = warm_items(data.train)[pairs.items]
    valid = data.valid_pairs
    reference = valid or _training_pairs(data.train, np.random.default_rng(0))
    threshold = _threshold(model, reference, held_out=valid is not None)
    return {
        **_of_clicks(ScoredPairs(pairs.labels, scores, threshold)),
        "warm AUC": AUC.measure(ScoredPairs(pairs.labels[warm], scores[warm])),
        "valid AUC": math.nan if valid is None else AUC.measure(ScoredPairs(valid.labels, score_pairs(model, valid))),
    }


def score_pairs(model: Recommender, pairs: LabelledPairs) -> np.ndarray:
    """Return a model's scores of n pairs, float32 (n,), a block at a time. Raise TrainingError if one is NaN."""
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), _SCORED_PAIRS):
        block = slice(start, start + _SCORED_PAIRS)
        scores[block] = model.score(pairs.users[block], pairs.items[block])
    if np.isnan(scores).any():
        raise TrainingError(
            f"{model.name} gave scores that are not numbers. Train it again, if possible with a smaller learning_rate."
        )
    return scores


def _threshold(model: Recommender, reference: LabelledPairs, *, held_out: bool) -> float:
    """Return the score from which a pair counts as liked: 0.5 for probabilities.

    Args:
        model: The model.
        reference: Pairs to choose the threshold on, for scores that are not probabilities.
        held_out: True if the model was not trained on these pairs. Then the threshold with the highest accuracy on them
            is returned, otherwise their median score.
    """
    if model.scores_are_probabilities:
        return 0.5
    scores = score_pairs(model, reference)
    return best_threshold(reference.labels, scores) if held_out else float(np.median(scores))


def _training_pairs(train: Interactions, rng: np.random.Generator) -> LabelledPairs:
    """Return likes of the training set (a sample if there are many) and as many negatives of their users."""
    likes = np.flatnonzero(train.is_like)
    if len(likes) > _TRAINING_PAIRS:
        likes = np.sort(rng.choice(likes, _TRAINING_PAIRS, replace=False))
    return label_pairs(train.take(likes), [train], rng)


def _check_parts(parts: Mapping[str, Interactions]) -> None:
    """Raise UsageError if sets are from different splits or share a row."""
    names = list(parts)
    first = parts[names[0]]
    for name in names[1:]:
        if not parts[name].same_keys(first.user_keys, first.item_keys):
            raise UsageError(
                f"The {name} set and the {names[0]} set have different users or items; take both from one split."
            )
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            _refuse_shared(parts[other], parts[name].pairs, f"The {other} set", f"also in the {name} set")


def _check_model(name: str, model: Recommender, test: Interactions) -> None:
    """Raise UsageError if a model is not fitted, or was fitted on other keys or on test rows."""
    if not hasattr(model, "seen"):
        raise UsageError(f'Model "{name}" has not been fitted; call fit() first.')
    if not test.same_keys(model.user_keys, model.item_keys):
        raise UsageError(
            f'Model "{name}" was fitted on other users or items than the test set has; take all sets from one split.'
        )
    seen = model.seen.tocoo()
    pairs = seen.row.astype(np.int64) * test.n_items + seen.col
    _refuse_shared(test, pairs, "The test set", f'among the rows that model "{name}" was fitted on')


def _refuse_shared(rows: Interactions, pairs: np.ndarray, which: str, where: str) -> None:
    shared = np.flatnonzero(np.isin(rows.pairs, pairs))
    if len(shared):
        user, item = rows.user_keys[rows.users[shared[0]]], rows.item_keys[rows.items[shared[0]]]
        raise UsageError(
            f"{which} leaks: {len(shared):,} of its {len(rows):,} rows are {where}, such as user {user!r}, "
            f"item {item!r}. Fit on the training set only."
        )
