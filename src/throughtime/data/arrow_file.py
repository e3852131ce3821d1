"""Reader of Arrow files (.arrow, .feather), IPC files or streams, read into memory or memory-mapped."""

import itertools
from pathlib import Path

import pyarrow as pa

from throughtime._options import named
from throughtime.data._unpack import plain_type
from throughtime.data.columns import ARROW_ERRORS, require_columns, require_valid, short
from throughtime.data.files import LARGEST, size_of
from throughtime.data.read_options import ReadOptions
from throughtime.data.table import Table
from throughtime.data.unpacking import unpack
from throughtime.errors import DataError

_FILE = b"ARROW1"


def read_arrow(path: Path, options: ReadOptions) -> Table:
    """Read an Arrow file into memory, or map it if ``memory_map`` is set.

    A mapped file may be larger than memory: its pages are read when they are used, and once to check offsets
    and texts. It must not be changed while it is in use. Compressed files are not mapped.
    """
    size = size_of(path)
    if not options.memory_map and size > LARGEST:
        raise DataError(
            f"{path} has {size / 2**30:.1f} GiB; files of 2 GiB or more are not read into memory; pass "
            f"{named('memory_map', value=True)}"
        )
    try:
        return Table(
            _mapped(path, size, options) if options.memory_map else _read(path, size, options), str(path)
        )
    except DataError:
        raise
    except (*ARROW_ERRORS, LookupError) as error:
        reason = short(str(error)) or type(error).__name__
        raise DataError(f"{path} cannot be read as an Arrow file: {reason}; write it again") from error


def _read(path: Path, size: int, options: ReadOptions) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        names = _reader(source).schema.names
    columns = names if options.columns is None else options.columns
    require_columns(path, columns, names)
    return require_valid(unpack(path, columns, size), path)


def _mapped(path: Path, size: int, options: ReadOptions) -> pa.Table:
    source = pa.memory_map(str(path))
    whole = source.read_buffer(size)
    source.seek(0)
    _require_uncompressed(_reader(source), whole, path)
    source.seek(0)
    table = _reader(source).read_all()
    if options.columns is not None:
        require_columns(path, options.columns, table.column_names)
        table = table.select(list(options.columns))
    return _without_dictionaries(require_valid(table, path))


def _reader(source: pa.NativeFile) -> "pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader":
    is_file = source.read(len(_FILE)) == _FILE
    source.seek(0)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _require_uncompressed(
    reader: "pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader", whole: pa.Buffer, path: Path
) -> None:
    """Look at the buffers of the first batch: those of a compressed file are not within it."""
    batches = (
        (reader.get_batch(i) for i in range(reader.num_record_batches))
        if isinstance(reader, pa.ipc.RecordBatchFileReader)
        else reader
    )
    for batch in itertools.islice(batches, 1):
        for column in batch.columns:
            for buffer in column.buffers():
                if buffer is not None and buffer.size and not _is_within(buffer, whole):
                    raise DataError(
                        f"{path} is compressed, so it cannot be mapped into memory; write it without "
                        f"compression, or leave out {named('memory_map')}"
                    )


def _is_within(buffer: pa.Buffer, whole: pa.Buffer) -> bool:
    start = int(buffer.address) - int(whole.address)
    return 0 <= start <= int(whole.size)


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Decode dictionary columns, such as classes; nested ones stay: they may be larger than memory."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(number)
            column.validate(full=True)
            table = table.set_column(number, field.name, column.cast(plain_type(field.type)))
    return table
