"""What a person should know about a copy of a database, in lines of text."""

from __future__ import annotations

from smilelab.datasets.base import NEUTRAL, POSED, SPONTANEOUS, Database, some
from smilelab.datasets.splits import SplitError

__all__ = ["describe"]


def describe(database: Database) -> str:
    """Say what a copy of a database holds, what is missing or faulty, and what to do.

    Parameters
    ----------
    database : Database

    Returns
    -------
    str
        Lines.
    """
    index, label = database.index(), database.index()["label"]
    title = database.title.removeprefix("the ")
    spontaneous, posed, neutral = (int((label == value).sum()) for value in (SPONTANEOUS, POSED, NEUTRAL))
    lines = [
        f"{database.root}: {title[0].upper()}{title[1:]} ({_origin(database)})",
        f"{_counted(len(index), 'clip')} of {_counted(index['subject'].nunique(), 'subject')}: "
        f"{spontaneous} spontaneous, {posed} posed" + (f", {neutral} neutral" if neutral else ""),
    ]
    if recordings := int((index["kind"] == "recording").sum()):
        lines.append(f"{recordings} of them are recordings: preprocessing finds the smiles in them first.")
    try:
        folds = database.folds()
        lines.append(f"folds: {len(folds)}, {folds.source}")
    except SplitError as error:
        lines.append(f"folds: none. {error}")
    deviations = database.deviations()
    if not deviations.empty:
        published = "Counts that differ from the published ones" if database.expected() else "What a class lacks"
        lines += [
            f"{published}:\n{deviations.to_string(index=False)}",
            "It can be used as it is; tables will say how many clips they are based on."
            if spontaneous and posed
            else "Networks learn from both classes: clips of one can be preprocessed and scored, not trained on.",
        ]
        lines += [database.how_to_obtain] if database.expected() and not database.simulated else []
    elif database.expected():
        lines.append("All counts are as published.")
    if database.faults:
        lines += [f"{len(database.faults)} fault(s), the rest can be used:", some(database.faults, most=100)]
    elif database.require_videos:
        lines.append("No fault found.")
    return "\n".join([*lines, *(f"Note: {note}" for note in database.notes[:10])])


def _origin(database: Database) -> str:
    if not database.simulated:
        return "not marked as simulated"
    made, every = database.files_from_simulator()
    if made in (0, every):
        return "simulated"
    return f"counts as simulated: {made} of {_counted(every, 'file')} came from the simulator; keep the others apart"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
