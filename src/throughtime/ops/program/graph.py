"""One step of a recurrence as a graph of operations on rows of numbers.

All values of a step are matrices (n, width), one row for each of the n sequences that have not ended. A graph
has no loops or branches, and widths are its only shapes. Values that do not depend on the state are computed
before the loop.

Leaves
------
token k       row of the k-th token matrix (T, width): inputs of the step, or values kept by an earlier pass
previous k    row of the k-th previous matrix (T, width) at the token before this one in time; of a first
              token, row of its initial matrix (B, width)
sequence k    row of the k-th sequence matrix (B, width): the same at all steps of a sequence
state k       the k-th state after the previous step
vector k      the k-th vector (width,): the same in every row
constant      one number in all places

Operators
---------
product k             a W_kᵀ for the k-th matrix W_k (width, width of a)
product_transposed k  a W_k for W_k (width of a, width)
slice                 values index … index + width of the input
concat                the inputs, one after the other
repeat                each value width / (width of a) times in a row: a a a b b b
tile                  the row width / (width of a) times: a b a b a b
sum, max              of each of `width` groups of adjacent values
sum_strided           of the values that lie `width` apart: for tile what sum is for repeat
inverse_deviation     1 / √(variance + ε) of each of `width` groups of adjacent values
standardize           of a row a and a number r, its inverse deviation: (a − mean) r
standardize_gradient  of rows g and y, and r: the gradient of a, from g, that of y = standardize(a, r)
all others            pointwise, see `throughtime.ops.program.operators`; inputs and result have one width
"""

from dataclasses import dataclass
from typing import NamedTuple

LEAVES = ("token", "previous", "sequence", "state", "vector")


class Node(NamedTuple):
    """One value of a step.

    Parameters
    ----------
    operator : str
        A leaf, or the name of an operator.
    inputs : tuple of int
        Positions of its inputs among the nodes; all come before it.
    width : int
        Numbers in each row of the value.
    index : int
        Of a leaf and a product the k above; of a slice where it begins; else 0.
    numbers : tuple of float
        Constants of the operator, such as the α and β of ``affine``: α a + β.
    """

    operator: str
    inputs: tuple[int, ...]
    width: int
    index: int = 0  # type: ignore[assignment]  # hides tuple.index
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Graph:
    """One step.

    Parameters
    ----------
    nodes : tuple of Node
        In an order in which they can be computed.
    states : tuple of int
        The next state: position of the node for each ``state`` leaf.
    outputs : tuple of int
        Positions of the nodes that are written for every token, each to a matrix (T, width).
    """

    nodes: tuple[Node, ...]
    states: tuple[int, ...]
    outputs: tuple[int, ...] = ()
