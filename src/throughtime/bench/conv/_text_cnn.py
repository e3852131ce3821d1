"""TextCNN as one writes it with torch.nn: a padded batch through everything."""

import torch
from torch import Tensor, nn

_WIDTHS = (3, 4, 5)


class PaddedTextCNN(nn.Module):
    """Embedding, kernels of 3, 4 and 5 words, ReLU, the maximum over all positions, a linear layer.

    Its windows reach into the padding, whose words are number 0.
    """

    def __init__(self, words: int, classes: int, embedding_size: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, channels, width, padding=width // 2) for width in _WIDTHS
        )
        self.output = nn.Linear(3 * channels, classes)

    def forward(self, words: Tensor) -> Tensor:
        """Return the logits (B, C) of words (B, L)."""
        x = self.embedding(words).transpose(1, 2)
        # With an even width half of it on both sides makes one window too many.
        found = [
            conv(x)[:, :, 1 - width % 2 :].relu().amax(2)
            for width, conv in zip(_WIDTHS, self.convolutions, strict=True)
        ]
        logits: Tensor = self.output(torch.cat(found, 1))
        return logits
