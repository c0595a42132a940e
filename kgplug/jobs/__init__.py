"""The work of the commands as Python functions, one file per verb."""

from kgplug.jobs.data import DEFAULT_FRACTIONS, GraphData, Split, evaluation_of, read
from kgplug.jobs.evaluate import evaluate
from kgplug.jobs.predict import predict
from kgplug.jobs.publish import diff, open_run, preview, publish, resume
from kgplug.jobs.rules import rules
from kgplug.jobs.train import train
from kgplug.jobs.tune import tune

__all__ = [
    "DEFAULT_FRACTIONS",
    "GraphData",
    "Split",
    "diff",
    "evaluate",
    "evaluation_of",
    "open_run",
    "predict",
    "preview",
    "publish",
    "read",
    "resume",
    "rules",
    "train",
    "tune",
]
