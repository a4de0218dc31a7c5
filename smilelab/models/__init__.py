"""The registry of models: build one by its name.

Every model takes frames ``float (N, C, T, H, W)`` in [0, 1] with ``lengths (N,)`` and returns one logit per clip,
``(N,)``; positive means spontaneous. Those that compare with an anchor (their `anchor_rule` says with which) take it as
a third argument. `encoder` and `head` are separate attributes of each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypeVar

from torch import nn

_Model = TypeVar("_Model", bound=Callable[..., nn.Module])
_BUILDERS: dict[str, Callable[..., nn.Module]] = {}


def register(name: str) -> Callable[[_Model], _Model]:
    """Class (or function) decorator that makes a model buildable under `name`.

    Parameters
    ----------
    name : str
        The name users type. The keyword parameters of the decorated callable are the model's options.
    """

    def add(builder: _Model) -> _Model:
        if name in _BUILDERS:
            raise ValueError(f"two models are registered as {name!r}; give one of them another name")
        _BUILDERS[name] = builder
        return builder

    return add


def names() -> list[str]:
    """The names that `build` knows, sorted."""
    return sorted(_BUILDERS)


def build(name: str, **options: object) -> nn.Module:
    """Build a model with freshly drawn weights (torch's global random state decides them).

    Parameters
    ----------
    name : str
        One of `names`.
    **options
        The model's own options; see its class.

    Returns
    -------
    torch.nn.Module
        ``model(frames (N, C, T, H, W), lengths (N,)) -> logits (N,)``.

    Raises
    ------
    ValueError
        Unknown model, unknown option, or an option's value that the model refuses.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown model {name!r}; expected one of {', '.join(names())}")
    known = inspect.signature(_BUILDERS[name]).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"model {name!r} has no option {', '.join(map(repr, unknown))}; it has {', '.join(known)}")
    return _BUILDERS[name](**options)


def anchor_rule(model: str | nn.Module) -> Literal["neutral", "posed", "none"]:
    """Which anchor a model (or the one of that name) compares a smile with.

    Parameters
    ----------
    model : str or torch.nn.Module

    Returns
    -------
    {"neutral", "posed", "none"}
    """
    return getattr(_BUILDERS[model] if isinstance(model, str) else model, "anchor_rule", "none")


# They register themselves, which needs `register`.
from smilelab.models import densenet3d as densenet3d  # noqa: E402
from smilelab.models import realsmilenet as realsmilenet  # noqa: E402
from smilelab.models import siamese as siamese  # noqa: E402
