"""Names of parametrized cases."""

import re


def stable_repr(value: object) -> str:
    """Show a value without memory addresses: the names are the same in every worker of pytest-xdist."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
