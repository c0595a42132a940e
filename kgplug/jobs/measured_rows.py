"""Choose the rows that runs are measured on: their own test sets, or rows on which several runs can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kgplug import models
from kgplug.data.artefact import read_arrays
from kgplug.data.kinds import Kind
from kgplug.data.row_memory import HASHES, NEW, SETS, TEST, TRAINING, VALIDATION, RowMemory, common_test_rows
from kgplug.errors import DataError, KgplugError, RunError
from kgplug.evaluation.new_users import PROFILE, is_in_profile
from kgplug.graph.graph import Graph
from kgplug.graph.schema import GraphSchema
from kgplug.jobs.data import Split, split_of

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.data.interactions import Interactions
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.embeddings.link_predictor import LinkPredictor
    from kgplug.recommenders.base import Recommender

TEST_ROWS, GONE = "test rows", "gone"
"""Columns with numbers of rows: those a run was measured on, and its own test rows that the graph no longer has."""


@dataclass
class MeasuredRun:
    """A run to measure on a graph with m rows, which are feedback relationships or triples.

    Attributes:
        run_dir: The run's folder.
        content: The run's content.json, parsed.
        sets: Set of each row in this run's split (TRAINING, VALIDATION or TEST; NEW if the run does not have the row),
            int8 (m,).
        knows: Whether the run has all keys in each row (user and item, or head and tail), bool (m,).
        gone: Number of test rows that the graph no longer has.
    """

    run_dir: Path
    content: dict[str, Any]
    sets: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int8))
    knows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    gone: int = 0

    @property
    def schema(self) -> GraphSchema:
        return GraphSchema.model_validate(self.content["schema"])

    @property
    def split(self) -> Split:
        return split_of(self.content)

    @property
    def own_test(self) -> np.ndarray:
        """Mask of the rows that are in the run's own test set, bool (m,)."""
        return (self.sets == TEST) & self.knows


class TestRows:
    """The rows on which runs of one kind are measured, out of the m rows (feedback or triples) of one graph.

    Attributes:
        runs: The runs. `recall` removes those that cannot be measured.
        rows: Mask of the common test rows, bool (m,); None if each run is measured on its own test set.
        notes: Sentences on how the rows were chosen.
        comparable: Whether all runs are measured on the same rows.
        by_user: Name of each measured recommender's run → its metrics of each test user
            (`kgplug.evaluation.experiment.evaluate_recommenders`).
    """

    what = "rows"

    def __init__(self, graph: Graph, runs: list[MeasuredRun], progress: bool | None) -> None:
        self.runs, self.notes = runs, list[str]()
        self.rows: np.ndarray | None = None
        self.comparable = True
        self.by_user: dict[str, pd.DataFrame] = {}
        newest = max(runs, key=lambda run: str(run.content.get("created") or run.content.get("run")))
        self.schema = newest.schema
        self.hashes = self.read(graph, progress)

    def read(self, graph: Graph, progress: bool | None) -> np.ndarray:
        """Read the graph and return the hash of each row, uint64 (m,)."""
        raise NotImplementedError

    def split_again(self, run: MeasuredRun, split: Split) -> RowMemory | None:
        """Split again to find each row's set, for a run that did not save it; return None if the graph has changed."""
        raise NotImplementedError

    def known_to(self, content: dict[str, Any]) -> np.ndarray:
        """Return, for each row, whether a run knows all of the row's keys: bool (m,).

        `content` is the run's parsed content.json.
        """
        raise NotImplementedError

    def measure(self, run: MeasuredRun, k: tuple[int, ...], beyond: bool) -> pd.DataFrame:
        """Return the metrics of a run as a table with one row.

        Args:
            k: Lengths of lists; for recommenders only.
            beyond: Also measure beyond accuracy; for recommenders only.
        """
        raise NotImplementedError

    def testable(self) -> np.ndarray:
        """Return the mask of the rows that are allowed as common test rows, bool (m,)."""
        return np.ones(len(self.hashes), dtype=bool)

    def likes(self, rows: np.ndarray) -> int:
        """Return how many of the rows in the mask `rows`, bool (m,), can be measured.

        These are all rows if the rows are triples, and only the likes if they are feedback.
        """
        return int(rows.sum())

    def recall(self) -> list[tuple[MeasuredRun, KgplugError]]:
        """Find the test rows of each run, then the common ones. Return the runs for which this fails, with errors."""
        failed, whole = list[tuple[MeasuredRun, KgplugError]](), list[MeasuredRun]()
        for run in self.runs:
            try:
                self._recall(run)
                whole.append(run)
            except KgplugError as error:
                failed.append((run, error))
        self.runs = whole
        if len(whole) > 1:
            self._choose_common()
        return failed

    def _recall(self, run: MeasuredRun) -> None:
        memory = RowMemory.from_arrays(read_arrays(run.run_dir, (HASHES, SETS)))
        memory = memory or self.split_again(run, run.split)
        if memory is None:
            raise RunError(
                f"Run {run.run_dir.name} is of an earlier version of kgplug, which did not save its test set, and the "
                "graph has changed since. Train again, then evaluate."
            )
        n_test = memory.count(TEST)
        if n_test == 0:
            if share := run.split.fractions[2]:
                raise DataError(
                    f"Run {run.run_dir.name} has no test set: its fraction, {share:g}, gave it no {self.what}, or they "
                    "were erased. Use a larger last fraction in --split, or add data, and train again."
                )
            raise DataError(
                f"Run {run.run_dir.name} was trained without a test set. Train with one, such as --split 0.8,0.1,0.1."
            )
        run.sets, run.knows = memory.sets_of(self.hashes), self.known_to(run.content)
        run.gone = n_test - int(run.own_test.sum())
        if run.gone == n_test:
            raise RunError(
                f"Run {run.run_dir.name} was trained on data that the graph no longer has: none of its {n_test:,} "
                f"test {self.what} is left. Train again, then evaluate."
            )
        if run.gone:
            self.notes.append(
                f"Skipped {run.gone:,} of the {n_test:,} test {self.what} of run {run.run_dir.name}: no longer in the "
                "graph."
            )

    def _choose_common(self) -> None:
        own = [run.own_test for run in self.runs]
        if all(np.array_equal(own[0], other) for other in own[1:]):
            return
        common = common_test_rows([run.sets for run in self.runs]) & self.testable()
        known = np.logical_and.reduce([run.knows for run in self.runs])
        rows = common & known
        n, unknown = int(rows.sum()), int((common & ~known).sum())
        if self.likes(rows) == 0:
            self.comparable = False
            self.notes.append(
                f"No test {self.what} were found on which these runs can be compared, so each run is measured on its "
                "own test set. Do not compare their metrics."
            )
            return
        self.rows = rows
        also = f" Skipped {unknown:,} more, because a run does not have their keys." if unknown else ""
        self.notes.append(
            f"The runs are compared on {n:,} {self.what} that are in at least one test set and in no training or "
            f"validation set.{also}"
        )

    def test_rows(self, run: MeasuredRun) -> np.ndarray:
        """Return the mask of the rows to measure a run on, bool (m,)."""
        return run.own_test if self.rows is None else self.rows


