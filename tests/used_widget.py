"""Using the inspector's widget from Python and reading what it shows."""

from __future__ import annotations

import re
from html import unescape

import cv2
import numpy as np
import pandas as pd


def shown(widget, what="picture"):
    """A picture of the widget, decoded, RGB."""
    return cv2.imdecode(np.frombuffer(getattr(widget, what).value, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def text(html):
    """A line of the widget without its markup."""
    return unescape(re.sub(r"<[^>]+>", " ", html.value)).strip()


def cursor(widget):
    """Place of the cursor in % of the curves' width."""
    return float(re.search(r"left: ([\d.]+)%", widget.cursor.value)[1])


def near(picture, colour, tolerance=60):
    """How many pixels have a colour, or nearly so."""
    return int((np.abs(picture.astype(int) - colour).max(-1) < tolerance).sum())


def send(widget, name, content):
    """What the browser does when a person picks a file."""
    sent = {"name": name, "type": "video/mp4", "size": len(content), "content": memoryview(content)}
    widget.upload.set_trait("value", ({**sent, "last_modified": pd.Timestamp(0).to_pydatetime()},))


def ids(widget):
    """Clips that the list offers."""
    return [clip_id for _, clip_id in widget.clip.options]
