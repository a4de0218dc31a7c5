"""The command line: simulate, check, moments, preprocess, reproduce, status, site, predict, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from smilelab import __version__
from smilelab.cli_simulate import fail, simulate

_HELP = """Spontaneous or posed? The companion to Lee & Lee 2020 and Yang et al. 2020.

\b
smilelab simulate uva-nemo DIR           make a simulated database in the real layout (or all of them)
smilelab check DIR                       what a database folder holds, and what is missing
smilelab moments DIR                     smiles in recordings, as a table that can be corrected, below data/moments
smilelab preprocess uva-nemo DIR         videos to face crops, below data/clips
smilelab reproduce --profile smoke       run the notebooks; tables and figures go to figures/
smilelab status                          which tables and figures are made, runs done and left
smilelab site                            what the last runs left as pages for a browser, below site
smilelab predict VIDEO...                score videos of your own
smilelab export RUN FILE                 weights of a finished run, for predict --weights FILE

A database is simulated unless you give its folder: --database uva-nemo=DIR. Profiles: smoke takes minutes, laptop
hours, overnight a night or more, paper a GPU. Each command explains itself with --help.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__)
def main() -> None:
    """Entry point."""


main.add_command(simulate)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--database", "name", help="Which database it should be; recognised by default.")
def check(folder: Path, name: str | None) -> None:
    """Recognise the database in DIR, or those in its folders, and say what is complete, what is missing and what to do.

    Exit code 1 where nothing is recognised or what is recognised cannot be opened; a copy of the metadata alone can.
    """
    from smilelab import datasets
    from smilelab.datasets.report import describe

    try:
        found = [(name, folder)] if name else datasets.find(folder)
        if not found:
            known = "\n".join(f"  {known}: {datasets.kind(known).layout}" for known in datasets.names())
            fail(f"{folder}: no database found, here or in the folders below; expected one of\n{known}")
        failed = False
        for known, place in found:
            try:
                database = datasets.open(known, place)
            except datasets.DatabaseError as error:
                click.echo(f"smilelab: {error}", err=True)
                try:
                    database = datasets.open(known, place, require_videos=False)
                except datasets.DatabaseError:
                    failed = True
                    continue
                failed |= any(Path(path).exists() for path in database.index()["path"])
                click.echo("What its metadata say, whether or not the videos are there:")
            click.echo(describe(database))
            if database.require_videos:
                click.echo(f"Next: smilelab preprocess {known} {place}")
    except (ValueError, OSError) as error:
        fail(error)
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--openface", type=click.Path(path_type=Path), help="Folder of OpenFace 2 tables named after the videos.")
@click.option("--neutral", type=click.Choice(["recording", "median"]), default="recording", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all cores by default.")
def moments(folder: Path, openface: Path | None, neutral: str, jobs: int | None) -> None:
    """Find the smiles in the recordings of DIR by AU06 and AU12, from OpenFace 2 or from our own estimate.

    The table is made once. Then it can be corrected: change start_s and end_s, set keep to no, add and delete rows.
    """
    from smilelab import datasets
    from smilelab.preprocess.moment_table import FAILURES_FILE

    try:
        found = _moments(datasets.open("recordings", folder), openface, neutral, jobs)
    except (ValueError, OSError) as error:
        fail(error)
    for name, count in found.counts().items():
        click.echo(f"{count} {name} smiles")
    click.echo(f"{len(found.neutral)} neutral faces")
    if count := len(found.failures):
        click.echo(f"{count} left out or doubtful, with the reasons in {found.path.parent / FAILURES_FILE}")
    click.echo(f"{found.path}: correct it by hand if need be, then preprocess")


@main.command()
@click.argument("database")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--crop", type=click.Choice(["box", "chip", "outline"]), default="box", show_default=True)
@click.option("--size", type=click.IntRange(min=16), default=48, show_default=True, help="Side of a frame in pixels.")
@click.option("--fps", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Frames per second kept.")
@click.option("--boxes", type=click.Choice(["smooth", "per-frame"]), default="smooth", show_default=True)
@click.option("--openface", type=click.Path(path_type=Path), help="As for moments.")
@click.option("--neutral", type=click.Choice(["recording", "median"]), help="As for moments.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the clip stores.  [default: data/clips]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all cores by default.")
def preprocess(
    database: str,
    folder: Path,
    crop: str,
    size: int,
    fps: float,
    boxes: str,
    openface: Path | None,
    neutral: str | None,
    out: Path | None,
    jobs: int | None,
) -> None:
    """Decode, find faces and crop every clip of DATABASE in DIR; can be stopped and goes on when run again.

    Of recordings, every smile is a clip: they are found first, as by `smilelab moments`. Traces of action units
    (au-traces) have no pictures: of what follows, only --out matters to them.
    """
    from smilelab import datasets
    from smilelab.artifacts.study import home
    from smilelab.preprocess.build import Recipe, build
    from smilelab.preprocess.traces import build_traces

    try:
        recipe = Recipe(crop=crop, size=size, fps=fps, boxes=boxes)  # type: ignore[arg-type]  # click checked them
        opened = datasets.open(database, folder)
        recorded = bool((opened.index()["kind"] == "recording").any())
        if not recorded and (openface or neutral):
            raise ValueError(
                f"{folder}: no recordings here; expected some with --openface or --neutral. Leave them out."
            )
        source = _moments(opened, openface, neutral or "recording", jobs) if recorded else opened
        if not (source.index()["kind"] == "clip").any():
            raise ValueError(f"{folder}: no smile was found in any recording. `smilelab moments {folder}` says more.")
        stores = out or home() / "data" / "clips"
        traced = opened.medium == "trace"
        store = build_traces(source, stores) if traced else build(source, recipe, stores, jobs=jobs)
    except (ValueError, OSError) as error:
        fail(error)
    clips = int((store.manifest["kind"] != "neutral").sum())
    faces = f", {len(store.neutral)} neutral faces" if clips < len(store.manifest) else ""
    click.echo(f"{store.path}: {len(store.usable)} of {clips} clips usable{faces}")


@main.command()
@click.option("--profile", default="smoke", show_default=True, help="File name in notebooks/profiles, without .yaml.")
@click.option("--only", multiple=True, metavar="NN", help="Run only this notebook; can be repeated.")
@click.option("--database", "databases", multiple=True, metavar="NAME=DIR", help="Use this copy; can be repeated.")
def reproduce(profile: str, only: tuple[str, ...], databases: tuple[str, ...]) -> None:
    """Run the notebooks of a profile; tables and figures go to figures/PROFILE."""
    from smilelab import datasets
    from smilelab.artifacts import load_makers
    from smilelab.artifacts.gallery import Gallery
    from smilelab.artifacts.study import home
    from smilelab.notebooks import NotebookError
    from smilelab.notebooks import reproduce as run

    folders = {}
    for given in databases:
        name, separator, place = given.partition("=")
        if not separator or not place:
            raise click.BadParameter(f"found {given!r}, expected NAME=DIR.", param_hint="--database")
        folders[name] = place
    try:
        for name, place in folders.items():
            datasets.open(name, place)
        run(profile, only=only, databases=folders, say=lambda line: click.echo(f"smilelab: {line}", err=True))
    except (NotebookError, ValueError, OSError) as error:
        fail(error)
    load_makers()
    gallery = Gallery(profile, home() / "figures", home())
    found = gallery.status().set_index("artifact")["state"]
    click.echo(f"{(found == 'made').sum()} artifacts in {gallery.folder}; start with index.md there.")
    if stale := ", ".join(found.index[found == "stale"]):
        click.echo(f"Stale: {stale}; `smilelab status --profile {profile}` says why.")


@main.command()
@click.option("--profile", "chosen", help="Only this profile; by default every profile with artifacts or a plan.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes the expected time is for; all cores by default.")
def status(chosen: str | None, jobs: int | None) -> None:
    """List every table and figure of both papers: made, stale, or waiting for which runs or data.

    Below them, of every experiment that has been planned, the runs done and left, and how long those will take.
    """
    import joblib

    from smilelab import plans, runs
    from smilelab.artifacts import load_makers
    from smilelab.artifacts.gallery import Gallery
    from smilelab.artifacts.study import home

    load_makers()
    place = home()
    root = place / "data" / "runs"
    found = {path.parent.name for path in (place / "figures").glob("*/manifest.json")} | set(plans.profiles(root))
    try:
        for profile in [chosen] if chosen else sorted(found) or ["smoke"]:
            click.echo(f"profile {profile}")
            for row in Gallery(profile, place / "figures", place).status().to_dict("records"):
                click.echo(f"  {row['artifact']:<16} {row['state']:<8} {row['detail']}")
            for row in plans.progress(root, profile, processes=jobs or joblib.cpu_count()).to_dict("records"):
                click.echo(f"  {row['experiment']:<16} {plans.describe(row)}")
                if row["failed"]:
                    click.echo(f"    {row['failed']} failed, first: {row['first_error']}")
        failed = runs.failures(root)
        click.echo(f"{len(runs.collect(root))} runs finished, {len(failed)} failed in {root}")
        for row in failed.to_dict("records"):
            click.echo(f"  {row['run']}: {row['error']}")
    except (ValueError, OSError) as error:
        fail(error)


@main.command()
@click.option("--profile", "profiles", multiple=True, metavar="P", help="Show this profile; can be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the pages.  [default: site]")
def site(profiles: tuple[str, ...], out: Path | None) -> None:
    """Render what the last runs left as pages that open without a server or a network; nothing is executed.

    Every table and figure beside what the papers report, the executed notebooks, the audit and the README. By default
    of every profile that has artifacts; index.html shows the first one, laptop if it has some.
    """
    from smilelab.artifacts.site import SiteError, build
    from smilelab.artifacts.study import home

    try:
        made = build(home(), out, profiles)
    except (SiteError, ValueError, OSError) as error:
        fail(error)
    for remark in made.remarks:
        click.echo(f"smilelab: left out: {remark}", err=True)
    click.echo(f"{made.index}: {', '.join(made.profiles)}; {made.pages} pages, {made.size / 1e6:.1f} MB")


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--weights", "weights_file", type=click.Path(path_type=Path), help="Weights exported by smilelab.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def predict(videos: tuple[str, ...], weights_file: Path | None, as_json: bool) -> None:
    """Print, for each VIDEO, the probability of a spontaneous smile, or why it cannot be scored.

    The weights that ship with smilelab were trained on simulated videos: they show that the pipeline works and are no
    evidence about real smiles. Exit code 0 when every video was scored, 2 when some could not be.
    """
    from smilelab.prediction import WeightsError, load_weights
    from smilelab.prediction import predict as score

    try:
        weights = load_weights(weights_file)
    except WeightsError as error:
        fail(error)
    predictions = []
    for video in videos:
        predictions.append(score(video, weights))
        if not as_json:
            failed = predictions[-1].status == "failed"
            click.echo(predictions[-1].line(), err=failed)
    if as_json:
        click.echo(json.dumps([prediction.as_json() for prediction in predictions], indent=1))
    sys.exit(2 if any(prediction.status == "failed" for prediction in predictions) else 0)


@main.command()
@click.argument("run")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(run: str, file: Path) -> None:
    """Write the weights of RUN (a folder name in data/runs) to FILE, for `smilelab predict --weights FILE`.

    Beside it lies a model card: what the weights are for and what not, and how good they were on whom.
    """
    from smilelab import model_card
    from smilelab.artifacts.study import home
    from smilelab.clips import stores
    from smilelab.prediction import export_weights
    from smilelab.runs import load

    try:
        result = load(home() / "data" / "runs" / run)
        fitting = [store for store in stores(home() / "data" / "clips") if store.hash == result.spec.store]
        if not fitting:
            raise ValueError(
                f"run {run}: its clip store {result.spec.store} is not in data/clips; preprocess it again."
            )
        export_weights(result, fitting[0], file)
        card = model_card.write_card(file)
    except (ValueError, OSError) as error:
        fail(error)
    click.echo(f"{file}: weights of run {run}; {card.name} says what they are")


def _moments(database: Any, openface: Path | None, neutral: str, jobs: int | None) -> Any:
    from smilelab.artifacts.study import home
    from smilelab.preprocess.moments import find

    return find(database, home() / "data" / "moments", openface=openface, neutral=neutral, jobs=jobs)  # type: ignore[arg-type]
