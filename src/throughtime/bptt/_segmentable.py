"""Which layers run segment by segment: those that read earlier steps through their state alone."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.description.kinds import Stateful, Tokenwise, WholeSequence
from throughtime.nn.description.lookup import described, description_of
from throughtime.nn.description.parts import Composition, Reversed, join
from throughtime.nn.inputs.resets import takes_reset
from throughtime.nn.locked_dropout import LockedDropout
from throughtime.nn.recurrence.recurrence import Recurrence
from throughtime.nn.recurrent.attached import CarriesState
from throughtime.nn.recurrent.carrying import carrier_of


def check_segmentable(layer: Any, state: Any) -> None:
    """Check that calls on segments, each from the state of the one before, give what one call gives.

    Raises
    ------
    InputTypeError, ShapeError, UnsupportedError
        If the layer is not recurrent, is bidirectional, or has a part that reads other steps than its own
        and is not recurrent, or is to continue carried states; the message names it.
    """
    name = type(layer).__name__
    if not isinstance(layer, nn.Module) or not (takes_reset(layer) or _is_stateful(layer)):
        raise InputTypeError(
            f"checkpointed takes a recurrent layer of throughtime.nn, such as LSTM, Recurrence or Stack, got "
            f"{name}"
        )
    _check_parts(layer, "")
    for path, module in layer.named_modules():
        _check_module(module, described(module, path), is_layer=module is layer)
        if state is None and isinstance(module, CarriesState) and carrier_of(module) is not None:
            raise UnsupportedError(
                f"checkpointed: the states of {described(module, path)} are carried, which its segments do "
                "not continue; call the layer itself, or pass checkpointed a state"
            )


def _is_stateful(layer: nn.Module) -> bool:
    return isinstance(description_of(layer), Stateful)


def _check_parts(part: Any, path: str) -> None:
    """Check what a layer states about itself and its parts."""
    description, name = description_of(part, path), described(part, path)
    if isinstance(description, WholeSequence | Reversed):
        raise ShapeError(
            f"checkpointed does not support bidirectional layers, and {name} reads from the end, too; use "
            "one layer for each direction, the second on x.reverse()"
        )
    if isinstance(description, Composition):
        for inner, module in description.parts:
            _check_parts(module, join(path, inner))
    elif not isinstance(description, Stateful | Tokenwise):
        raise UnsupportedError(
            f"checkpointed: {name} reads several steps and has no state, so segments do not give what the "
            "whole gives; call it before or after checkpointed"
        )


def _check_module(module: nn.Module, name: str, *, is_layer: bool) -> None:
    """Check a module for what a description of its layer does not tell."""
    if isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats):
        raise UnsupportedError(
            f"checkpointed: {name} takes its statistics from all tokens of a batch in training, not from "
            "those of a segment; use layer normalisation, or call eval() on it"
        )
    if isinstance(module, LockedDropout) and module.training and module.p:
        raise UnsupportedError(
            f"checkpointed: {name} draws one mask for a sequence in each call, so segments would have "
            "different ones; apply it before checkpointed"
        )
    if isinstance(module, Recurrence):
        _check_recurrence(module, name, is_layer=is_layer)


def _check_recurrence(module: Recurrence, name: str, *, is_layer: bool) -> None:
    if module.prepare is not None and module.prepare != getattr(module.f, "prepare", None):
        raise UnsupportedError(
            f"checkpointed: prepare of {name} sees all tokens of a batch, not those of a segment; apply it "
            "to the batch before checkpointed, and leave out prepare="
        )
    if module.draws_noise and not is_layer:
        raise UnsupportedError(
            f"checkpointed: {name} draws the random numbers of a sequence in each call, so segments would "
            "have different ones; pass checkpointed that layer by itself"
        )
