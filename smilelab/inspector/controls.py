"""The inspector's controls and where they stand. Nothing happens here when one is used."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from smilelab.inspector.choices import ANY, CLASSES, OUTCOMES
from smilelab.inspector.scores import MAPS

__all__ = ["CAUTION", "SPEEDS", "Controls"]

CAUTION = (
    "A score is what a network says about a few seconds of video. It is no evidence about a person: not about what "
    "they feel, and not about whether they are honest."
)
SPEEDS = {"real time": 1.0, "half speed": 0.5, "quarter speed": 0.25}
# What a server that `make lab` did not start takes in one message; larger ones are dropped, and nobody is told.
_LIMIT = "give the path of videos over 10 MB, unless `make lab` started this"
_MAP_NAMES = {"grad-cam": "Grad-CAM", "score-cam": "Score-CAM", "guided": "guided backpropagation"}
_CROP_WIDTH = "272px"

_STYLE = """
<style>
.smilelab { max-width: 1180px; color: var(--jp-ui-font-color1, #222); }
.smilelab .widget-html-content { line-height: 1.35; }
.smilelab h4 { margin: 4px 0 2px 0; font-size: 13px; font-weight: 600; }
.smilelab small, .smilelab .smilelab-hint { font-size: 12px; color: var(--jp-ui-font-color2, #555); }
.smilelab .smilelab-sharp img, .smilelab img.smilelab-sharp { image-rendering: pixelated; }
.smilelab img { border-radius: 3px; }
.smilelab .smilelab-curves { position: relative; }
.smilelab .smilelab-cursor { position: absolute; inset: 0; margin: 0; pointer-events: none; }
.smilelab .smilelab-cursor i { position: absolute; top: 0; bottom: 0; width: 2px; background: #c40000; opacity: .85; }
.smilelab-told { padding: 3px 8px; border-radius: 3px; border-left: 4px solid; min-height: 20px; }
.smilelab-busy { border-color: #0072b2; background: rgba(0, 114, 178, .12); }
.smilelab-error { border-color: #d55e00; background: rgba(213, 94, 0, .14); }
.smilelab-done { border-color: #009e73; background: rgba(0, 158, 115, .12); }
.smilelab-made { border: 1px solid #b3261e; color: #b3261e; border-radius: 3px; padding: 0 4px; font-size: 11px;
  white-space: nowrap; }
.smilelab table.smilelab-scores { border-collapse: collapse; width: 100%; font-size: 12.5px; }
.smilelab table.smilelab-scores td, .smilelab table.smilelab-scores th { padding: 3px 8px 3px 0; text-align: left;
  vertical-align: middle; }
.smilelab-bar { position: relative; width: 160px; height: 12px; background: rgba(128, 128, 128, .25); }
.smilelab-bar i { position: absolute; left: 0; top: 0; bottom: 0; background: #0072b2; }
.smilelab-bar b { position: absolute; left: 50%; top: -2px; bottom: -2px; width: 1px; background: currentColor; }
</style>
"""


class Controls:
    """Every control of the inspector, as attributes, and their arrangement.

    Attributes
    ----------
    database, label, subject, outcome, clip : Dropdown
        What is opened: a database; a class, a subject, right or wrong predictions of the chosen `model`; a clip.
    previous, following : Button
        The neighbours of the clip in the list.
    upload : FileUpload
    path : Text
        A video on the machine where the notebook runs.
    message : HTML
        What is being computed, or what went wrong.
    title : HTML
    picture, crop, curves, anchor : Image
        The frame; what a network sees; the curves; the face at rest.
    frame : IntSlider
        The frame that is shown; with the arrow keys one steps by one.
    play : Play
    step_back, step_on : Button
    speed : Dropdown
    box, landmarks : Checkbox
    time, cursor, scores, anchor_source, map_note, saved : HTML
    model, map_kind : Dropdown
    show_map, over_time : ToggleButton
    opacity : FloatSlider
    score_all, measure_au06, find_nearest, save_picture, save_numbers : Button
    neighbours : HBox
    root : VBox
        All of them.
    """

    def __init__(self) -> None:
        self._make_choices()
        self._make_player()
        self._make_networks()
        for name, control in vars(self).items():
            if isinstance(control, widgets.DOMWidget):
                control.add_class(f"smilelab-control-{name.replace('_', '-')}")
        self.root = self._arranged()

    def _make_choices(self) -> None:
        narrow, wide = widgets.Layout(width="165px"), widgets.Layout(width="330px")
        self.database = _dropdown("database", [], widgets.Layout(width="330px"))
        self.label = _dropdown("class", [("any class", ANY), *((name, name) for name in CLASSES)], narrow)
        self.subject = _dropdown("subject", [("any subject", ANY)], narrow)
        self.outcome = _dropdown(
            "prediction", [("any prediction", ANY), *((f"predicted {name}", name) for name in OUTCOMES)], narrow
        )
        self.clip = _dropdown("clip", [], wide)
        self.previous = _button("", "chevron-left", "the clip before", width="36px")
        self.following = _button("", "chevron-right", "the next clip", width="36px")
        self.upload = widgets.FileUpload(
            accept="video/*", multiple=False, description="Upload a video", layout=widgets.Layout(width="165px")
        )
        self.path = widgets.Text(
            placeholder="or the path of a video on this machine, Enter",
            continuous_update=False,
            layout=widgets.Layout(width="300px"),
        )
        self.message = _html()
        self.message.layout.min_height = "34px"
        self.title = _html()

    def _make_player(self) -> None:
        full = widgets.Layout(width="100%", max_height="460px", object_fit="contain", object_position="left top")
        self.picture = widgets.Image(format="jpeg", layout=full)
        self.frame = widgets.IntSlider(
            0, 0, 0, readout=False, description="frame", layout=widgets.Layout(flex="1 1 260px"), style=_narrow(44)
        )
        self.play = widgets.Play(value=0, min=0, max=0, interval=100, step=1)
        self.step_back = _button("", "step-backward", "one frame back", width="36px")
        self.step_on = _button("", "step-forward", "one frame on", width="36px")
        self.speed = _dropdown("speed", list(SPEEDS.items()), _width("112px"))
        self.box = _checkbox("face box")
        self.landmarks = _checkbox("68 landmarks")
        self.time = _html()
        self.curves = widgets.Image(format="png", layout=widgets.Layout(width="100%"))
        self.cursor = _html()
        self.cursor.add_class("smilelab-cursor")
        self.measure_au06 = _button("Measure AU06", "eye", "decodes the whole clip once", width="150px")
        self.over_time = _toggle("Probability over time", "line-chart", "of the chosen network", "190px")

    def _make_networks(self) -> None:
        full = widgets.Layout(width="100%")
        self.model = _dropdown("network", [], full)
        self.crop = widgets.Image(format="png", layout=widgets.Layout(width=_CROP_WIDTH))
        self.crop.add_class("smilelab-sharp")
        self.show_map = _toggle("Map", "fire", "what spoke for the predicted class", "76px")
        self.map_kind = _dropdown("map", [(_MAP_NAMES[kind], kind) for kind in MAPS], widgets.Layout(width="190px"))
        self.opacity = widgets.FloatSlider(
            0.5, min=0, max=1, step=0.05, readout=False, description="opacity", layout=full, style=_narrow(52)
        )
        self.map_note = _html()
        self.anchor = widgets.Image(format="png", layout=widgets.Layout(width="100%", object_fit="contain"))
        self.anchor.add_class("smilelab-sharp")
        self.anchor_source = _html()
        self.scores = _html()
        self.score_all = _button("Score with every network", "calculator", "slow ones too", width="210px")
        self.find_nearest = _button("Find the nearest clips", "search", "in the chosen network's embedding", "190px")
        self.neighbours = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap"))
        self.save_picture = _button("Save this view as PNG", "picture-o", "below data/inspected", "205px")
        self.save_numbers = _button("Save the numbers as CSV", "table", "below data/inspected", "225px")
        self.saved = _html()

    def _arranged(self) -> widgets.VBox:
        rows = [
            _row(self.database, self.clip, self.previous, self.following),
            _row(self.label, self.subject, self.outcome),
            _row(self.upload, self.path, _html(f'<span class="smilelab-hint">{_LIMIT}</span>')),
            self.message,
            self.title,
        ]
        hint = _html(
            '<span class="smilelab-hint">Click the slider\'s handle; then ← and → step one frame, Page Up and Page '
            "Down several, Home and End go to the ends.</span>"
        )
        left = widgets.VBox(
            [
                self.picture,
                _row(self.play, self.step_back, self.step_on, self.speed, self.box, self.landmarks),
                _row(self.frame, self.time),
                hint,
            ],
            layout=widgets.Layout(flex="1 1 440px", min_width="320px", max_width="760px"),
        )
        right = widgets.VBox(
            [
                _html("<h4>What the network sees</h4>"),
                self.crop,
                self.model,
                _row(self.show_map, self.map_kind),
                self.opacity,
                self.map_note,
                _html("<h4>The face at rest</h4>"),
                self.anchor,
                self.anchor_source,
            ],
            layout=widgets.Layout(flex="0 0 290px", padding="0 0 0 14px"),
        )
        curves = widgets.Box([self.curves, self.cursor], layout=widgets.Layout(width="100%"))
        curves.add_class("smilelab-curves")
        parts = [
            widgets.HTML(_STYLE, layout=widgets.Layout(display="none")),
            *rows,
            widgets.HBox([left, right], layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start")),
            curves,
            _row(self.over_time, self.measure_au06),
            _html("<h4>Probability of a spontaneous smile</h4>"),
            self.scores,
            _row(self.score_all),
            _html(f'<span class="smilelab-hint">{CAUTION}</span>'),
            _html("<h4>Nearest clips</h4>"),
            self.neighbours,
            _row(self.find_nearest),
            _row(self.save_picture, self.save_numbers),
            self.saved,
        ]
        root = widgets.VBox(parts, layout=widgets.Layout(width="100%", padding="4px"))
        root.add_class("smilelab")
        return root


def _html(value: str = "") -> widgets.HTML:
    return widgets.HTML(value, layout=widgets.Layout(margin="1px 2px"))


def _row(*children: Any) -> widgets.HBox:
    return widgets.HBox(list(children), layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def _width(width: str) -> widgets.Layout:
    return widgets.Layout(width=width)


def _narrow(pixels: int) -> dict[str, str]:
    return {"description_width": f"{pixels}px"}


def _dropdown(name: str, options: list[Any], layout: widgets.Layout) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, tooltip=name, layout=layout)


def _button(text: str, icon: str, tooltip: str, width: str) -> widgets.Button:
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=_width(width))


def _toggle(text: str, icon: str, tooltip: str, width: str) -> widgets.ToggleButton:
    return widgets.ToggleButton(False, description=text, icon=icon, tooltip=tooltip, layout=_width(width))


def _checkbox(text: str) -> widgets.Checkbox:
    return widgets.Checkbox(
        True, description=text, indent=False, layout=widgets.Layout(width="auto", margin="2px 0 2px 10px")
    )
