"""What candidates and foreground say about the masks of one trial: evidence for `diagnosis`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.amg.rejection import Cause, Rejection
from napari_samstar.core.amg.select import kept_of_part, passes
from napari_samstar.core.masks.store import count
from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.tuning.remark import Evidence, OneFilter

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.tuning.evaluator import Evaluator

LOOSER = 0.1
"""By how much a threshold is loosened to see what it rejects: ten steps of its slider, some of
which keep as many masks as before."""

OVERLAP = "box_nms_thresh"

FILTERS: tuple[Cause, ...] = ("quality", "stability", "edge", "probability", "likeness")
"""As `select.passes` has them."""


def mask_evidence(evaluators: Sequence[Evaluator], config: AmgConfig) -> Evidence | None:
    """Measure what `config` keeps on the images that were tuned on, all together.

    The bank does not change, so this may run beside other work. Masks are those before pieces of
    different tiles and zoomed crops are put together.

    Returns
    -------
    Evidence, optional
        None where the candidates are not decoded, or the configuration is impossible.
    """
    banks = [e.bank for e in evaluators]
    try:
        if any(bank.missing([config]) for bank in banks):
            return None
    except ImpossibleConfig:
        return None
    both = masks = foreground = kept = 0
    for evaluator in evaluators:
        ids = _kept(evaluator.bank, config)
        union, estimate = evaluator.bank.masks.union(ids), evaluator.features.foreground
        both += count(union & estimate)
        masks += count(union)
        foreground += count(estimate)
        kept += len(ids)
    polarities = {str(e.features.cues.polarity) for e in evaluators}
    return Evidence(
        covered=both / foreground if foreground else math.nan,
        inside=both / masks if masks else math.nan,
        polarity=polarities.pop() if len(polarities) == 1 else "",
        candidates=sum(len(t.ids) for bank in banks for t in bank.tables(config)),
        kept=kept,
        strictest=_strictest(banks, config, kept),
        images=len(banks),
    )


def _kept(bank: ProposalBank, config: AmgConfig) -> list[int]:
    """Return the ids of the masks that each part of the image keeps."""
    parts = bank.parts(config)
    return [i for part in parts for i in kept_of_part(bank, part, config).ids.tolist()]


def _strictest(banks: Sequence[ProposalBank], config: AmgConfig, kept: int) -> OneFilter:
    """Return the filter that alone rejects the most candidates.

    Most of what the overlap rejects are further copies of what is kept. What counts against it are
    the masks that SAM's default overlap, which is meant to remove only copies, would keep.
    """
    alone: Counter[Cause] = Counter(dict.fromkeys(FILTERS, 0))
    for bank in banks:
        for table in bank.tables(config):
            failed = {cause: ~passed for cause, passed in passes(bank, table, config).items()}
            once = torch.stack(list(failed.values())).sum(dim=0) == 1
            for cause in FILTERS:
                alone[cause] += int((failed[cause] & once).sum())
    cause, most = alone.most_common(1)[0]
    overlap = max(getattr(config, OVERLAP), getattr(AmgConfig(), OVERLAP))
    copies = _more(banks, config.replace(**{OVERLAP: overlap}), kept)
    if copies > most:
        return OneFilter(OVERLAP, copies, getattr(config, OVERLAP), overlap, copies)
    name = Rejection(cause).setting
    if not name:
        return OneFilter("", most)
    value = getattr(config, name)
    looser = round(max(SETTINGS[name].low, value - LOOSER), 2)
    return OneFilter(
        name, most, value, looser, _more(banks, config.replace(**{name: looser}), kept)
    )


def _more(banks: Sequence[ProposalBank], config: AmgConfig, kept: int) -> int:
    return sum(len(_kept(bank, config)) for bank in banks) - kept
