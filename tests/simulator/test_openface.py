"""OpenFace's columns, and the truth in them."""

import numpy as np

from smilelab.simulator.dynamics import draw_clip, draw_subject
from smilelab.simulator.openface import openface_table
from smilelab.simulator.truth import write


def test_table_holds_the_true_action_units(tmp_path):
    subject = draw_subject(np.random.default_rng(0), age=30, sex="female")
    drawn = draw_clip(subject, 1, 30.0, np.random.default_rng(1))
    write(tmp_path / "a.npz", drawn, np.zeros((len(drawn.times), 68, 2), np.float32))
    table = openface_table(tmp_path / "a.npz")
    assert list(table.columns[:5]) == ["frame", "face_id", "timestamp", "confidence", "success"]
    assert [name for name in table if name.endswith("_r")] == [
        f"AU{n:02d}_r" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    ]
    assert "AU28_c" in table
    assert "AU28_r" not in table
    assert table["frame"].tolist() == list(range(1, len(drawn.times) + 1))
    np.testing.assert_allclose(table["timestamp"], drawn.times, atol=6e-4)
    for name, columns in (("AU06", [0, 1]), ("AU12", [2, 3]), ("AU25", [4]), ("AU26", [5]), ("AU45", [6])):
        true = drawn.action_units[:, columns].mean(1)
        np.testing.assert_allclose(table[f"{name}_r"], true, atol=0.0051)
        clear = np.abs(true - 1) > 0.01
        assert (table[f"{name}_c"][clear] == (true > 1)[clear]).all()
    assert (table["AU04_r"] == 0).all()
    assert (table["success"] == 1).all()
    assert (table["confidence"] > 0.9).all()
