"""Tasks for worker processes, which import them by name."""

import os
import signal


def square(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -1:
        raise ValueError("negative")
    return number**2


def gave_up(number):
    return f"{number} died"
