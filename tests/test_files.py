import subprocess
import sys
import time

import pytest

from smilelab.files import locked, write_atomically


def test_content_is_written_as_it_is(tmp_path):
    write_atomically(tmp_path / "text", "a\nä")
    write_atomically(tmp_path / "bytes", b"\r\n\x00")
    assert (tmp_path / "text").read_bytes() == "a\nä".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\r\n\x00"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, "new")
    assert path.read_text() == "old"


_HOLD = """
import sys, time
from pathlib import Path
from smilelab.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_waits_for_its_holder_and_is_free_when_it_is_killed(tmp_path):
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "lock"), "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        waited = []
        subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {holder.pid}"])
        started = time.monotonic()
        with locked(tmp_path / "lock", lambda: waited.append(True)):
            assert waited == [True]
            assert time.monotonic() - started > 0.2
