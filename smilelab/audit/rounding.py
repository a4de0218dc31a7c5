"""What a rounded percentage stands for: its exact range, and the counts that print like it.

Nothing here is a float. Rounding to the nearest leaves open which way an exact half goes (up as in school, to the even
digit as in numpy and Python), so both ways are allowed; `is_tie` says where it matters.
"""

from __future__ import annotations

from fractions import Fraction
from operator import index

from smilelab.audit.errors import AuditError

_MOST_DECIMALS = 6


def units(printed: float | str, decimals: int) -> int:
    """Return a printed percentage in units of its last digit: 98.12 with two decimals is 9812.

    Parameters
    ----------
    printed : float or str
        The percentage as printed. A float counts as the shortest decimal number that it prints as.
    decimals : int
        Digits after the point, 0 to 6. They are asked for because a float forgets a last zero: 95.10 is 95.1.

    Raises
    ------
    AuditError
        No number between 0 and 100, or one with more digits than ``decimals``.
    """
    if not 0 <= decimals <= _MOST_DECIMALS:
        raise AuditError(f"found {decimals} decimals, expected 0 to {_MOST_DECIMALS}.")
    try:
        value = Fraction(str(printed))
    except (ValueError, ZeroDivisionError):
        raise AuditError(f"found {printed!r}, expected a percentage such as 98.12.") from None
    if not 0 <= value <= 100:
        raise AuditError(f"found {printed}, expected a percentage between 0 and 100.")
    scaled = value * 10**decimals
    if scaled.denominator != 1:
        raise AuditError(f"found {printed}, expected at most {decimals} decimals; say how many were printed.")
    return int(scaled)


def bounds(printed: float | str, decimals: int, *, slack: int = 0) -> tuple[int, int, int]:
    """Return the shares that print as a percentage, as a closed range of integers over one denominator.

    Parameters
    ----------
    printed : float or str
        The percentage as printed.
    decimals : int
        Digits after the point.
    slack : int
        Units of the last digit by which the range is widened on both sides; one of them covers digits that were cut
        off, or always rounded up.

    Returns
    -------
    tuple of int
        ``low, high, scale``: shares from ``low / scale`` to ``high / scale``, clipped to [0, 1].

    Raises
    ------
    AuditError
        As `units`.
    """
    middle, scale = 2 * units(printed, decimals), 200 * 10**decimals
    return max(0, middle - 1 - 2 * slack), min(scale, middle + 1 + 2 * slack), scale


def numerators(printed: float | str, n: int, *, decimals: int = 1) -> list[int]:
    """Return every k for which 100 k / n prints as a percentage.

    Parameters
    ----------
    printed : float or str
        The percentage as printed.
    n : int
        The denominator, at least 1.
    decimals : int
        Digits after the point.

    Returns
    -------
    list of int
        Ascending; empty where no share of ``n`` prints like this. A mean over several tests need not be one.

    Raises
    ------
    AuditError
        As `units`, or ``n`` below 1.
    """
    if index(n) < 1:
        raise AuditError(f"found {n} in all, expected at least 1.")
    low, high, scale = bounds(printed, decimals)
    return list(range(-(-low * n // scale), high * n // scale + 1))


def is_tie(k: int, n: int, *, decimals: int = 1) -> bool:
    """Whether 100 k / n lies exactly half way between two numbers of so many decimals: conventions then differ."""
    doubled = Fraction(200 * 10**decimals * int(k), int(n))
    return doubled.denominator == 1 and doubled.numerator % 2 == 1
