"""The automatic mask generator: candidates decoded once, selected many times."""
