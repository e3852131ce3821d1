"""`Operator`: one operator that a layer calls, as an exporter reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operator:
    """One call of an operator on the value that is passed from operator to operator.

    Parameters
    ----------
    name : str
        The operator's name in ``torch.ops``, such as "aten::linear", or that of a function in
        ``throughtime.ops``, such as "throughtime::conv1d".
    arguments : mapping of str to object
        Its other arguments by name: weights and options.

    Examples
    --------
    >>> import throughtime as tt
    >>> layer = tt.nn.Linear(4, 2)
    >>> [operator.name for operator in layer.operators()]
    ['aten::linear']
    """

    name: str
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, **arguments: Any) -> "Operator":
        """Name the arguments."""
        return cls(name, arguments)
