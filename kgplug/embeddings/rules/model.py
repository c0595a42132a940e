"""A model that predicts links by mined rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import torch

from kgplug.data.artefact import write_artefact
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.publication import PathRule, Publication
from kgplug.data.ranking.threads import row_blocks
from kgplug.data.row_memory import RowMemory
from kgplug.data.values.whole_numbers import whole_number
from kgplug.embeddings.link_predictor import LinkPredictor, PairScores
from kgplug.embeddings.parts.ranking import ScoreAll, filtered_ranks
from kgplug.embeddings.rules.choosing import chosen_ways, reciprocal_ranks
from kgplug.embeddings.rules.config import RulesConfig
from kgplug.embeddings.rules.edges import Edges
from kgplug.embeddings.rules.mining import mine
from kgplug.embeddings.rules.rule_set import HEAD, NONE, Reason, RuleSet
from kgplug.embeddings.rules.scoring import RuleScorer, known_rules
from kgplug.embeddings.validation import validation_triples
from kgplug.errors import RunError, UsageError, unknown_name
from kgplug.renamed import renamed
from kgplug.training.config import make_config, signature

_BLOCK_FLOATS = 4_000_000  # scores in memory at a time: 16 MB
_VALIDATED = 2000  # maximum number of validation triples that are ranked
_PRIOR = 50  # the choice for a step also counts the mean of all queries, with the weight of 50 queries
_HELD_OUT = 0.05  # share of the triples held out if there is no validation set

# The weights are those of paths of one step, of paths of two steps, and of facts.
_WEIGHTS = ((1.0, 1.0, 1.0), (0.5, 2.0, 1.0), (0.25, 2.0, 1.0))
WAYS = np.array([(discount, *weights) for discount in (0.7, 0.8, 0.9) for weights in _WEIGHTS])
"""The ways to add up strengths that the validation set chooses from, float64 (n_ways, 4); see `RuleScorer`."""
_DEFAULT_WAY = (0.8, 0.25, 2.0, 1.0)  # without validation triples; best on a sample of FB15k-237's validation set


class Rules(LinkPredictor):
    """A model that predicts links by rules of length 1 and 2, mined from the triples. Rules explain each prediction.

    Rules have one of these forms, as in AnyBURL (Meilicke et al., IJCAI 2019):

        h(X, Y) <- b(X, Y)    h(X, Y) <- b(X, Z), c(Z, Y)    h(X, A) <- b(X, B)    h(X, A) <- b(X, Z)

    X, Y and Z are variables, A and B are entities, and h, b and c are relations in either direction. The body of a rule
    is the number of cases in which the right side holds, and the support is the number of these in which the left side
    also holds. The confidence is support / (body + `laplace`). AnyBURL samples rules; this model mines all of them.

    The score of a triple adds up the strengths of the rules that predict it (see `RuleScorer`). How they are added up
    is chosen on the validation set, for each relation and direction. The model has no vectors.

    Attributes:
        config: The settings, a `RulesConfig`.
        history: Number of rules of each kind ("paths", "facts"); "share", which is 1 if all rules were counted exactly
            and lower if some were counted on a sample; and the validation metric "MRR" if there was one.
    """

    name = "Rules"
    __signature__ = signature(RulesConfig)

    def __init__(self, **settings: Any) -> None:
        config = make_config(self.name, RulesConfig, settings)
        assert isinstance(config, RulesConfig)
        self.config = config
        self.history, self.health, self.graph_schema = {}, [], None
        self._triples = np.empty((0, 3), dtype=np.int64)
        self._ways = np.empty((0, 4))
        self._scorer: RuleScorer | None = None

    def fit(
        self,
        knowledge: KnowledgeGraph,
        *,
        valid: KnowledgeGraph | np.ndarray | None = None,
        seed: int = 0,
        progress: bool | None = None,
        checkpoint: Path | None = None,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Mine the rules, and choose how their strengths are added up.

        Args:
            knowledge: Training triples.
            valid: Validation triples: a graph, or int64 (n, 3) with `knowledge`'s indices. At most 2,000 are ranked.
                If omitted, 5 % of the training triples are held out for the choice. Rules are then mined again from all
                triples.
            seed: Seed of samples. The same seed, data and settings give the same model.
            progress: Whether to show a progress bar. None: only on a terminal.
            checkpoint: Not used, because mining is fast enough to start again.
            on_epoch: Not used, because there are no epochs.

        Returns:
            The model itself.

        Raises:
            DataError: There is no triple, or there are fewer than two entities.
        """
        del checkpoint, on_epoch
        self._begin(knowledge, whole_number(seed, "seed"))
        self._scorer, self._ways = None, np.tile(_DEFAULT_WAY, (2 * len(self.relations), 1))
        metric: dict[str, float] = {}
        if valid is None:
            train, held_out = knowledge.split((1 - _HELD_OUT, _HELD_OUT), seed=self.seed)
            if train.n_triples and held_out.n_triples:
                self._mine(train.triples, progress)
                metric = self._choose(train, held_out.triples)
            share = self._mine(knowledge.triples, progress)
        else:
            share = self._mine(knowledge.triples, progress)
            metric = self._choose(knowledge, valid)
        rules = self.scorer.rules
        self.history = {"paths": len(rules.paths), "facts": len(rules.facts), "share": share, **metric}
        self.health = self.findings()
        return self

    def _mine(self, triples: np.ndarray, progress: bool | None) -> float:
        """Mine and store the rules of triples, int64 (n, 3). Return the share that `mine` returns."""
        edges = self._edges(triples)
        rules, share = mine(edges, **_mining(self.config), seed=self.seed, progress=progress)
        self._triples = triples
        self._scorer = RuleScorer(edges, known_rules(edges, rules), pc=self.config.laplace)
        return share

    def _choose(self, knowledge: KnowledgeGraph, valid: KnowledgeGraph | np.ndarray) -> dict[str, float]:
        """Choose, for each relation and direction, how the strengths of rules are added up.

        Return {"MRR": …}, the mean reciprocal rank of the validation triples with the chosen ways.
        """
        triples = validation_triples(valid, knowledge, floats_per_score=1, seed=self.seed, max_triples=_VALIDATED)
        reciprocal = reciprocal_ranks(self.scorer, triples, knowledge.triples, WAYS)
        n = len(self.relations)
        steps = np.concatenate([triples[:, 1], triples[:, 1] + n])
        ways = chosen_ways(reciprocal, steps, n_steps=2 * n, prior=_PRIOR)
        self._ways = WAYS[ways]
        return {"MRR": float(reciprocal[np.arange(len(steps)), ways[steps]].mean())}

    def _edges(self, triples: np.ndarray) -> Edges:
        return Edges.of_triples(triples, n_entities=len(self.entity_keys), n_relations=len(self.relations))

    @property
    def is_trained(self) -> bool:
        return self._scorer is not None

    @property
    def scorer(self) -> RuleScorer:
        """The object that scores triples by the rules."""
        if self._scorer is None:
            raise UsageError(f"{self.name} is not trained yet: call fit() first.")
        return self._scorer

    @property
    def rules(self) -> RuleSet:
        """The mined rules."""
        return self.scorer.rules

    def score_triples(self, triples: np.ndarray) -> np.ndarray:
        triples = self._checked(triples)
        scores = np.empty(len(triples), dtype=np.float32)
        queries, row_of = np.unique(triples[:, :2], axis=0, return_inverse=True)
        order = np.argsort(row_of.ravel(), kind="stable")
        bounds = np.searchsorted(row_of.ravel()[order], np.arange(len(queries) + 1))
        for block in row_blocks(len(queries), self._block_rows):
            found = self._scores(*queries[block].T)
            rows = order[bounds[block.start] : bounds[block.stop]]
            scores[rows] = found[row_of.ravel()[rows] - block.start, triples[rows, 2]]
        return scores

    def ranks(self, triples: np.ndarray, known: np.ndarray) -> np.ndarray:
        n = len(self.relations)
        return filtered_ranks(
            self._score_all(n), self._score_all(0), self._checked(triples), self._checked(known),
            n_entities=len(self.entity_keys), block_rows=self._block_rows, device=torch.device("cpu"),
        )  # fmt: skip

    def pair_scores(self, relation: int, heads: np.ndarray, tails: np.ndarray, *, block_floats: int) -> PairScores:
        n = len(self.relations)
        turned = len(tails) < len(heads)  # one query for each entity of the smaller side
        asked, step = (tails, relation + n) if turned else (heads, relation)
        for block in row_blocks(len(asked), max(1, block_floats // len(self.entity_keys))):
            some = asked[block]
            scores = self._scores(some, np.full(len(some), step), predicted_only=True)
            yield (heads, some, scores[:, heads].T) if turned else (some, tails, scores[:, tails])

    def reasons(self, relation: int, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """Return the most confident rule for each link, as text: object (n,)."""
        found = [self.explain(int(head), relation, int(tail), k=1) for head, tail in zip(heads, tails, strict=True)]
        reasons = np.empty(len(found), dtype=object)
        reasons[:] = [str(each[0]) if each else "" for each in found]
        return reasons

    def explain(self, head: int, relation: int, tail: int, *, k: int = 5) -> list[Reason]:
        """Return the rules that predict a triple, most confident first.

        Args:
            head, relation, tail: The triple, as indices.
            k: Maximum number of rules.

        Raises:
            UsageError: An index is out of range.
        """
        self._checked(np.array([[head, relation, tail]]))
        numbers = self.scorer.rules_for(head, relation, tail)[:k]
        return [self._reason(number) for number in numbers]

    def best_rules(self, k: int = 20, *, relation: str | None = None) -> list[PathRule]:
        """Return the rules with the highest confidence, best first, without those that name particular entities.

        Args:
            k: Maximum number of rules.
            relation: Relation that the rules conclude; None for all.

        Raises:
            UsageError: The relation is unknown (the message suggests the nearest).
        """
        if relation is not None and relation not in self.relations:
            raise unknown_name("relation", relation, self.relations)
        paths = self.rules.paths
        wanted = np.ones(len(paths), bool) if relation is None else self.relations[paths[:, HEAD]] == relation
        numbers = np.flatnonzero(wanted)
        confidences = self.rules.confidences(self.config.laplace)[numbers]
        return [self._path_rule(number) for number in numbers[np.argsort(-confidences, kind="stable")][:k]]

    def _path_rule(self, number: int) -> PathRule:
        head, *steps = self.rules.paths[number, :-2].tolist()
        n, reason = len(self.relations), self._reason(number)
        body = [(str(self.relations[step % n]), step < n) for step in steps if step != NONE]
        return PathRule(str(self.relations[head]), body, *reason[1:], reason.text)

    def _reason(self, number: int) -> Reason:
        return self.rules.reason(int(number), pc=self.config.laplace, relations=self.relations, names=self.entity_keys)

    def findings(self) -> list[str]:
        return [] if len(self.rules) else ["no rule was found, so no link can be predicted"]

    @property
    def _block_rows(self) -> int:
        return max(1, _BLOCK_FLOATS // len(self.entity_keys))

    def _scores(self, entities: np.ndarray, steps: np.ndarray, *, predicted_only: bool = False) -> np.ndarray:
        """Score every entity as the answer to each query (entity, step): float32 (b, n_entities).

        Arguments are those of `RuleScorer.scores`. The strengths of rules are added up in the way chosen for the step.
        """
        ways = self._ways[steps][:, None]  # (b, 1, 4)
        return self.scorer.scores(entities, steps, ways, predicted_only=predicted_only)[:, 0]

    def _score_all(self, shift: int) -> ScoreAll:
        """Return a function (known entities, relations) → scores of all entities as the missing end of each triple.

        Args:
            shift: Number added to the relations: 0 if the tails are missing, or the number of relations if the heads
                are missing.
        """
        return lambda entities, relations: torch.from_numpy(self._scores(entities.numpy(), relations.numpy() + shift))

    def entity_vectors(self) -> NoReturn:
        """Raise `UsageError`, because rules have no vectors."""
        self._refuse_vectors()

    def relation_vectors(self) -> NoReturn:
        """Raise `UsageError`, because rules have no vectors."""
        self._refuse_vectors()

    def vectors_of(self, keys: np.ndarray, *, label: str = "") -> NoReturn:  # noqa: ARG002
        """Raise `UsageError`, because rules have no vectors."""
        self._refuse_vectors()

    def nearest(self, entity: int, k: int = 10, *, label: str | None = None) -> NoReturn:  # noqa: ARG002
        """Raise `UsageError`, because rules have no vectors."""
        self._refuse_vectors()

    def publication(self, *, details: dict[str, Any] | None = None) -> Publication:
        """Raise `UsageError`, because rules have no vectors to publish."""
        del details
        self._refuse_vectors()

    def _refuse_vectors(self) -> NoReturn:
        raise UsageError(
            f"{self.name} has no vectors, so it cannot be published and knows no similar nodes. Write its "
            "predicted links with `kgplug predict --write`, or use an embedding such as TransE."
        )

    @renamed(folder="run_dir")
    def save(self, run_dir: Path, *, memory: RowMemory | None = None, **facts: object) -> None:
        """Write the model into a run's folder.

        Args:
            run_dir: The run's folder.
            memory: Hash of each triple of the split, and the set (training, validation or test) that the triple is in.
            facts: Further facts to save, as values that JSON can hold.
        """
        arrays = {
            "rules.paths": self.rules.paths,
            "rules.facts": self.rules.facts,
            "rules.ways": self._ways,
            "graph.triples": self._triples,
        }
        arrays |= {} if memory is None else memory.to_arrays()
        write_artefact(Path(run_dir), arrays, {**self._content(), **facts})

    @classmethod
    def restored(cls, run_dir: Path, arrays: dict[str, np.ndarray], content: dict[str, Any]) -> Self:
        if content.get("model") != cls.name:
            raise RunError(f"{run_dir} holds {content.get('model')}, not {cls.name}. Open any run with kgplug.load().")
        model = cls(**content["settings"])
        model._take(content)
        model._triples, model._ways = arrays["graph.triples"], arrays["rules.ways"]
        edges = model._edges(model._triples)
        rules = known_rules(edges, RuleSet(arrays["rules.paths"], arrays["rules.facts"]))
        model._scorer = RuleScorer(edges, rules, pc=model.config.laplace)
        return model


def _mining(config: RulesConfig) -> dict[str, Any]:
    """Return the settings as arguments of `mine`."""
    settings = config.model_dump()
    return {"pc": settings.pop("laplace"), **settings}
