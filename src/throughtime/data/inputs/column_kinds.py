"""What a column holds, in words for messages."""

import pyarrow as pa

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def is_list(kind: pa.DataType) -> bool:
    """Return whether values are lists, of any layout."""
    return any(test(kind) for test in _LISTS)


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are strings, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether values are numbers; booleans, dates and times are none."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def content_of(kind: pa.DataType) -> str:
    """Return what values of a type are, for messages.

    Examples
    --------
    >>> content_of(pa.float64()), content_of(pa.list_(pa.list_(pa.string())))
    ('numbers (float64)', 'lists of lists of texts')
    >>> content_of(pa.date32())
    'values of type date32[day]'
    """
    if is_list(kind):
        return f"lists of {content_of(kind.value_type)}"
    if is_text(kind):
        return "texts"
    if is_number(kind):
        return f"numbers ({_dtype_name(kind)})"
    if pa.types.is_boolean(kind):
        return "truth values"
    return "no values" if pa.types.is_null(kind) else f"values of type {kind}"


def _dtype_name(kind: pa.DataType) -> str:
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
