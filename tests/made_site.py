"""A small project folder with artifacts, executed notebooks and documents, for tests of the site."""

import base64
import io
import shutil
from pathlib import Path

import nbformat
import pandas as pd
from matplotlib.figure import Figure
from memory_store import MemoryStore

from smilelab import artifacts
from smilelab.artifacts.gallery import Gallery
from smilelab.artifacts.product import Product

PROJECT = Path(__file__).parent.parent
NASTY = "<script>alert('note')</script> & <img src='https://example.org/pixel.png'> *not bold* | a bar"
MADE = ("lee2020-table1", "lee2020-fig5", "yang2020-table2", "yang2020-fig5", "audit")
README = """# title

What it is, with a [link](https://example.org/), [the data](data/README.md),
[a table](figures/laptop/yang2020-table2.md) and [code](smilelab/nowhere.py).

![Two faces](figures/faces.png)

## Results

| method | accuracy % |
| --- | --- |
| RealSmileNet | 65.2 [59.7, 70.1] |

## Limits and ethics

Do not use this to judge people.
"""


class RealStore(MemoryStore):
    simulated, hash, provenance = False, "fedcba987654", {}


def project(root):
    """Two profiles: laptop with a few artifacts and two notebooks, smoke with one artifact."""
    artifacts.load_makers()
    store, real = MemoryStore(root / "store"), RealStore(root / "store")
    (root / "store").mkdir(parents=True)
    (root / "store" / "manifest.csv").write_text("clip_id\n")
    laptop = Gallery("laptop", root / "figures", root)
    windows = pd.DataFrame(
        {"structure": ["plain"] * 2, "": ["reported (Lee's own recordings)", "measured (simulated recordings)"],
         "accuracy": ["71.24", "not run"]}
    )  # fmt: skip
    laptop.save("lee2020-table1", Product({"Windows & subjects": windows}, stores=[store], notes=[NASTY]))
    curve = pd.DataFrame({"false positive rate": [i / 100 for i in range(40)], "plain": ["12.0"] * 40})
    laptop.save("lee2020-fig5", Product({"Rates": curve}, figure=figure(), stores=[store]))
    methods = pd.DataFrame({"method": ["Wu'14"], "UvA-NEMO, reported": [91.4], "UvA-NEMO, measured": ["<b>65.2</b>"]})
    protocols = pd.DataFrame(
        {"database": ["simulated UvA-NEMO"], "protocol": ["last | epoch"], "accuracy": ["65.2 [59.7, 70.1]"],
         "majority": [51.9], "balanced accuracy": ["65.1"], "AUC": ["72.1"], "clips": [310], "subjects": [100],
         "folds": [10]}
    )  # fmt: skip
    probes = pd.DataFrame({"database": ["simulated UvA-NEMO"], "probe": ["clip length"], "accuracy": ["49.7"]})
    tables = {"Accuracy": methods, "Each protocol": protocols, "Without a smile": probes}
    laptop.save("yang2020-table2", Product(tables, stores=[store, real]))
    laptop.save("yang2020-fig5", Product(figure=figure(), stores=[real]))
    laptop.save("audit", Product({f"Audit {n}": windows for n in (1, 2)}, figure=figure(), notes=["Printed numbers."]))
    Gallery("smoke", root / "figures", root).save("yang2020-table2", Product(tables, stores=[store]))
    folder = root / "data" / "runs" / "notebooks" / "laptop"
    folder.mkdir(parents=True)
    nbformat.write(notebook(root), folder / "02_train.ipynb")
    nbformat.write(notebook(root, ended=False), folder / "05_figures.ipynb")
    (root / "README.md").write_text(README)
    (root / "data" / "README.md").write_text("# Data\n\n## UvA-NEMO\n\nAsk for it. [Back](../README.md)\n")
    (root / "figures" / "faces.png").write_bytes(png())
    return root


def notebook(root, *, ended=True):
    def code(source, *outputs, tags=()):
        return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})

    output = nbformat.v4.new_output
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    bar = {**widget, "text/plain": "simulating uva-nemo: 100%|##########| 50/50 [00:00<?, ?clip/s]"}
    bars = "".join(f"preprocess: {n:>3}%|#  | {n}/100 [00:06<05:38,  6.91s/clip]\n" for n in (0, 50, 100))
    bars += "moments:   0%|  | 0/20 [00:00<?, ?clip/s]\n"
    picture = f'<img src="data:image/png;base64,{base64.b64encode(png()).decode()}" alt="" style="width: 9999px">'
    table = pd.DataFrame({"group": ["all"], "accuracy": ["65.2 [59.7, 70.1]"]}).to_html(index=False)
    outside = '<img src="https://example.org/a.png"><script src="https://example.org/a.js"></script>'
    cells = [
        nbformat.v4.new_markdown_cell(
            "# 02 Training\n\nWhat it does.\n\n## Runs\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
        ),
        code("epochs: int = 6", tags=["parameters"]),
        code("epochs = 28", tags=["injected-parameters"]),
        code(
            "run()",
            output("display_data", data=bar),
            output("stream", name="stderr", text=bars),
            output("stream", name="stdout", text=f"{root}/data/clips is done\n"),
        ),
        code(
            'study.gallery.save("yang2020-table2", tables())',
            output("execute_result", data={"text/html": f"{picture}<p><b>Accuracy</b></p>{table}"}),
        ),
        code("inspect()", output("display_data", data={**widget, "text/plain": "Inspector()"})),
        code("outside()", output("display_data", data={"text/html": outside})),
        code("plain", output("execute_result", data={"text/plain": "<1 & 2>"})),
    ]
    run = {"duration": 36.5 if ended else None, "end_time": "2026-11-21T16:48:17+00:00" if ended else None,
           "start_time": "2026-11-21T16:47:41+00:00", "exception": None, "parameters": {"databases": {}}}  # fmt: skip
    return nbformat.v4.new_notebook(cells=cells, metadata={"papermill": run})


def figure():
    drawn = Figure(figsize=(6, 3))
    drawn.subplots().plot([0, 1], [0, 1])
    return drawn


def png():
    buffer = io.BytesIO()
    Figure(figsize=(2, 1)).savefig(buffer, format="png")
    return buffer.getvalue()


def copy_of_results(root):
    """The project's own published artifacts and documents, where the checkout has them."""
    for name in ("README.md", "figures", "data/README.md", "notebooks/extending.md"):
        source, target = PROJECT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copyfile(source, target)
    return root


def card(text, artifact_id):
    """The part of a page that shows an artifact."""
    return text.partition(f'id="{artifact_id}"')[2].partition("</article>")[0]
