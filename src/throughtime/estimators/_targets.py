"""Checks of targets, and classes as the texts that tasks know them by."""

from collections.abc import Iterable
from typing import Any

from throughtime.errors import DataError


def require_targets(estimator: object, y: Any) -> None:
    """Check that there are targets.

    Raises
    ------
    DataError
        If there are none.
    """
    if y is None:
        raise DataError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None; give one for "
            "each sequence"
        )


def class_texts(classes: Iterable[Any]) -> list[str]:
    """Return classes as text, as columns of tables have them.

    Raises
    ------
    DataError
        If two are the same text.
    """
    values = classes.tolist() if hasattr(classes, "tolist") else list(classes)
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    if len(set(texts)) < len(texts):
        same = next(text for text in texts if texts.count(text) > 1)
        raise DataError(f"two classes in y are both {same!r} as text; give classes of one type")
    return texts
