"""`watch`: records the gradients of a backward pass in the recurrent layers of a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from throughtime.errors import UnsupportedError
from throughtime.nn.recurrent.attached import Watchable, attached
from throughtime.nn.recurrent.watching import LayerRun


@dataclass
class Watch:
    """The recording of `watch`: calls of recurrent layers, and after a backward pass their gradients."""

    names: Mapping[nn.Module, str]
    whole: bool = False
    _calls: list[tuple[str, Callable[[], Sequence[LayerRun]]]] = field(default_factory=list)

    def saw(self, layer: nn.Module, runs: Callable[[], Sequence[LayerRun]]) -> None:
        """Record a call; called by the layers."""
        self._calls.append((self.names[layer], runs))

    def directions(self) -> list[LayerRun]:
        """Return every layer and direction of every call with a backward pass.

        Raises
        ------
        UnsupportedError
            If there is none.
        """
        runs = [run for name, runs in self._calls for run in _named(name, runs()) if run.filled]
        if not runs:
            raise UnsupportedError(
                f"no backward pass was recorded ({len(self._calls)} forward passes of {len(self.names)} "
                "recurrent layers): run the model and call loss.backward() inside `with watch(model)`, "
                "in eager mode"
            )
        return runs

    def clear(self) -> None:
        """Discard all recorded calls and free their memory."""
        self._calls.clear()


def _named(name: str, runs: Sequence[LayerRun]) -> Sequence[LayerRun]:
    several = any(run.layer for run in runs)
    for run in runs:
        run.name = f"{name}[{run.layer}]" if several else name
    return runs


def module_of(name: str) -> str:
    """Return the name of the module of a run, which may end with the number of a layer."""
    return name.split("[", maxsplit=1)[0]


@contextmanager
def watch(model: nn.Module, *, whole: bool = False) -> Iterator[Watch]:
    """Record the gradients of recurrent layers while this thread runs a model inside the block.

    Results do not change. The backward pass of `throughtime.nn.RNN`, `LSTM`, `GRU`, `MGU` and `LayerNormLSTM`
    additionally stores the norms of the gradients of every state and pre-activation at every step, which it
    computes anyway. Other layers (`throughtime.nn.Recurrence`, layers of cells such as `LiGRU`, and scan
    layers such as `MinGRU`) run as for a trace with gradients, which stores whole gradients of states and of
    recorded values, and takes longer; their results agree to rounding. On other devices than the CPU, layers
    of the first kind are computed on the CPU, and what is recorded is returned to the device.

    Parameters
    ----------
    model : Module
        Contains recurrent layers of `throughtime.nn`, of any kind.
    whole
        Whether to store the gradients themselves beside their norms, which takes about twice the memory that
        the layer itself saves for its backward pass.

    Yields
    ------
    Watch
        For `gradient_flow`, `spectrum`, `lyapunov_exponents` and `first_not_finite`.

    Raises
    ------
    UnsupportedError
        If the model has no recurrent layer.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.nn.LSTM(3, 5)
    >>> with tt.diagnose.watch(model) as recording:
    ...     model(torch.randn(7, 3)).output[-1].sum().backward()
    >>> tt.diagnose.gradient_flow(recording).layers[0].h
    Ragged(lengths=[7], features=(), dtype=float32)
    """
    layers: dict[nn.Module, str] = dict(layers_of(model).items())
    if not layers:
        kinds = sorted({type(module).__name__ for module in model.modules()})
        raise UnsupportedError(
            f"this model has no recurrent layer (it has {', '.join(kinds[:8])}); watch records the recurrent "
            "layers of tt.nn"
        )
    recording = Watch(layers, whole)
    with attached(layers, "_watchers", recording):
        yield recording


def layers_of(model: nn.Module) -> dict[Watchable, str]:
    """Return the layers that can be watched with their names, and not those inside of others."""
    layers: dict[Watchable, str] = {}
    for layer, name in _outermost(model):
        layers.setdefault(layer, name)  # of a layer that a model holds twice the first name
    return layers


def is_recurrent(model: nn.Module) -> bool:
    """Tell whether a model has layers that can be watched."""
    return any(isinstance(module, Watchable) for module in model.modules())


def _outermost(module: nn.Module, path: str = "") -> Iterator[tuple[Watchable, str]]:
    """Yield layers that can be watched with their names; not those inside of others, which report them."""
    if isinstance(module, Watchable):
        yield module, path or type(module).__name__
        return
    for name, child in module.named_children():
        yield from _outermost(child, f"{path}.{name}" if path else name)
