"""How a photo fails."""

import contextlib
from collections.abc import Iterator


class PhotoError(Exception):
    """A photo that cannot be enhanced.

    Attributes:
        stage: read, decode, unsupported, too_large, model, encode, write or crash.
        message: One line for people.
    """

    def __init__(self, stage: str, message: str):
        super().__init__(stage, message)
        self.stage = stage
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"


@contextlib.contextmanager
def failing_as(stage: str, *passed_on: type[BaseException]) -> Iterator[None]:
    """Makes a PhotoError of whatever is raised: decoders, encoders and plug-ins raise nearly everything.

    Args:
        stage: Stage of the PhotoError; running out of memory is too_large.
        passed_on: What is no fault of the photo.
    """
    try:
        yield
    except BaseException as error:  # some libraries' errors are no Exception
        if isinstance(error, (PhotoError, KeyboardInterrupt, *passed_on)):
            raise
        if isinstance(error, MemoryError):
            raise PhotoError("too_large", "not enough memory for it (MemoryError)") from error
        raise PhotoError(stage, described(error)) from error


def described(error: BaseException) -> str:
    """An exception in one line: its type, and the first line of what it says."""
    said = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
