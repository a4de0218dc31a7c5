"""What the Siamese networks look at and how their distances lie: Lee & Lee's Figures 4, 6 and 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from smilelab.artifacts import siamese_examples
from smilelab.artifacts.catalogue import makes
from smilelab.artifacts.figures import CLASS_STYLE
from smilelab.artifacts.product import NOT_RUN, Product, database_label
from smilelab.artifacts.siamese_examples import (
    ANCHORS,
    Example,
    Results,
    anchored,
    described,
    explain,
    failures,
    first_runs,
    not_run,
    number_text,
    scored_windows,
    size_of,
    spaced,
    typical,
    upper_shares,
)
from smilelab.clips import ClipStore
from smilelab.datasets import POSED, SPONTANEOUS
from smilelab.explain import branch, cam, projection
from smilelab.runs import RunResult

# Title and left edge (inches) of the columns; to the right of a map is its colour bar.
_COLUMNS = (
    ("smile", 0.55),
    ("anchor", 1.72),
    ("spatial\nGrad-CAM (logit)", 2.89),
    ("time-series\nGrad-CAM (logit)", 4.72),
    ("guided Grad-CAM\n(gradient x map)", 6.32),
)
_SIDE, _PITCH, _HEAD, _FOOT, _WIDTH = 1.1, 1.42, 0.8, 0.4, 7.9
_COLOURS, _GUIDED_COLOURS = "viridis", "magma"


@makes("lee2020-fig4", siamese_examples, cam, branch)
def lee2020_fig4(store: ClipStore, results: Results, *, device: str = "cpu") -> Product:
    """Lee Figure 4: Grad-CAM of the neutral-anchor network for one posed and one spontaneous smile.

    Parameters
    ----------
    store : ClipStore
        The clips the runs were made on.
    results : sequence of runs
        Of the neutral-anchor network; the first fold that finished is explained.
    device : str
        A torch device.
    """
    return _explained(store, {"neutral": results}, device, "Grad-CAM of the Siamese network with a neutral anchor")


@makes("lee2020-fig6", siamese_examples, cam, branch)
def lee2020_fig6(
    store: ClipStore, results: Mapping[str, Results], *, device: str = "cpu", windows: int = 24
) -> Product:
    """Lee Figure 6: Grad-CAM of the networks with a neutral and with a posed anchor on the same windows.

    Parameters
    ----------
    store : ClipStore
        The clips the runs were made on.
    results : mapping of str to runs
        "neutral" and "posed" to the runs of the structure; the first fold that both finished is explained.
    device : str
        A torch device.
    windows : int
        Test windows over which the share of the maps in the upper half of the face is measured.
    """
    product = _explained(store, results, device, "Grad-CAM with a neutral and with a posed anchor")
    if runs := first_runs(results):
        some = spaced(scored_windows(runs, store), windows)
        caption = "Share of the spatial map (Eq. 4) in the upper half of the crop"
        product.tables[caption] = upper_shares(runs, some, store, device)
        product.notes.append(
            "Lee & Lee see the whole face with its eyebrows under a neutral anchor, the lower face under a posed one. "
            "The table measures that over test windows; an even map has a share of 0.5."
        )
    return product


@makes("lee2020-fig7", siamese_examples, projection)
def lee2020_fig7(
    store: ClipStore, results: Mapping[str, Results], *, device: str = "cpu", windows: int = 600
) -> Product:
    """Lee Figure 7: L1-distance vectors of unseen subjects on their first two principal components.

    Parameters
    ----------
    store : ClipStore
        The clips the runs were made on.
    results : mapping of str to runs
        "neutral" and "posed" to the runs of the structure; the first fold that both finished is shown.
    device : str
        A torch device.
    windows : int
        Most windows that components are fitted on, and most that are shown; evenly spaced among all.
    """
    runs = first_runs(results)
    if not runs:
        return not_run(store, results)
    shown = spaced(scored_windows(runs, store), windows)
    labels = shown["label"].to_numpy()
    figure = Figure(figsize=(7.2, 4.5), layout=ConstrainedLayoutEngine(h_pad=0.1))
    for letter, axis, anchor in zip("ab", figure.subplots(1, 2), ANCHORS, strict=True):
        title = f"({letter}) {ANCHORS[anchor]}"
        run = runs.get(anchor)
        if run is None or len(shown) < projection.MIN_CLIPS:
            _empty(axis, NOT_RUN if run is None else f"{len(shown)} windows:\ntoo few to project")
            axis.set_title(title, fontsize=8)
            continue
        fitted_on = spaced(run.samples(store, "train").table, windows).index
        train, test = (
            _distances(run, store, part, which.to_numpy(), device)
            for part, which in (("train", fitted_on), ("test", shown[f"sample_{anchor}"]))
        )
        _scatter(axis, projection.principal_components(train, test, labels), labels, title, test.shape[1])
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=name)
        for name, color, marker in CLASS_STYLE.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    subjects = shown["subject"].nunique()
    figure.suptitle(
        f"PCA of the L1-distance vector, {_of(store, runs)}\n{len(shown)} windows of {subjects} unseen test "
        f"subject{'s' * (subjects != 1)}",
        fontsize=9,
    )
    notes = [
        f"{described(runs)}: its test subjects, the same windows in both panels.",
        f"Components are fitted on up to {windows} evenly spaced training windows of the same fold; shares of variance "
        "are of these, in brackets of the shown ones. On what Lee & Lee fitted theirs they do not say.",
        "The silhouette is 1 where the classes lie apart and 0 where they mix; 'here' is in the plane. Windows of a "
        "clip overlap and those of a subject are alike: the points are far fewer observations than they seem.",
    ]
    return Product(figure=figure, notes=notes + failures(results), stores=[store], runs=[*runs.values()])


def _explained(store: ClipStore, results: Mapping[str, Results], device: str, title: str) -> Product:
    """Rows of maps: for each anchor a posed and a spontaneous smile, the same ones under all anchors."""
    runs = first_runs(results)
    if not runs:
        return not_run(store, results)
    windows = scored_windows(runs, store)
    rows = [(anchor, label) for anchor in ANCHORS if anchor in results for label in (POSED, SPONTANEOUS)]
    figure = Figure(figsize=(_WIDTH, _HEAD + _PITCH * len(rows) + _FOOT - (_PITCH - _SIDE)))
    grid = [[_panel(figure, row, left) for _, left in _COLUMNS] for row in range(len(rows))]
    rules: dict[str, str] = {}
    sizes = dict.fromkeys(("spatial", "time_series"), "no")
    examples: list[str] = []
    for axes, (anchor, label) in zip(grid, rows, strict=True):
        name = CLASS_STYLE[label][0]
        row_name = f"{ANCHORS[anchor]}\n{name}" if len(results) > 1 else name
        found, run = typical(windows, label), runs.get(anchor)
        if run is None or found is None:
            _empty(axes[0], NOT_RUN if run is None else f"no {name}\ntest window")
            axes[0].set_ylabel(row_name, fontsize=8)
            for axis in axes[1:]:
                axis.set_axis_off()
            continue
        window, rules[name] = found
        example = explain(run, anchor, window, store, device)
        sizes = {name: "{}x{}".format(*maps.shape[1:]) for name, maps in vars(example.maps).items()}
        _draw(axes, example)
        axes[0].set_ylabel(f"{row_name}, p {example.probability:.2f}", fontsize=8)
        examples.append(
            f"{ANCHORS[anchor]}, {name}: {example.name}. Rank correlation of its spatial map with that for the other "
            f"target class {number_text(example.classes_alike)}, with that of the same network with shuffled weights "
            f"{number_text(example.random_alike)}."
        )
    for axis, (column, _) in zip(grid[0], _COLUMNS, strict=True):
        axis.set_title(column, fontsize=8)
    figure.suptitle(f"{title}\n{_of(store, runs)}", fontsize=9, y=1 - 0.05 / figure.get_figheight(), va="top")
    notes = [
        f"{described(runs)}; p is the probability of spontaneous.",
        *(f"The {name} example is chosen by rule: {rule}." for name, rule in rules.items()),
        "The target class is the smile's own. Maps are Eq. 4, |smile branch - anchor branch|, in units of the logit; "
        f"the spatial one, {sizes['spatial']} cells, lies over the window's middle frame, the time-series one has "
        f"{sizes['time_series']} (height x time). Of guided Grad-CAM the largest of the three colours is shown, "
        "averaged over time; its grid comes from the first convolution's stride. Every panel has its own scale.",
        "In this architecture the weights of the two branches are exact opposites. Where smile and anchor are alike, "
        "Eq. 4 is therefore nearly the same for both classes; the first correlation of each example measures that.",
        *examples,
    ]
    return Product(figure=figure, notes=notes + failures(results), stores=[store], runs=[*runs.values()])


def _of(store: ClipStore, runs: Mapping[str, RunResult]) -> str:
    """Database, size where it is not the published one, and fold."""
    folds = " and ".join(dict.fromkeys(f"fold {run.spec.fold}" for run in runs.values()))
    return ", ".join(filter(None, [database_label(store.database, simulated=store.simulated), size_of(runs), folds]))


def _panel(figure: Figure, row: int, left: float) -> Axes:
    """A square panel at fixed inches, so that faces and maps of a row have their heights beside each other."""
    width, height = figure.get_size_inches()
    bottom = height - _HEAD - row * _PITCH - _SIDE
    return figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))


def _draw(axes: Sequence[Axes], example: Example) -> None:
    smile, anchor, spatial, time_series, guided = axes
    middle, size = len(example.smile) // 2, example.smile.shape[1]
    smile.imshow(example.smile[middle], interpolation="nearest")
    anchor.imshow(example.anchor[middle], interpolation="nearest")
    spatial.imshow(example.smile[middle].mean(2), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _heat(spatial, cam.upsample(example.maps.spatial, (size, size))[0], _COLOURS, alpha=0.5)
    extent = (0.0, example.seconds, float(size), 0.0)
    _heat(time_series, cam.upsample(example.maps.time_series, (size, size))[0], _COLOURS, extent=extent)
    _heat(guided, example.guided.max(0).mean(0), _GUIDED_COLOURS)
    for axis in (smile, anchor, spatial, guided):
        axis.set_xticks([])
        axis.set_yticks([])
    time_series.set_xlabel("time (s)", fontsize=7, labelpad=0)
    time_series.set_ylabel("height (px)", fontsize=7, labelpad=1)
    time_series.tick_params(labelsize=6, pad=1, length=2)
    ticks = (0.0, example.seconds / 2, example.seconds)
    time_series.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])


def _heat(
    axis: Axes,
    heat: np.ndarray,
    colours: str,
    *,
    alpha: float = 1.0,
    extent: tuple[float, float, float, float] | None = None,
) -> None:
    """A map from zero up, with its colour bar."""
    top = _top(heat)
    axis.imshow(
        heat, cmap=colours, vmin=0, vmax=top, alpha=alpha, extent=extent, aspect="auto", interpolation="nearest"
    )
    bar = axis.figure.colorbar(
        ScalarMappable(Normalize(0, top), mpl.colormaps[colours]),
        cax=axis.inset_axes((1.03, 0.0, 0.06, 1.0)),
        ticks=[0, top],
    )
    bar.ax.set_yticklabels(["0", f"{top:.1e}" if top < 0.01 else f"{top:.2g}"], fontsize=6)
    bar.ax.tick_params(length=1.5, pad=1)


def _top(values: np.ndarray) -> float:
    """Upper end of a colour scale; 1 for a map that is zero everywhere."""
    return float(values.max()) or 1.0


def _distances(run: RunResult, store: ClipStore, part: str, which: np.ndarray, device: str) -> np.ndarray:
    model = run.model()
    layer = model.get_submodule("head.distance")
    return projection.embeddings(model, layer, anchored(run, store, part), which=which, device=device)


def _scatter(axis: Axes, found: projection.Components, labels: np.ndarray, title: str, width: int) -> None:
    for label, (_, color, marker) in CLASS_STYLE.items():
        points = found.points[labels == label]
        axis.scatter(points[:, 0], points[:, 1], s=12, c=color, marker=marker, alpha=0.6, linewidths=0)
    first, second = (
        f"PC{number}: {100 * share:.1f} % of variance in training, {100 * here:.1f} % here"
        for number, (share, here) in enumerate(zip(found.explained, found.explained_here, strict=True), start=1)
    )
    axis.set_xlabel(first, fontsize=8)
    axis.set_ylabel(second, fontsize=8)
    plane, full = number_text(found.silhouette), number_text(found.silhouette_full)
    axis.set_title(f"{title}\nsilhouette {plane} here, {full} in all {width} dimensions", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.locator_params(nbins=5)
    # Equal units on both axes, for distances are what is compared.
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_box_aspect(1)


def _empty(axis: Axes, text: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_box_aspect(1)
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, transform=axis.transAxes)
