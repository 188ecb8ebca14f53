"""numba with a place for its machine code; what is compiled imports numba from here.

numba keeps the code beside the package or in the home folder. Where neither can be written it refuses to compile; then
this gives it a temporary folder, which serves the next process of the same user as well.
"""

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
import warnings

import numba

__all__ = ["numba"]


def _nothing() -> None:
    pass


def _temporary_folder() -> str:
    """A folder that nobody else can write: machine code is run as it is found."""
    folder = os.path.join(tempfile.gettempdir(), f"zerodce-numba-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    folder = tempfile.mkdtemp(prefix="zerodce-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


try:
    numba.njit(cache=True)(_nothing)  # looks for a folder, and compiles nothing yet
except RuntimeError:
    _folder = _temporary_folder()
    numba.config.CACHE_DIR = _folder  # type: ignore[attr-defined]
    os.environ["NUMBA_CACHE_DIR"] = _folder  # which numba reads again, and child processes
    warnings.warn(
        f"neither the folder of the package nor the home folder can be written: compiled code is kept in {_folder}",
        RuntimeWarning,
        stacklevel=2,
    )
