"""Functions on the values and offsets of ragged batches: tensors in, tensors out, no parameters."""
