"""The operations in plain PyTorch: short, slow and right. Kernels are tested against these."""
