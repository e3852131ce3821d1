def check_offsets(address: int, count: int, total: int) -> tuple[int, int, int]:
    """Return (fault, index, longest) of ``count`` int64 offsets at ``address``."""
