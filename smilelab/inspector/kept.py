"""Results that took long, kept while they are likely to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

__all__ = ["Kept"]


class Kept:
    """Results by what they are of; the ones not asked for longest go first when they get too large together.

    Parameters
    ----------
    most_bytes : int
        Size of all arrays together.
    most : int
        Number of results.
    """

    def __init__(self, most_bytes: int = 64 << 20, most: int = 256) -> None:
        self.most_bytes, self.most = most_bytes, most
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._results

    @property
    def size(self) -> int:
        """Bytes of all arrays that are kept."""
        return sum(map(_size, self._results.values()))

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the result of a key, computed when it is not kept; one that raises is not kept."""
        if key not in self._results:
            self._results[key] = compute()
        self._results.move_to_end(key)
        while len(self._results) > 1 and (len(self._results) > self.most or self.size > self.most_bytes):
            self._results.popitem(last=False)
        return self._results[key]


def _size(result: Any) -> int:
    if isinstance(result, np.ndarray):
        return result.nbytes
    if isinstance(result, bytes):
        return len(result)
    return sum(map(_size, result)) if isinstance(result, tuple) else 0
