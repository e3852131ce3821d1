"""Lock on the folder of a run, so that only one process trains in it."""

import errno
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from throughtime.errors import RunError
from throughtime.training._advice import ELSEWHERE, RESUME
from throughtime.training._files import read_bytes, writing
from throughtime.training._json import MOST_BYTES

NAME = "training.lock"
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""Error numbers of file systems without locks."""


class Hold:
    """The lock of this process on the folder of a run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = _identity_of(folder)

    def require_there(self) -> None:
        """Check that the folder has not been moved since the training began.

        Raises
        ------
        RunError
            If it was deleted or renamed.
        """
        if _identity_of(self._folder) == self._identity:
            return
        change = "was replaced" if self._folder.exists() else "was deleted or renamed"
        raise RunError(
            f"{self._folder} {change} during the training, which stops here; restore the folder and "
            f"{RESUME} from the last saved state"
        )


@contextmanager
def only_training(folder: Path) -> Iterator[Hold]:
    """Lock a folder against training by other processes, and remove temporary files of interrupted writes.

    The lock is advisory and is released when the process ends; its file is not removed. A file system without
    locks gives a warning.

    Raises
    ------
    RunError
        If another process is training there.
    """
    lock = FileLock(folder / NAME, timeout=0, **_options())
    with writing(folder / NAME):
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"another process is training in {folder}; wait until it ends, or {ELSEWHERE}"
            ) from None
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"{folder} is on a file system without locks; make sure that no other process trains there",
                stacklevel=2,
            )
    try:
        for part in folder.glob(".*.part"):
            with suppress(OSError):
                part.unlink()
        yield Hold(folder)
    finally:
        with suppress(OSError):  # if the folder was deleted
            lock.release()


def _options() -> dict[str, Any]:
    """Return options for filelock so that the existence of the lock file does not count as a lock.

    Without the option, recent versions fall back to this on file systems without locks; older ones raise.
    """
    option = "fallback_to_soft"
    return {option: False} if option in inspect.signature(FileLock.__init__).parameters else {}


def _identity_of(folder: Path) -> bytes | None:
    """Return the bytes of ``run.json``, which differ between runs; None if it cannot be read.

    Inode numbers are not reliable: some file systems reuse or invent them.
    """
    try:
        return read_bytes(folder / "run.json", most=MOST_BYTES)
    except RunError:
        return None
