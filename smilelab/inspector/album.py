"""The inspector's view where nobody can use a control: one picture of a clip of each database."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from IPython import get_ipython
from IPython.display import Image
from matplotlib.figure import Figure

from smilelab.clips import ClipStoreError
from smilelab.inspector import picture as drawing
from smilelab.inspector import scores
from smilelab.inspector.clip import InspectionError, OpenedClip, of_store
from smilelab.inspector.scores import MAPS, Scorer
from smilelab.inspector.shelves import Shelf

__all__ = ["Album", "as_image", "headless", "height_of_smile"]


def headless() -> bool:
    """Whether this runs in a notebook that nobody has open, as papermill runs it.

    Whoever executes a notebook tells the kernel whether a person can be asked for input.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return not getattr(kernel, "_allow_stdin", True)


def height_of_smile(clip: OpenedClip) -> int:
    """Return the frame in the middle of the apex; of a clip without one, in its middle."""
    apex = clip.phases.apex
    return int(np.abs(clip.times - (np.mean(apex) if apex else clip.times[-1] / 2)).argmin())


def as_image(figure: Figure, clip: OpenedClip) -> Image:
    """Render a picture of a clip for a notebook."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return Image(content.getvalue(), format="png", alt=f"Inspector's view of {clip.title}")


class Album:
    """Pictures of a clip of each database, without a widget.

    Parameters
    ----------
    shelves : sequence of Shelf
    runs : path-like
        Folder of all runs.
    faults : sequence of str
        Printed with it, such as stores that cannot be read.
    """

    def __init__(self, shelves: Sequence[Shelf], runs: str | Path, *, faults: Sequence[str] = ()) -> None:
        self.shelves = list(shelves)
        self.runs = Path(runs)
        self.faults = list(faults)

    def __repr__(self) -> str:
        lines = ["In JupyterLab this cell shows the inspector; below is the same view as pictures.", *self.faults]
        return "\n".join(lines)

    def pictures(self) -> Generator[Image]:
        """Draw the first clip of each database at the height of its smile, with all networks that fit.

        Yields
        ------
        IPython.display.Image
        """
        for shelf in self.shelves:
            if shelf.store.usable.empty:
                print(f"{shelf.label}: no clip of it can be shown; see why in the store's manifest.")
                continue
            try:
                image = self._first(shelf)
            except (InspectionError, ClipStoreError) as error:
                print(f"{shelf.label}: {error}")
                continue
            yield image

    def _first(self, shelf: Shelf) -> Image:
        clip = of_store(shelf.store, str(shelf.store.usable.index[0]), shelf.source)
        try:
            return as_image(self.figure(clip, scores.scorers(shelf.store, self.runs, clip.clip_id)), clip)
        finally:
            clip.close()

    def figure(self, clip: OpenedClip, networks: Sequence[Scorer]) -> Figure:
        """Draw a clip with what the networks say; maps, and the probability over time, are the first one's.

        Parameters
        ----------
        clip : OpenedClip
        networks : sequence of Scorer

        Returns
        -------
        matplotlib.figure.Figure
        """
        first = networks[0] if networks else None
        # Networks on windows take as long for a clip as all the others together; the first is enough here.
        quick = [one for one in networks[: drawing.MOST_NETWORKS] if one is first or one.spec.windows is None]
        kind = None if first is None else next((one for one in MAPS if not scores.why_no_map(first, clip, one)), None)
        return drawing.picture(
            clip,
            height_of_smile(clip),
            scorer=first,
            probabilities={one.name: scores.probability(one, clip) for one in quick},
            over_time=None if first is None else scores.probability_over_time(first, clip),
            overlay=None if first is None or kind is None else scores.overlay_map(first, clip, kind),
            overlay_name=kind or "",
            anchor=scores.anchor_of(clip),
        )
