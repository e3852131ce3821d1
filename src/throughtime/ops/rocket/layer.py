"""Features of MiniRocket and MultiRocket, and which code computes them.

Eager calls on plain float32 tensors on the CPU are native. torch.compile, export, tensor subclasses and
dispatch modes meet an operator that torch knows. float64, other devices and function transforms run the
reference.
"""

from torch import Tensor

from throughtime.errors import UnsupportedError
from throughtime.ops._empty import zeros_of
from throughtime.ops.plain import HALF, as_operator, differentiable, on_plain_cpu
from throughtime.ops.rocket import native, registered
from throughtime.ops.rocket.kernels import Kernels
from throughtime.ops.rocket.reference import rocket_reference
from throughtime.ragged import Layout


def rocket(values: Tensor, layout: Layout, kernels: Kernels, *, all_statistics: bool = False) -> Tensor:
    r"""Return statistics of the outputs of MiniRocket's convolutions of each sequence, (B, F).

    Kernel k has the weight 2 at three of its nine taps, and −1 at the others. With dilation d its output is

    c_k[t] = Σ_{channels} Σ_g w_k[g] x[t + (g − 4) d],  x = 0 beyond the ends of a sequence,

    for all n = L steps t if k plus the number of the dilation is even; else for the n = L − 8 d steps whose
    nine taps are all inside, or again all where those are less than half of the steps, L < 16 d. With a bias
    b and m = #{t : c[t] > b} the statistics are

    ====  =========================================  ===========================
    PPV   m / n                                      0 if n = 0
    MPV   Σ_{c[t] > b} (c[t] − b) / m                0 if m = 0
    MIPV  Σ_{c[t] > b} t / m, t from 0 to n − 1      −1 if m = 0
    LSPV  the longest run of adjacent t, c[t] > b    0 if m = 0
    ====  =========================================  ===========================

    A sequence has the same bits alone and in any batch, with any number of threads. PPV, MIPV and LSPV are
    piecewise constant: their gradient is 0. That of MPV is not, and is refused.

    Parameters
    ----------
    values : Tensor
        (T, C), floating-point. Half precision is computed in float32.
    layout
        Their offsets.
    kernels
        Dilations, biases and channels, of the series and perhaps of their first differences.
    all_statistics
        Whether all four are computed (MultiRocket [2]_), or PPV alone (MiniRocket [1]_).

    Returns
    -------
    Tensor
        (B, F): by series and difference, statistic, dilation, kernel, bias.

    Raises
    ------
    UnsupportedError
        If MPV is wanted of series that require a gradient.

    References
    ----------
    .. [1] A. Dempster, D. F. Schmidt and G. I. Webb, "MiniRocket: a very fast (almost) deterministic
       transform for time series classification", KDD (2021), section 3, where the n = L − 8 d steps count
       for any length.
    .. [2] C. W. Tan, A. Dempster, C. Bergmeir and G. I. Webb, "MultiRocket: multiple pooling operators and
       transformations for fast and effective time series classification", Data Mining and Knowledge
       Discovery 36 (2022), section 3.
    """
    if differentiable(values):
        if all_statistics:
            raise UnsupportedError(
                "MiniRocket: the mean of positive values has no gradient here; detach the series, or use "
                "statistics='ppv', whose gradient is 0"
            )
        constant = rocket(values.detach(), layout, kernels)
        return constant + zeros_of((1,), values)
    if values.dtype in HALF:
        kernels = kernels._replace(biases=kernels.biases.float())
        return rocket(values.float(), layout, kernels, all_statistics=all_statistics).to(values.dtype)
    if on_plain_cpu(values) and native.takes(values, kernels):
        return native.features(values, layout.offsets, kernels, all_statistics=all_statistics)
    call = registered.rocket if as_operator(values) else rocket_reference
    return call(values, layout, kernels, all_statistics=all_statistics)
