"""The inspector: looking inside a clip in JupyterLab, with ipywidgets alone.

Frames are sent as JPEG, one at a time, when they are shown. What takes longer (maps, probabilities over time, AU06, the
nearest clips, networks on windows) is computed when it is asked for, after a line that says so, and kept.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
from IPython.display import Image, display

from smilelab.clips import file_stem
from smilelab.inspector import choices, markup, saving, scores
from smilelab.inspector.album import as_image
from smilelab.inspector.choices import ANY, class_name
from smilelab.inspector.clip import InspectionError, of_store, of_video
from smilelab.inspector.encode import enlarged_png
from smilelab.inspector.kept import Kept
from smilelab.inspector.neighbours import thumbnails
from smilelab.inspector.shelves import Shelf
from smilelab.inspector.view import View
from smilelab.preprocess.recipe import Recipe

__all__ = ["Inspector"]

_NEAREST = 5
_THUMBNAIL = 110  # px


class Inspector(View):
    """A widget that looks inside clips; as the last value of a notebook's cell it shows itself.

    Its controls are attributes (see :class:`smilelab.inspector.controls.Controls`): setting their values drives it from
    Python, as using them does.

    Parameters
    ----------
    shelves : sequence of Shelf
        The clips there are to choose from; see :func:`smilelab.inspector.prepared`.
    home : path-like
        The study's folder: finished runs are in ``data/runs`` below it, what is saved goes to ``data/inspected``.
    faults : sequence of str
        Shown at first, such as stores that cannot be read.

    Raises
    ------
    ValueError
        If there is no shelf.
    """

    def __init__(self, shelves: Sequence[Shelf], home: str | Path, *, faults: Sequence[str] = ()) -> None:
        if not shelves:
            raise ValueError("no clip store to look at, expected one at least; preprocess a database (notebook 01).")
        super().__init__()
        self.home = Path(home)
        self.shelves = list(shelves)
        self._uploads = tempfile.TemporaryDirectory(prefix="smilelab-")
        self._uploaded = 0
        self.database.options = [(shelf.label, shelf) for shelf in self.shelves]
        self.database.value = self.shelves[0]
        self._listen()
        self._take_shelf()
        if faults:
            self.message.value = markup.told("error", " ".join(faults))

    @property
    def shelf(self) -> Shelf:
        """The chosen database."""
        return self.database.value

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.home / "data" / "runs"

    @property
    def folder(self) -> Path:
        """Where pictures and numbers are saved."""
        return self.home / "data" / "inspected"

    def _ipython_display_(self) -> None:
        display(self.root)

    def open(self, clip_id: str) -> None:
        """Open a clip of the chosen database.

        Parameters
        ----------
        clip_id : str
        """
        shelf = self.shelf
        self.message.value = ""
        with self._doing(f"opening {clip_id}"):
            clip = of_store(shelf.store, clip_id, shelf.source)
            with self._silent():
                self.clip.value = clip_id if clip_id in dict(self.clip.options).values() else None
            self.look_at(clip, (str(shelf.store.path), clip_id), shelf.store, self.runs)

    def open_video(self, path: str | Path) -> None:
        """Open a video of one's own, cropped as the clips of the chosen database are.

        Parameters
        ----------
        path : path-like
        """
        path = Path(path).expanduser()
        self.message.value = ""
        with self._doing(f"following the face in {path.name}"):
            if not path.exists():
                raise InspectionError(f"{path}: no such file; give the path of a video on this machine.")
            clip = of_video(path, Recipe.from_dict(self.shelf.store.recipe))
            with self._silent():
                self.clip.value = None
            self._uploaded += 1
            self.look_at(clip, ("video", self._uploaded), self.shelf.store, self.runs)

    def close(self) -> None:
        """Free the clip, the networks and what was kept.

        The widgets are held by ipywidgets as long as the kernel runs, and hold the inspector.
        """
        if self.opened is not None:
            self.opened.close()
        self.opened, self.scorers, self.probabilities, self.reasons = None, [], {}, {}
        self.nearest, self._thumbnails, self._crop_shown = None, {}, None
        self._kept, self._known = Kept(), OrderedDict()
        with self._silent():
            self.play.playing = False
            self.model.options = []
        self._uploads.cleanup()

    def pictures(self) -> Generator[Image]:
        """Draw what is shown at this moment, as one picture.

        Yields
        ------
        IPython.display.Image
        """
        if self.opened is not None:
            yield as_image(self.figure(), self.opened)

    # What happens when a control is used.

    def _listen(self) -> None:
        changes: Mapping[widgets.Widget, Callable[[], None]] = {
            self.database: self._take_shelf,
            self.label: self._filter,
            self.subject: self._filter,
            self.outcome: self._filter,
            self.clip: self._open_chosen,
            self.path: self._open_path,
            self.upload: self._open_upload,
            self.frame: self._step,
            self.play: self._play_on,
            self.box: self.show_frame,
            self.landmarks: self.show_frame,
            self.speed: self.set_speed,
            self.model: self._take_network,
            self.show_map: self._toggle_map,
            self.map_kind: self.show_crop,
            self.opacity: self.show_crop,
            self.over_time: self.show_curves,
        }
        for control, react in changes.items():
            control.observe(lambda change, react=react: self._react(react), "value")
        clicks: Mapping[widgets.Button, Callable[[], None]] = {
            self.previous: lambda: self._turn_to(-1),
            self.following: lambda: self._turn_to(1),
            self.step_back: lambda: self._move(-1),
            self.step_on: lambda: self._move(1),
            self.score_all: lambda: self.score(everything=True),
            self.measure_au06: self._measure_au06,
            self.find_nearest: self._find_nearest,
            self.save_picture: self._save_picture,
            self.save_numbers: self._save_numbers,
        }
        for button, act in clicks.items():
            button.on_click(lambda _, act=act: self._react(act))

    def _react(self, act: Callable[[], None]) -> None:
        if not self._quiet:
            self.message.value = ""
            with self._doing():
                act()

    def _take_shelf(self) -> None:
        """Start over with another database."""
        with self._silent():
            self.label.value = self.outcome.value = ANY
            self.clip.options = []
        with self._doing("reading the database"):
            subjects = sorted(self.shelf.store.usable["subject"].unique())
            with self._silent():
                self.subject.options = [("any subject", ANY), *((f"subject {one}", one) for one in subjects)]
            self._filter(afresh=True)

    def _filter(self, *, afresh: bool = False) -> None:
        """List the clips that fit; the open one stays open if it is among them, as does a video of one's own."""
        probabilities = self._predicted() if self.outcome.value != ANY else None
        wanted = {"label": self.label.value, "subject": self.subject.value, "outcome": self.outcome.value}
        table = choices.chosen(self.shelf.store, **wanted, probabilities=probabilities)
        before = self.clip.value
        rows = zip(table.index, table["label"], table["subject"], strict=True)
        with self._silent():
            self.clip.options = [
                (f"{clip_id} · {class_name(label)} · {subject}", clip_id) for clip_id, label, subject in rows
            ]
            self.clip.value = before if before in table.index else None
        if table.empty:
            raise InspectionError("No clip fits; choose another class, subject or prediction.")
        own_video = self.opened is not None and not self.opened.database
        if self.clip.value is None and (afresh or not own_video):
            self.open(table.index[0])

    def _predicted(self) -> pd.Series:
        """What the chosen network said about the clips of the database, computed once."""
        scorer, store = self.scorer, self.shelf.store
        if scorer is None:
            raise InspectionError("No trained network fits these clips, so no prediction is right or wrong.")
        key = (str(store.path), "predicted", scorer.spec.hash, scorer.run is None)

        def progress(done: int, total: int) -> None:
            self.message.value = markup.told("busy", f"{scorer.name}: {done} of {total} clips scored ...")

        try:
            found: pd.Series = self._kept.get(key, lambda: choices.predicted(scorer, store, self.runs, progress))
        except BaseException:
            with self._silent():
                self.outcome.value = ANY
            raise
        if markup.is_busy(self.message.value):
            self.message.value = ""
        return found

    def _open_chosen(self) -> None:
        if self.clip.value is not None:
            self.open(self.clip.value)

    def _turn_to(self, step: int) -> None:
        count = len(self.clip.options)
        if count:
            self.clip.index = 0 if self.clip.index is None else (self.clip.index + step) % count

    def _move(self, step: int) -> None:
        self.frame.value = min(max(self.frame.value + step, 0), self.frame.max)

    def _toggle_map(self) -> None:
        self.map_note.value = ""
        if self.show_map.value:
            self.fit_map()
        self.show_crop()

    def _play_on(self) -> None:
        """Follow the player; what it sent before it was stopped is not followed."""
        if self.play.playing:
            self.frame.value = self.play.value
        else:
            self.play.value = self.frame.value

    def _step(self) -> None:
        with self._silent():
            self.play.value = self.frame.value
        self.show_frame()
        self.show_crop()

    def _open_path(self) -> None:
        if text := self.path.value.strip():
            # The same path again is a change then, and opens the video again.
            with self._silent():
                self.path.value = ""
            self.open_video(text)

    def _open_upload(self) -> None:
        if not self.upload.value:
            return
        sent = self.upload.value[0]
        name = Path(str(sent["name"])).name
        folder = Path(tempfile.mkdtemp(dir=self._uploads.name))
        path = folder / (file_stem(Path(name).stem or "upload") + Path(name).suffix[:10])
        path.write_bytes(sent["content"])
        with self._silent():
            self.upload.value = ()
        self.open_video(path)
        shown = None if self.opened is None else self.opened.video.parent
        for other in Path(self._uploads.name).iterdir():
            if other != shown:
                shutil.rmtree(other)

    def _take_network(self) -> None:
        self.nearest, self.neighbours.children = None, ()
        self._toggle_map()
        self.score(everything=False)
        if self.over_time.value:
            self.show_curves()
        if self.outcome.value != ANY:
            self._filter()

    def _measure_au06(self) -> None:
        if self.opened is not None:
            with self._doing(f"measuring AU06 in {len(self.opened.times)} frames"):
                self.opened.measure_au06()
            self.show_curves()

    def _find_nearest(self) -> None:
        clip, scorer, store = self.opened, self.scorer, self.shelf.store
        if clip is None or scorer is None:
            raise InspectionError("No trained network fits this clip, so no clip is nearest to it.")
        with self._doing(f"comparing with {len(store)} clips"):
            found = scores.nearest(scorer, store, clip, _NEAREST)
            if found.empty:
                raise InspectionError(f"{scorer.name} cannot lay these clips out; choose another network.")
            self.nearest, self._thumbnails = found, thumbnails(store, found["clip_id"])
            self.neighbours.children = [self._neighbour(row) for row in found.itertuples()]

    def _neighbour(self, row: Any) -> widgets.VBox:
        clip_id = str(row.clip_id)
        picture = widgets.Image(
            value=enlarged_png(self._thumbnails[clip_id], _THUMBNAIL),
            format="png",
            layout=widgets.Layout(width=f"{_THUMBNAIL}px"),
        )
        seen = {True: "; seen in training or validation", False: "; unseen subject"}.get(row.seen, "")
        about = f"{class_name(row.label)}, subject {row.subject}; distance {row.distance:.2f}{seen}"
        button = widgets.Button(description=clip_id, tooltip=f"open {clip_id}", layout=widgets.Layout(width="208px"))
        button.on_click(lambda _: self._react(lambda: self.open(clip_id)))
        return widgets.VBox(
            [picture, button, widgets.HTML(markup.note(about))], layout=widgets.Layout(width="216px", padding="2px")
        )

    def _save_picture(self) -> None:
        with self._doing("drawing the view"):
            figure = self.figure()
            assert self.opened is not None
            path = saving.save_picture(figure, self.opened, self.frame.value, self.folder)
            self.saved.value = markup.told("done", f"Saved as {path}")

    def _save_numbers(self) -> None:
        if self.opened is None:
            raise InspectionError("Nothing is open; choose a clip or upload a video.")
        over_time = self.probability_over_time() if self.over_time.value else None
        along = {} if over_time is None or self.scorer is None else {self.scorer: over_time}
        table = saving.numbers(self.opened, self.probabilities, along)
        path = saving.save_numbers(table, self.opened, self.folder)
        self.saved.value = markup.told("done", f"Saved as {path}")
