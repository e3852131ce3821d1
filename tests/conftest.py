"""Settings of the test run."""

import torch
from hypothesis import settings

settings.register_profile("repo", derandomize=True, deadline=None, max_examples=15)
settings.load_profile("repo")
torch.set_num_threads(1)
