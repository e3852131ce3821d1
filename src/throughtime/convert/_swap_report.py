"""Reports of `swap_` and `unswap_`: the layers that changed their class, and those that did not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SwappedLayer:
    """One layer that changed its class.

    Parameters
    ----------
    name
        Name in the model, such as ``encoder.rnn``; "" for the model itself.
    before, after
        Full names of the classes.
    """

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class KeptLayer:
    """One layer that was not changed.

    Parameters
    ----------
    name
        Name in the model; "" for the model itself.
    layer
        Full name of its class.
    reason
        Why it was not changed.
    """

    name: str
    layer: str
    reason: str


@dataclass(frozen=True, repr=False)
class SwapReport:
    """Result of `swap_` and `unswap_`.

    Parameters
    ----------
    swapped : tuple of SwappedLayer
        Layers that changed their class, in the order of ``model.named_modules()``.
    kept : tuple of KeptLayer
        Layers of the kinds that are swapped that were not changed, with reasons.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layers = {"rnn": torch.nn.GRU(3, 5), "pool": torch.nn.AdaptiveMaxPool1d(1)}
    >>> tt.convert.swap_(torch.nn.ModuleDict(layers))
    swapped (1):
      rnn  torch.nn.GRU -> throughtime.nn.GRU
    kept (1):
      pool  torch.nn.AdaptiveMaxPool1d: throughtime.nn has no layer with windows of variable size
    """

    swapped: tuple[SwappedLayer, ...]
    kept: tuple[KeptLayer, ...]

    def __repr__(self) -> str:
        """Return a table of both lists."""
        swapped = [(layer.name, f"{layer.before} -> {layer.after}") for layer in self.swapped]
        kept = [(layer.name, f"{layer.layer}: {layer.reason}") for layer in self.kept]
        return "\n".join(_section("swapped", swapped) + (_section("kept", kept) if kept else []))


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    names = [name or "(the model)" for name, _ in rows]
    width = max(map(len, names), default=0)
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in zip(names, rows, strict=True)]
    return [f"{title} ({len(rows)}){':' if rows else ''}", *lines]
