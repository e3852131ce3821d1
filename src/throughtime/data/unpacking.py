"""Reading of columns of Parquet and Arrow files in a subprocess with limited memory, see `_unpack`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from throughtime.data import _unpack
from throughtime.data.files import LARGEST, most_unpacked
from throughtime.errors import DataError

_OVERHEAD = 2**25
"""Memory in bytes that unpacking may use in addition to the unpacked data."""

_CHUNK_SIZE = 2**20


def unpack(path: Path, columns: Sequence[str], size: int) -> pa.Table:
    """Return columns of a Parquet or Arrow file of ``size`` bytes, without dictionaries and views.

    Raises
    ------
    DataError
        If they exceed `most_unpacked`.
    OSError
        If the subprocess fails.
    pyarrow.ArrowException
        If the content is invalid, such as texts that are not UTF-8.
    """
    most = most_unpacked(size)
    table = _in_subprocess(path, columns, 2 * most + _OVERHEAD, too_large(path, most))
    table.validate()
    if max(table.nbytes, table.num_rows) > most:
        raise too_large(path, most)
    return table


def too_large(path: Path, most: int) -> DataError:
    """Return the error for a file that exceeds its limit of ``most`` unpacked bytes."""
    limit = "2 GiB, the limit" if most >= LARGEST else "100 times its size, the limit for compressed tables"
    return DataError(f"{path} unpacks to more than {limit}; convert it to CSV")


def _in_subprocess(path: Path, columns: Sequence[str], memory: int, excess: DataError) -> pa.Table:
    if not sys.executable:
        raise DataError(
            f"{path} cannot be read: Parquet and Arrow files are read in a subprocess, but sys.executable, "
            "the path of the Python interpreter, is empty; convert the file to CSV"
        )
    command = [
        *(sys.executable, "-P", _unpack.__file__),
        *(os.fspath(path.absolute()), json.dumps(list(columns)), str(memory)),
    ]
    environment = {
        **os.environ,
        **_unpack.ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": "utf-8:replace",
    }
    with subprocess.Popen(  # noqa: S603 - a script of this package
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise OSError("the subprocess that reads it has no output")
        stream = bytearray()
        while chunk := process.stdout.read(_CHUNK_SIZE):
            stream += chunk
            if len(stream) > memory:
                process.kill()
                raise excess
        message = process.stderr.read().decode(errors="replace")
    if process.returncode == _unpack.TOO_LARGE:
        raise excess
    if process.returncode:
        raise OSError(message.strip() or _exit_reason(process.returncode))
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()


def _exit_reason(status: int) -> str:
    try:
        return f"the subprocess ended with {signal.Signals(-status).name}"
    except ValueError:
        return f"the subprocess ended with status {status}"
