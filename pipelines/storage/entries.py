"""A file that was found, and the error of one that is gone or another by now."""

import dataclasses


class SourceError(Exception):
    """A file that was to be copied cannot be read, or has changed."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file found: `path` relative to the listed folder with `/`, `size` in bytes, `mtime` in seconds."""

    path: str
    size: int
    mtime: float
