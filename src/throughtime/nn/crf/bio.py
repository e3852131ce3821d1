"""`bio_constraints`: which tags may follow each other in the BIO scheme."""

from collections.abc import Sequence

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError


def bio_constraints(tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return which transitions and which first tags the BIO scheme (IOB2) allows.

    ``I-X`` follows ``B-X`` or ``I-X`` only, and is never the first tag. Everything else is allowed.

    Parameters
    ----------
    tags : sequence of str
        Names of the C tags: ``O``, ``B-X`` and ``I-X`` for any types X.

    Returns
    -------
    allowed : Tensor
        (C, C) bool: whether the tag of the row may be followed by the tag of the column.
    allowed_start : Tensor
        (C,) bool: whether a sequence may begin with the tag.

    Raises
    ------
    ShapeError
        If a name is repeated or not of this form, or if there is an ``I-X`` without a ``B-X``.
    InputTypeError
        If ``tags`` is a string or contains something else than strings.

    References
    ----------
    .. [1] L. Ramshaw and M. Marcus, "Text chunking using transformation-based learning", 3rd Workshop on
       Very Large Corpora (1995); IOB2 as in E. Tjong Kim Sang and J. Veenstra, "Representing text chunks",
       EACL (1999).

    Examples
    --------
    >>> import throughtime as tt
    >>> allowed, allowed_start = tt.nn.bio_constraints(["O", "B-PER", "I-PER"])
    >>> allowed.tolist(), allowed_start.tolist()
    ([[True, True, False], [True, True, True], [True, True, True]], [True, True, False])
    """
    _check(tags)
    inside = torch.tensor([tag.startswith("I-") for tag in tags], dtype=torch.bool)
    kinds = [tag[2:] for tag in tags]
    same = [[tag != "O" and kind == other for other in kinds] for tag, kind in zip(tags, kinds, strict=True)]
    return ~inside | torch.tensor(same, dtype=torch.bool).view(len(tags), len(tags)), ~inside


def _check(tags: Sequence[str]) -> None:
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise InputTypeError(f"bio_constraints takes a list of tag names, got {tags!r}")
    for tag in tags:
        if tag != "O" and (tag[:2] not in ("B-", "I-") or len(tag) == 2):
            raise ShapeError(f"bio_constraints: tags are O, B-X and I-X, got {tag!r}; rename it")
        if tag.startswith("I-") and f"B-{tag[2:]}" not in tags:
            raise ShapeError(
                f"bio_constraints: {tag!r} can follow {'B-' + tag[2:]!r} only, which is not in the list; "
                "add it, or convert the tags to IOB2"
            )
    if len(set(tags)) < len(tags):
        repeated = next(tag for tag in tags if list(tags).count(tag) > 1)
        raise ShapeError(f"bio_constraints: tag {repeated!r} is in the list more than once; remove one")
