"""Convolutions of ragged batches, and convolution blocks."""
