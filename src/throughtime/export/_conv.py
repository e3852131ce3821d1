"""Convolution and transposed convolution."""

from throughtime.errors import NotCausalError, ShapeError
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._lengths import resized
from throughtime.export._place import Place
from throughtime.export._stream import Stream
from throughtime.nn.description import Operator, Spread, Windowed

_TO_THE_END = 2**31 - 1


def add_conv(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv1d: zeros stand where a sequence has ended, as behind one that is alone.

    The steps are the windows of the padded length, at least as many as each sequence has.

    Raises
    ------
    ShapeError
        If it reads other features.
    """
    graph, arguments = batch.graph, operator.arguments
    weight, windows, groups = arguments["weight"], arguments["windows"], arguments["groups"]
    steps = steps_of(value, place.name, weight.shape[1] * groups)
    constants = [
        graph.constant(arguments[name], place.weight(name))
        for name in ("weight", "bias")
        if arguments[name] is not None
    ]
    convolved = graph.add(
        "Conv",
        batch.channels_first(batch.masked(steps, batch.real)),
        *constants,
        kernel_shape=[windows.size],
        strides=[windows.stride],
        dilations=[windows.dilation],
        group=groups,
        pads=[windows.left, max(windows.right, windows.reach - windows.left)],  # one window at least
    )
    if arguments.get("relu", False):
        convolved = graph.add("Relu", convolved)
    return batch.steps_last(convolved, weight.shape[0])


def add_conv_of_sequences(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv1d in a model, with the lengths that it gives the sequences.

    Raises
    ------
    ShapeError
        If it has a border that ragged batches do not have, or reads other features.
    """
    windows, border = operator.arguments["windows"], operator.arguments["padding_mode"]
    if border not in {"zeros", "replicate"}:
        raise ShapeError(
            f"{place.name}: a convolution with padding_mode {border!r} does not run on ragged batches; use "
            "'zeros' or 'replicate'"
        )
    read, of_windows = batch, operator
    if border == "replicate" and windows.left + windows.right:
        steps = steps_of(value, place.name)
        read, value = _with_copies(batch, steps, windows.left, windows.right)
        bare = windows._replace(left=0, right=0, replicate=False)
        of_windows = Operator(operator.name, {**operator.arguments, "windows": bare})
    convolved = add_conv(read, of_windows, value, place)
    if not windows.keeps_lengths:
        return resized(batch, convolved, Windowed(windows), place)
    return convolved if read is batch else _as_long_as(batch, convolved)


def _as_long_as(batch: Batch, steps: Steps) -> Steps:
    """Return as many steps as a batch has."""
    first = batch.graph.constant([0])
    return Steps(batch.graph.add("Slice", steps.name, first, batch.steps, first), steps.features)


def _with_copies(batch: Batch, steps: Steps, left: int, right: int) -> tuple[Batch, Steps]:
    """Return a batch with copies of the first and last step of each sequence around it."""
    graph, zero, one = batch.graph, batch.graph.constant([0]), batch.graph.constant([1])
    around = graph.constant([left + right])
    lengths = graph.add("Add", batch.lengths, graph.add("Mul", graph.add("Min", batch.lengths, one), around))
    longer = Batch(graph, lengths, graph.add("Add", batch.steps, around))
    last = graph.add("Sub", batch.lengths, one)
    times = graph.add("Min", graph.add("Sub", longer.times, graph.constant([left])), last)
    index = graph.add("Unsqueeze", graph.add("Max", times, zero), graph.constant([2]))
    shape = graph.add("Concat", longer.steps, batch.size, graph.constant([steps.features or 0]), axis=0)
    rows = graph.add("GatherElements", steps.name, graph.add("Expand", index, shape), axis=0)
    return longer, Steps(rows, steps.features)


def add_conv_chunk(stream: Stream, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv1d on streams: before a chunk stand the last inputs that its windows reach.

    Raises
    ------
    NotCausalError
        If its windows reach beyond the step of their output.
    ShapeError
        If there is no output at every step, it has another border than zeros, or reads other features.
    """
    windows = operator.arguments["windows"]
    if windows.right:
        raise NotCausalError(
            f"{place.described} has {windows.right} steps of padding at the end of a sequence, so it needs "
            "future steps, which a stream does not have; use padding='causal'"
        )
    if not windows.keeps_lengths or operator.arguments["padding_mode"] != "zeros":
        raise ShapeError(
            f"{place.described}: on streams only convolutions with an output at every step are exported: "
            "stride 1, and padding 'causal' with zeros"
        )
    graph, arguments = stream.graph, operator.arguments
    weight, groups = arguments["weight"], arguments["groups"]
    features = weight.shape[1] * groups
    x = stream.channels_first(steps_of(value, place.name, features))
    if windows.reach:
        words = f"The last {windows.reach} inputs of the convolution."
        state = stream.state(place, "x", ("batch", features, windows.reach), words)
        x = graph.add("Concat", state.before, x, axis=2)
        stream.keep(state, graph.sliced(x, -windows.reach, _TO_THE_END, axis=2))
    constants = [
        graph.constant(arguments[name], place.weight(name))
        for name in ("weight", "bias")
        if arguments[name] is not None
    ]
    convolved = graph.add(
        "Conv", x, *constants, kernel_shape=[windows.size], dilations=[windows.dilation], group=groups
    )
    return stream.steps_last(convolved, weight.shape[0])


def add_conv_transpose_of_sequences(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv_transpose1d in a model, with the lengths that it gives the sequences."""
    arguments = operator.arguments
    spread = Operator(operator.name, {**arguments, "start": arguments["bias"]})
    steps = add_conv_transpose(batch, spread, value, place)
    return resized(batch, steps, Spread(arguments["windows"], arguments["output_padding"]), place)


def add_conv_transpose(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv1d_input_gradient, which `ConvTranspose1d` calls.

    Raises
    ------
    ShapeError
        If it has another border than zeros, or reads other features.
    """
    graph, arguments = batch.graph, operator.arguments
    weight, windows, groups = arguments["weight"], arguments["windows"], arguments["groups"]
    steps = steps_of(value, place.name, weight.shape[0])
    if windows.replicate:
        raise ShapeError(f"{place.name}: only transposed convolutions with a border of zeros are exported")
    spread = graph.add(
        "ConvTranspose",
        batch.channels_first(batch.masked(steps, batch.real)),
        graph.constant(weight, place.weight("weight")),
        kernel_shape=[windows.size],
        strides=[windows.stride],
        dilations=[windows.dilation],
        group=groups,
    )
    from_left = graph.sliced(spread, windows.left, _TO_THE_END, axis=2)
    # Output padding, which is below the stride or the dilation, lets sequences end behind the last window.
    ends = graph.constant([0, 0, 0, 0, 0, max(windows.stride, windows.dilation)])
    name = graph.add("Pad", from_left, ends, graph.number(0.0))
    if arguments["start"] is not None:
        start = graph.constant(arguments["start"], place.weight("bias"))
        name = graph.add("Add", name, graph.add("Unsqueeze", start, graph.constant([1])))
    return batch.steps_last(name, weight.shape[1] * groups)
