"""HTML reports: one self-contained page for a training, a comparison, diagnoses, a benchmark, or the demo."""

from throughtime.report._benchmark_page import RatioPanel as RatioPanel
from throughtime.report._benchmark_page import RatioPoint as RatioPoint
from throughtime.report._benchmark_page import TimeCurve as TimeCurve
from throughtime.report._benchmark_page import TimePanel as TimePanel
from throughtime.report._benchmark_page import write_benchmark as write_benchmark
from throughtime.report._comparison_page import render_comparison as render_comparison
from throughtime.report._comparison_page import write_comparison as write_comparison
from throughtime.report._content import Curve as Curve
from throughtime.report._content import Example as Example
from throughtime.report._content import ModelRow as ModelRow
from throughtime.report._content import ReportContent as ReportContent
from throughtime.report._curves import curve_of as curve_of
from throughtime.report._diagnosis_page import render_diagnoses as render_diagnoses
from throughtime.report._diagnosis_page import write_diagnoses as write_diagnoses
from throughtime.report._page import render as render
from throughtime.report._page import write_report as write_report
from throughtime.report._run_diagnosis import BagOfWordsScore as BagOfWordsScore
from throughtime.report._run_diagnosis import ClassifierQuality as ClassifierQuality
from throughtime.report._run_diagnosis import NextStepQuality as NextStepQuality
from throughtime.report._run_diagnosis import RunDiagnosis as RunDiagnosis
from throughtime.report._run_page import render_run_report as render_run_report
from throughtime.report._run_page import write_run_report as write_run_report
from throughtime.report._titles import model_title as model_title
from throughtime.report._titles import run_names as run_names
