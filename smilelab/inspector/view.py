"""What the inspector shows of an open clip: frame, curves, what a network sees and what it says."""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from smilelab.clips import ClipStore, ClipStoreError
from smilelab.inspector import markup, scores
from smilelab.inspector import picture as drawing
from smilelab.inspector.clip import InspectionError, OpenedClip
from smilelab.inspector.controls import Controls
from smilelab.inspector.encode import enlarged_png, placeholder_jpeg, strip_png
from smilelab.inspector.kept import Kept
from smilelab.inspector.scores import OverTime, Scorer

__all__ = ["View"]

_FRAME_WIDTH = 760
_CURVES_WIDTH, _PANEL_HEIGHT = 900, 110  # px
_PICTURES_A_SECOND = 10  # of the player
_SCORING_S = 1.5  # after a clip is opened, no further network scores it unasked
_MOST_SCORERS = 24
_STRIP = 5


class View(Controls):
    """A clip and everything that is shown of it; which one it is, is decided elsewhere.

    Attributes
    ----------
    opened : OpenedClip or None
        What is looked at.
    scorers : list of Scorer
        Networks that can score it.
    probabilities : dict of Scorer to float
        Of those that have.
    reasons : dict of Scorer to str
        Why one of those cannot, or what is to be said of its probability.
    nearest : pandas.DataFrame or None
        The nearest clips, where they were asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: OpenedClip | None = None
        self.scorers: list[Scorer] = []
        self.probabilities: dict[Scorer, float] = {}
        self.reasons: dict[Scorer, str] = {}
        self.nearest: pd.DataFrame | None = None
        self._thumbnails: dict[str, NDArray[np.uint8]] = {}
        self._key: Hashable = None
        self._kept = Kept()
        self._known: OrderedDict[Hashable, Scorer] = OrderedDict()
        self._quiet = False
        self._crop_shown: Hashable = None
        self._lines: NDArray[np.float64] = np.zeros(1)

    @property
    def scorer(self) -> Scorer | None:
        """The chosen network."""
        return self.model.value

    def look_at(self, clip: OpenedClip, key: Hashable, store: ClipStore, runs: Path) -> None:
        """Show a clip from now on; its first frame is on screen before anything else is done.

        Parameters
        ----------
        clip : OpenedClip
        key : hashable
            Another one for another clip.
        store : ClipStore
            What networks were trained on that can score it.
        runs : Path
            Folder of all runs.
        """
        if self.opened is not None:
            self.opened.close()
        self.opened, self._key, self._crop_shown, self.scorers = clip, key, None, []
        self.probabilities, self.reasons, self.nearest, self._lines = {}, {}, None, np.zeros(1)
        with self._silent():
            self.play.playing = False
            self.frame.value = self.play.value = 0
            self.frame.max = self.play.max = len(clip.times) - 1
        self.set_speed()
        self.neighbours.children = ()
        self.saved.value = self.map_note.value = ""
        self.title.value = markup.title(clip)
        with self._doing():
            self.show_frame()
        self.show_crop(plain=True)
        if not self.over_time.value:
            self.show_curves()
        self._show_anchor()
        found: list[Scorer] = []
        with self._doing("finding the networks that fit"):
            found = scores.scorers(store, runs, clip.clip_id if clip.database else None)
        with self._doing():
            self._offer(found)
        if self.over_time.value:
            self.show_curves()
        self.score(everything=False)
        if self.show_map.value:
            self.show_crop()

    def show_frame(self) -> None:
        """Send the frame at the slider, and move the cursor over the curves there."""
        if self.opened is None:
            return
        at = self.frame.value
        self.time.value = markup.time_line(self.opened, at)
        self._move_cursor()
        try:
            shown = {"box": self.box.value, "landmarks": self.landmarks.value}
            self.picture.value = self.opened.jpeg(at, width=_FRAME_WIDTH, **shown)
        except InspectionError:
            self.picture.value = placeholder_jpeg()
            raise

    def show_crop(self, *, plain: bool = False) -> None:
        """Send what a network sees at the slider, under the map where that is asked for and not `plain`."""
        if self.opened is None:
            return
        weights = self.map() if self.show_map.value and not plain else None
        at = self.opened.nearest_crop(self.frame.value)
        shown = (self._key, at, weights is not None and (self.scorer, self.map_kind.value, self.opacity.value))
        if shown == self._crop_shown:
            return
        crop = np.asarray(self.opened.crops[at])
        if weights is not None:
            crop = drawing.overlay(crop, weights[at], self.opacity.value)
        self.crop.value = enlarged_png(crop)
        self._crop_shown = shown

    def show_curves(self) -> None:
        """Draw the curves; afterwards only the cursor moves over them."""
        clip = self.opened
        if clip is None:
            return
        over_time = self.probability_over_time() if self.over_time.value else None
        measured = bool(clip.curves["au06"].notna().any())
        key = (self._key, "curves", _identity(self.scorer) if over_time is not None else None, measured)

        def draw() -> tuple[bytes, NDArray[np.float64]]:
            width, panels = _CURVES_WIDTH, 3 if over_time is None else 4
            height = 60 + panels * _PANEL_HEIGHT
            png, x_of_time = drawing.curves_png(clip, width=width, height=height, over_time=over_time)
            return png, np.array([100 * x_of_time(float(moment)) / width for moment in clip.times])

        with self._doing("drawing the curves"):
            self.curves.value, self._lines = self._kept.get(key, draw)
        self._move_cursor()

    def set_speed(self) -> None:
        """Let the player show ten pictures a second of the clip's own time, or of slower."""
        if self.opened is None or len(self.opened.times) < 2:
            return
        rate = float(self.speed.value) * (len(self.opened.times) - 1) / float(np.ptp(self.opened.times))
        self.play.step = max(round(rate / _PICTURES_A_SECOND), 1)
        self.play.interval = max(round(1000 * self.play.step / rate), 20)

    # What networks say.

    def score(self, *, everything: bool) -> None:
        """Let networks score the clip, one after another.

        Parameters
        ----------
        everything : bool
            All of them; otherwise the chosen one and then others that take whole clips, for a second or so.
        """
        clip = self.opened
        if clip is None:
            return
        started = time.monotonic()
        for scorer in sorted(self.scorers, key=lambda one: one is not self.scorer):
            quick = scorer.spec.windows is None and time.monotonic() - started < _SCORING_S
            if scorer in self.probabilities or not (everything or quick):
                continue
            with self._doing(f"scoring with {scorer.name}"):
                key = (self._key, "probability", _identity(scorer))
                value = self._kept.get(key, functools.partial(scores.probability, scorer, clip))
                if np.isnan(value):
                    self.reasons[scorer] = scores.why_not_scored(scorer, clip)
                else:
                    left = scores.windows_of_one(scorer, clip)
                    self.reasons[scorer] = f"one window in {left} scored" if left > 1 else ""
                self.probabilities[scorer] = value
                self.show_scores()
        self.show_scores()

    def show_scores(self) -> None:
        """Print the probabilities that are known."""
        if self.opened is not None:
            known = [(one, self.probabilities.get(one), self.reasons.get(one, "")) for one in self.scorers]
            self.scores.value = markup.scores_table(self.opened, known, self.scorer)
            self.score_all.layout.display = None if len(self.probabilities) < len(self.scorers) else "none"

    def probability_over_time(self) -> OverTime | None:
        """Probability over time by the chosen network, computed once; None, and a line that says so, without one."""
        clip, scorer = self.opened, self.scorer
        if clip is None or scorer is None:
            return None
        found: OverTime | None = None
        with self._doing(f"probability over time by {scorer.name}"):
            key = (self._key, "over time", _identity(scorer))
            found = self._kept.get(key, lambda: scores.probability_over_time(scorer, clip))
            if found is None:
                raise InspectionError(f"{scorer.name} has no probability over time for this clip.")
        return found

    def fit_map(self) -> None:
        """Choose another kind of map where there is none of the chosen kind for the chosen network."""
        clip, scorer = self.opened, self.scorer
        if clip is None or scorer is None or not scores.why_no_map(scorer, clip, self.map_kind.value):
            return
        with self._silent():
            there = [kind for kind in scores.MAPS if not scores.why_no_map(scorer, clip, kind)]
            self.map_kind.value = next(iter(there), self.map_kind.value)

    def map(self) -> NDArray[np.float32] | None:
        """Map of the chosen kind by the chosen network, computed once; None, and the reason beside it, without one."""
        clip, scorer, kind = self.opened, self.scorer, self.map_kind.value
        if clip is None or scorer is None:
            return None
        found: NDArray[np.float32] | None = None
        key = (self._key, "map", _identity(scorer), kind)
        with self._doing("" if key in self._kept else f"{self.map_kind.label} of {len(clip.crops)} frames"):
            found = self._kept.get(key, lambda: scores.overlay_map(scorer, clip, kind))
            reason = scores.why_no_map(scorer, clip, kind) if found is None else ""
            self.map_note.value = markup.note(reason or "What spoke for the class that the network predicts.")
        return found

    def figure(self) -> Figure:
        """Draw what is shown as one static picture.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InspectionError
            Nothing is open.
        """
        if self.opened is None:
            raise InspectionError("Nothing is open; choose a clip or upload a video.")
        return drawing.picture(
            self.opened,
            self.frame.value,
            scorer=self.scorer,
            probabilities={scorer.name: value for scorer, value in self.probabilities.items()},
            over_time=self.probability_over_time() if self.over_time.value else None,
            overlay=self.map() if self.show_map.value else None,
            overlay_name=self.map_kind.label,
            opacity=self.opacity.value,
            anchor=scores.anchor_of(self.opened),
            nearest=self.nearest,
            thumbnails=self._thumbnails,
        )

    # Plumbing.

    def _offer(self, found: list[Scorer]) -> None:
        """Offer networks; the one that was chosen stays chosen, and those met before keep what they have computed."""
        before = _kind(self.scorer)
        self.scorers = []
        for scorer in found:
            key = (_identity(scorer), scorer.name)
            self.scorers.append(self._known.setdefault(key, scorer))
            self._known.move_to_end(key)
        while len(self._known) > max(_MOST_SCORERS, len(found)):
            self._known.popitem(last=False)
        with self._silent():
            self.model.options = [(scorer.name, scorer) for scorer in self.scorers]
            same = [scorer for scorer in self.scorers if _kind(scorer) == before]
            self.model.value = next(iter([*same, *self.scorers]), None)
        if self.show_map.value:
            self.fit_map()
        self.show_scores()

    def _show_anchor(self) -> None:
        with self._doing():
            clip = self.opened
            found = None if clip is None else scores.anchor_of(clip)
            self.anchor.layout.display = "none" if found is None else None
            if found is not None:
                self.anchor.value = strip_png(found.frames, _STRIP)
            self.anchor_source.value = markup.note("too few frames" if found is None else found.source)

    def _move_cursor(self) -> None:
        self.cursor.value = markup.cursor(float(self._lines[min(self.frame.value, len(self._lines) - 1)]))

    @contextmanager
    def _silent(self) -> Generator[None]:
        """Set controls without reacting to it."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    @contextmanager
    def _doing(self, text: str = "") -> Generator[None]:
        """Say what is being done; what goes wrong becomes a sentence in the widget, never a traceback."""
        before = self.message.value
        busy = markup.told("busy", f"{text} ...") if text else before
        self.message.value = busy
        try:
            yield
        except (InspectionError, ClipStoreError) as error:
            self.message.value = markup.told("error", str(error))
        except Exception as error:  # a widget's traceback is seen by nobody
            told = " ".join(f"unexpected {type(error).__name__}: {error}".split())
            self.message.value = markup.told("error", told)
        else:
            if text and self.message.value == busy:
                self.message.value = before


def _identity(scorer: Scorer | None) -> Hashable:
    return None if scorer is None else (scorer.spec.hash, scorer.run is None)


def _kind(scorer: Scorer | None) -> Hashable:
    return None if scorer is None else (scorer.model_name, scorer.run is None)
