"""All views of the two networks of the demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.replacement import VERDICTS, ReplacementDetector
from throughtime.demo.views.around import places_of
from throughtime.demo.views.filters import convolutions
from throughtime.demo.views.gates import recurrence
from throughtime.demo.views.live import live_pages
from throughtime.demo.views.mistakes import TestSites, mistakes
from throughtime.demo.views.tokens import influence_around, token_examples
from throughtime.models import BiLSTM, TextCNN
from throughtime.report import NetworkViews

_FILTER_WINDOWS = 2_000
_GATE_WINDOWS = 500
"""Validation windows that filters, and gates with gradients and influence, are measured on."""


def network_views(
    source: PythonOperators, models: Mapping[str, nn.Module], logits: Sequence[Tensor], out: Path
) -> NetworkViews:
    """Return the views of a TextCNN and a BiLSTM.

    Parameters
    ----------
    source
        The data set. Mistakes and examples are of its test, everything else is measured on validation.
    models
        The networks by name, one of them a TextCNN, one a BiLSTM; they predict the author's operator.
    logits : sequence of Tensor
        (B, 2) each: what `ReplacementDetector` makes of their outputs on the test.
    out
        Folder of the report.
    """
    cnn_name, cnn = next((name, model) for name, model in models.items() if isinstance(model, TextCNN))
    rnn_name, rnn = next((name, model) for name, model in models.items() if isinstance(model, BiLSTM))
    validation, places = source.validation, places_of(source.sites["validation"])
    few = slice(0, _GATE_WINDOWS)
    windows, labels = validation.inputs[few], cast("Tensor", validation.targets)[few]
    sites, truth = TestSites.of(source), source.replaced
    detectors = {name: ReplacementDetector(model, source.vocabulary) for name, model in models.items()}
    return NetworkViews(
        classes=VERDICTS,
        mistakes=[
            mistakes(name, _hits(scores, truth), sites) for name, scores in zip(models, logits, strict=True)
        ],
        convolution_of=cnn_name,
        recurrence_of=rnn_name,
        convolutions=convolutions(
            cnn, validation.inputs[:_FILTER_WINDOWS], source.vocabulary, source.classes
        ),
        recurrence=recurrence(rnn, windows, labels, places[few]),
        influence=[influence_around(name, model, windows, places[few]) for name, model in detectors.items()],
        tokens=token_examples(source, detectors, logits),
        live=live_pages(out),
    )


def _hits(logits: Tensor, truth: Tensor) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = torch.eq(logits.argmax(1), truth).numpy()
    return hits
