"""Tests on a CUDA device: `make test-gpu`. They are skipped where there is none."""
