"""Run records in, one self-contained HTML page out."""

from throughtime.report._content import Curve as Curve
from throughtime.report._content import Example as Example
from throughtime.report._content import ModelRow as ModelRow
from throughtime.report._content import ReportContent as ReportContent
from throughtime.report._diagnosis_page import render_diagnoses as render_diagnoses
from throughtime.report._diagnosis_page import write_diagnoses as write_diagnoses
from throughtime.report._page import render as render
from throughtime.report._page import write_report as write_report
