"""Rows R1 to R15 of the lecture: recurrent networks, from h = f(h, x) to a trained BiLSTM."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Recurrence")


@app.cell
def _():
    import io

    import marimo as mo
    import plots
    import sentences
    import torch
    from torch.utils.benchmark import Timer

    import throughtime as tt

    return Timer, io, mo, plots, sentences, torch, tt


@app.cell
def _(mo):
    mo.md(r"""
    # Recurrence

    Rows R1 to R15 of the lecture. Each section has a statement, controls, code that you can change, a
    figure, and a question. Everything is computed by `throughtime`; the figures are in `plots.py` beside
    this notebook.
    """)
    return


@app.cell
def _(mo):
    memory = mo.ui.slider(-1.2, 1.2, 0.05, value=0.9, label="weight of h(t−1)", show_value=True)
    squash = mo.ui.checkbox(value=True, label="tanh")
    mo.vstack(
        [
            mo.md(
                r"""
                ## R1 · The recurrent network

                A recurrent network computes a state $h_t = f(h_{t-1}, x_t; \theta)$ from the state before
                and the input, and an output $o_t = g(h_t; \theta)$ from the state. f and g are any functions
                that can be learned.
                """
            ),
            mo.hstack([memory, squash], justify="start", wrap=True),
        ]
    )
    return memory, squash


@app.cell
def _(memory, mo, plots, squash, torch, tt):
    def _f(h, x):
        total = memory.value * h + x
        return torch.tanh(total) if squash.value else total

    recurrence = tt.nn.Recurrence(_f, lambda h: h.square(), state=1)
    pulses = torch.zeros(40, 1)
    pulses[2], pulses[20] = 1.0, -0.5
    squares = recurrence(tt.Ragged.from_list([pulses])).output[0][:, 0]
    states = recurrence.trace(tt.Ragged.from_list([pulses])).states[0][:, 0]
    mo.vstack(
        [
            plots.lines(
                {"x": pulses[:, 0], "h = f(h, x)": states, "o = g(h) = h²": squares}, "step t", "value"
            ),
            mo.md(
                "**Think about it:** for which weights does the state forget? What does tanh change above 1?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    start = mo.ui.dropdown(["zeros", "given", "learned"], value="zeros", label="h(0)")
    units = mo.ui.slider(2, 12, value=6, label="hidden units", show_value=True)
    mo.vstack(
        [
            mo.md(
                r"""
                ## R2 · The vanilla RNN

                $h_t = \tanh(b_h + W_{hh} h_{t-1} + W_{hx} x_t)$ and $o_t = \mathrm{softmax}(b_o + W_{oh}
                h_t)$. The state before the first step is zero, unless it is given or learned.
                """
            ),
            mo.hstack([start, units], justify="start", wrap=True),
        ]
    )
    return start, units


@app.cell
def _(mo, plots, start, torch, tt, units):
    torch.manual_seed(0)
    rnn = tt.nn.RNN(1, units.value, learn_initial_state=start.value == "learned")
    readout = tt.nn.Readout(units.value, 3)
    _x = torch.sin(torch.arange(30) / 3)[:, None]
    _state = torch.ones(1, units.value) if start.value == "given" else None
    rnn_output, _ = rnn(_x, _state)
    probabilities = readout(rnn_output)
    mo.vstack(
        [
            plots.heat(rnn_output.T, "step t", "hidden unit", "h", diverging=True),
            plots.lines({f"class {c}": probabilities[:, c] for c in range(3)}, "step t", "o, probability"),
            mo.md(
                f"{sum(parameter.numel() for parameter in rnn.parameters())} parameters of the layer.\n\n"
                "**Think about it:** after how many steps can you no longer see what h(0) was?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    steps = mo.ui.slider(2, 12, value=3, label="steps T", show_value=True)
    weight = mo.ui.slider(-1.5, 1.5, 0.1, value=0.5, label="w", show_value=True)
    mo.vstack(
        [
            mo.md(
                r"""
                ## R3 · Backpropagation through time

                The weights are the same at every step, so their gradient is a sum with one term for each
                step: $\frac{\partial L}{\partial W_{hh}} = \sum_t \frac{\partial L}{\partial a_t}
                h_{t-1}^\top$. The example is $h_t = w h_{t-1} + x_t$ with $x_t = 1, 2, 3, \dots$ and $L =
                h_T$.
                """
            ),
            mo.hstack([steps, weight], justify="start", wrap=True),
        ]
    )
    return steps, weight


@app.cell
def _(mo, plots, steps, torch, tt, weight):
    linear = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False).double()
    with torch.no_grad():
        linear.weight_hh_l0.fill_(weight.value)
        linear.weight_ih_l0.fill_(1.0)
    _x = torch.arange(1.0, steps.value + 1)[:, None].double()
    with tt.diagnose.watch(linear, whole=True) as _recording:
        linear(_x).output[-1].sum().backward()
    _flow = tt.diagnose.gradient_flow(_recording)[0]
    weight_terms = [float(_flow.weight_term(t)) for t in range(steps.value)]
    weight_gradient = float(linear.weight_hh_l0.grad)
    mo.vstack(
        [
            plots.bars(
                {f"t = {t + 1}": term for t, term in enumerate(weight_terms)}, "term of ∂L/∂w", "step"
            ),
            mo.md(
                f"{' + '.join(f'{term:.4g}' for term in weight_terms)} = **{sum(weight_terms):.4g}**; "
                "autograd: "
                f"{weight_gradient:.4g}.\n\n"
                "**Think about it:** why is the first term always zero? For which w is the last one the "
                "largest?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    k1 = mo.ui.slider(2, 20, value=5, label="k1, steps between updates", show_value=True)
    k2 = mo.ui.slider(2, 40, value=5, label="k2, steps of a gradient", show_value=True)
    delay = mo.ui.slider(0, 12, value=4, label="delay", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## R4 · Truncated backpropagation through time

                In practice a window slides over a long sequence: weights are updated every k1 steps, with
                gradients that go back k2 steps. The state is carried on, the gradient is cut. The task is to
                repeat the bit that came some steps (the delay) before.
                """
            ),
            mo.hstack([k1, k2, delay], justify="start", wrap=True),
        ]
    )
    return delay, k1, k2


