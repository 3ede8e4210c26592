"""The ladder of cut-offs on which the stability of masks is measured. Imports nothing."""

OFFSET_STEP = 0.05
"""Step of the ladder on which stability is stored; see `AmgConfig.stability_score_offset`."""

N_OFFSETS = 40
"""Rungs of the stability ladder: OFFSET_STEP, 2 OFFSET_STEP, ..., 2."""
