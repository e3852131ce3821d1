"""Recurrent and convolutional sequence models for PyTorch: no padding, every state in reach."""

from throughtime.ragged import Ragged as Ragged
from throughtime.ragged import collate as collate
