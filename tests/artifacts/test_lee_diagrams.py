import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

from smilelab import models
from smilelab.artifacts import lee_diagrams, lee_layers
from smilelab.artifacts.numbers import reported

# Table 2 of the paper, row by row: width, height, time.
PRINTED_SIZES = [
    (56, 56, 30), (56, 56, 30),
    (56, 56, 30), (28, 28, 15), (28, 28, 15),
    (28, 28, 15), (14, 14, 15), (14, 14, 15),
    (14, 14, 15), (7, 7, 7), (7, 7, 7),
    (7, 7, 7),
]  # fmt: skip
SMALL = {"depth": 14, "size": 32, "frames": 8, "growth": 4, "stem": 8, "last": 16, "width": 12}


def assert_readable(figure):
    """All text is at least 6 pt high, inside a figure no wider than 17.1 cm, and clear of the other text."""
    assert figure.get_figwidth() <= 17.1 / 2.54
    FigureCanvasAgg(figure).draw()
    width, height = figure.canvas.get_width_height()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    texts += [text for axes in figure.axes for text in (axes.title, *axes.texts) if text.get_text()]
    boxes = [text.get_window_extent().padded(-0.5) for text in texts]
    assert min(text.get_fontsize() for text in texts) >= 6
    for box in boxes:
        assert min(box.x0, box.y0) > -1
        assert box.x1 < width + 1
        assert box.y1 < height + 1
    crossing = [(m, n) for n in range(len(boxes)) for m in range(n) if boxes[m].overlaps(boxes[n])]
    assert [(texts[m].get_text(), texts[n].get_text()) for m, n in crossing] == []


def test_fig1_shows_every_point_and_says_simulated():
    product = lee_diagrams.lee2020_fig1()
    panels = product.figure.axes
    titles = [axes.get_title().split("\n")[1] for axes in panels]
    assert titles == ["11 points", "12 + 5 shoulder points", "28 points, 6 regions"]
    drawn = [[len(line.get_xdata()) for line in axes.lines] for axes in panels]
    assert drawn == [[11], [5, 12], [28]]
    assert [len(axes.patches) for axes in panels] == [0, 0, 6]
    assert [[int(text.get_text()) for text in axes.texts] for axes in panels] == [
        [*range(1, 12)], [*range(13, 18), *range(1, 13)], [*range(1, 29)],
    ]  # fmt: skip
    assert [text.get_text() for text in product.figure.texts] == ["simulated face"]
    for axes in panels:
        for line in axes.lines:
            inside = axes.transAxes.inverted().transform(axes.transData.transform(line.get_xydata()))
            assert inside.min() > 0
            assert inside.max() < 1
    assert_readable(product.figure)
    rules = next(iter(product.tables.values()))
    counts = rules.groupby(["method", "kind"], sort=False).size()
    assert [*counts.drop("region", level=1)] == [11, 12, 5, 28]
    assert rules[rules["kind"] == "region"]["part"].nunique() == 6
    assert any("our reading" in note for note in product.notes)


@pytest.mark.parametrize("depth", [38, 62, 94, "printed"])
@pytest.mark.parametrize("name", ["densenet3d", "siamese-neutral"])
def test_output_sizes_are_those_of_the_papers_table(name, depth):
    found = lee_layers.layers(models.build(name, depth=depth))
    assert [layer.size for layer in found[: len(PRINTED_SIZES)]] == PRINTED_SIZES
    assert all(layer.size == (1, 1, 1) for layer in found[len(PRINTED_SIZES) :])
    assert ("L1 distance" in [layer.name for layer in found]) == (name == "siamese-neutral")


def test_the_reported_rows_are_the_papers_sizes_in_the_order_of_the_layers():
    rows = reported("lee2020-table2").query("quantity == 'output size'")
    assert [tuple(map(int, value.split("x"))) for value in rows["value"]] == PRINTED_SIZES
    names = [layer.name for layer in lee_layers.layers(models.build("densenet3d-94"))]
    assert list(rows["row"]) == names[: len(PRINTED_SIZES)]


