"""The embedding that models read tokens through."""

from torch import nn

_DEVIATION = 0.1


def token_embedding(vocabulary_size: int, features: int) -> nn.Embedding:
    """Return an embedding whose weights are drawn from N(0, 0.1²).

    With the N(0, 1) of `torch.nn.Embedding`, the vectors of rare tokens stay nearly as they were drawn, and
    this noise outweighs what is learned: a TextCNN was 4 to 5 points less accurate on validation rows of TREC
    and of question titles.
    """
    embedding = nn.Embedding(vocabulary_size, features)
    nn.init.normal_(embedding.weight, std=_DEVIATION)
    return embedding
