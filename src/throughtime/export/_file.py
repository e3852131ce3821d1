"""The file of a model."""

from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a file is there as a whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