@pytest.mark.parametrize(
    ("depth", "millions", "features"),
    [(94, 6.479, 1024), (62, 4.007, 1024), (38, 2.589, 1024), ("printed", 6.162, 1000)],
)
def test_counts_are_those_of_our_reading(depth, millions, features):
    model = models.build("siamese-neutral", depth=depth)
    _, counts = lee_diagrams.lee2020_table2({"ours": model}).tables.values()
    counts = counts.set_index("quantity")
    assert counts.loc["weights, million", "ours"] == f"{millions:.3f}"
    assert counts.loc["features after the mean", "ours"] == str(features)
    assert counts.loc["weights, million", "reported"] == "6.4"
    assert counts.loc["3D convolutions", "reported"] == "96"


def test_traced_sizes_are_those_of_a_computed_pass():
    model = models.build("siamese-neutral", **SMALL).eval()
    computed = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: computed.__setitem__(name, out.shape))
        for name, module in model.named_modules()
    ]
    frames = torch.rand(1, 3, 8, 32, 32)
    with torch.inference_mode():
        model(frames, torch.tensor([8]), frames)
    for hook in hooks:
        hook.remove()
    found = {layer.name: layer for layer in lee_layers.layers(model)}
    for layer, module in {
        "3D convolution (first)": "stem", "3D dense block (1)": "block1", "3D dense block (4)": "block4",
        "transition layer (2), convolution": "transition2.conv", "transition layer (2), pooling": "transition2",
        "3D convolution (last)": "last",
    }.items():  # fmt: skip
        _, features, time, height, width = computed[f"encoder.{module}"]
        assert (found[layer].size, found[layer].features) == ((width, height, time), features)
    assert found["fully connected"].features == computed["encoder.fc"][1] == SMALL["width"]
    assert found["L1 distance"].features == computed["head.distance"][1]
    assert found["mean"].features == model.encoder.fc.in_features == SMALL["last"]


def table_of(model):
    return next(iter(lee_diagrams.lee2020_table2({"m": model}).tables.values())).set_index("layer")


def test_only_the_first_block_of_depth_94_differs_from_the_printed_operators():
    table = table_of(models.build("densenet3d-94"))
    assert table.index[table["differs in"] != ""].tolist() == ["3D dense block (1)"]
    assert table.loc["3D dense block (1)", "operator, reported"].endswith("× 3")
    assert table.loc["3D dense block (1)", "operator, m"] == "[1×1×1 convolution, 3×3×3 convolution] × 8"
    as_printed = table_of(models.build("densenet3d-printed"))
    assert as_printed.index[as_printed["differs in"] != ""].tolist() == ["3D convolution (last)"]


def test_the_table_follows_the_model():
    table = table_of(models.build("densenet3d", **SMALL))
    # 8 features of the stem and 4 from each of one layer a block.
    assert table.loc[[f"3D dense block ({n})" for n in (1, 2, 3, 4)], "features, m"].tolist() == [
        "12",
        "16",
        "20",
        "24",
    ]
    assert table.loc["3D dense block (1)", "output size, m"] == "16×16×8"
    assert "output size" in table.loc["3D dense block (1)", "differs in"]
    wider = table_of(models.build("densenet3d", **{**SMALL, "growth": 6, "depth": 22}))
    assert wider.loc["3D dense block (4)", "features, m"] == str(8 + 6 * 8)
    assert wider.loc["3D dense block (4)", "operator, m"].endswith("× 2")
    model = models.build("densenet3d", **{**SMALL, "depth": 22})
    model.encoder.block2.layers[1].conv2 = nn.Conv3d(16, 4, (1, 3, 5), padding=(0, 1, 2))
    model.encoder.stem.conv = nn.Conv3d(3, 8, 3, stride=(2, 2, 1), padding=1)
    changed = table_of(model)
    assert changed.loc["3D dense block (2)", "operator, m"] == (
        "[1×1×1 convolution, 3×3×3 convolution] × 1 + [1×1×1 convolution, 5×3×1 convolution] × 1"
    )
    assert changed.loc["3D convolution (first)", "operator, m"] == "3×3×3 convolution, 1×2×2 stride"
    assert changed.loc["3D convolution (first)", "output size, m"] == "32×16×4"


