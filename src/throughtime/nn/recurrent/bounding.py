"""Bounds on the gradients inside all recurrent layers of a model."""

from torch import nn

from throughtime.errors import UnsupportedError
from throughtime.nn.description.lookup import described
from throughtime.nn.recurrent.attached import CarriesState


def bound_recurrent_gradients(
    model: nn.Module, *, value: float | None = None, norm: float | None = None
) -> None:
    """Bound the gradients inside all recurrent layers of a model, see `throughtime.nn.LSTM.bound_gradients`.

    Raises
    ------
    UnsupportedError
        If the model has no recurrent layer, or one whose gradients cannot be bounded; the message names it.
        Then no layer is changed.
    ShapeError
        If a bound is not above zero.
    """
    layers = {name: part for name, part in model.named_modules() if isinstance(part, CarriesState)}
    if not layers:
        raise UnsupportedError(
            f"{type(model).__name__} has no recurrent layer of throughtime.nn, so no gradient passes from "
            "step to step; use another model, or leave the bound out"
        )
    for name, layer in layers.items():
        if layer.no_bounds and (value is not None or norm is not None):
            raise layer.without_bounds(described(layer, name))
    for layer in layers.values():
        layer.bound_gradients(value=value, norm=norm)


class BoundsParts(nn.Module):
    """A module whose recurrent layers are bounded together."""

    def bound_gradients(self, *, value: float | None = None, norm: float | None = None) -> None:
        """Clip gradients inside the recurrences of all layers, see `throughtime.nn.LSTM.bound_gradients`.

        Raises
        ------
        UnsupportedError
            If there is no recurrent layer, or one whose gradients cannot be bounded, such as `MinGRU`.
        ShapeError
            If a bound is not above zero.
        """
        bound_recurrent_gradients(self, value=value, norm=norm)
