"""From a config to a checkpoint."""