def test_other_depths_stand_beside_the_first():
    made = {f"d{depth}": models.build("siamese-neutral", depth=depth) for depth in (94, 38, "printed")}
    table, counts = lee_diagrams.lee2020_table2(made).tables.values()
    table = table.set_index("layer")
    assert table.loc["3D dense block (2)", "d38: operator, features"].endswith("× 4; 224")
    assert table.loc["3D dense block (2)", "dprinted: operator, features"] == "the same; 424"
    assert table.loc["3D convolution (last)", "dprinted: operator, features"] == "left out; 1000"
    assert counts.set_index("quantity").loc["bottleneck layers in blocks 1 to 4"].tolist() == [
        "", "8, 12, 12, 12", "4, 4, 4, 4", "3, 12, 12, 12",
    ]  # fmt: skip
    smaller = {"big": models.build("densenet3d-38"), "small": models.build("densenet3d-38", size=56, frames=15)}
    table = next(iter(lee_diagrams.lee2020_table2(smaller).tables.values())).set_index("layer")
    assert table.loc["3D dense block (1)", "small: operator, features"].startswith("28×28×15: the same")


def test_notes_name_every_deviation_with_live_numbers():
    notes = " ".join(lee_diagrams.lee2020_table2({"d94": models.build("siamese-neutral")}).notes)
    # 115 pixels under a 3x3x3 convolution of stride 2: (115 - 3) // 2 + 1 = 57, padded by one 58.
    said = ["3, 12, 12, 12; d94 has 8, 12, 12, 12", "gives 57 or, padded, 58, not the 56", "about 1020", "d94 has 1024"]
    said += ["6.479 million", "96 are reported; d94 has 93", "calls the network -60"]
    assert [words for words in said if words not in notes] == []
    with pytest.raises(ValueError, match="expected at least one"):
        lee_diagrams.lee2020_table2({})


def test_reading_a_model_leaves_it_as_it_was():
    model = models.build("siamese-neutral", **SMALL).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lee_layers.layers(model)
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_no_hook_is_left_after_an_error():
    model = models.build("densenet3d", **SMALL).train()
    model.encoder.block3 = nn.Conv3d(5, 5, 1)  # takes other features than it is given
    with pytest.raises(RuntimeError):
        lee_layers.layers(model)
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training
    assert next(model.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "siamese-neutral",
            {},
            {"112×112×30", "56×56×30", "28×28×15", "14×14×15", "7×7×7", "64", "224", "464", "704", "944", "1024",
             "fully connected\n1024 → 1024", "fully connected\n1024 → 1", "mean over 7×7×7", "anchor:\nneutral face",
             "Siamese 3D DenseNet-94, neutral face as anchor: 6,478,545 weights",
             "dense block (1)\n[1×1×1, 3×3×3] × 8", "L1 distance, 1024\n|smile - anchor|"},
        ),
        (
            "siamese-posed",
            SMALL,
            {"32×32×8", "16×16×8", "8×8×4", "4×4×4", "2×2×2", "8", "12", "16", "20", "24", "anchor:\nposed smile",
             "fully connected\n16 → 12", "L1 distance, 12\n|smile - anchor|", "dense block (1)\n[1×1×1, 3×3×3] × 1"},
        ),
    ],
    ids=["published", "reduced"],
)  # fmt: skip
def test_fig3_draws_every_stage_with_the_live_numbers(name, options, expected):
    figure = lee_diagrams.lee2020_fig3(models.build(name, **options)).figure
    words = [text.get_text() for text in figure.axes[0].texts]
    assert expected <= set(words)
    stages = ["convolution (first)", "convolution (last)", "mean over", "fully connected"]
    stages += [f"dense block ({n})" for n in (1, 2, 3, 4)] + [f"transition ({n}): 1×1×1 conv" for n in (1, 2, 3)]
    for stage in stages:
        # Once in each branch; the final fully connected layer follows both.
        assert sum(text.startswith(stage) for text in words) == 2 + (stage == "fully connected"), stage
    assert "transition (2): 1×1×1 conv\n2×2×2 mean, 2×2×1 stride" in words
    assert "simulated face" in words
    assert len(figure.axes[0].images) == 6
    assert_readable(figure)


def test_fig3_text_fits_its_box():
    figure = lee_diagrams.lee2020_fig3(models.build("siamese-neutral")).figure
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    upright = [text.get_window_extent() for text in axes.texts if text.get_rotation() == 90]
    boxes = [patch.get_window_extent() for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    assert len(upright) == len(boxes) == 2 * 11 + 3
    for text in upright:
        assert any(
            box.x0 < text.x0 and text.x1 < box.x1 and box.y0 < text.y0 and text.y1 < box.y1 for box in boxes
        )  # fmt: skip


def test_fig3_refuses_a_model_without_an_anchor():
    with pytest.raises(ValueError, match="expected a Siamese model"):
        lee_diagrams.lee2020_fig3(models.build("densenet3d", **SMALL))
