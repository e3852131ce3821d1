"""Estimators in scikit-learn's conventions, which train as `throughtime.fit` does."""

from throughtime.estimators._anomaly_detector import SequenceAnomalyDetector as SequenceAnomalyDetector
from throughtime.estimators._classifier import SequenceClassifier as SequenceClassifier
from throughtime.estimators._regressor import SequenceRegressor as SequenceRegressor
from throughtime.estimators._tagger import SequenceTagger as SequenceTagger
