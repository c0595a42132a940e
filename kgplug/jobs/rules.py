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
    """

    run: str
    rules: list[PathRule]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per rule: rule, confidence, support, body (number of pairs that its path connects)."""
        import pandas as pd

        rows = [(each.rule, each.confidence, each.support, each.body_size) for each in self.rules]
        return pd.DataFrame(rows, columns=["rule", "confidence", "support", "body"])

    def to_cypher(self) -> str:
        """Return a Cypher query that applies the rules (`kgplug.graph.rule_query`).

        Raises:
            UsageError: There are no rules, or they predict different relations.
        """
        return rule_query(self.rules)


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
    return RunRules(model.run, model.best_rules(k, relation=relation))
