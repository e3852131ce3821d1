"""The device of these tests. Importing this skips the module that does, where there is no such device."""

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device here", allow_module_level=True)

CUDA = torch.device("cuda", 0)
