"""A small web shop, its tests, and a fault: its log is scanned by the demo. Standard library alone.

`service` is the shop, which writes a log as services do, `scenarios` are its tests, `suite` runs them and
keeps the log, `scan` trains on logs of correct runs and scans that of a run with the fault.
"""
