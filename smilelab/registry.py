"""Things that are built by the name a user types."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")
_Builder = TypeVar("_Builder", bound=Callable[..., Any])


class Registry(Generic[Thing]):
    """Builders by name.

    Parameters
    ----------
    kind : str
        What is built, in messages: "model".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.builders: dict[str, Callable[..., Thing]] = {}

    def register(self, name: str) -> Callable[[_Builder], _Builder]:
        """Class (or function) decorator that makes a thing buildable under `name`.

        Parameters
        ----------
        name : str
            The name users type. The keyword parameters of the decorated callable are the thing's options.
        """

        def add(builder: _Builder) -> _Builder:
            if name in self.builders:
                raise ValueError(f"two {self.kind}s are registered as {name!r}; give one of them another name")
            self.builders[name] = builder
            return builder

        return add

    def names(self) -> list[str]:
        """The names that `build` knows, sorted."""
        return sorted(self.builders)

    def build(self, name: str, **options: object) -> Thing:
        """Build a thing.

        Raises
        ------
        ValueError
            Unknown name, unknown option, or an option's value that it refuses.
        """
        if name not in self.builders:
            raise ValueError(f"unknown {self.kind} {name!r}; expected one of {', '.join(self.names())}")
        known = inspect.signature(self.builders[name]).parameters
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"{self.kind} {name!r} has no option {', '.join(map(repr, unknown))}; it has {', '.join(known)}"
            )
        return self.builders[name](**options)
