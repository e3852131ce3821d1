"""What a trace of a scan layer keeps: zeros added to values, whose gradients are those of the values."""

from torch import Tensor


class Added:
    """Zeros that are added to named values, so that a backward pass brings them the gradients of the values.

    Parameters
    ----------
    gradients
        Whether gradients are wanted; otherwise nothing is added.
    """

    def __init__(self, *, gradients: bool) -> None:
        self._wanted = gradients
        self._zeros: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Return the value plus zeros."""
        if not self._wanted:
            return value
        self._zeros[name] = value.new_zeros(value.shape).requires_grad_()
        return value + self._zeros[name]

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of the values that a backward pass has reached."""
        return {name: zeros.grad for name, zeros in self._zeros.items() if zeros.grad is not None}
