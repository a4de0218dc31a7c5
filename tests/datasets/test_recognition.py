import database_trees as trees
import pytest

from smilelab import datasets


@pytest.fixture
def everything(tmp_path):
    trees.au_traces(tmp_path / "a")
    trees.bbc(tmp_path / "b")
    trees.mmi_session(tmp_path / "m", 2005, 53)
    trees.recordings(tmp_path / "r")
    trees.spos(tmp_path / "s", frames=1)
    trees.uva_nemo_metadata(tmp_path / "u")
    return tmp_path


def test_each_folder_is_recognised_as_what_it_is_alone(everything):
    folders = zip("abmrsu", datasets.names(), strict=True)
    assert {folder: datasets.recognise(everything / folder) for folder in "abmrsu"} == {k: [v] for k, v in folders}


def test_databases_are_found_in_a_folder_and_in_what_archives_unpack_to(everything):
    found = datasets.find(everything)
    assert found == [(name, everything / folder) for folder, name in zip("abmrsu", datasets.names(), strict=True)]
    assert datasets.find(everything / "b") == [("bbc", everything / "b")]
    (everything / "deep").mkdir()
    everything.joinpath("u").rename(everything / "deep" / "UvA-NEMO_SMILE_DATABASE")
    assert datasets.find(everything / "deep") == [("uva-nemo", everything / "deep" / "UvA-NEMO_SMILE_DATABASE")]


def test_other_folders_are_recognised_as_nothing(tmp_path):
    for name in ("posed/holiday.mp4", "videos/a.mp4", "Sessions/1/a.avi", "happy/yi-1/1.bmp", "Genuine", "clips.txt"):
        trees.touch(tmp_path / name)
    assert datasets.recognise(tmp_path) == []
    assert datasets.find(tmp_path) == []
    assert datasets.recognise(tmp_path / "nowhere") == []
    assert datasets.recognise(tmp_path / "clips.txt") == []
    with pytest.raises(datasets.DatabaseError, match="no such folder"):
        datasets.find(tmp_path / "nowhere")


@pytest.mark.parametrize("name", datasets.names())
def test_opening_another_folder_says_how_to_get_the_database(name, tmp_path):
    simulated_as = {"au-traces": "uva-nemo"}.get(name, name)
    with pytest.raises(datasets.DatabaseError, match=f"smilelab simulate {simulated_as} DIR"):
        datasets.open(name, tmp_path)
    assert datasets.kind(name).layout


@pytest.mark.parametrize(("folder", "name"), list(zip("abmrs", datasets.names()[:-1], strict=True)))
def test_marker_makes_a_database_simulated_and_its_folds_unofficial(everything, folder, name):
    assert not datasets.open(name, everything / folder).simulated
    before = datasets.open(name, everything / folder).fingerprint()
    (everything / folder / "SIMULATED.json").write_text('{"seed": 3}')
    database = datasets.open(name, everything / folder)
    assert database.simulated
    assert database.provenance == {"seed": 3}
    assert database.fingerprint() != before
    if name in ("bbc", "spos"):
        assert not database.folds().official
