"""numba with a folder for its machine code. Compiled modules import numba from here.

numba keeps the code beside the package or in the home folder. If it can write to neither, it refuses to compile. Then
this module gives it a temporary folder, which the next process of the same user also uses.
"""

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
import warnings

import numba

__all__ = ["TEMPORARY_PREFIX", "numba"]

TEMPORARY_PREFIX = "zerodce-numba-"
"""How the name of the temporary folder begins."""


def _nothing() -> None:
    pass


def _temporary_folder() -> str:
    """A folder that nobody else can write, because machine code in it is run unchecked."""
    folder = os.path.join(tempfile.gettempdir(), f"{TEMPORARY_PREFIX}{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    folder = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


try:
    numba.njit(cache=True)(_nothing)  # only looks for a folder; compiles nothing yet
except RuntimeError:
    _folder = _temporary_folder()
    numba.config.CACHE_DIR = _folder  # type: ignore[attr-defined]
    os.environ["NUMBA_CACHE_DIR"] = _folder  # numba reads it again, and child processes inherit it
    warnings.warn(
        f"neither the folder of the package nor the home folder can be written: compiled code is kept in {_folder}",
        RuntimeWarning,
        stacklevel=2,
    )
