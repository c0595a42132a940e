"""Settings of recommenders; the classes live with the training loop, where embeddings find them too."""

from kgplug.training.config import ModelConfig, TrainedConfig, make_config

__all__ = ["ModelConfig", "TrainedConfig", "make_config"]
