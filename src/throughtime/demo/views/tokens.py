"""Single windows with the influence of each token by occlusion, and the influence by distance."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.replacement import VERDICTS
from throughtime.demo.views.around import OFFSETS, means_around
from throughtime.demo.views.words import shown
from throughtime.diagnose import influence
from throughtime.ragged import Ragged
from throughtime.report import Line, TokenExample, TokenScores

_MOST_TOKENS = 45
"""Windows with more tokens are not shown, so that the page stays readable."""


def log_odds(logits: Tensor) -> Tensor:
    """Return (B,): the log odds of "replaced"."""
    return logits[:, 1] - logits[:, 0]


def influence_around(name: str, model: nn.Module, windows: Ragged, places: Tensor) -> Line:
    """Return the mean fraction of influence, in percent, by distance from the operator.

    The influence of a token is abs(x · ∂f/∂x), divided by the sum of its window. Tokens that a window does
    not have count as 0, so what is beyond the figure is all that is missing to 100 %.
    """
    scores = influence(model, windows, outcome=log_odds).scores
    size, sequence = scores.values.abs().double(), scores.layout.sequence_ids
    total = torch.bincount(sequence, size, len(scores)).clamp_min(torch.finfo(size.dtype).tiny)
    percent = scores.with_values(100 * size / total[sequence])
    return Line(name, OFFSETS, means_around(percent, places, absent=0.0))


def token_examples(
    source: PythonOperators, models: Mapping[str, nn.Module], logits: Sequence[Tensor]
) -> list[TokenExample]:
    """Return test windows that all models classify correctly, that they disagree on, and that all miss.

    Of each kind, the first replaced operator in the order of the data set.
    """
    rows = _chosen(source, logits)
    windows, replaced = source.test.inputs[torch.tensor(rows)], source.replaced[torch.tensor(rows)]
    scores = {
        name: influence(model, windows, method="occlusion", outcome=log_odds)
        for name, model in models.items()
    }
    return [
        TokenExample(
            shown(windows[place].tolist(), source.vocabulary),
            VERDICTS[int(replaced[place])],
            _where(source, row),
            [
                TokenScores(name, float(result.outcome[place].sigmoid()), result.scores[place].tolist())
                for name, result in scores.items()
            ],
        )
        for place, row in enumerate(rows)
    ]


def _chosen(source: PythonOperators, logits: Sequence[Tensor]) -> list[int]:
    replaced, lengths = source.replaced, source.test.inputs.lengths
    right = torch.stack([scores.argmax(1) == replaced for scores in logits])
    readable = (replaced == 1) & (lengths <= _MOST_TOKENS)
    kinds = (right.all(0), right[0] & ~right[1], ~right[0] & right[1], ~right.any(0))
    first = (torch.nonzero(kind & readable).flatten()[:1].tolist() for kind in kinds)
    return [row for rows in first for row in rows] or [0]


def _where(source: PythonOperators, row: int) -> str:
    file, line, _ = source.sites["test"].where[row].tolist()
    return f"{source.file_name(file)}:{line}"
