"""Which parameters of a smile tell the classes apart, and how one of them is kept from telling.

Every clip can be drawn as of either class. A cue that is off is taken from the clip's draw as of a class that is drawn
anew, spontaneous as often as in UvA-NEMO: what the cue measures is then distributed alike in both classes, as in both
together, and its spread over all clips stays. What is not off is taken from the draw as of the clip's own class, number
for number as it would have been. With every cue off the label decides nothing.

==========  ====================================================  =====================================================
cue         parameters (`kinematics.Kinematics`)                  what it shows in
==========  ====================================================  =====================================================
timing      ``log_length`` (of the clip), ``lead_in``,            when AU12 rises and falls, whatever its size: clip
            ``log_speed_up``, ``log_speed_down``,                 length, durations, lead-in, number of apices; wobble,
            ``amplitude_speed``, ``steepness_up``,                speed and what is left at the end as shares of the
            ``steepness_down``, ``creep``, ``wobble``,            amplitude. AU6, AU25 and AU26 follow AU12's course, so
            ``apices``, ``residual``; ``icc`` of length and       that timing shows in every region of the face
            speed
amplitude   ``amplitude``, its ``icc``                            largest AU12, and so how far the corners of the mouth
                                                                  go and how deep the folds beside it are
eyelids     none of their own: one law of blinks (`BLINKS`) in    number of blinks, which grows with the length of the
            both classes                                          clip; off, it is that of a length drawn as of the
                                                                  other class
cheeks      ``amplitude_au6``, ``lag_au6``, ``own_au6``           largest AU6, its delay and its own course: raised
                                                                  cheeks and lower lids, folds below and beside the eyes
texture     ``parted``                                            AU25 and AU26: lips and teeth. Skin itself has no
                                                                  class; its folds follow AU6 and AU12
asymmetry   ``asymmetry``                                         difference of the sides in AU12 and AU6
==========  ====================================================  =====================================================

Speed in units a second is amplitude times timing: either cue alone still tells something by it. Published kinematics
give the classes next to nothing to differ by in eyelids (nothing but the length of the clip; no more where lengths are
matched) and texture (lips part in 82 against 80 % of the smiles): these two check that a cue that tells nothing is not
missed. Who is filmed, the camera and the light belong to no cue; the confounds of "mmi" have a switch of their own.
Which parameter belongs to which cue is our choice.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CUES", "checked"]

CUES = ("timing", "amplitude", "eyelids", "cheeks", "texture", "asymmetry")


def checked(cues: Iterable[str]) -> tuple[str, ...]:
    """Return cues in the order of `CUES`, each once.

    Parameters
    ----------
    cues : iterable of str

    Raises
    ------
    ValueError
        An unknown one.
    """
    given = [cues] if isinstance(cues, str) else list(cues)
    if unknown := [cue for cue in given if cue not in CUES]:
        raise ValueError(f"cue {unknown[0]!r}: cannot be switched off; expected some of {', '.join(CUES)}")
    return tuple(cue for cue in CUES if cue in given)
