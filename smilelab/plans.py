"""What a profile is going to run, said before it runs, so that anybody can see how far it is. Needs pandas alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from smilelab.files import locked, write_atomically

if TYPE_CHECKING:
    from smilelab.specs import RunSpec

COLUMNS = ("experiment", "runs", "done", "failed", "left", "seconds_per_run", "seconds_left", "unknown", "first_error")


def register(root: str | Path, profile: str, experiment: str, specs: Iterable[RunSpec]) -> None:
    """Write down what is going to run for an experiment; what was planned for it before is replaced.

    Parameters
    ----------
    root : str or Path
        Folder of all runs; the plan is ``plans/<profile>.json`` in it.
    profile : str
    experiment : str
        Its name: the id of the table or figure it is for.
    specs : iterable of RunSpec
        In the order in which they run; repeated ones count once.
    """
    entries = list({spec.hash: _entry(spec) for spec in specs}.values())
    path = _path(root, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(Path(root) / ".locks" / f"plan-{profile}"):
        plan = _read(path)
        plan[experiment] = entries
        write_atomically(path, json.dumps(plan, indent=1) + "\n")


def profiles(root: str | Path) -> list[str]:
    """Names of the profiles that have a plan."""
    return [path.stem for path in sorted((Path(root) / "plans").glob("*.json"))]


def planned(root: str | Path, profile: str, experiment: str) -> dict[str, bool]:
    """Hashes of the runs that are planned for an experiment, and whether each is finished; empty where none is."""
    entries = _read(_path(root, profile)).get(experiment, [])
    return {entry["run"]: (Path(root) / entry["run"] / "metrics.json").is_file() for entry in entries}


def progress(root: str | Path, profile: str, *, processes: int = 1) -> pd.DataFrame:
    """How far the experiments of a profile are, and how long the rest is expected to take.

    A run that is left is expected to take as long as finished ones that differ in fold and seed alone; else, by its
    work (epochs, training clips and pixels of a frame, as far as the specification tells), as those of its model on its
    database, or as any on its database. Where none of these is finished it is unknown.

    Parameters
    ----------
    root : str or Path
        Folder of all runs.
    profile : str
    processes : int
        Runs that go on at a time.

    Returns
    -------
    pandas.DataFrame
        A row an experiment, in the order of planning: ``experiment``; ``runs``, of which ``done``, ``failed`` when they
        were last tried, and ``left`` (failed ones too: they are tried again); ``seconds_per_run``, the mean of those
        done, NaN where none is; ``seconds_left``, wall time of those left whose time is known; ``unknown``, how many
        are left besides; ``first_error`` of those that failed, in the order of planning. A run that experiments share
        is counted in each, but its time in the first alone: the others will load it.
    """
    root = Path(root)
    known = _finished(root)
    plan = _read(_path(root, profile))
    rows = []
    # What comes along with a run that is left takes no time of its own.
    every = [entry for entries in plan.values() for entry in entries]
    timed = {entry["along"] for entry in every if "along" in entry and entry["run"] not in known}
    for experiment, entries in plan.items():
        done = [entry for entry in entries if entry["run"] in known]
        left = [entry for entry in entries if entry["run"] not in known]
        errors = [error for entry in left if (error := _error(root, entry["run"])) is not None]
        expected = [_expected(entry, known) for entry in left if entry["run"] not in timed]
        timed.update(entry["run"] for entry in left)
        seconds = [time for time in expected if not math.isnan(time)]
        # A run is not divided between processes.
        wall = max(sum(seconds) / processes, *seconds, 0.0)
        mean = sum(known[entry["run"]]["seconds"] for entry in done) / len(done) if done else math.nan
        counts = (len(entries), len(done), len(errors), len(left))
        rows.append((experiment, *counts, mean, wall, len(expected) - len(seconds), errors[0] if errors else ""))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def describe(row: Mapping[Any, Any]) -> str:
    """One line on a row of :func:`progress`."""
    text = f"{row['done']} of {row['runs']} runs done"
    if row["done"]:
        text += f", {_duration(row['seconds_per_run'])} a run"
    if row["left"]:
        text += f", {row['left']} left"
        if row["seconds_left"]:
            text += f", {_duration(row['seconds_left'])} to go"
        if row["unknown"]:
            text += f", time not known of {row['unknown']}"
    return text


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    if seconds < 100 * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _entry(spec: RunSpec) -> dict[str, Any]:
    along = {"along": spec.along.hash} if spec.along is not None else {}
    return {"run": spec.hash, **along, **_facts(spec.as_dict())}


def _facts(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a specification's dictionary tells how long the run takes."""
    training = spec["training"]
    kind = {key: value for key, value in spec.items() if key not in ("fold", "seed")}
    return {
        **{key: spec[key] for key in ("database", "model", "fold", "seed")},
        "kind": hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:12],
        "epochs": training["epochs"],
        # Clips in an epoch and pixels along a side; 0 where the specification leaves them to the store.
        "clips": training.get("per_epoch", 0),
        "side": spec["model_options"].get("size", 0),
    }


def _finished(root: Path) -> dict[str, dict[str, Any]]:
    """Facts and seconds of the finished runs below a folder, by hash."""
    found = {}
    for path in root.glob("*/environment.json"):
        spec, metrics = (_json(path.with_name(name)) for name in ("spec.json", "metrics.json"))
        facts = _facts(spec)
        facts["clips"] = facts["clips"] or metrics.get("train_clips", 0)
        found[path.parent.name] = facts | {"seconds": float(_json(path)["seconds"])}
    return found


def _expected(entry: dict[str, Any], known: dict[str, dict[str, Any]]) -> float:
    """Seconds that a run will take, NaN where nothing like it is finished."""
    for same in (("kind",), ("model", "database"), ("database",)):
        alike = [facts for facts in known.values() if all(facts[key] == entry[key] for key in same)]
        if alike:
            return sum(facts["seconds"] * _times_the_work(entry, facts) for facts in alike) / len(alike)
    return math.nan


def _times_the_work(entry: dict[str, Any], facts: dict[str, Any]) -> float:
    """How many times the work of one run another is; what one of them does not say is taken to be equal."""
    times = 1.0
    for what, power in (("epochs", 1), ("clips", 1), ("side", 2)):
        if entry[what] and facts[what]:
            times *= (entry[what] / facts[what]) ** power
    return times


def _error(root: Path, run: str) -> str | None:
    path = root / f"{run}.failed.json"
    return str(_json(path)["error"]) if path.is_file() else None


def _path(root: str | Path, profile: str) -> Path:
    return Path(root) / "plans" / f"{profile}.json"


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    return _json(path) if path.is_file() else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: found no JSON ({error}); remove it, it is written again.") from None
