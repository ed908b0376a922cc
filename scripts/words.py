# SPDX-License-Identifier: Apache-2.0
"""Numbers, times and names as all scripts write them: on the screen, in pictures and on pages."""
import math
import numbers


def special(value):
    """What stands for a value that has no digits; "" for others."""
    if math.isnan(value):
        return "–"
    return "" if math.isfinite(value) else "∞" if value > 0 else "−∞"


def number(value, digits=4):
    """1,234,567, 0.00123, 1.2e-07; what is no number is a dash."""
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    return special(value) or f"{value:.{digits}g}"


def fixed(value, decimals=2):
    """With as many decimals in every row: 12.30."""
    return special(value) or f"{value:,.{decimals}f}"


def percent(part):
    """A part of one: 4.19 %."""
    return special(part) or f"{100 * part:.3g} %"


def seconds(value):
    """A time with the unit that makes it readable."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return "0 s" if not value else f"{value * 1e9:.3g} ns"


def count(things, noun):
    """1 rank, 2,000 ranks."""
    return f"{things:,} {noun}" + ("" if things == 1 else "s")


def shortened(name, most=44):
    """A long name without its middle: what tells tensors apart stands mostly at the end."""
    if len(name) <= most:
        return name
    head = most // 4
    return name[:head] + "…" + name[head + 1 - most:]


def joined(names, most=6):
    """a, b and c; of many the first, and how many more."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
