"""Script that writes columns of a Parquet or Arrow file to standard output as an Arrow stream.

`throughtime.data.unpacking` runs it in a subprocess with limited memory. The metadata of a file may state
fewer bytes than its pages unpack to, and some encodings repeat earlier values, so only the operating system
can limit the memory used. If Arrow aborts, as it may on a damaged file, only the subprocess ends.

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


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type that stores each value in full, without dictionaries, views of text and extensions."""
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return plain_type(type_.storage_type)
    if types.is_dictionary(type_):
        return plain_type(type_.value_type)
    if types.is_string_view(type_):
        return pa.large_string()
    return _plain_list(type_)


def _plain_list(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_fixed_size_list(type_):
        return pa.list_(plain_type(type_.value_type), type_.list_size)
    if types.is_large_list(type_):
        return pa.large_list(plain_type(type_.value_type))
    return pa.list_(plain_type(type_.value_type)) if types.is_list(type_) else type_


def plain_table(table: pa.Table) -> pa.Table:
    """Convert each column to its `plain_type`."""
    columns = [_plain(column) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    target = plain_type(column.type)
    return pa.chunked_array([_castable(chunk).cast(target) for chunk in column.chunks], target)


def _castable(array: pa.Array) -> pa.Array:
    """Return an array that Arrow can cast to its plain type: not an extension, no dictionary of views."""
    if isinstance(array, pa.ExtensionArray):
        return _castable(array.storage)
    if isinstance(array, pa.DictionaryArray):
        values = _castable(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, values.cast(plain_type(values.type)))
    return array


def _limit_memory(additional: int) -> None:
    """Limit the memory of the process to its current use plus ``additional`` bytes (on Linux)."""
    if sys.platform != "linux":
        return
    used = int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + additional
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _read(path: str, columns: Sequence[str]) -> pa.Table:
    if path.lower().endswith(".parquet"):
        with pyarrow.parquet.ParquetFile(path) as file:
            return file.read(columns=list(columns), use_threads=False)
    pa.set_cpu_count(1)
    with pa.OSFile(path) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        return reader.read_all().select(list(columns))


def main(path: str, columns: str, memory: str) -> int:
    """Write the columns; return the exit status.

    ``columns`` is a JSON list of names, ``memory`` is the number of bytes that it may allocate.
    """
    pa.set_io_thread_count(1)  # each thread takes memory
    _limit_memory(int(memory))
    try:
        table = plain_table(_read(path, json.loads(columns)))
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
