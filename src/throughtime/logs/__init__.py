"""Logs: from raw log files to the lines worth reading, without labels."""
