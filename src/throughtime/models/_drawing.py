"""`nucleus`: from which words one is drawn."""

import torch
from torch import Tensor


def nucleus(log_probabilities: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    r"""Return with which probabilities words are drawn: p_w^(1/τ), scaled, within the nucleus, 0 outside.

    The nucleus is the smallest set of the most probable words that together have ``top_p`` or more.

    Parameters
    ----------
    log_probabilities : Tensor
        (…, V), or logits.
    temperature : float
        τ > 0: below 1 the probable becomes more so.
    top_p : float
        From above 0 to 1.

    References
    ----------
    .. [1] A. Holtzman et al., "The curious case of neural text degeneration", ICLR (2020), section 3.1.

    Examples
    --------
    >>> import torch
    >>> nucleus(torch.tensor([0.5, 0.3, 0.2]).log(), top_p=0.7)
    tensor([0.6250, 0.3750, 0.0000])
    """
    probabilities = torch.softmax(log_probabilities / temperature, -1)
    if top_p >= 1:
        return probabilities
    ordered, place = probabilities.sort(stable=True, dim=-1, descending=True)
    # A word is in if those before it do not reach top_p yet; so the first always is.
    inside = ordered.cumsum(-1) - ordered < top_p
    inside = torch.zeros_like(inside).scatter(-1, place, inside)
    probabilities = torch.where(inside, probabilities, 0)
    return probabilities / probabilities.sum(-1, keepdim=True)