@app.cell
def _(delay, k1, k2, mo, plots, torch, tt):
    torch.manual_seed(0)
    _bits = torch.randint(2, (32, 800))
    _inputs = tt.Ragged.from_list([row[:, None].float() for row in _bits])
    _labels = tt.Ragged.from_list([row.roll(delay.value) for row in _bits])
    _model = torch.nn.Sequential(tt.nn.GRU(1, 32), torch.nn.Linear(32, 2))
    _optimizer, _carried = torch.optim.Adam(_model.parameters(), 0.02), tt.bptt.Carried()
    truncated_losses = []
    for _window in tt.bptt.windows(_inputs, k1=k1.value, k2=max(k1.value, k2.value)):
        with _carried.carry(_model, _window):
            _logits = _window.counted(_model(_window.of(_inputs)))
        _loss = torch.nn.functional.cross_entropy(_logits.values, _window.targets(_labels).values)
        _optimizer.zero_grad()
        _loss.backward()
        _optimizer.step()
        truncated_losses.append(float(_loss.detach()))
    mo.vstack(
        [
            plots.lines({"loss": truncated_losses}, "window", "cross-entropy in nats", markers=False),
            mo.md(
                f"{len(truncated_losses)} updates; guessing costs 0.693. k2 is at least k1.\n\n"
                "**Think about it:** what happens if the delay is larger than k2? Why is more than k2 "
                "sometimes learned?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    radius = mo.ui.slider(0.5, 1.5, 0.01, value=0.9, label="spectral radius of W_hh", show_value=True)
    nonlinearity = mo.ui.dropdown(["affine", "tanh"], value="affine", label="activation")
    mo.vstack(
        [
            mo.md(
                r"""
                ## R5 · Exploding and vanishing gradients

                In the linear approximation $\partial L/\partial h_{T-N} = (W_{hh}^\top)^N\, \partial
                L/\partial h_T$, and $W^N = U \Lambda^N U^{-1}$: what decides is the spectral radius, the
                largest absolute eigenvalue. The largest singular value bounds a single step. A condition
                number predicts neither.
                """
            ),
            mo.hstack([radius, nonlinearity], justify="start", wrap=True),
        ]
    )
    return nonlinearity, radius


@app.cell
def _(mo, nonlinearity, plots, radius, torch, tt):
    torch.manual_seed(0)
    scaled = tt.nn.RNN(1, 24, nonlinearity=nonlinearity.value, bias=False).double()
    with torch.no_grad():
        scaled.weight_hh_l0.normal_()
        scaled.weight_hh_l0 *= radius.value / tt.diagnose.spectrum(scaled)[0].spectral_radius
    block = tt.diagnose.spectrum(scaled)[0]
    with tt.diagnose.watch(scaled, whole=True) as _recording:
        _output = scaled(torch.randn(81, 1).double()).output
        _output[-1].sum().backward()
    measured_norms = tt.diagnose.gradient_flow(_recording)[0].profile("h").mean
    predicted_norms = block.prediction(torch.ones(24), 80)
    mo.vstack(
        [
            plots.lines(
                {"measured": measured_norms, "predicted from W_hh": predicted_norms},
                "steps back from the last one",
                "norm of ∂L/∂h",
                log_y=True,
                markers=False,
                dotted="predicted from W_hh",
            ),
            plots.plane({"eigenvalues of W_hh": block.eigenvalues}),
            mo.md(
                f"Spectral radius {block.spectral_radius:.3f}, largest singular value {block.norm:.3f}, "
                "condition number "
                f"{block.condition_number:.3g} (of the lecture: {block.eigenvalue_ratio:.3g}).\n\n"
                "**Think about it:** the singular value is above 1 long before gradients explode. Where do "
                "you see it?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    clip = mo.ui.slider(0.1, 5.0, 0.1, value=1.0, label="largest norm", show_value=True)
    how = mo.ui.dropdown(["norm", "value"], value="norm", label="clip by")
    forgets = mo.ui.slider(0.1, 1.4, 0.1, value=0.5, label="spectral radius", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## R6 · Clipping, and vanished or converged?

                An exploding gradient is scaled down to a norm, or each entry is bounded, at the end or at
                every step back. A vanishing gradient looks like a minimum: it is small.
                `vanished_not_converged` tells them apart: would the loss fall if the steps that no gradient
                reaches could be read?
                """
            ),
            mo.hstack([clip, how, forgets], justify="start", wrap=True),
        ]
    )
    return clip, forgets, how


@app.cell
def _(clip, how, plots, torch, tt):
    torch.manual_seed(0)
    bounded = tt.nn.RNN(1, 16, nonlinearity="affine", bias=False).double()
    with torch.no_grad():
        bounded.weight_hh_l0.copy_(1.15 * torch.linalg.qr(torch.randn(16, 16).double())[0])
    clipped_profiles = {}
    for _name, _bounds in (("without", {}), (f"clipped by {how.value}", {how.value: clip.value})):
        bounded.bound_gradients(**_bounds)
        with tt.diagnose.watch(bounded) as _recording:
            bounded(torch.randn(41, 1).double()).output[-1].sum().backward()
        clipped_profiles[_name] = tt.diagnose.gradient_flow(_recording)[0].profile("h").mean
    plots.lines(clipped_profiles, "steps back from the last one", "norm of ∂L/∂h", log_y=True, markers=False)
    return


@app.cell
def _(forgets, mo, torch, tt):
    class LastState(torch.nn.Module):
        """An RNN whose last state gives one number."""

        def __init__(self):
            super().__init__()
            self.layer, self.output = tt.nn.RNN(1, 8), torch.nn.Linear(8, 1)

        def forward(self, x):
            return self.output(self.layer(x).state[0])[:, 0]

    torch.manual_seed(0)
    _x = tt.Ragged.from_lengths(torch.randn(128 * 40, 1), [40] * 128)
    _first = torch.stack([row[0, 0].sign() for row in _x])
    _forgetful = LastState()
    with torch.no_grad():
        _hh = _forgetful.layer.weight_hh_l0
        _hh *= forgets.value / tt.diagnose.spectrum(_forgetful)[0].spectral_radius
    verdicts = {
        name: tt.diagnose.vanished_not_converged(_forgetful, _x, lambda y, t=target: (y - t).square().mean())
        for name, target in (
            ("the sign of the first number", _first),
            ("chance", _first[torch.randperm(128)]),
        )
    }
    mo.md(
        "\n".join(
            f"- The target is {name}: {'no vanished gradient' if finding is None else finding.verdict}."
            for name, finding in verdicts.items()
        )
        + "\n\n**Think about it:** both losses have small gradients. Which of the two could still be learned?"
    )
    return


@app.cell
def _(mo):
    forget_bias = mo.ui.slider(-4.0, 4.0, 0.5, value=1.0, label="bias of the forget gate", show_value=True)
    mo.vstack(
        [
            mo.md(
                r"""
                ## R7 · LSTM

                $c_t = f_t \odot c_{t-1} + i_t \odot \tilde c_t$ and $h_t = o_t \odot \tanh(c_t)$. The
                forget, input and output gates are between 0 and 1. Along c a gradient is only multiplied by
                the forget gate, so it passes freely where that is near 1. Four blocks of weights make four
                times the parameters of the RNN.
                """
            ),
            forget_bias,
        ]
    )
    return (forget_bias,)


@app.cell
def _(forget_bias, mo, plots, torch, tt):
    torch.manual_seed(0)
    lstm = tt.nn.LSTM(1, 16)
    with torch.no_grad():
        lstm.bias_ih_l0[16:32] = forget_bias.value
        lstm.bias_hh_l0[16:32] = 0.0
    lstm_trace = lstm.trace(torch.sin(torch.arange(50) / 4)[:, None], gradients=True)
    lstm_trace.h.values[-1].sum().backward()
    _gradients = lstm_trace[0].gradients
    _norms = {
        "∂L/∂c along c": _gradients.c_along_c.values.norm(dim=1),
        "∂L/∂c through h": _gradients.c_through_h.values.norm(dim=1),
    }
    lstm_ratio = sum(p.numel() for p in lstm.parameters()) / sum(
        p.numel() for p in tt.nn.RNN(1, 16).parameters()
    )
    mo.vstack(
        [
            plots.lines(
                {name: lstm_trace[0].gates[name].values.mean(1) for name in ("input", "forget", "output")},
                "step t",
                "mean of the gate",
            ),
            plots.lines(_norms, "step t", "norm of the gradient", log_y=True),
            mo.md(
                f"The LSTM has {lstm_ratio:.0f} times the parameters of the RNN.\n\n"
                "**Think about it:** why is a large bias of the forget gate a good start, and what does it "
                "cost?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    context = mo.ui.slider(-3.0, 3.0, 0.5, value=0.0, label="context s", show_value=True)
    mo.vstack(
        [
            mo.md(
                r"""
                ## R8 · GRU, in two forms

                The lecture's form (that of the skip-thought decoder) resets the state before the product,
                has a context s in every gate, and z admits the *new* value: $h_t = (1 - z) \odot h_{t-1} + z
                \odot \bar h$. PyTorch's form resets after the product, and z keeps the *old* value. Three
                blocks of weights make three times the parameters.
                """
            ),
            context,
        ]
    )
    return (context,)


@app.cell
def _(context, mo, plots, torch, tt):
    torch.manual_seed(0)
    lecture_gru = tt.nn.GRU(1, 8, bias=False, reset_after=False, update="new", context_size=1)
    torch_gru = tt.nn.GRU(1, 8)
    _x = tt.Ragged.from_list([torch.sin(torch.arange(40) / 3)[:, None]])
    _s = torch.tensor([[context.value]])
    gru_traces = {
        "lecture: reset before, z new": lecture_gru.trace(_x, context=_s),
        "PyTorch: reset after, z old": torch_gru.trace(_x),
    }
    same_gru = tt.convert.with_update(lecture_gru, "old")
    update_error = float(
        (same_gru(_x, context=_s).output.values - lecture_gru(_x, context=_s).output.values)
        .abs()
        .max()
        .detach()
    )
    gru_ratio = torch_gru.weight_hh_l0.numel() / tt.nn.RNN(1, 8).weight_hh_l0.numel()
    mo.vstack(
        [
            plots.lines(
                {name: trace.update.values.mean(1) for name, trace in gru_traces.items()},
                "step t",
                "mean of z",
            ),
            plots.lines(
                {name: trace.h.values[:, 0] for name, trace in gru_traces.items()}, "step t", "h of unit 0"
            ),
            mo.md(
                f"{gru_ratio:.0f} times the recurrent weights of the RNN. The lecture's layer with z as "
                "the weight of the old "
                f"value (`tt.convert.with_update`) gives the same outputs up to {update_error:.1e}.\n\n"
                "**Think about it:** what is z of the one form in terms of the other?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    impulse = mo.ui.slider(0, 29, value=10, label="step of the impulse", show_value=True)
    cell = mo.ui.dropdown(["RNN", "GRU", "LSTM"], value="GRU", label="cell")
    mo.vstack(
        [
            mo.md(
                """
                ## R9 · Bidirectional RNN

                One layer reads from the start, another from the end, and their states are concatenated:
                every step then knows both sides.
                """
            ),
            mo.hstack([impulse, cell], justify="start", wrap=True),
        ]
    )
    return cell, impulse


@app.cell
def _(cell, impulse, mo, plots, torch, tt):
    torch.manual_seed(0)
    both = getattr(tt.nn, cell.value)(1, 6, bidirectional=True)
    _silence, _impulse = torch.zeros(30, 1), torch.zeros(30, 1)
    _impulse[impulse.value] = 3.0
    changed = (both(_impulse).output - both(_silence).output).abs().detach()
    mo.vstack(
        [
            plots.lines(
                {"reads forwards": changed[:, :6].mean(1), "reads backwards": changed[:, 6:].mean(1)},
                "step t",
                "mean change of h",
            ),
            mo.md("**Think about it:** which of the two can be used to predict the next word, and why?"),
        ]
    )
    return


@app.cell
def _(mo):
    hidden = mo.ui.slider(16, 128, 16, value=64, label="hidden units", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## R10 · Fast and open

                `torch.nn.LSTM` is fast, but hides its intermediate states; `LSTMCell` shows them, but the
                loop is yours, and slow. `tt.nn.LSTM(...).trace(x)` gives every state and gate of every layer
                at about the cost of a call.
                """
            ),
            hidden,
        ]
    )
    return (hidden,)


@app.cell
def _(Timer, hidden, mo, plots, torch, tt):
    torch.manual_seed(0)
    open_lstm = tt.nn.LSTM(16, hidden.value)
    hidden_lstm = torch.nn.LSTM(16, hidden.value)
    hidden_lstm.load_state_dict(open_lstm.state_dict())
    torch_cell = torch.nn.LSTMCell(16, hidden.value)
    _x = torch.randn(100, 8, 16)

    def _loop():
        state = None
        for row in _x:
            state = torch_cell(row, state)

    def _milliseconds(call):
        return 1000 * Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=0.05).median

    with torch.no_grad():
        call_times = {
            "torch.nn.LSTM": _milliseconds(lambda: hidden_lstm(_x)),
            "LSTMCell in a loop": _milliseconds(_loop),
            "tt.nn.LSTM": _milliseconds(lambda: open_lstm(_x)),
            "tt.nn.LSTM.trace": _milliseconds(lambda: open_lstm.trace(_x)),
        }
        fused_error = float((open_lstm(_x).output - hidden_lstm(_x)[0]).abs().max())
    mo.vstack(
        [
            plots.bars(call_times, "milliseconds"),
            mo.md(
                "100 steps, 8 sequences. Largest difference between the layers of torch and throughtime: "
                f"{fused_error:.1e}."
                "\n\n**Think about it:** what would you look at in a trace if a model does not learn?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    reader = mo.ui.dropdown(["RNNModel", "GRUModel", "LSTMModel"], value="LSTMModel", label="model")
    pooling = mo.ui.dropdown(["last", "max", "mean"], value="last", label="pooling")
    mo.vstack(
        [
            mo.md(
                """
                ## R11 · How far back?

                In theory LSTM and GRU handle very long sequences; in practice the last steps that they read
                weigh most. The influence of each step on the output can be measured.
                """
            ),
            mo.hstack([reader, pooling], justify="start", wrap=True),
        ]
    )
    return pooling, reader


@app.cell
def _(mo, plots, pooling, reader, torch, tt):
    torch.manual_seed(0)
    _model = getattr(tt.models, reader.value)(30, 2, embedding_size=16, hidden_size=32, pool=pooling.value)
    _batch = tt.Ragged.from_list([torch.randint(30, (60,)) for _ in range(50)])
    recency = tt.diagnose.influence(_model, _batch).recency()
    mo.vstack(
        [
            plots.lines(
                {reader.value: 100 * recency.mean},
                "steps before the end",
                "mean influence in %",
                x=recency.distance,
            ),
            mo.md(
                f"The last 10 of 60 steps have {100 * float(recency.mean[:10].sum()):.0f} % of the "
                "influence (before "
                "training).\n\n"
                "**Think about it:** what do pooling over time and a second direction change about it?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    spread = mo.ui.slider(1, 40, value=20, label="longest over shortest", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## R12 · Padding

                Batches of torch have one length, so shorter sequences are filled up, and the layers take the
                filling for data: outputs then depend on the neighbours in the batch. A ragged batch has no
                padding.
                """
            ),
            spread,
        ]
    )
    return (spread,)


@app.cell
def _(mo, plots, spread, torch, tt):
    torch.manual_seed(0)
    _short = torch.randn(5, 4)
    _batch = [_short, torch.randn(5 * spread.value, 4)]
    ragged_layer = tt.nn.GRU(4, 8, bidirectional=True)
    padded_layer = torch.nn.GRU(4, 8, bidirectional=True)
    padded_layer.load_state_dict(ragged_layer.state_dict())
    with torch.no_grad():
        _alone = padded_layer(_short)[0]
        _padded = padded_layer(torch.nn.utils.rnn.pad_sequence(_batch))[0][:5, 0]
        _ragged = ragged_layer(tt.Ragged.from_list(_batch)).output[0]
    padding_errors = {
        "padded batch": float((_padded - _alone).abs().max()),
        "ragged batch": float((_ragged - _alone).abs().max()),
    }
    _wasted = 1 - sum(map(len, _batch)) / (2 * len(_batch[1]))
    mo.vstack(
        [
            plots.bars(padding_errors, "change of the short sequence's outputs"),
            mo.md(
                f"{100 * _wasted:.0f} % of the padded batch is padding.\n\n"
                "**Think about it:** which of the two directions is disturbed, and why not the other?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    width = mo.ui.slider(16, 128, 16, value=64, label="features", show_value=True)
    batch_size = mo.ui.dropdown({"1": 1, "32": 32}, value="1", label="sequences")
    mo.vstack(
        [
            mo.md(
                """
                ## R13 · What a recurrence costs

                The steps of an RNN wait for each other; those of a convolution can be computed at the same
                time. Both are measured here, on your machine, with about as many multiplications.
                """
            ),
            mo.hstack([width, batch_size], justify="start", wrap=True),
        ]
    )
    return batch_size, width


@app.cell
def _(Timer, batch_size, mo, plots, torch, tt, width):
    torch.manual_seed(0)
    _gru = tt.nn.GRU(width.value, width.value)
    _convolutions = torch.nn.Sequential(
        *(tt.nn.Conv1d(width.value, width.value, 3, padding="same") for _ in range(2))
    )
    _lengths = [64, 128, 256, 512] if batch_size.value == 1 else [16, 32, 64, 128]

    def _cost(layer, length):
        x = tt.Ragged.from_list([torch.randn(length, width.value) for _ in range(batch_size.value)])
        timer = Timer("layer(x)", globals={"layer": layer, "x": x})
        return 1000 * timer.blocked_autorange(min_run_time=0.05).median

    with torch.no_grad():
        costs = {
            name: [_cost(layer, length) for length in _lengths]
            for name, layer in (("GRU", _gru), ("two convolutions", _convolutions))
        }
    mo.vstack(
        [
            plots.lines(costs, "steps of a sequence", "milliseconds", x=_lengths, log_x=True, log_y=True),
            mo.md("**Think about it:** what changes with 32 sequences, and why? What would change on a GPU?"),
        ]
    )
    return


@app.cell
def _(mo):
    epochs = mo.ui.slider(1, 12, value=6, label="epochs", show_value=True)
    architecture = mo.ui.dropdown(["BiLSTM", "BiGRU", "BiRNN"], value="BiLSTM", label="model")
    mo.vstack(
        [
            mo.md(
                """
                ## R14 · A recurrent classifier

                Embedding, a recurrent layer in both directions, pooling over time, a linear layer. Of
                sentences such as "the film was good but the music was not bad" the last clause decides, so
                the order matters. The trained weights are saved and loaded again.
                """
            ),
            mo.hstack([epochs, architecture], justify="start", wrap=True),
        ]
    )
    return architecture, epochs


@app.cell
def _(architecture, epochs, io, mo, plots, sentences, torch, tt):
    torch.manual_seed(0)
    texts, labels = sentences.sentences(600)
    test_texts, test_labels = sentences.sentences(300, seed=1)
    _options = {"embedding_size": 16, "hidden_size": 24, "dropout": 0.1}
    classifier = getattr(tt.models, architecture.value)(len(sentences.WORDS), 2, **_options)
    _optimizer = torch.optim.Adam(classifier.parameters(), 5e-3)
    losses = []
    for _ in range(epochs.value):
        for _rows in torch.randperm(len(labels)).split(50):
            _loss = torch.nn.functional.cross_entropy(classifier(texts[_rows]), labels[_rows])
            _optimizer.zero_grad()
            _loss.backward()
            _optimizer.step()
            losses.append(float(_loss.detach()))
    _file = io.BytesIO()
    torch.save(classifier.state_dict(), _file)
    _file.seek(0)
    rnn_classifier = getattr(tt.models, architecture.value)(len(sentences.WORDS), 2, **_options).eval()
    rnn_classifier.load_state_dict(torch.load(_file))
    with torch.no_grad():
        rnn_accuracy = float((rnn_classifier(test_texts).argmax(1) == test_labels).float().mean())
    mo.vstack(
        [
            plots.lines({"loss": losses}, "training step", "cross-entropy in nats", markers=False),
            mo.md(
                f"Accuracy of the loaded model on {len(test_labels)} new sentences: "
                f"**{100 * rnn_accuracy:.1f} %**; guessing "
                "has 50 %.\n\n"
                "**Think about it:** which of the two directions needs to remember more to find the last "
                "clause?"
            ),
        ]
    )
    return (rnn_classifier,)


@app.cell
def _(mo):
    text = mo.ui.text("the film was good but the music was not bad", label="your text", full_width=True)
    mo.vstack(
        [
            mo.md(
                """
                ## R15 · Demo: an LSTM to type into

                The classifier of R14 on a text of yours: the class, the gates at every word, and the words
                that matter. `make demo-quick` trains a BiLSTM on real Python source in about a minute.
                """
            ),
            text,
        ]
    )
    return (text,)


@app.cell
def _(mo, plots, rnn_classifier, sentences, text, torch, tt):
    _batch = sentences.encode([text.value])
    _tokens = text.value.lower().split() or ["?"]
    with torch.no_grad():
        probability = float(rnn_classifier(_batch).softmax(1)[0, 1])
        _trace = rnn_classifier.recurrent.trace(rnn_classifier.embedding(_batch))
    _gates = {
        f"{gate}, {name}": values.values.mean(1)
        for direction, name in enumerate(("forwards", "backwards"))
        for gate, values in _trace[0, direction].gates.items()
        if gate != "candidate"
    }
    _scores = tt.diagnose.influence(
        rnn_classifier, _batch, method="occlusion", outcome=lambda logits: logits[:, 1] - logits[:, 0]
    ).scores[0]
    mo.vstack(
        [
            mo.md(
                f"positive with {100 * probability:.1f} %. Orange words speak for it, blue ones against it:"
            ),
            mo.Html(plots.coloured(_tokens, _scores)),
            plots.heat(list(_gates.values()), "word", "gate", "mean", x=_tokens, y=list(_gates))
            if _gates
            else mo.md("A BiRNN has no gates."),
            mo.md("**Think about it:** type a text that the model gets wrong. What did it not learn?"),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
