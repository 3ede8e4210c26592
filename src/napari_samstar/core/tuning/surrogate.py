"""How much an arm promises that was not opened yet: an additive model of those that were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Values = Sequence[tuple[str | float, ...]]

EFFECT = 0.05
"""Usual size of what one value of one factor changes in the weighted mean of all rewards."""

REST = 0.03
"""Usual size of what the sum of these effects leaves unexplained. Both set beforehand, not tuned;
what matters is their ratio."""


def promise(opened: Values, outcomes: Sequence[float], others: Values) -> NDArray[np.float64]:
    """Return the expected improvement of each of `others` over the best outcome, shape (m,).

    An arm's outcome is modelled as a mean and one effect for each value of each factor: ridge
    regression on one-hot factors, in its Bayesian form with effects of size `EFFECT` and noise
    `REST`, which also says how sure it is (Bishop, Pattern Recognition and Machine Learning, 2006,
    section 3.3). For a prediction mu with standard deviation s, the expected improvement over the
    best outcome b is (Jones et al., J. Global Optimization 13, 1998)

        (mu - b) Phi(z) + s phi(z),   z = (mu - b) / s.

    It prefers what is likely to be good and what is not known, and is never 0. Divided by cost it
    is the acquisition of Snoek et al. (NIPS 2012, section 3.2).

    Parameters
    ----------
    opened : sequence of tuple, length n
        The value of each factor, for each open arm.
    outcomes : sequence of float, length n
        The best weighted mean of all rewards that was found in it.
    others : sequence of tuple, length m
    """
    y = np.asarray(outcomes, dtype=np.float64)
    x, new = _one_hot(opened, others)
    mean = y.mean()
    ridge = (REST / EFFECT) ** 2
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1]))
    mu = mean + new @ inverse @ x.T @ (y - mean)
    s = REST * np.sqrt(1 + np.einsum("ij,jk,ik->i", new, inverse, new))
    z = (mu - y.max()) / s
    return np.asarray((mu - y.max()) * norm.cdf(z) + s * norm.pdf(z))


def _one_hot(opened: Values, others: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one column for each value of each factor, for both."""
    every = [*opened, *others]
    columns = [
        np.array([row[k] == value for row in every], dtype=np.float64)
        for k in range(len(every[0]))
        for value in dict.fromkeys(row[k] for row in every)
    ]
    x = np.stack(columns, axis=1)
    return x[: len(opened)], x[len(opened) :]
