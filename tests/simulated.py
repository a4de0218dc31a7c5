"""Reading simulated databases back by hand."""

import hashlib
import json
import re

STEM = re.compile(r"^(\d{3})_(deliberate|spontaneous)_smile_(\d+)$")


def digests(root):
    """Every file's content below the database and its ground truth."""
    folders = (root, root.with_name(f"{root.name}-truth"))
    return {
        f"{number}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for number, folder in enumerate(folders)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def details(root, what="File"):
    """Fields of a UvA-NEMO detail file as its published form says: five heading lines, TABs, blanks at the end."""
    lines = (root / f"UvA-NEMO_Smile_Database_{what}_Details.txt").read_text().split("\n")
    assert lines[-1] == ""
    assert not any(STEM.match(line.split(".mp4")[0]) for line in lines[:5])
    return [[field.rstrip() for field in line.split("\t")] for line in lines[5:-1]]


def folds(root):
    """Tested stems of each UvA-NEMO fold with their labels, once from each form."""
    by_json, by_text = [], []
    for k in range(1, len(list((root / "folds" / "json").iterdir())) + 1):
        by_json.append(json.loads((root / f"folds/json/{k}/test.json").read_text()))
        stems = [((root / f"folds/text/{x}_fold_test_{k}.txt").read_text().split(), y) for x, y in (("P", 0), ("S", 1))]
        by_text.append({stem: label for names, label in stems for stem in names})
    return by_json, by_text
