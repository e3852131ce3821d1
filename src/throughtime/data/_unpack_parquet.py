"""Script that writes columns of a Parquet file to standard output as an Arrow stream, with limited memory.

`throughtime.data.parquet` runs it in a subprocess. The metadata of a Parquet file may state fewer bytes than
its pages unpack to, and some encodings repeat earlier values, so only the operating system can limit the
memory used. If Arrow aborts, as it may on a damaged file, only the subprocess ends.

The script imports nothing from throughtime, because that takes ten times as long as reading most files.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

if sys.platform == "linux":
    import resource

ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Environment variables for the subprocess: Arrow's other memory pools reserve memory in advance."""

TOO_LARGE = 3
"""Exit status if the columns do not fit into memory."""

_UNREADABLE = 4


def _limit_memory(additional: int) -> None:
    """Limit the memory of the process to its current use plus ``additional`` bytes (on Linux)."""
    if sys.platform != "linux":
        return
    used = int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + additional
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _read(path: str, columns: Sequence[str], dictionaries: Sequence[str]) -> pa.Table:
    with pyarrow.parquet.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
        return file.read(columns=list(columns), use_threads=False)


def main(path: str, columns: str, texts: str, memory: str) -> int:
    """Write the columns, with ``texts`` as dictionary columns if possible; return the exit status.

    ``columns`` and ``texts`` are JSON lists of names, ``memory`` is the number of bytes that it may allocate.
    """
    pa.set_io_thread_count(1)  # each thread takes memory
    _limit_memory(int(memory))
    try:
        try:
            # In a dictionary column a repeated string is stored once, as in the file.
            table = _read(path, json.loads(columns), json.loads(texts))
        except (NotImplementedError, OSError) as error:  # for encodings by common prefixes
            if "Not yet implemented" not in str(error):
                raise
            table = _read(path, json.loads(columns), ())
        with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, "w"), table.schema) as stream:
            stream.write_table(table)
        sys.stdout.buffer.flush()
    except MemoryError:
        return TOO_LARGE
    except BrokenPipeError:
        sys.stderr.close()  # the parent process stopped reading
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        sys.stderr.write(str(error)[:1000])
        return _UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
