"""Read the mined rules of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from kgplug import models
from kgplug.data.artefact import read_content
from kgplug.data.publication import PathRule
from kgplug.errors import UsageError
from kgplug.graph.rule_query import rule_query

if TYPE_CHECKING:
    import pandas as pd

    from kgplug.embeddings.rules.model import Rules


@dataclass(frozen=True)
class RunRules:
    """The best rules of a run.

    Attributes:
        run: Id of the run.
        rules: The rules, highest confidence first.
        derived: Names of the relations that patterns and properties define. The graph has no relationships of these
            types.
    """

    run: str
    rules: list[PathRule]
    derived: frozenset[str] = frozenset()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per rule: rule, confidence, support, body (number of pairs that its path connects)."""
        import pandas as pd

        rows = [(each.rule, each.confidence, each.support, each.body_size) for each in self.rules]
        return pd.DataFrame(rows, columns=["rule", "confidence", "support", "body"])

    def to_cypher(self) -> str:
        """Return a Cypher query that applies the rules (`kgplug.graph.rule_query`), except those of derived relations.

        Raises:
            UsageError: There are no rules, or they predict different relations.
        """
        rules = [each for each in self.rules if not self.derived & {each.relation, *(name for name, _ in each.body)}]
        if self.rules and not rules:
            raise UsageError(
                "These rules use relations of [knowledge.patterns] or [knowledge.properties], for which the graph has "
                "no relationships, so no query can apply them. `kgplug predict` applies them."
            )
        return rule_query(rules)


def rules(run_dir: Path, relation: str | None = None, *, k: int = 20) -> RunRules:
    """Return the best rules of a run of the model `Rules`, except rules about particular entities.

    Args:
        run_dir: The run's folder.
        relation: Relationship type that the rules predict; None for all.
        k: Maximum number of rules.

    Raises:
        UsageError: The model of the run is not `Rules`, or the relation is unknown.
        RunError: The run is damaged.
    """
    content = read_content(run_dir)
    if content["model"] != "Rules":
        raise UsageError(
            f"Run {run_dir.name} is a {content['model']} and has no rules. `kgplug train Rules` mines some."
        )
    model = cast("Rules", models.load(run_dir))
    knowledge = (content.get("schema") or {}).get("knowledge", {})
    derived = frozenset({*knowledge.get("patterns", ()), *knowledge.get("properties", ())})
    return RunRules(model.run, model.best_rules(k, relation=relation), derived)
