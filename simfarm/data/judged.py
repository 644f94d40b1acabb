"""What judges said of pairs, whichever way they were asked: verdicts, or scores of single outputs that imply some."""

from __future__ import annotations

from collections.abc import Sequence

from simfarm.data.frames import Verdicts, frame_verdicts
from simfarm.data.inputs import read_for_evaluation, scores_for
from simfarm.data.inspection import Inspection
from simfarm.data.scores import implied_preferences
from simfarm.data.sources import Source, called

__all__ = ["judged_in"]


def judged_in(sources: Sequence[Source], inspection: Inspection | None = None) -> Verdicts | None:
    """The verdicts of judges on pairs, of scores of single outputs the preferences they imply; None where the sources
    hold neither. Raises `InputError` as `read_for_evaluation` and `scores_for`."""
    read = read_for_evaluation(sources, None, inspection)
    if read is not None:
        return read[0]
    scores = scores_for(sources, texts=True)
    return None if scores is None else frame_verdicts(implied_preferences(scores), called(sources[0]), inspection)
