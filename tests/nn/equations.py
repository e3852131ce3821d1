"""Recurrent layers by the equations of their papers: one step, one sequence, one gate at a time, with autograd.

Nothing here is shared with the package: each gate has its own matrices, cut out of a layer's parameters.
"""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime import Ragged

BLOCKS = {
    "LSTM": ("input", "forget", "candidate", "output"),
    "GRU": ("reset", "update", "candidate"),
    "RNN": ("h",),
    "MGU": ("forget", "candidate"),
    "LayerNormLSTM": ("input", "forget", "candidate", "output"),
}


def activation(spec: Any, clip: float | None) -> Any:
    """A function of the ONNX operators by name, after a bound."""
    name, *numbers = (spec,) if isinstance(spec, str) else spec
    function = {
        "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
        "tanh": torch.tanh,
        "relu": lambda x: x * (x > 0),
        "softsign": lambda x: x / (1 + x.abs()),
        "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
        "elu": lambda x: torch.where(x > 0, x, numbers[0] * (torch.exp(x) - 1)),
        "leaky_relu": lambda x: torch.where(x > 0, x, numbers[0] * x),
        "scaled_tanh": lambda x: numbers[0] * torch.tanh(numbers[1] * x),
    }[name]
    return function if clip is None else lambda x: function(x.clamp(-clip, clip))


class Equations:
    """One layer and direction of a module, gate by gate."""

    def __init__(self, layer: nn.Module, options: dict[str, Any], suffix: str) -> None:
        self.kind, self.options = type(layer).__name__, options
        names = [n for n in BLOCKS[self.kind] if not (options.get("coupled") and n == "forget")]

        def blocks(parameter: str, names: list[str] = names) -> dict[str, Tensor | None]:
            whole = getattr(layer, f"{parameter}_{suffix}", None)
            if whole is None:
                return dict.fromkeys(names)
            return dict(zip(names, whole.chunk(len(names)), strict=True))

        self.names = names
        self.w, self.u = blocks("weight_ih"), blocks("weight_hh")
        self.b_w, self.b_u = blocks("bias_ih"), blocks("bias_hh")
        self.c = blocks("weight_context")
        self.p = blocks("weight_peephole", [n for n in ("input", "forget", "output") if n in names])
        self.projection = getattr(layer, f"weight_hr_{suffix}", None)
        self.gain_w, self.gain_u = blocks("weight_norm_ih"), blocks("weight_norm_hh")
        self.gain_c, self.bias_c = (getattr(layer, f"{p}_norm_c_{suffix}", None) for p in ("weight", "bias"))
        self.eps = options.get("eps", 1e-5)
        clip = options.get("clip")
        given = options.get("activations", ("sigmoid", "tanh", "tanh"))
        self.gate, self.new = (activation(one, clip) for one in given[:2])
        self.show = activation(given[-1], None)
        self.only = activation(options.get("nonlinearity", "tanh"), clip)

    def from_x(self, name: str, x: Tensor, s: Tensor | None) -> Tensor:
        total = self.w[name] @ x
        total = total if self.b_w[name] is None else total + self.b_w[name]
        return total if s is None else total + self.c[name] @ s

    def from_h(self, name: str, h: Tensor) -> Tensor:
        return self.u[name] @ h if self.b_u[name] is None else self.u[name] @ h + self.b_u[name]

    def sight(self, name: str, c: Tensor) -> Tensor | float:
        return 0.0 if self.p[name] is None else self.p[name] * c

    def step(self, x: Tensor, h: Tensor, c: Tensor | None, s: Tensor | None) -> dict[str, Tensor]:
        """Everything that a step makes: h, c, gates, and "before …" for what goes into their activations."""
        if self.kind == "RNN":
            before = self.from_x("h", x, s) + self.from_h("h", h)
            return {"h": self.only(before), "before h": before}
        if self.kind == "MGU":
            return self.mgu(x, h, s)
        if self.kind == "LayerNormLSTM":
            return self.layer_norm_lstm(x, h, c, s)
        return self.lstm(x, h, c, s) if self.kind == "LSTM" else self.gru(x, h, s)

    def lstm(self, x: Tensor, h: Tensor, c: Tensor, s: Tensor | None) -> dict[str, Tensor]:
        before = {n: self.from_x(n, x, s) + self.from_h(n, h) for n in self.names}
        before["input"] = before["input"] + self.sight("input", c)
        i = self.gate(before["input"])
        if "forget" in before:
            before["forget"] = before["forget"] + self.sight("forget", c)
            f = self.gate(before["forget"])
        else:
            f = 1 - i
        g = self.new(before["candidate"])
        c = f * c + i * g
        bound = self.options.get("cell_clip")
        c = c if bound is None else c.clamp(-bound, bound)
        before["output"] = before["output"] + self.sight("output", c)
        o = self.gate(before["output"])
        h = o * self.show(c)
        h = h if self.projection is None else self.projection @ h
        made = {"h": h, "c": c, "input": i, "forget": f, "candidate": g, "output": o}
        return made | {f"before {name}": part for name, part in before.items()}

    def gru(self, x: Tensor, h: Tensor, s: Tensor | None) -> dict[str, Tensor]:
        before = {n: self.from_x(n, x, s) + self.from_h(n, h) for n in ("reset", "update")}
        r, z = self.gate(before["reset"]), self.gate(before["update"])
        after = self.options.get("reset_after", True)
        from_h = self.from_h("candidate", h if after else r * h)
        before["candidate"] = self.from_x("candidate", x, s) + (r * from_h if after else from_h)
        n = self.new(before["candidate"])
        new = self.options.get("update") == "new"
        made = {"h": (1 - z) * h + z * n if new else (1 - z) * n + z * h}
        made |= {"reset": r, "update": z, "candidate": n} | ({"recurrent_candidate": from_h} if after else {})
        return made | {f"before {name}": part for name, part in before.items()}

    def mgu(self, x: Tensor, h: Tensor, s: Tensor | None) -> dict[str, Tensor]:
        before = {"forget": self.from_x("forget", x, s) + self.from_h("forget", h)}
        f = self.gate(before["forget"])
        before["candidate"] = self.from_x("candidate", x, s) + self.from_h("candidate", f * h)
        n = self.new(before["candidate"])
        made = {"h": (1 - f) * h + f * n, "forget": f, "candidate": n}
        return made | {f"before {name}": part for name, part in before.items()}

    def layer_norm_lstm(self, x: Tensor, h: Tensor, c: Tensor | None, s: Tensor | None) -> dict[str, Tensor]:
        products = {
            part: {name: matrices[name] @ vector for name in self.names}
            for part, matrices, vector in (("token", self.w, x), ("recurrent", self.u, h))
        }
        normal = {part: self.normal(list(product.values())) for part, product in products.items()}
        before = {}
        for place, name in enumerate(self.names):
            total = (
                self.gain_w[name] * normal["token"][place] + self.gain_u[name] * normal["recurrent"][place]
            )
            for bias in (self.b_w[name], self.b_u[name], None if s is None else self.c[name] @ s):
                total = total if bias is None else total + bias
            before[name] = total
        i, f, o = (self.gate(before[name]) for name in ("input", "forget", "output"))
        g = self.new(before["candidate"])
        c = f * c + i * g
        (normal_c,) = self.normal([c])
        h = o * self.show(self.gain_c * normal_c + self.bias_c)
        h = h if self.projection is None else self.projection @ h
        made = {"h": h, "c": c, "input": i, "forget": f, "candidate": g, "output": o}
        made |= {f"{part}_{name}": a for part, product in products.items() for name, a in product.items()}
        return made | {f"before {name}": part for name, part in before.items()}

    def normal(self, vectors: list[Tensor]) -> list[Tensor]:
        """The vectors as one, with mean 0 and variance 1."""
        numbers = torch.cat(vectors)
        mean = numbers.sum() / len(numbers)
        variance = ((numbers - mean) ** 2).sum() / len(numbers)
        return list(((numbers - mean) / (variance + self.eps) ** 0.5).chunk(len(vectors)))


