"""The entry of a listed file, and the error for a file that is gone or has changed."""

import dataclasses


class SourceError(Exception):
    """A file to copy cannot be read, or has changed."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A listed file: `path` relative to the listed folder, with `/`; `size` in bytes; `mtime` in seconds."""

    path: str
    size: int
    mtime: float

    def fields(self) -> tuple[str, int, float]:
        """The fields, in their order."""
        return self.path, self.size, self.mtime

    @classmethod
    def of(cls, fields: tuple[str, int, float]) -> "Entry":
        """The entry with these fields."""
        return cls(*fields)
