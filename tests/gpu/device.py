"""The device of these tests. Importing this skips the module that does, where there is no such device."""

import os

import pytest
import torch

_SIMULATED = os.environ.get("THROUGHTIME_SIMULATED_DEVICE")

if _SIMULATED:
    from tests.gpu.simulated.device import register

    CUDA = register(_SIMULATED)
elif torch.cuda.is_available():
    CUDA = torch.device("cuda", 0)
else:
    pytest.skip("there is no CUDA device here", allow_module_level=True)

cuda_alone = pytest.mark.skipif(bool(_SIMULATED), reason="the simulated device has none of this")
