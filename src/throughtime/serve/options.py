"""`ServeOptions`: the limits of a server, each declared once for Python and for the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Self

from throughtime._options import DeclaredOption, Option, options_of

MEBIBYTE = 2**20


@dataclass(frozen=True)
class ServeOptions:
    """Batches, the queue, and the largest request that is accepted.

    Parameters
    ----------
    max_batch_tokens : int
        Maximum number of tokens or steps in a batch; a longer row is a batch by itself.
    max_wait_ms : float
        Milliseconds that an incomplete batch waits for further requests. With 0, a batch has the requests
        that arrived while the model computed the batch before.
    workers : int
        Number of batches of a model that are computed at the same time.
    queue : int
        Maximum number of requests that wait for a model; further ones are answered with status 429.
    max_rows : int
        Maximum number of rows in a request.
    max_tokens_per_row : int
        Maximum number of tokens or steps in a row.
    max_body : int
        Maximum size of a request in MiB.
    max_streams : int
        Maximum number of open streams of a model.
    int8 : bool
        Whether models answer with int8 weights, see `throughtime.quantize`.

    Raises
    ------
    InputTypeError, ShapeError
        If a value has another type or is out of range.

    Examples
    --------
    >>> ServeOptions(queue=64).queue
    64
    >>> ServeOptions(queue=0)
    Traceback (most recent call last):
        ...
    throughtime.errors.ShapeError: ServeOptions: queue must be at least 1, got 0
    """

    max_batch_tokens: Annotated[
        int,
        Option(
            "Maximum number of tokens or steps in a batch. A longer row is a batch by itself.",
            low=1,
            metavar="N",
        ),
    ] = 16384
    max_wait_ms: Annotated[
        float,
        Option(
            "Milliseconds that an incomplete batch waits for further requests. With 0, a batch has the "
            "requests that arrived while the model computed the batch before.",
            low=0,
            high=60_000,
            metavar="MS",
        ),
    ] = 0.0
    workers: Annotated[
        int, Option("Number of batches of a model that are computed at the same time.", low=1, high=256)
    ] = 1
    queue: Annotated[
        int,
        Option(
            "Maximum number of requests that wait for a model. Further ones are answered with status 429.",
            low=1,
        ),
    ] = 512
    max_rows: Annotated[int, Option("Maximum number of rows in a request.", low=1)] = 4096
    max_tokens_per_row: Annotated[int, Option("Maximum number of tokens or steps in a row.", low=1)] = 16384
    max_body: Annotated[int, Option("Maximum size of a request in MiB.", low=1, high=1024)] = 8
    max_streams: Annotated[int, Option("Maximum number of open streams of a model.", low=1)] = 1024
    int8: Annotated[bool, Option("Answer with int8 weights.")] = False

    def __post_init__(self) -> None:
        for name, option in declared_options().items():
            option.check(getattr(self, name), type(self).__name__)

    @property
    def max_bytes(self) -> int:
        """Maximum size of a request in bytes."""
        return self.max_body * MEBIBYTE

    @classmethod
    def from_texts(cls, texts: Mapping[str, Any]) -> Self:
        """Return the options with the values that texts of the command line mean, or truth values of flags.

        Raises
        ------
        InputTypeError, ShapeError
            If a text is no value of its option, or the value is out of range; the message names the option.
        """
        declared = declared_options()
        values = {
            name: text if isinstance(text, bool) else declared[name].parse(text)
            for name, text in texts.items()
        }
        for name, value in values.items():
            declared[name].check(value, declared[name].flag)
        return cls(**values)


def declared_options() -> Mapping[str, DeclaredOption]:
    """Return the options by name."""
    return options_of(ServeOptions, {field.name: field.default for field in fields(ServeOptions)})
