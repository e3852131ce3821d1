"""One training at a time in the folder of a run, which stays where it is meanwhile."""

import errno
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from throughtime.errors import RunError
from throughtime.training._advice import ELSEWHERE
from throughtime.training._files import read_bytes, writing
from throughtime.training._json import MOST_BYTES

NAME = "training.lock"
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What a file system without locks answers."""


class Hold:
    """A run that this process alone is training.

    Parameters
    ----------
    folder : Path
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = _identity_of(folder)

    def require_there(self) -> None:
        """Check that the folder is where it was when the training began.

        Raises
        ------
        RunError
            If it was deleted, or renamed.
        """
        if _identity_of(self._folder) == self._identity:
            return
        what = "is another folder now" if self._folder.exists() else "is gone"
        raise RunError(
            f"{self._folder} {what}: it was deleted or renamed during the training, which ends here; put the "
            "folder back and resume from the last saved state (resume=True, or --resume)"
        )


@contextmanager
def only_training(folder: Path) -> Iterator[Hold]:
    """Keep other processes from training in a folder; what unfinished writes left there is removed.

    The lock is advisory and ends with the process, however that ends. Its file stays. On a file system
    without locks there is a warning in place of one.

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
        with suppress(OSError):  # a folder that is gone
            lock.release()


def _options() -> dict[str, Any]:
    """Return what keeps filelock from taking the mere existence of the file, which stays, for a lock.

    It does so on file systems without locks since it has this option; before that it raised an error there.
    """
    option = "fallback_to_soft"
    return {option: False} if option in inspect.signature(FileLock.__init__).parameters else {}


def _identity_of(folder: Path) -> bytes | None:
    """Return the bytes of ``run.json``, which differ between runs; None if it cannot be read.

    Inode numbers would not do: some file systems reuse them or make them up.
    """
    try:
        return read_bytes(folder / "run.json", most=MOST_BYTES)
    except RunError:
        return None
