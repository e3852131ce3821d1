"""Columns of a Parquet file written to standard output as an Arrow stream, in a process with little memory.

`throughtime.data.parquet` runs this file. A Parquet file's description may state less than its pages unpack
to, and some encodings repeat what stands before them, so that only the system can bound the memory that
reading takes. And where Arrow aborts, as it may on a damaged file, only this process ends.

Nothing of throughtime is imported, as its imports would take ten times as long as reading most files.
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
"""What the process has to be given: Arrow's other pools take memory in advance."""

TOO_LARGE = 3
"""The exit status if the columns do not fit into memory."""

_UNREADABLE = 4


def _limit_memory(more: int) -> None:
    """Let the process take so many bytes more than it has, where the system can bound them all."""
    if sys.platform != "linux":
        return
    now = int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = now + more if hard == resource.RLIM_INFINITY else min(now + more, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _read(path: str, columns: Sequence[str], dictionaries: Sequence[str]) -> pa.Table:
    with pyarrow.parquet.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
        return file.read(columns=list(columns), use_threads=False)


def main(path: str, columns: str, texts: str, memory: str) -> int:
    """Write the columns, those of ``texts`` as dictionaries if possible; return the exit status.

    ``columns`` and ``texts`` are JSON lists of names, ``memory`` is the number of bytes that this may take.
    """
    pa.set_io_thread_count(1)  # a thread takes memory, too
    _limit_memory(int(memory))
    try:
        try:
            # As a dictionary a repeated string takes no more memory than in the file.
            table = _read(path, json.loads(columns), json.loads(texts))
        except (NotImplementedError, OSError) as error:  # of encodings by what texts have in common
            if "Not yet implemented" not in str(error):
                raise
            table = _read(path, json.loads(columns), ())
        with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, "w"), table.schema) as stream:
            stream.write_table(table)
        sys.stdout.buffer.flush()
    except MemoryError:
        return TOO_LARGE
    except BrokenPipeError:
        sys.stderr.close()  # whoever asked wants no more
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        sys.stderr.write(str(error)[:1000])
        return _UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
