"""Folders in the layouts of the databases, written by hand: names and metadata, with a few bytes for videos."""

import json

SPOS_SUBJECTS = ["tomas", "nelly", "riku", "yi", "ying", "rui", "xiaopeng"]
BBC_GENUINE = [1, 5, 6, 8, 10, 11, 15, 16, 17, 19]
MMI_SPONTANEOUS = range(53, 62)
MMI_POSED = [1, 2, 3, 5, 21, 29, 30, 32, 33, 34, 35, 36, 37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50]
MMI_POSED_SESSIONS = [108, 109, 225, 226, 348, 576, *range(1763, 2004)]


def touch(path, content=b"not opened"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def bbc(root):
    for number in range(1, 21):
        touch(root / ("Genuine" if number in BBC_GENUINE else "posed") / f"smilecontent q{number:02d}.mp4")
    return root


def spos(root, frames=3):
    """66 spontaneous and 14 posed clips."""
    for kind, total in (("spontaneous", 66), ("posed", 14)):
        for i in range(total):
            clip = root / kind / "happy" / f"{SPOS_SUBJECTS[i % 7]}-{i // 7 + 1}"
            for frame in range(1, frames + 1):
                touch(clip / f"{frame}.bmp")
    return root


def mmi_session(
    root, session, subject, *, number=1, view=0, emotion=4, units=None, gender="female", said=None, video=True
):
    """One session; `units` maps an action unit to its frames, `said` is the subject of session.xml."""
    folder, name = root / "Sessions" / str(session), f"S{subject:03d}-{number:03d}"
    annotations = [f"{name}.xml"] + ([f"{name}-oao_aucs.xml"] if units else [])
    listed = "".join(f'<annotation filename="{file}"/>' for file in annotations)
    touch(
        folder / "session.xml",
        f'<?xml version="1.0"?><session sessionId="{session}" date="2004"><remark/><subject id="{said or subject}" '
        f'gender="{gender}"/><track trackNumber="1" type="Video" filename="{name}.avi" view="{view}">{listed}</track>'
        '<track type="Audio" filename="sound.wav"/></session>'.encode(),
    )
    touch(folder / f"{name}.xml", f'<MetaTags><a><Metatag Name="Emotion" Value="{emotion}"/></a></MetaTags>'.encode())
    if units:
        markers = {unit: "".join(f'<Marker Frame="{frame}"/>' for frame in frames) for unit, frames in units.items()}
        content = "".join(f'<ActionUnit Number="{unit}">{inner}</ActionUnit>' for unit, inner in markers.items())
        touch(folder / f"{name}-oao_aucs.xml", f"<Annotation>{content}</Annotation>".encode())
    if video:
        touch(folder / f"{name}.avi")
    return folder


def mmi(root):
    """138 spontaneous sessions of 9 subjects and 49 posed ones of 25."""
    for i in range(138):
        mmi_session(root, 2005 + i, MMI_SPONTANEOUS[i % 9], number=i // 9 + 1)
    for i in range(49):
        mmi_session(root, MMI_POSED_SESSIONS[i], MMI_POSED[i % 25], number=i // 25 + 1)
    return root


def recordings(root, subjects=3):
    lines = ["path,label,subject,sex,age,kind"]
    for i in range(1, subjects + 1):
        for kind in ("spontaneous", "posed", "neutral"):
            touch(root / f"S{i:03d}_{kind}.mp4")
            label, row = ("", "neutral") if kind == "neutral" else (kind, "recording")
            lines.append(f"S{i:03d}_{kind}.mp4,{label},S{i:03d},female,{20 + i},{row}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)


def au_text(rows=4):
    """Values of a `_AUs.txt`: in row r, unit AUnn is r + nn / 100."""
    lines = [",".join(f"AU{unit:02d}" for unit in AUS)]
    lines += [",".join(f"{row + unit / 100:.2f}" for unit in AUS) for row in range(rows)]
    return "\n".join(lines) + "\n"


def au_traces(root):
    """Two posed and two spontaneous clips of three subjects, in UvA-NEMO's names."""
    for clip in ("001_deliberate_smile_2", "001_spontaneous_smile_1", "007_deliberate_smile_1"):
        touch(root / f"{clip}_AUs.txt", au_text().encode())
    touch(root / "020_spontaneous_smile_3_AUs.txt", au_text().encode())
    return root


def uva_nemo_metadata(root):
    """Details and folds at the published totals, without a video."""
    people = [
        (f"{i + 1:03d}", "female" if i % 2 == 0 and i < 370 else "male", 10 if i >= 251 else 40) for i in range(400)
    ]
    # 357 subjects with a spontaneous clip and 368 with a posed one; 240 and 275 of them have a second one.
    clips = [
        (*person, "spontaneous", k) for i, person in enumerate(people[:357]) for k in range(1, 3 if i < 240 else 2)
    ]
    clips += [(*person, "deliberate", k) for i, person in enumerate(people[32:]) for k in range(1, 3 if i < 275 else 2)]
    lines = [f"{code}_{kind}_smile_{k}.mp4\t{code}\t{sex}   \t{age}\t{kind} " for code, sex, age, kind, k in clips]
    heading = ["UvA-NEMO", "", "Details", "", "File\tSubject\tGender\tAge\tType"]
    touch(root / "UvA-NEMO_Smile_Database_File_Details.txt", "\n".join(heading + lines).encode())
    for k in range(1, 11):
        test = {
            f"{c}_{kind}_smile_{n}": int(kind == "spontaneous") for c, _, _, kind, n in clips if int(c) % 10 == k % 10
        }
        touch(root / "folds" / str(k) / "test.json", json.dumps(test).encode())
    return root
