"""How a photo fails."""

import contextlib
import traceback
from collections.abc import Iterator


class PhotoError(Exception):
    """A photo that cannot be enhanced.

    Attributes:
        stage: read, decode, unsupported, too_large, model, encode, write, crash, or internal: a fault of this program.
        message: One line for people.
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
    """Whether the line that raised an error is of this program, not of a library that it called."""
    name = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__"))
    return name.split(".")[0] in _PACKAGES


@contextlib.contextmanager
def failing_as(stage: str, *passed_on: type[BaseException]) -> Iterator[None]:
    """Makes a PhotoError of whatever is raised: decoders, encoders and plug-ins raise nearly everything.

    Args:
        stage: Stage of the PhotoError. Running out of memory is too_large; a programming error that this program itself
            raises is internal, while one of a library is what damaged data leads it to.
        passed_on: What is no fault of the photo.
    """
    try:
        yield
    except BaseException as error:  # some libraries' errors are no Exception
        if isinstance(error, (PhotoError, KeyboardInterrupt, *passed_on)):
            raise
        if isinstance(error, MemoryError):
            raise PhotoError("too_large", "not enough memory for it (MemoryError)") from error
        if isinstance(error, _PROGRAMMING_ERRORS) and _is_ours(error):
            raise PhotoError("internal", described(error)) from error
        raise PhotoError(stage, described(error)) from error


def described(error: BaseException) -> str:
    """An exception in one line: its type, and the first line of what it says."""
    # an OSError would name a path, with the folders and the user above the archive
    said = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
