"""Things that are built by the name a user types, and the packages in which a new one is one more file."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
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


def discover(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, in the order of their names, so that what is in them registers itself.

    A package calls it at the end of its ``__init__``, when `register` is there. Every process that imports the package
    then knows the same things, the workers of a parallel run among them. What a module raises is not caught: a file
    that cannot be imported is to be mended or taken away.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    path : iterable of str
        Its ``__path__``.
    """
    for name in sorted(module.name for module in pkgutil.iter_modules(path)):
        import_module(f"{package}.{name}")
