"""Tasks for worker processes, which import them by name."""

import os
import signal
import threading
import time


def square(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -1:
        raise ValueError("negative")
    return number**2


def gave_up(number):
    return f"{number} died"


_inside = threading.Semaphore(1)


def alone(number):
    """Whether no other task ran in this process meanwhile, and which process it was."""
    free = _inside.acquire(blocking=False)
    time.sleep(0.05)
    if free:
        _inside.release()
    return free, os.getpid()
