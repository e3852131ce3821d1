"""The main job on the data that every installation has: train, compare, report, review files."""

from throughtime.demo.job import DemoPlan as DemoPlan
from throughtime.demo.job import run_demo as run_demo
from throughtime.demo.review import TASK as TASK
from throughtime.demo.review import Finding as Finding
from throughtime.demo.review import review as review
from throughtime.demo.review import sites_of as sites_of
