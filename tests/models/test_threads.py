"""One model in eight threads at once gives the bits that it gives one call after the other."""

import pytest
import torch

from ..threads import THREADS, at_once
from .bits import SUBJECTS, made, results


@pytest.mark.parametrize("name", SUBJECTS)
def test_eight_threads_give_the_bits_of_one(name: str) -> None:
    model, x = made(SUBJECTS[name], torch.float32)
    batches = [x[[number, 8, (number + 3) % 19, 10]] for number in range(THREADS)]
    found = at_once(lambda number: [results(model, batches[number]) for _ in range(2)])
    for number, batch in enumerate(batches):
        expected = results(model, batch)
        for answers in found[number]:
            assert all(torch.equal(*pair) for pair in zip(answers, expected, strict=True))
