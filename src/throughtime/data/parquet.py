"""Reader of Parquet files, with a limit on their unpacked size, see `throughtime.data.unpacking`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from throughtime.data.columns import ARROW_ERRORS, require_columns, require_valid, short
from throughtime.data.files import LARGEST, most_unpacked, size_of
from throughtime.data.unpacking import too_large, unpack
from throughtime.errors import DataError


def read_parquet_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return columns of a Parquet file, all by default, as plain Arrow types without dictionaries.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing or not UTF-8, or the unpacked size exceeds
        `throughtime.data.files.most_unpacked`.
    """
    size = size_of(path)
    most = most_unpacked(size)
    if size > LARGEST:
        raise DataError(
            f"{path} has {size / 2**30:.1f} GiB; Parquet files of 2 GiB or more are not read; write it as an "
            "Arrow file and map that into memory"
        )
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        names = list(schema.names) if columns is None else columns
        require_columns(path, names, list(schema.names))
        # Column sizes are not read, because pyarrow ends the process if one is damaged.
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        if max(metadata.num_rows, sum(groups)) > most:
            raise too_large(path, most)
        return require_valid(unpack(path, names, size), path)
    except DataError:
        raise
    except (*ARROW_ERRORS, LookupError) as error:
        reason = short(str(error)) or type(error).__name__
        raise DataError(f"{path} cannot be read as Parquet: {reason}; write it again") from error
