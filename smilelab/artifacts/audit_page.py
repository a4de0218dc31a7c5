"""The audit: what the papers' own numbers imply, with what follows from it and what does not."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smilelab.artifacts import audit_findings as findings
from smilelab.artifacts import audit_lee as lee
from smilelab.artifacts import audit_yang as yang
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.product import Product
from smilelab.audit import matrices, rounding

_STRUCTURES = ("neutral anchor", "plain", "posed anchor", "Lee'18")
_COLORS = dict(zip(_STRUCTURES, ("#0072b2", "#d55e00", "#009e73", "#555555"), strict=True))
_MARKERS = dict(zip(_STRUCTURES, "os^D", strict=True))
_LEVELS = 4  # heights of the names of lines that lie close together


@makes("audit", findings, lee, yang, matrices, rounding)
def audit() -> Product:
    """Check the printed numbers of both papers against each other; no data and no model are needed."""
    folds, trials = lee.folds(), yang.trials()
    tables = {
        "What the papers' own numbers imply": findings.overview(),
        "Lee Tables 3 and 4: confusion matrices that round to a row, for each split of Table 1": lee.splits_table(),
        "Lee Tables 3 and 4: the matrices found (windows, percent)": lee.matrices_table(),
        f"Lee Tables 3 and 4: rows that fit a split with 1 to {lee.MOST_REMOVED} windows of one class left out": (
            lee.removed_table()
        ),
        f"Lee Tables 3 and 4 against the test split: one model, and the mean of {folds} (percent)": lee.misfit_table(),
        "Lee Table 1 and section 4.1: sums and shares": lee.arithmetic_table(),
        "Lee section 3.2: windows per smile moment": lee.moments_table(),
        "Lee Table 2: sizes that kernel and stride give": lee.sizes_table(),
        "Yang: majority baseline of each database, and what a last digit can say": yang.databases_table(),
        "Yang: every accuracy of a known number of clips (percent)": yang.accuracies_table(),
        "Yang: sums of UvA-NEMO's numbers": yang.sums_table(),
    }
    ties = lee.ties()
    notes = [
        "The picture shows the share of positives that each row's accuracy, precision and recall imply, with all that "
        "rounding leaves open as a bar, beside the shares that the sets of Table 1 have with either class as positive.",
        "Every number is one that a paper prints; nothing was measured. All of it is arithmetic on rounded numbers: it "
        "says what they can and cannot be, and nothing about why, nor about anybody's intent.",
        "Rounding is to the nearest, and an exact half may go either way. "
        f"{ties or 'None'} of the {len(lee.search())} matrices found for Lee & Lee rests on such a half. Precision and "
        "recall are read as those of one class; both classes are tried, means over classes are not.",
        "'Other numbers that would fit': of all printable accuracies, precisions and recalls within half a point of "
        "the row's own, the share for which a matrix of the same kind exists. It says how much a fit is worth.",
        f"'Means of {folds} models that would fit': a simulation, models scattering about the matrix found as binomial "
        "counts do. The largest mean precision grants the models every freedom that mean accuracy and recall leave; it "
        "takes for granted that all are tested on the whole test split.",
        "'k of n' holds for one pass over all n clips; a mean over folds of unequal size need not be any k/n. Trials "
        f"are shown for the paper's own networks, which are said to be means of {trials}.",
        "Intervals for k of n (Wilson, and exact after Clopper and Pearson) take clips as independent. Clips of one "
        "subject are not: honest intervals are wider.",
    ]
    return Product(tables, figure=_figure(), notes=notes)


def _figure() -> Figure:
    """Share of positives that every row implies, beside the shares that the splits have."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    wide, close = figure.subplots(1, 2, sharey=True, width_ratios=(1.9, 1))
    names = list(lee.rows().index)
    for at, name in enumerate(names):
        low, high = (100 * float(end) for end in matrices.implied_share(*lee.rows().loc[name, list(lee.METRICS)]))
        kind = lee.group(name)
        for axes in (wide, close):
            axes.plot((low, high), (at, at), color=_COLORS[kind], lw=2.5, solid_capstyle="butt")
            axes.plot((low + high) / 2, at, _MARKERS[kind], color=_COLORS[kind], ms=5, mec="white", mew=0.6)
    counts = lee.splits()
    held = [(_share(of, name), f"{split}, {name}") for split, of in counts.items() for name in lee.CLASSES]
    _lines(wide, sorted(held))
    lines = [(_share(counts["validation"], "posed"), "validation, posed")]
    for way in lee.common_removals("posed anchor").query("removed > 0").to_dict("records"):
        fewer = {key: n - way["removed"] * (key == way["removed_from"]) for key, n in counts[way["split"]].items()}
        lines.append((_share(fewer, way["positive"]), f"{way['removed']} {way['removed_from']} fewer"))
    _lines(close, sorted(lines))
    wide.set_yticks(range(len(names)), names)
    wide.set_ylim(len(names) - 0.4, -1 - 0.8 * _LEVELS)
    wide.set_xlim(25, 77)
    close.set_xlim(67.5, 69.1)
    close.set_xticks([67.5, 68, 68.5, 69])
    for axes in (wide, close):
        axes.set_xlabel("share of positives (%)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    wide.set_title("What a row implies (marks), what a set has (lines)", fontsize=9, loc="left")
    close.set_title("Close up; bars: all that rounding allows", fontsize=9, loc="left")
    return figure


def _share(counts: dict[str, int], positive: str) -> float:
    return 100 * counts[positive] / sum(counts.values())


def _lines(axes: Axes, held: list[tuple[float, str]]) -> None:
    """Draw ascending shares as lines; neighbours have their names at different heights."""
    for number, (share, label) in enumerate(held):
        top = -1 - 0.8 * (number % _LEVELS)
        axes.plot((share, share), (top, len(lee.rows()) - 0.4), color="0.6", lw=1, zorder=0)
        free = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.text(share, top - 0.1, label, fontsize=7, ha="center", va="bottom", color="0.2", bbox=free)
