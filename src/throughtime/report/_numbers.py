"""Numbers as a reader sees them: significant digits, thousands, powers of ten, and durations."""

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """Return a value with this many significant digits; "–" where there is none.

    Examples
    --------
    >>> number(0.0969), number(23), number(1560.2), number(1.906e-13), number(-0.0721), number(None)
    ('0.0969', '23.0', '1,560', '1.91 × 10⁻¹³', '−0.0721', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return _finite(value, digits).replace("-", "−")


def _finite(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if power < -4 or power > 6:
        return f"{mantissa} × {power_of_ten(power)}"
    return f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"


def whole(value: float) -> str:
    """Return a count as it is, and another number with three significant digits.

    Examples
    --------
    >>> whole(128.0), whole(1), whole(0.25)
    ('128', '1', '0.250')
    """
    return f"{value:,.0f}".replace("-", "−") if value == int(value) and abs(value) < 1e6 else number(value)


def power_of_ten(exponent: int) -> str:
    """Return a power of ten, as "10⁻³"."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has.

    Examples
    --------
    >>> duration(2.68), duration(75), duration(3725.2), duration(0.0042)
    ('2.7 s', '1 min 15 s', '1 h 2 min', '4.20 ms')
    """
    if seconds < 1:
        return f"{number(1000 * seconds)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
