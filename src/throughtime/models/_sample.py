"""`sample`: a sequence drawn step by step."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from throughtime.errors import NotFiniteError, ShapeError
from throughtime.models.next_step import NextStep


def sample(
    model: NextStep,
    prompt: Tensor,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    without: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    r"""Draw what comes after a prompt, one step after the other, without an end.

    Each step is drawn from what the model says of it given all before, and then read by ``model.step``: it
    costs the same however many came before. Dropout does not act.

    Parameters
    ----------
    model : LanguageModel, FrameModel or ForecastModel
        Is not changed.
    prompt : Tensor
        (T,) int64 words, (T, K) frames or (T, C) steps of a series, T >= 1.
    temperature : float
        τ: probabilities are p^(1/τ), scaled; 0 always takes the most probable.
    top_p : float
        Words are drawn from the smallest set that has this probability, see [1]_; 1 for all. For words only.
    without : sequence of int
        Words that are not drawn; the probabilities of the others are scaled up. For words only.
    generator : torch.Generator, optional
        Where random numbers come from.

    Yields
    ------
    Tensor
        () or (K,) or (C,): one step.

    Raises
    ------
    ShapeError
        If the prompt is empty, or a number outside of its range.
    NotFiniteError
        If the model gives no probabilities: its weights are too large or not numbers.

    References
    ----------
    .. [1] A. Holtzman et al., "The curious case of neural text degeneration", ICLR (2020), section 3.1.

    Examples
    --------
    >>> import itertools, torch, throughtime as tt
    >>> model = tt.models.LanguageModel(50, embedding_size=8, hidden_size=8)
    >>> words = tt.models.sample(model, torch.tensor([4, 8]), generator=torch.Generator().manual_seed(0))
    >>> len(list(itertools.islice(words, 5)))
    5
    """
    if not len(prompt):
        raise ShapeError("sample: the prompt is empty; give at least one step")
    if not 0 <= temperature < float("inf"):
        raise ShapeError(f"sample: temperature must be at least 0, got {temperature}")
    if not 0 < top_p <= 1:
        raise ShapeError(f"sample: top_p must be above 0 and at most 1, got {top_p}")
    if without and prompt.dim() > 1:
        raise ShapeError(f"sample: without is for words only, got {list(without)}; leave it out")

    def draw(following: Tensor) -> Tensor:
        if following.isnan().any():
            raise NotFiniteError(
                "sample: the model gives NaN for the next step; its weights or the frames of the prompt are "
                "too large or not numbers; restore the weights or train again"
            )
        left_out = torch.tensor(list(without), dtype=torch.int64, device=following.device)
        return model.draw(following.index_fill(-1, left_out, -torch.inf), temperature, top_p, generator)

    return _drawn(model, prompt, draw)


def _drawn(model: NextStep, prompt: Tensor, draw: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    state = None
    with torch.no_grad():
        for x in prompt:
            following, state = model.step(x.unsqueeze(0), state)
    while True:
        # Not around `yield`, so that the setting of the caller is not changed.
        with torch.no_grad():
            drawn = draw(following)
            following, state = model.step(drawn, state)
        yield drawn[0]
