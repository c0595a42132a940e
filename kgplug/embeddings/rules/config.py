"""Settings of `Rules`."""

from __future__ import annotations

from pydantic import Field

from kgplug.training.config import ModelConfig


class RulesConfig(ModelConfig):
    """Settings of a model that mines rules."""

    min_support: int = Field(3, ge=1, description="minimum number of links or entities for which a rule holds")
    min_confidence: float = Field(0.01, ge=0, le=1, description="minimum confidence of a rule")
    laplace: float = Field(2.0, gt=0, description="number added to the denominator of a rule's confidence")
    max_rules: int = Field(10_000_000, ge=1, description="maximum number of rules with constants")
    max_steps: int = Field(
        2_000_000_000,
        ge=1,
        description="maximum number of edges to follow per kind of rule; larger graphs are sampled",
    )
