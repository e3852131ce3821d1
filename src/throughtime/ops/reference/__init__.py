"""The operations in plain PyTorch: short, slow and right. Kernels are tested against these."""

from throughtime.ops.reference.recurrent import recurrent_layer_reference as recurrent_layer_reference
