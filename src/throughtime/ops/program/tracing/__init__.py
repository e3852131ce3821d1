"""A transition f as a graph of one step and as PyTorch code for what does not depend on the state."""
