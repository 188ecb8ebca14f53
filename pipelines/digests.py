"""Digests: short names for values. Processes and runs compare them, and name files by them."""

import hashlib
import json
from typing import Any


def digest(value: Any, length: int = 16) -> str:
    """The first hexadecimal digits of the SHA-256 of a value.

    Args:
        value: Any value that JSON can hold. The order of the keys of an object does not matter.
        length: Number of digits, of 4 bits each, at most 64. With 16 digits, a million values have a collision with a
            probability of 3e-8.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
