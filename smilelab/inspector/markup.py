"""The inspector's sentences, table and cursor as HTML; whatever comes from files is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from smilelab.inspector.choices import class_name
from smilelab.inspector.clip import OpenedClip
from smilelab.inspector.scores import Scorer

__all__ = ["badges", "cursor", "is_busy", "note", "scores_table", "time_line", "title", "told"]


def told(kind: str, text: str) -> str:
    """Line above the clip: `kind` is "busy", "error" or "done"."""
    sign = {"busy": "spinner fa-spin", "error": "exclamation-triangle", "done": "check"}[kind]
    return f'<div class="smilelab-told smilelab-{kind}"><i class="fa fa-{sign}"></i> {escape(text)}</div>'


def is_busy(html: str) -> bool:
    """Whether a line of `told` says what is being computed."""
    return "smilelab-busy" in html


def note(text: str) -> str:
    """Small print."""
    return f'<span class="smilelab-hint">{escape(text)}</span>' if text else ""


def badges(*, video: bool, weights: bool) -> str:
    """Say of a probability that its video or its network are of simulated faces."""
    words = [word for word, is_so in (("simulated video", video), ("simulated weights", weights)) if is_so]
    return " ".join(f'<span class="smilelab-made">{word}</span>' for word in words)


def title(clip: OpenedClip) -> str:
    """What is open: its name, class and subject, and what is remarkable about it."""
    facts = [class_name(clip.label)]
    facts += [f"subject {clip.subject}"] if clip.subject else []
    seconds = float(clip.times[-1] - clip.times[0]) if len(clip.times) else 0.0
    facts.append(f"{len(clip.times)} frames, {seconds:.1f} s")
    made = f" {badges(video=True, weights=False)}" if clip.simulated else ""
    remark = f"<br>{note(clip.remark)}" if clip.remark else ""
    return f"<b>{escape(clip.title)}</b>{made} · {escape(' · '.join(facts))}{remark}"


def time_line(clip: OpenedClip, at: int) -> str:
    """Time and number of the frame that is shown."""
    return f"<span>{clip.times[at]:.2f} s · frame {at + 1} of {len(clip.times)}</span>"


def cursor(percent: float) -> str:
    """Upright line over the curves, `percent` of their width from the left."""
    return f'<i style="left: {percent:.3f}%"></i>'


def scores_table(
    clip: OpenedClip, scored: Iterable[tuple[Scorer, float | None, str]], chosen: Scorer | None = None
) -> str:
    """Probability of a spontaneous smile by each network, None where it was not asked for yet; why there is none,
    or what is to be said of it.

    The chosen network is set in bold.
    """
    rows = []
    for scorer, probability, reason in scored:
        if probability is None:
            cells = "<td></td><td colspan=2>not scored yet</td>"
        elif math.isnan(probability):
            cells = f"<td></td><td colspan=2>{note(reason or 'cannot score this clip')}</td>"
        else:
            bar = f'<div class="smilelab-bar"><i style="width: {100 * probability:.1f}%"></i><b></b></div>'
            called = "spontaneous" if probability >= 0.5 else "posed"
            cells = f"<td>{bar}</td><td><b>{probability:.3f}</b></td><td>{called} {note(reason)}</td>"
        made = badges(video=clip.simulated, weights=scorer.simulated)
        name = f"<b>{escape(scorer.name)}</b>" if scorer is chosen else escape(scorer.name)
        rows.append(f"<tr><td>{name}</td>{cells}<td>{made}</td></tr>")
    if not rows:
        return note("No trained network fits how these clips are cropped; notebooks 02 and 03 train some.")
    return f'<table class="smilelab-scores">{"".join(rows)}</table>'
