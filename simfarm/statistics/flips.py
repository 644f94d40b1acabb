"""The win rate behind noisy labels: what the annotators would have said had none of their verdicts been flipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.estimate import Estimate

__all__ = ["flip_corrected"]

_BEYOND_NOISE = 4.0
"""Standard errors outside [e, 1 − e] that no sampling explains: 4 is one board in 30,000."""


def flip_corrected(win_rate: Estimate, flip: float, flip_error: float = 0.0) -> Estimate:
    """(p − e) / (1 − 2e) for a win rate p among whose labels a share e = `flip` was turned round.

    Flipping takes p to p(1 − 2e) + e (Rogan and Gladen 1978, with equal error on both sides). Undoing it multiplies the
    standard error by 1/(1 − 2e): e = 0.25 costs four times the labels. `flip_error` is the standard error of an e that
    was itself estimated; all models corrected with the same e share that error.

    Of a mean of bounded verdicts the corrected ones are a mean too, between −e/(1 − 2e) and (1 − e)/(1 − 2e): the
    limits are those of the raw rate, taken through the same line. The result is no `rate`, and may fall a little
    outside [0, 1], which must not be cut before two models are subtracted. With a `flip_error` it is no mean of
    verdicts any more, and its interval that of t on the plain scale, for a p well inside [e, 1 − e]. Raises
    `InputError` for e outside [0, 0.5), or a p that no e-noisy annotator can have.
    """
    if not 0 <= flip < 0.5:
        raise InputError(f"a flip rate of {flip} leaves nothing to correct; it must be at least 0 and below 0.5")
    if not flip_error >= 0:
        raise InputError(f"the flip rate's standard error {flip_error} is negative or missing; give 0 for a known rate")
    if win_rate.n_clusters and not np.isfinite(win_rate.value):
        raise InputError("the win rate is not a number; there is nothing to correct")
    outside = max(flip - win_rate.value, win_rate.value - (1 - flip))
    # verdicts that all agree have no spread of their own; flips alone would give them this much
    by_flips = np.sqrt(flip * (1 - flip) / max(1, win_rate.n_clusters))
    if outside > _BEYOND_NOISE * float(np.hypot(np.fmax(win_rate.standard_error, by_flips), flip_error)) + 1e-12:
        raise InputError(
            f"a win rate of {win_rate.value:.3f} cannot come from labels of which {flip:g} are flipped "
            f"(it would lie within {flip:g} and {1 - flip:g}); give the flip rate these annotators had"
        )
    stretch = 1 / (1 - 2 * flip)
    value = (win_rate.value - flip) * stretch
    shared, bounds = win_rate.shared * stretch, win_rate.bounds
    if flip_error:
        shared, bounds = np.append(shared, (2 * win_rate.value - 1) * stretch**2 * flip_error), None
    if bounds is not None:
        bounds = ((bounds[0] - flip) * stretch, (bounds[1] - flip) * stretch)
    influence = win_rate.influence * stretch
    return replace(win_rate, value=value, influence=influence, rate=False, shared=shared, bounds=bounds)
