"""Numbers that are proven, told in few digits: rounded to the side on which they stay true."""

from __future__ import annotations

import decimal


def rounded_up(value: float, digits: int) -> str:
    """Return the least number of so many ``digits`` that is ``value`` or more: an upper bound stays one."""
    return _rounded(value, digits, decimal.ROUND_CEILING)


def rounded_down(value: float, digits: int) -> str:
    """Return the largest number of so many ``digits`` that is ``value`` or less."""
    return _rounded(value, digits, decimal.ROUND_FLOOR)


def _rounded(value: float, digits: int, how: str) -> str:
    with decimal.localcontext(prec=digits, rounding=how):
        return f"{float(+decimal.Decimal(repr(value))):.{max(digits, 6)}g}"
