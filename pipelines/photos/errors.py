"""The error of a photo that fails, and the conversion of other errors into it."""

import contextlib
import traceback
from collections.abc import Iterator


class PhotoError(Exception):
    """A photo cannot be enhanced.

    Attributes:
        stage: read, decode, unsupported, too_large, model, encode, write, crash, or internal (a fault of this program).
        message: One line for the user.
    """

    def __init__(self, stage: str, message: str):
        super().__init__(stage, message)
        self.stage = stage
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"


_PROGRAMMING_ERRORS = (AttributeError, NameError, ImportError, TypeError, AssertionError)
_PACKAGES = ("pipelines", "zerodce", "tfrecord_tools")


def _is_ours(error: BaseException) -> bool:
    """Whether a line of this program raised an error, not a line of a library."""
    name = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__"))
    return name.split(".")[0] in _PACKAGES


@contextlib.contextmanager
def failing_as(stage: str, *passed_on: type[BaseException]) -> Iterator[None]:
    """Converts every exception into a PhotoError, because decoders, encoders and plug-ins raise exceptions of any type.

    Args:
        stage: Stage of the PhotoError. A MemoryError gets the stage too_large. A programming error gets the stage
            internal if this program raised it; libraries raise such errors on damaged data.
        passed_on: Types of exceptions that are raised unchanged, because the photo does not cause them.
    """
    try:
        yield
    except BaseException as error:  # some libraries raise errors that do not derive from Exception
        if isinstance(error, (PhotoError, KeyboardInterrupt, *passed_on)):
            raise
        if isinstance(error, MemoryError):
            raise PhotoError("too_large", "not enough memory (MemoryError)") from error
        if isinstance(error, _PROGRAMMING_ERRORS) and _is_ours(error):
            raise PhotoError("internal", described(error)) from error
        raise PhotoError(stage, described(error)) from error


def described(error: BaseException) -> str:
    """An exception in one line: its type, and the first line of its message."""
    # without the path of an OSError, which would reveal the folders and the user above the archive
    said = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
