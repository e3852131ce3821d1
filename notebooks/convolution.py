"""Rows C1 to C8 of the lecture: convolution, from the definition to a trained TextCNN."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Convolution")


@app.cell
def _():
    import marimo as mo
    import plots
    import sentences
    import torch

    import throughtime as tt

    return mo, plots, sentences, torch, tt


@app.cell
def _(mo):
    mo.md(r"""
    # Convolution

    Rows C1 to C8 of the lecture. Each section has a statement, controls, code that you can change, a figure,
    and a question. Everything is computed by `throughtime`; the figures are in `plots.py` beside this
    notebook.
    """)
    return


@app.cell
def _(mo):
    kernel = mo.ui.array(
        [mo.ui.slider(-2, 2, 0.5, value=value, label=f"g[{j}]") for j, value in enumerate((0.5, 1.0, 2.0))]
    )
    mode = mo.ui.dropdown(["same", "full", "valid", "causal"], value="same", label="border")
    mo.vstack(
        [
            mo.md(
                r"""
                ## C1 · Convolution

                The convolution of a series f with a kernel g is $(f * g)[t] = \sum_j g[j]\, f[t - j + s]$:
                the kernel is read backwards. A layer of a network computes $\sum_k g[k]\, f[t + k - l]$
                instead, the cross-correlation, which reads it forwards. As kernels are learned, the
                difference is only a matter of names.
                """
            ),
            mo.hstack([*kernel, mode], justify="start", wrap=True),
        ]
    )
    return kernel, mode


@app.cell
def _(kernel, mo, mode, plots, torch, tt):
    f = torch.zeros(24)
    f[4], f[12], f[13] = 1.0, 2.0, 1.0
    g = torch.tensor(kernel.value, dtype=torch.float32)
    convolved = tt.nn.functional.convolve(f, g, mode.value)
    correlated = tt.nn.functional.cross_correlate(f, g, mode.value)
    mo.vstack(
        [
            plots.lines(
                {"f": f, "convolution": convolved, "cross-correlation": correlated}, "step t", "value"
            ),
            mo.md("**Think about it:** for which kernels are the two curves the same?"),
        ]
    )
    return (g,)


@app.cell
def _(mo):
    length = mo.ui.slider(4, 24, value=10, label="steps of f", show_value=True)
    scale = mo.ui.slider(-3.0, 3.0, 0.5, value=2.0, label="factor a", show_value=True)
    mo.vstack(
        [
            mo.md(
                r"""
                ## C2 · Is convolution a linear operation?

                Yes: it is a product with a matrix whose diagonals are constant (a Toeplitz matrix), with the
                kernel in a band. So $a f_1 + f_2$ goes to $a\,(f_1 * g) + f_2 * g$, and a shift of f shifts
                the result.
                """
            ),
            mo.hstack([length, scale], justify="start", wrap=True),
        ]
    )
    return length, scale


@app.cell
def _(g, length, mo, mode, plots, scale, torch, tt):
    matrix = tt.nn.functional.convolution_matrix(g, length.value, mode.value)
    _first, _second = torch.randn(2, length.value)
    linearity_error = float(
        (
            tt.nn.functional.convolve(scale.value * _first + _second, g, mode.value)
            - scale.value * (matrix @ _first)
            - matrix @ _second
        )
        .abs()
        .max()
    )
    mo.vstack(
        [
            plots.heat(matrix, "step u of f", "step t of the result", "M[t, u]", diverging=True),
            mo.md(
                "Largest difference between $(a f_1 + f_2) * g$ and $a M f_1 + M f_2$: "
                f"{linearity_error:.1e}.\n\n"
                "**Think about it:** batch normalisation, ReLU, dropout: which of them are linear in "
                "evaluation mode?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    window = mo.ui.slider(1, 8, value=4, label="window", show_value=True)
    stride = mo.ui.slider(1, 8, value=4, label="stride", show_value=True)
    whole = mo.ui.dropdown(["max", "mean", "sum", "last"], value="max", label="whole sequence")
    mo.vstack(
        [
            mo.md(
                """
                ## C3 · Pooling

                Pooling replaces neighbouring steps by one number, their maximum or their mean. Over windows
                it shortens a sequence; over the whole sequence it leaves one vector, however long the
                sequence was.
                """
            ),
            mo.hstack([window, stride, whole], justify="start", wrap=True),
        ]
    )
    return stride, whole, window


@app.cell
def _(mo, plots, stride, torch, tt, whole, window):
    _generator = torch.Generator().manual_seed(1)
    series = tt.Ragged.from_list([torch.randn(40, 1, generator=_generator).cumsum(0)])
    maxima = tt.nn.MaxPool1d(window.value, stride.value)(series)
    means = tt.nn.AvgPool1d(window.value, stride.value)(series)
    pooled = float(tt.nn.Pool(whole.value)(series))
    _starts = [stride.value * step for step in range(len(maxima[0]))]
    _figure = plots.lines({"series": series[0][:, 0]}, "step", "value")
    for _name, _values, _colour in (("maximum", maxima, 1), ("mean", means, 2)):
        _figure.add_scatter(
            x=_starts,
            y=_values[0][:, 0].tolist(),
            name=_name,
            mode="markers",
            marker={"color": plots.COLOURS[_colour], "size": 10},
        )
    _figure.update_layout(showlegend=True)
    mo.vstack(
        [
            _figure,
            mo.md(
                f"{whole.value} of the whole sequence: {pooled:.3f}. Windows are drawn at their first "
                "step.\n\n"
                "**Think about it:** through which steps does the gradient flow with the maximum, with the "
                "mean?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    norm = mo.ui.dropdown(
        {"none": None, "batch": "batch", "layer": "layer"}, value="batch", label="normalisation"
    )
    activation = mo.ui.checkbox(value=True, label="ReLU")
    pool = mo.ui.slider(1, 4, value=2, label="pooling window", show_value=True)
    dropout = mo.ui.slider(0.0, 0.9, 0.1, value=0.3, label="dropout", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## C4 · The block: convolution, batch normalisation, activation, pooling, dropout

                The five parts come in this order, and all but the convolution may be left out. Statistics of
                batch normalisation should be those of real tokens; a padded batch mixes its padding in.
                """
            ),
            mo.hstack([norm, activation, pool, dropout], justify="start", wrap=True),
        ]
    )
    return activation, dropout, norm, pool


