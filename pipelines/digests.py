"""Short names for values: what two processes, or two runs, compare or call a file by."""

import hashlib
import json
from typing import Any


def digest(value: Any, length: int = 16) -> str:
    """The first hexadecimal digits of the SHA-256 of a value.

    Args:
        value: What JSON can hold; the order of the keys of an object does not count.
        length: Number of digits, of 4 bits each, at most 64. With 16 of them, two of a million values are the same
            with a probability of 3e-8.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