class TestFeedback(TestRows):
    def read(self, graph: Graph, progress: bool | None) -> np.ndarray:
        self.data = graph.read_interactions(self.schema, progress=progress)
        threshold = self.data.like_threshold
        if self.runs[0].split.by_users:
            self.notes.append(
                f"{', '.join(run.run_dir.name for run in self.runs)}: the test users are new. Of each user's rows, "
                f"{PROFILE[0]:.0%} are the profile that the model is given, and the others are tested. Do not compare "
                "these metrics with those of another split."
            )
        if len({run.schema.feedback[0].like_threshold for run in self.runs}) > 1:
            self.notes.append(
                "The runs differ in like_threshold. All are measured with that of the newest run: "
                + ("every row is a like." if threshold is None else f"ratings of at least {threshold:g} are likes.")
            )
        return self.data.row_hashes

    def split_again(self, run: MeasuredRun, split: Split) -> RowMemory | None:
        rows = self.data.with_like_threshold(run.schema.feedback[0].like_threshold)
        if run.content["data"]["interactions"] != rows.fingerprint:
            return None
        return RowMemory.of_sets(*(None if rows is None else rows.row_hashes for rows in split.interactions(rows)))

    def known_to(self, content: dict[str, Any]) -> np.ndarray:
        users, items = (
            np.isin(codes_of(mine, content[name]), NEW, invert=True)
            for mine, name in ((self.data.user_keys, "user_keys"), (self.data.item_keys, "item_keys"))
        )
        return users[self.data.users] & items[self.data.items]

    def testable(self) -> np.ndarray:
        users, testable = self.data.users, super().testable()
        for run in self.runs:
            if run.split.by_users:  # rows of a user with training rows do not test new users, even if added later
                learnt = (run.sets == TRAINING) | (run.sets == VALIDATION)
                testable &= ~np.isin(users, users[learnt])
        return testable

    def likes(self, rows: np.ndarray) -> int:
        return int(self.data.is_like[rows].sum())

    def measure(self, run: MeasuredRun, k: tuple[int, ...], beyond: bool) -> pd.DataFrame:
        from kgplug.evaluation.experiment import evaluate_recommenders

        model = cast("Recommender", models.load(run.run_dir))
        test, profile = self.test_rows(run), self._profile(run)
        held_out = run.knows & ~test & (run.sets != TRAINING)  # left out of lists, so they cannot count as wrong
        test, held_out = test & ~profile, held_out & ~profile
        rows, others, profiles = (
            self.data.take(mask).aligned_to(model.user_keys, model.item_keys) for mask in (test, held_out, profile)
        )
        table, by_user = evaluate_recommenders(
            {run.run_dir.name: model}, _learnt(model, rows), rows, others if len(others) else None,
            profiles=profiles if run.split.by_users else None, k=k, beyond=beyond, warn=False,
        )  # fmt: skip
        self.by_user |= by_user
        place = list(table.columns).index("left out") + 1
        table.insert(place, TEST_ROWS, [int(test.sum())])
        table.insert(place + 1, GONE, [run.gone])
        return table

    def _profile(self, run: MeasuredRun) -> np.ndarray:
        """Return the mask of the rows in the profiles of new users, bool (m,).

        If a run's split is by users, its test and validation users are new to the model. The profile is the part of a
        new user's rows that the model is given; the other rows are tested. For other splits, the mask is all false.
        """
        profile = np.zeros(len(self.data), dtype=bool)
        if run.split.by_users:
            tried = run.knows & (self.test_rows(run) | (run.sets == VALIDATION))
            profile[tried] = is_in_profile(self.data.take(tried), order=run.split.order)
        return profile


