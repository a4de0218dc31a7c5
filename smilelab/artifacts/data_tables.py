"""The papers' tables about data: databases, folds, windows, and what tells the classes apart without a smile."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from smilelab import audit, clips, windows
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.numbers import percent, reported
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS, splits

YANG_DATABASES = ("uva-nemo", "mmi", "spos", "bbc")
PROBES_CAPTION = "What tells the classes apart without looking at the smile (percent, 95 % intervals over subjects)"
_NAMED_SUBJECTS = 12
_PICTURES = {"spos"}


@makes("yang2020-table1", clips)
def yang2020_table1(stores: Mapping[str, ClipStore]) -> Product:
    """Yang Table 1: resolution, frame rate, clips and subjects per class, as decoded from the files on disk.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store, whose manifest holds what decoding each file found.
    """
    shown = {name: stores[name] for name in YANG_DATABASES if name in stores}
    rows = []
    for name in YANG_DATABASES:
        printed = reported("yang2020-table1").query("database == @name").set_index("quantity")["value"]
        label = database_label(name, simulated=False)
        rows.append({"database": label, "": "reported", **printed.to_dict()})
        measured = dict.fromkeys(printed.index, NOT_RUN)
        if name in shown:
            label = database_label(name, simulated=shown[name].simulated)
            measured = _decoded(shown[name])
            if name in _PICTURES:
                measured["frame rate"] += " (nominal)"
        rows.append({"database": label, "": "measured", **measured})
    notes = [
        f"{database_label(name, simulated=store.simulated)}: {len(store.manifest)} clips listed, {len(store.usable)} "
        f"usable; of the others the reasons are in the manifest. {store.folds_source.capitalize()}."
        for name, store in shown.items()
    ]
    if _PICTURES & set(shown):
        notes.append("SPOS comes as numbered pictures, which carry no times: its frame rate is the published one.")
    if "mmi" in shown:
        notes.append(
            "MMI: the class is confounded with subject, camera, frame rate and resolution (the probes below accuracy "
            "tables say how far); the paper prints its resolutions and frame rates in opposite orders."
        )
    return Product(
        {"Smile databases, reported and measured": pd.DataFrame(rows)}, notes=notes, stores=[*shown.values()]
    )


def _decoded(store: ClipStore) -> dict[str, str]:
    table = store.manifest
    decoded = table[table["width"] > 0]
    # The manifest has the size of the upright picture; of a video that lay on its side, that is not the one on disk.
    lying = decoded["reason"].str.contains("turned by 90|turned by 270")
    width, height = (decoded[a].where(~lying, decoded[b]) for a, b in (("width", "height"), ("height", "width")))
    sizes = width.astype(str) + "x" + height.astype(str)
    rates = decoded["fps_source"].round(2).map("{:g}".format)
    of_class = {label: table[table["label"] == label] for label in (SPONTANEOUS, POSED)}
    return {
        "resolution": "; ".join(sizes.value_counts().index),
        "frame rate": "; ".join(rates.value_counts().index),
        "spontaneous clips": str(len(of_class[SPONTANEOUS])),
        "posed clips": str(len(of_class[POSED])),
        "subjects with a spontaneous clip": str(of_class[SPONTANEOUS]["subject"].nunique()),
        "subjects with a posed clip": str(of_class[POSED]["subject"].nunique()),
    }


@makes("folds", clips)
def folds(stores: Mapping[str, ClipStore]) -> Product:
    """Test folds of every database: clips of each class and subjects in each.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    """
    tables, notes = {}, []
    for name, store in stores.items():
        label = database_label(name, simulated=store.simulated)
        rows = []
        for number, test in enumerate(store.folds(), start=1):
            part = store.usable.loc[test]
            subjects = sorted(part["subject"].unique())
            named = ", ".join(subjects) if len(subjects) <= _NAMED_SUBJECTS else ""
            rows.append(
                {
                    "test fold": number,
                    "clips": len(part),
                    "spontaneous": int((part["label"] == SPONTANEOUS).sum()),
                    "posed": int((part["label"] == POSED).sum()),
                    "subjects": len(subjects),
                    "who": named,
                }
            )
        table = pd.DataFrame(rows)
        tables[f"{label}: {store.folds_source}"] = table if table["who"].any() else table.drop(columns="who")
        lacking = [row["test fold"] for row in rows if not (row["spontaneous"] and row["posed"])]
        if lacking:
            which = ", ".join(map(str, lacking))
            notes.append(f"{label}: test fold(s) {which} hold one class only; accuracy is pooled over folds.")
    notes.append("No subject is in two folds. Clips without a usable face are left out.")
    return Product(tables, notes=notes, stores=[*stores.values()])


@makes("probes", audit.probes)
def probes(stores: Mapping[str, ClipStore]) -> Product:
    """How well length, frame rate, resolution, brightness or the majority alone predict the label.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.
    """
    notes = [
        "Logistic regression on one or two numbers a clip, trained and tested on the database's own folds. A model "
        "that does not clearly pass every probe has shown nothing about smiles.",
        "The majority class is that of the training clips; where the test clips have another one, it falls below half.",
    ]
    notes += [f"{database_label(n, simulated=s.simulated)}: {s.folds_source}." for n, s in stores.items()]
    return Product({PROBES_CAPTION: probes_of(stores)}, notes=notes, stores=[*stores.values()])


def probes_of(stores: Mapping[str, ClipStore]) -> pd.DataFrame:
    """Confound probes of several databases, printed.

    Parameters
    ----------
    stores : mapping of str to ClipStore
        Database name to its clip store.

    Returns
    -------
    pandas.DataFrame
        One row a database and probe, text as printed.
    """
    rows = []
    for name, store in stores.items():
        label = database_label(name, simulated=store.simulated)
        try:
            found = audit.confound_probes(store).to_dict("records")
        except audit.AuditError as error:
            rows.append({"database": label, "probe": f"not run: {error}"})
            continue
        for row in found:
            rows.append(
                {
                    "database": label,
                    "probe": row["probe"],
                    "accuracy": percent(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
                    "majority": percent(row["majority"]),
                    "balanced accuracy": percent(row["balanced_accuracy"]),
                    "AUC": percent(row["auc"], row["auc_low"], row["auc_high"]),
                    "clips": str(row["n"]),
                    "subjects": str(row["subjects"]),
                }
            )
    return pd.DataFrame(rows)


@makes("lee2020-table1", windows, splits)
def lee2020_table1(store: ClipStore, *, seed: int = 0, length: int = 30) -> Product:
    """Lee Table 1: subjects and windows per class in training, validation and test set.

    Parameters
    ----------
    store : ClipStore
        Smile moments at 30 frames per second.
    seed : int
        Seed of the draw of subjects.
    length : int
        Frames of a window.
    """
    index = store.usable.reset_index()[["clip_id", "label", "subject"]]
    label = database_label(store.database, simulated=store.simulated)
    made = windows.Windows(store, length=length)
    table = made.table
    try:
        drawn = splits.partition(index, seed=seed)
        rounds_drawn = splits.five_fold(index, seed=seed)
    except splits.SplitError as error:
        note = f"{NOT_RUN}: {error} {label.capitalize()} has {len(store.usable)} moments with a face."
        return Product(notes=[note], stores=[store])
    parts = {"training": drawn.train, "validation": drawn.validation, "test": drawn.test}
    parts["total"] = tuple(subject for part in parts.values() for subject in part)
    printed = reported("lee2020-table1").set_index(["row", "quantity"])["value"]
    columns = ["subjects", "spontaneous windows", "posed windows", "windows"]
    rows = []
    for name, subjects in parts.items():
        numbers = {column: f"{int(printed[name, column]):,}" for column in columns}
        rows.append({"set": name, "": "reported (Lee's own recordings)", **numbers})
        rows.append({"set": name, "": f"measured ({label})", **_window_counts(table, subjects)})
    rounds = [
        {"fold": number, "set": name, **_window_counts(table, subjects)}
        for number, fold in enumerate(rounds_drawn, start=1)
        for name, subjects in (("training", fold.train), ("validation", fold.validation))
    ]
    moments = []
    for kind, value in (("spontaneous", SPONTANEOUS), ("posed", POSED)):
        of_class = store.usable[store.usable["label"] == value]
        count = int((table["label"] == value).sum())
        said = int(printed["moments", f"{kind} moments"]), int(printed["total", f"{kind} windows"])
        moments.append(
            {
                "class": kind,
                "moments, reported": str(said[0]),
                "windows per moment, reported": f"{said[1] / said[0]:.1f}",
                "moments, measured": str(len(of_class)),
                "windows per moment, measured": f"{count / len(of_class):.1f}" if len(of_class) else "",
                "median frames of a moment, measured": f"{of_class['frames'].median():g}" if len(of_class) else "",
                "moments shorter than a window": str(int((of_class["frames"] < length).sum())),
            }
        )
    notes = [
        f"A window is {length} frames at {store.recipe['fps']:g} frames per second, the next one starts a frame later: "
        f"a moment of n frames without a gap has n - {length - 1} windows, so windows are far from independent.",
        f"Subjects are drawn with seed {seed}, in the printed shares (68, 10 and 10 of 88); none is in two sets.",
        f"The paper's five folds of 10 subjects cannot partition its 78. Here the subjects that do not test "
        f"({len(drawn.train) + len(drawn.validation)}) are put into {len(rounds_drawn)} groups; in each round some of "
        "one group validate, all others train, and no subject validates twice.",
        "The reported rows are of recordings that were never released. 71 windows per posed and 26 per spontaneous "
        "moment imply moments of about 100 and 55 frames, the opposite of UvA-NEMO's lengths, and a cue to the class.",
    ]
    if made.too_short:
        notes.append(f"{len(made.too_short)} moments without {length} frames in a row have no window.")
    tables = {
        "Subjects and windows per class": pd.DataFrame(rows),
        "The same for the five training rounds": pd.DataFrame(rounds),
        "Smile moments": pd.DataFrame(moments),
    }
    return Product(tables, notes=notes, stores=[store])


def _window_counts(table: pd.DataFrame, subjects: tuple[str, ...]) -> dict[str, str]:
    mine = table[table["subject"].isin(subjects)]
    every = max(len(table), 1)
    by_class = {label: int((mine["label"] == label).sum()) for label in (SPONTANEOUS, POSED)}
    return {
        "subjects": str(len(subjects)),
        "spontaneous windows": f"{by_class[SPONTANEOUS]:,}",
        "posed windows": f"{by_class[POSED]:,}",
        "windows": f"{len(mine):,} ({len(mine) / every:.0%})",
    }