def by_equations(
    layer: nn.Module, options: dict[str, Any], x: Ragged, state: Any, context: Tensor | None = None
) -> list[list[dict[str, list[dict[str, Tensor]]]]]:
    """For each layer and direction, each sequence's steps in the order of time, as `Equations.step` makes them."""
    parts = state if isinstance(state, tuple) else (state, None)
    directions = 2 if layer.bidirectional else 1
    read, everything = list(x), []
    for number in range(layer.num_layers):
        row = []
        for direction in range(directions):
            equations = Equations(layer, options, f"l{number}" + ("_reverse" if direction else ""))
            sequences = []
            for b, sequence in enumerate(read):
                h, c = (None if part is None else part[number * directions + direction, b] for part in parts)
                steps = []
                for token in sequence.flip(0) if direction else sequence:
                    steps.append(equations.step(token, h, c, None if context is None else context[b]))
                    h, c = steps[-1]["h"], steps[-1].get("c")
                sequences.append(steps[::-1] if direction else steps)
            row.append(sequences)
        everything.append(row)
        read = [
            torch.stack(
                [torch.cat([row[d][b][t]["h"] for d in range(directions)]) for t in range(len(sequence))]
            )
            if len(sequence)
            else torch.zeros(0, 1, dtype=x.values.dtype)
            for b, sequence in enumerate(read)
        ]
    return everything


def stacked(sequences: list[list[dict[str, Tensor]]]) -> dict[str, Tensor]:
    """The steps of all sequences as one tensor for each name."""
    steps = [step for sequence in sequences for step in sequence]
    return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}
