"""The training loop, optimisers, checkpoints, runs and tuning."""
