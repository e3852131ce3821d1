"""The figure of the README: a batch without padding, the gates of an LSTM, gradient norms."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from svg import BLUE, GREEN, GREY, RED, Picture, shade
from torch import Tensor, nn

import throughtime as tt
from throughtime.ragged import Ragged

LENGTHS = (9, 4, 7, 2)
LETTERS = "xxAxxxxBxxxAxxxxxx"
STEPS = 60


def padding(picture: Picture, x: float, y: float) -> None:
    """Draw a padded batch and the same one without padding."""
    colours = ("#5b9bd5", "#70ad6b", "#e0975a", "#a587c7")
    picture.text(x, y, "No padding", size=16)
    picture.text(x, y + 26, f"a padded batch: {max(LENGTHS) * len(LENGTHS)} steps", size=12)
    for row, length in enumerate(LENGTHS):
        for step in range(max(LENGTHS)):
            inside = step < length
            picture.box(x + 20 * step, y + 38 + 22 * row, (18, 18), colours[row] if inside else "white", GREY)
            if not inside:
                picture.text(x + 20 * step + 9, y + 52 + 22 * row, "×", size=12, anchor="middle")
    picture.text(x, y + 156, f"the same as a Ragged: {sum(LENGTHS)} steps", size=12)
    cells = [colour for colour, length in zip(colours, LENGTHS, strict=True) for _ in range(length)]
    for step, colour in enumerate(cells):
        picture.box(x + 20 * (step % 11), y + 168 + 22 * (step // 11), (18, 18), colour, GREY)


def gates(picture: Picture, x: float, y: float) -> None:
    """Draw the forget gate of an LSTM that has learned which of two letters it read last."""
    layer, tokens = _reader()
    with torch.no_grad():
        forget = layer.trace(tokens).forget[0]
    order = forget.std(0).argsort(descending=True)
    picture.text(x, y, "Every state and gate", size=16)
    picture.text(x, y + 26, "layer.trace(x).forget", size=12)
    for step, values in enumerate(forget[:, order].tolist()):
        for unit, value in enumerate(values):
            picture.box(x + 15 * step, y + 38 + 18 * unit, (14, 17), shade(value), "white")
        picture.text(
            x + 15 * step + 7, y + 38 + 18 * len(values) + 14, LETTERS[step], size=12, anchor="middle"
        )
    picture.text(x, y + 235, "forget gate of nine units at each letter; white: 0", size=12)


def gradients(picture: Picture, x: float, y: float) -> None:
    """Draw the norm of the gradient at each step, for layers with their initial weights."""
    picture.text(x, y, "The gradient at every step", size=16)
    picture.text(x, y + 26, "tt.diagnose.gradient_flow(recording), new layers", size=12)
    left, top, width, height = x + 44, y + 38, 236, 158
    norms = {
        name: _norms(kind) for name, kind in (("RNN", tt.nn.RNN), ("GRU", tt.nn.GRU), ("LSTM", tt.nn.LSTM))
    }
    lowest = math.floor(min(math.log10(min(values)) for values in norms.values()))
    for power in range(lowest, 1, 2):
        level = top + height * power / lowest
        picture.line((left, level), (left + width, level), "#e6e6e6", 1)
        picture.text(
            left - 6, level + 4, f"1e{power}".replace("-", "−") if power else "1", size=11, anchor="end"
        )
    for row, ((name, values), colour) in enumerate(zip(norms.items(), (RED, GREEN, BLUE), strict=True)):
        points = [
            (left + width * (STEPS - 1 - step) / (STEPS - 1), top + height * math.log10(value) / lowest)
            for step, value in enumerate(values)
        ]
        for start, end in pairwise(points):
            picture.line(start, end, colour, 2)
        picture.line((left + 70 * row, y + 229), (left + 70 * row + 16, y + 229), colour, 3)
        picture.text(left + 70 * row + 21, y + 233, name, size=12)
    for back in (0, 20, 40):
        picture.text(
            left + width * back / (STEPS - 1), top + height + 15, str(back), size=11, anchor="middle"
        )
    picture.text(left + width, top + height + 15, "steps back", size=11, anchor="end")


def _norms(kind: type[tt.nn.RNN | tt.nn.GRU | tt.nn.LSTM]) -> list[float]:
    torch.manual_seed(3)
    layer = kind(8, 32)
    x = Ragged.from_list([torch.randn(STEPS, 8) for _ in range(16)])
    with tt.diagnose.watch(layer) as recording:
        output, _ = layer(x)
        last = torch.stack([sequence[-1] for sequence in output])
        last.sum().backward()
    flow = tt.diagnose.gradient_flow(recording).layers[0]
    norms = torch.stack(list(flow.h)).mean(0)
    values: list[float] = (norms / norms[-1]).tolist()
    return values


def _reader() -> tuple[tt.nn.LSTM, Ragged]:
    """Train an LSTM of nine units to tell which of A and B came last, and return it with an example."""
    torch.manual_seed(0)
    embedding, layer, head = nn.Embedding(3, 4), tt.nn.LSTM(4, 9), nn.Linear(9, 2)
    parameters = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(150):
        batch, labels = _letters(64)
        _, (h, _) = layer(embedding(batch))
        loss = nn.functional.cross_entropy(head(h[-1]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    example = torch.tensor([_numbers(LETTERS)])
    return layer, embedding(Ragged.from_list(list(example)))


def _numbers(letters: Sequence[str]) -> list[int]:
    return ["xAB".index(letter) for letter in letters]


def _letters(count: int) -> tuple[Ragged, Tensor]:
    """Return sequences with a few letters A and B among x, and whether the last of them is B."""
    rows = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), count * len(LETTERS), replacement=True)
    rows = rows.view(count, -1)
    rows[:, 0] = torch.randint(1, 3, (count,))
    last = torch.where(rows > 0, torch.arange(len(LETTERS)), -1).argmax(1)
    return Ragged.from_list(list(rows)), rows.gather(1, last[:, None]).squeeze(1) - 1


def overview() -> Picture:
    """Draw the three panels side by side."""
    picture = Picture(920, 290)
    padding(picture, 20, 30)
    gates(picture, 280, 30)
    gradients(picture, 610, 30)
    return picture
