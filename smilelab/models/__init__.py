"""The registry of models: build one by its name. Every module of this package is imported: a new model is a new file.

Every model takes frames ``float (N, C, T, H, W)`` in [0, 1] with ``lengths (N,)`` and returns one logit per clip,
``(N,)``; positive means spontaneous. Those that compare with an anchor (their `anchor_rule` says with which) take it as
a third argument. `encoder` and `head` are separate attributes of each.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from smilelab.registry import Registry, discover

_MODELS: Registry[nn.Module] = Registry("model")
register = _MODELS.register
names = _MODELS.names


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
    return _MODELS.build(name, **options)


def anchor_rule(model: str | nn.Module) -> Literal["neutral", "posed", "none"]:
    """Which anchor a model (or the one of that name) compares a smile with.

    Parameters
    ----------
    model : str or torch.nn.Module

    Returns
    -------
    {"neutral", "posed", "none"}
    """
    return getattr(_MODELS.builders[model] if isinstance(model, str) else model, "anchor_rule", "none")


def training_of(name: str) -> dict[str, object]:
    """Training options that belong to a variant of a model, by the name of the option; of most models none.

    Parameters
    ----------
    name : str
        One of `names`; other names, such as those of baselines, have none.

    Returns
    -------
    dict
        Fields of `smilelab.options.TrainingOptions` with their values.
    """
    # Not `training`: of every torch module that is whether it is in training mode.
    return dict(getattr(_MODELS.builders.get(name), "training_options", {}))


discover(__name__, __path__)
