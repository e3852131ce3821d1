"""The states, pre-activations and gradients of every step of a recurrent layer."""
