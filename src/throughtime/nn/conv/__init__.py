"""Convolutions of ragged batches, and blocks made of them."""