def _learnt(model: Recommender, like: Interactions) -> Interactions:
    """Return a model's training rows, including those that the graph no longer has. Likes are rated 1, other rows 0.

    Args:
        model: The model.
        like: A template: any interactions over the model's users and items. Only its users and items are used.
    """
    users, items = (part.astype(np.int64) for part in model.seen.nonzero())
    nothing = replace(like.take(np.empty(0, dtype=np.int64)), ratings=None, timestamps=None, like_threshold=None)
    rows = replace(nothing, users=users, items=items, counts=None, ratings_are_counts=False, weights=None)
    rows = rows.take(np.argsort(rows.pairs))
    liked_users, liked_items = (part.astype(np.int64) for part in model.liked.nonzero())
    is_liked = np.isin(rows.pairs, liked_users * rows.n_items + liked_items)
    return replace(rows, ratings=is_liked.astype(np.float32), like_threshold=1.0)


def codes_of(keys: np.ndarray, among: Sequence[Any]) -> np.ndarray:
    """Return the position of each of n keys in `among`, int64 (n,); NEW (-1) where missing."""
    import pandas as pd

    array = np.empty(len(among), dtype=object)
    array[:] = among
    return pd.Index(array, dtype=object).get_indexer(pd.Index(keys, dtype=object)).astype(np.int64)


class TestTriples(TestRows):
    what = "triples"

    def read(self, graph: Graph, progress: bool | None) -> np.ndarray:
        self.data = graph.read_knowledge(self.schema, progress=progress)
        return self.data.row_hashes

    def split_again(self, run: MeasuredRun, split: Split) -> RowMemory | None:
        if run.content["data"]["knowledge"] != self.data.fingerprint:
            return None
        return RowMemory.of_sets(*(None if rows is None else rows.row_hashes for rows in split.triples(self.data)))

    def known_to(self, content: dict[str, Any]) -> np.ndarray:
        return np.all(self._numbered(_vocabulary(content)) >= 0, axis=1)

    def _numbered(self, vocabulary: KnowledgeGraph) -> np.ndarray:
        """Return (head, relation, tail) of the graph's m triples as indices in a run, int64 (m, 3).

        The index is NEW (-1) if `vocabulary`, the run's entities and relations, does not have the entity or relation.
        """
        entities, relations = self.data.indices_in(vocabulary)
        head, relation, tail = self.data.triples.T
        return np.stack([entities[head], relations[relation], entities[tail]], axis=1)

    def measure(self, run: MeasuredRun, k: tuple[int, ...], beyond: bool) -> pd.DataFrame:
        import pandas as pd

        from kgplug.evaluation.health import no_better_than_guesses
        from kgplug.evaluation.link_prediction import count_untrained, evaluate_link_prediction

        del k, beyond
        model = cast("LinkPredictor", models.load(run.run_dir))
        triples, test = self._numbered(model.vocabulary), self.test_rows(run)
        metrics: dict[str, float] = evaluate_link_prediction(model, triples[test], known=triples[run.knows])
        learnt = replace(model.vocabulary, triples=triples[run.knows & (run.sets == TRAINING)])
        metrics["untrained"] = count_untrained(learnt, triples[test])
        metrics[TEST_ROWS], metrics[GONE] = int(test.sum()), run.gone
        table = pd.DataFrame([metrics], index=[run.run_dir.name])
        guesses = no_better_than_guesses(metrics["MRR"], 2 * int(test.sum()), len(model.entity_keys))
        found = list(dict.fromkeys([*model.findings(), *([] if guesses is None else [guesses])]))
        table.attrs["health"] = {run.run_dir.name: found} if found else {}
        return table


def _vocabulary(content: dict[str, Any]) -> KnowledgeGraph:
    from kgplug.data.knowledge_graph import KnowledgeGraph

    names = ("entity_keys", "entity_labels", "relations")
    keys, labels, relations = (np.array([*content[name], None], dtype=object)[:-1] for name in names)
    return KnowledgeGraph(keys, labels, relations, np.empty((0, 3), dtype=np.int64))


ROWS_OF_KIND: dict[Kind, type[TestFeedback | TestTriples]] = {
    Kind.RECOMMENDER: TestFeedback,
    Kind.EMBEDDING: TestTriples,
}
"""Kind of model → class of its test rows."""
