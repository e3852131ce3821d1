"""Named metrics of every kind of target, with intervals: values as in scikit-learn.

Undefined values follow one rule. A precision, recall or F1 whose denominator is 0 is 0, as in scikit-learn
with ``zero_division=0``. Every other undefined value is NaN: ROC AUC and average precision if a class has no
positive (for ROC AUC: or no negative) example, R² if the truth is constant. Macro averages of ROC AUC,
average precision and R² leave out classes, labels or targets for which these are undefined, and are NaN if
none is left. So the names of metrics do not depend on predictions, and a NaN is never the best of several
epochs (`Metric.improves`).
"""

from throughtime.tasks.metrics._anomaly import anomaly as anomaly
from throughtime.tasks.metrics._anomaly import anomaly_metrics as anomaly_metrics
from throughtime.tasks.metrics._classification import classification as classification
from throughtime.tasks.metrics._classification import classification_metrics as classification_metrics
from throughtime.tasks.metrics._classification import per_class_metrics as per_class_metrics
from throughtime.tasks.metrics._multilabel import multilabel as multilabel
from throughtime.tasks.metrics._multilabel import multilabel_metrics as multilabel_metrics
from throughtime.tasks.metrics._multilabel import per_label_metrics as per_label_metrics
from throughtime.tasks.metrics._names import METRICS as METRICS
from throughtime.tasks.metrics._names import Metric as Metric
from throughtime.tasks.metrics._names import require_metric as require_metric
from throughtime.tasks.metrics._regression import TargetMetrics as TargetMetrics
from throughtime.tasks.metrics._regression import per_target_metrics as per_target_metrics
from throughtime.tasks.metrics._regression import regression as regression
from throughtime.tasks.metrics._regression import regression_metrics as regression_metrics
from throughtime.tasks.metrics._rows import ClassMetrics as ClassMetrics
from throughtime.tasks.metrics._spans import Span as Span
from throughtime.tasks.metrics._spans import has_spans as has_spans
from throughtime.tasks.metrics._spans import spans_of as spans_of
from throughtime.tasks.metrics._tagging import per_span_metrics as per_span_metrics
from throughtime.tasks.metrics._tagging import per_tag_metrics as per_tag_metrics
from throughtime.tasks.metrics._tagging import tagging as tagging
from throughtime.tasks.metrics._tagging import tagging_metrics as tagging_metrics
