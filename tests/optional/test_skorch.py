"""skorch and scikit-learn's validation around a model of ragged batches. ``make test-optional`` runs it."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged

pytestmark = pytest.mark.skipif(
    find_spec("skorch") is None, reason="skorch is not installed; pip install skorch"
)


class Classifier(nn.Module):
    """Two classes of series."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.pool, self.scores = tt.nn.GRU(3, 8), tt.nn.Pool("mean"), nn.Linear(8, 2)

    def forward(self, x: Ragged) -> Tensor:
        scores: Tensor = self.scores(self.pool(self.read(x)))
        return scores


def net_of(**options: Any) -> Any:
    """As docs/compatibility.md has it: `infer` is where skorch makes tensors of a batch."""
    from skorch import NeuralNetClassifier

    class RaggedClassifier(NeuralNetClassifier):  # type: ignore[misc]
        def infer(self, x: Any, **parameters: Any) -> Any:
            if isinstance(x, Ragged):
                return self.module_(x.to(self.device), **parameters)
            return super().infer(x, **parameters)

    return RaggedClassifier(
        Classifier,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.1,
        max_epochs=5,
        iterator_train__collate_fn=tt.collate,
        iterator_valid__collate_fn=tt.collate,
        verbose=0,
        **options,
    )


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    torch.manual_seed(0)
    labels = np.arange(60) % 2
    series = np.empty(60, object)
    series[:] = [torch.randn(1 + i % 7, 3) + float(2 * label - 1) for i, label in enumerate(labels)]
    return series, labels


def test_a_net_learns(samples: tuple[np.ndarray, np.ndarray]) -> None:
    series, labels = samples
    net = net_of().fit(series, labels)
    assert net.score(series, labels) > 0.9
    net.module_.eval()
    expected = torch.softmax(net.module_(Ragged.from_list(list(series))), -1).detach().numpy()
    np.testing.assert_allclose(net.predict_proba(series), expected, rtol=1e-5)
    # skorch counts sequences, not steps.
    assert net.history[0]["batches"][0]["train_batch_size"] == 48


def test_cross_validation(samples: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.model_selection import cross_val_score

    assert cross_val_score(net_of(train_split=None), *samples, cv=3).min() > 0.8
