"""The gates of linear recurrences: how pre-activations become coefficients a and b, in plain PyTorch."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Gates = Literal["forget", "update", "separate", "normalized"]
Candidate = Literal["identity", "tanh", "positive"]

BLOCKS: dict[Gates, int] = {"forget": 2, "update": 2, "separate": 3, "normalized": 3}
"""How many blocks of D the pre-activations of a step have."""


def coefficients(u: Tensor, gates: Gates, candidate: Candidate) -> tuple[Tensor, Tensor]:
    r"""Return a and b, (T, D) each, of pre-activations u (T, blocks · D).

    ============  ===========  ==========================  ==============
    gates         blocks of u  a                           b
    ============  ===========  ==========================  ==============
    "forget"      f, c         σ(f)                        (1 − a) φ(c)
    "update"      z, c         1 − σ(z)                    σ(z) φ(c)
    "separate"    f, i, c      σ(f)                        σ(i) φ(c)
    "normalized"  f, i, c      σ(f) / (σ(f) + σ(i))        (1 − a) φ(c)
    ============  ===========  ==========================  ==============

    φ is the identity, tanh, or "positive": x + 1/2 for x ≥ 0 and σ(x) below.
    """
    return coefficients_of(gate_values(u, gates, candidate))


def gate_values(u: Tensor, gates: Gates, candidate: Candidate) -> dict[str, Tensor]:
    """Return the gates and the candidate by name, (T, D) each: forget or update, input, candidate."""
    *parts, c = u.chunk(BLOCKS[gates], -1)
    value = _candidate(c, candidate)
    if gates == "normalized":
        # σ of a difference of logarithms: both gates may be too small for their quotient.
        difference = F.logsigmoid(parts[0]) - F.logsigmoid(parts[1])
        return {"forget": torch.sigmoid(difference), "input": torch.sigmoid(-difference), "candidate": value}
    first = torch.sigmoid(parts[0])
    if gates == "separate":
        return {"forget": first, "input": torch.sigmoid(parts[1]), "candidate": value}
    return {gates: first, "candidate": value}


def coefficients_of(values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return a and b of the gates that `gate_values` returns."""
    candidate = values["candidate"]
    if "update" in values:
        return 1 - values["update"], values["update"] * candidate
    forget = values["forget"]
    return forget, (values["input"] if "input" in values else 1 - forget) * candidate


def _candidate(c: Tensor, candidate: Candidate) -> Tensor:
    if candidate == "identity":
        return c
    return torch.tanh(c) if candidate == "tanh" else torch.where(c < 0, torch.sigmoid(c), c + 0.5)