@app.cell
def _(activation, dropout, mo, norm, plots, pool, torch, tt):
    torch.manual_seed(0)
    block = tt.nn.ConvBlock(
        3,
        4,
        kernel_size=3,
        padding="same",
        norm=norm.value,
        activation=torch.relu if activation.value else None,
        pool=pool.value if pool.value > 1 else None,
        dropout=dropout.value,
    )
    block_input = tt.Ragged.from_list([torch.randn(16, 3), torch.randn(6, 3)])
    block_output = block(block_input)
    _constant = tt.Ragged.from_list([torch.full((8, 1), 10.0), torch.full((2, 1), 10.0)])
    ragged_norm, padded_norm = (torch.nn.BatchNorm1d(1, momentum=1.0) for _ in range(2))
    ragged_norm(_constant)
    padded_norm(_constant.to_padded().transpose(1, 2))
    mo.vstack(
        [
            plots.heat(block_output[0].T, "step", "channel", "output", diverging=True),
            mo.md(
                f"Parts: {', '.join(name for name, _ in block.describe().parts)}. Lengths "
                f"{block_input.lengths.tolist()} become {block_output.lengths.tolist()}.\n\n"
                f"Mean that batch normalisation takes from two sequences of 8 and 2 tens: "
                f"**{float(ragged_norm.running_mean):.2f}** without padding, "
                f"**{float(padded_norm.running_mean):.2f}** "
                "with.\n\n"
                "**Think about it:** what does the order of pooling and ReLU change? And that of ReLU and "
                "dropout?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    depth = mo.ui.slider(1, 6, value=3, label="blocks", show_value=True)
    size = mo.ui.slider(1, 7, 2, value=3, label="kernel size", show_value=True)
    between = mo.ui.slider(1, 3, value=1, label="pooling window", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## C5 · Stacked convolutions

                Blocks on top of each other see more: without stride every block of kernel size K adds K − 1
                steps to the receptive field; pooling multiplies what the blocks above it add.
                """
            ),
            mo.hstack([depth, size, between], justify="start", wrap=True),
        ]
    )
    return between, depth, size


@app.cell
def _(between, depth, mo, plots, size, torch, tt):
    torch.manual_seed(0)
    _pool = between.value if between.value > 1 else None
    stack = torch.nn.Sequential(
        *(
            tt.nn.ConvBlock(1, 1, size.value, padding="same", activation=None, pool=_pool)
            for _ in range(depth.value)
        )
    )
    field = tt.nn.receptive_field(stack)
    _x = torch.randn(max(81, 3 * int(field.size)), 1, requires_grad=True)
    _y = stack(tt.Ragged.from_list([_x])).values[:, 0]
    _place = len(_y) // 2
    reached = torch.autograd.grad(_y[_place], _x)[0][:, 0].abs()
    mo.vstack(
        [
            plots.lines({"gradient": reached}, "step t of the input", f"abs(∂y[{_place}] / ∂x[t])"),
            mo.md(
                f"`tt.nn.receptive_field`: steps t · {field.stride} {field.first:+d} to t · {field.stride} "
                f"{field.last:+d}, {field.size} in all; {int((reached > 0).sum())} have a gradient.\n\n"
                "**Think about it:** how many blocks of kernel size 3 does it take to see 1,000 steps?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    kernel_sizes = mo.ui.multiselect(["1", "2", "3", "5", "7"], value=["2", "3", "5"], label="kernel sizes")
    channels = mo.ui.slider(1, 8, value=4, label="channels of each", show_value=True)
    mo.vstack(
        [
            mo.md(
                """
                ## C6 · Wide convolutions

                Blocks of different kernel sizes read the same input side by side, and their outputs are
                concatenated: each step then has features of several widths.
                """
            ),
            mo.hstack([kernel_sizes, channels], justify="start", wrap=True),
        ]
    )
    return channels, kernel_sizes


@app.cell
def _(channels, kernel_sizes, mo, plots, torch, tt):
    torch.manual_seed(0)
    _sizes = [int(value) for value in kernel_sizes.value] or [3]
    wide = tt.nn.WideConv(2, channels.value, _sizes)
    wide_output = wide(tt.Ragged.from_list([torch.randn(30, 2)]))
    mo.vstack(
        [
            plots.heat(
                wide_output[0].T,
                "step",
                "feature",
                "output",
                y=[f"K = {value}, {number}" for value in _sizes for number in range(channels.value)],
            ),
            mo.md(
                f"{len(_sizes)} blocks of {channels.value} channels give {wide_output[0].shape[1]} "
                "features of a step; "
                f"{sum(parameter.numel() for parameter in wide.parameters()):,} parameters.\n\n"
                "**Think about it:** one kernel of size 5 contains one of size 3. Why have both?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    layers = mo.ui.slider(1, 6, value=4, label="layers", show_value=True)
    doubling = mo.ui.checkbox(value=True, label="double the dilation")
    padding = mo.ui.dropdown(["causal", "same"], value="causal", label="padding")
    mo.vstack(
        [
            mo.md(
                """
                ## C7 · Dilated convolution

                A dilation d leaves d − 1 steps between the weights of a kernel. If d doubles from layer to
                layer, the receptive field grows exponentially with depth, and with causal padding no output
                sees a later step.
                """
            ),
            mo.hstack([layers, doubling, padding], justify="start", wrap=True),
        ]
    )
    return doubling, layers, padding


@app.cell
def _(doubling, layers, mo, padding, plots, torch, tt):
    dilations = tt.nn.dilation_schedule(layers.value, cycle=None if doubling.value else 1)
    _rows = []
    for _count in range(1, layers.value + 1):
        torch.manual_seed(0)
        dilated = tt.nn.ConvStack(
            1, [1] * _count, 2, dilations=dilations[:_count], padding=padding.value, activation=None
        )
        _x = torch.randn(64, 1, requires_grad=True)
        _y = dilated(tt.Ragged.from_list([_x]))
        _rows.append((torch.autograd.grad(_y.values[40, 0], _x)[0][:, 0] != 0).float())
    dilated_reach = torch.stack(_rows)
    mo.vstack(
        [
            plots.heat(
                dilated_reach,
                "step of the input",
                "layer",
                "seen",
                y=[f"{number + 1} (d = {value})" for number, value in enumerate(dilations)],
            ),
            mo.md(
                f"Output step 40 of the last layer sees {int(dilated_reach[-1].sum())} steps; receptive "
                "field "
                f"{tt.nn.receptive_field(dilated).size}.\n\n"
                "**Think about it:** with kernel size 2 and dilations 1, 3, 9 some steps are never seen. "
                "Which?"
            ),
        ]
    )
    return


@app.cell
def _(mo):
    epochs = mo.ui.slider(1, 12, value=8, label="epochs", show_value=True)
    widths = mo.ui.multiselect(["1", "2", "3", "4", "5"], value=["2", "3"], label="kernel sizes")
    mo.vstack(
        [
            mo.md(
                """
                ## C8 · Demo: a TextCNN

                Sentences such as "the film was good but the music was not bad". The last clause decides, and
                "not" turns it round. A bag of words is right on 62.5 % at best; n-grams see which word
                follows "not", and where the text ends. `make demo-quick` trains the same model on real
                Python source in about a minute.
                """
            ),
            mo.hstack([epochs, widths], justify="start", wrap=True),
        ]
    )
    return epochs, widths


@app.cell
def _(epochs, mo, plots, sentences, torch, tt, widths):
    torch.manual_seed(0)
    texts, labels = sentences.sentences(600)
    test_texts, test_labels = sentences.sentences(300, seed=1)
    cnn = tt.models.TextCNN(
        len(sentences.WORDS),
        2,
        embedding_size=16,
        channels=16,
        kernel_sizes=[int(value) for value in widths.value] or [1],
        dropout=0.1,
    )
    _optimizer = torch.optim.Adam(cnn.parameters(), 5e-3)
    losses = []
    for _ in range(epochs.value):
        for _rows in torch.randperm(len(labels)).split(50):
            _loss = torch.nn.functional.cross_entropy(cnn(texts[_rows]), labels[_rows])
            _optimizer.zero_grad()
            _loss.backward()
            _optimizer.step()
            losses.append(float(_loss.detach()))
    cnn.eval()
    cnn_accuracy = float((cnn(test_texts).argmax(1) == test_labels).float().mean())
    mo.vstack(
        [
            plots.lines({"loss": losses}, "training step", "cross-entropy in nats", markers=False),
            mo.md(
                f"Accuracy on {len(test_labels)} new sentences: **{100 * cnn_accuracy:.1f} %**; guessing "
                "has 50 %.\n\n"
                "**Think about it:** kernels of size 1 see single words. Why are they not better than "
                "guessing?"
            ),
        ]
    )
    return cnn, test_texts


@app.cell
def _(cnn, mo, sentences, test_texts, tt):
    _rows = []
    for _part in tt.diagnose.filter_ngrams(cnn, test_texts, k=4):
        _weights = _part.effect[1] - _part.effect[0]
        for _number in (_weights * _part.activation[:, 0]).abs().topk(min(4, len(_part))).indices.tolist():
            _rows.append(
                {
                    "kernel size": int(_part.field.size),
                    "speaks for": sentences.CLASSES[int(_weights[_number] > 0)],
                    "weight": round(float(_weights[_number]), 2),
                    "n-grams with the highest activation": " | ".join(
                        sentences.words(ngram) for ngram in _part.ngrams[_number].tolist()
                    ),
                }
            )
    filter_table = _rows
    mo.vstack(
        [
            mo.md("The filters with the largest effect; · is beyond the text."),
            mo.ui.table(
                filter_table,
                selection=None,
                pagination=False,
                wrapped_columns=["n-grams with the highest activation"],
            ),
        ]
    )
    return


@app.cell
def _(mo):
    text = mo.ui.text("the film was good but the music was not bad", label="your text", full_width=True)
    text
    return (text,)


@app.cell
def _(cnn, mo, plots, sentences, text, torch, tt):
    _batch = sentences.encode([text.value])
    with torch.no_grad():
        probability = float(cnn(_batch).softmax(1)[0, 1])
    _scores = tt.diagnose.influence(
        cnn, _batch, method="occlusion", outcome=lambda logits: logits[:, 1] - logits[:, 0]
    ).scores[0]
    mo.vstack(
        [
            mo.md(
                f"positive with {100 * probability:.1f} %. Orange words speak for it, blue ones against it:"
            ),
            mo.Html(plots.coloured(text.value.lower().split() or ["?"], _scores)),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
