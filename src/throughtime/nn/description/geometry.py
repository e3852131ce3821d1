"""Windows of convolution and pooling layers, of torch's and of ours."""

from typing import Any

from throughtime.nn.inputs.window_options import as_number
from throughtime.ops.windows import Windows


def conv_windows(conv: Any, *, causal: bool = False) -> Windows:
    """Return the windows of a `torch.nn.Conv1d`; with ``causal`` all of its border is in front."""
    size, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    reach = dilation * (size - 1)
    if causal:
        left, right = reach, 0
    elif conv.padding == "same":
        left, right = reach // 2, reach - reach // 2
    elif conv.padding == "valid":
        left = right = 0
    else:
        left = right = int(conv.padding[0])
    return Windows(size, stride, dilation, left, right, conv.padding_mode == "replicate")


def pool_windows(pool: Any) -> Windows:
    """Return the windows of a max or average pooling layer."""
    padding = as_number(pool.padding)
    dilation = as_number(getattr(pool, "dilation", 1))
    return Windows(as_number(pool.kernel_size), as_number(pool.stride), dilation, padding, padding)


def repeats_other_steps(windows: Windows, padding_mode: str) -> bool:
    """Tell whether a border has copies of steps that are not in the windows that reach into it."""
    if padding_mode == "replicate":
        return max(windows.left, windows.right) > windows.reach
    return padding_mode != "zeros" and max(windows.left, windows.right) > 0
