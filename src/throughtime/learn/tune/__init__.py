"""Hyper-parameter search with Optuna: `tune`. Optuna is imported when a search begins, not before."""

from throughtime.learn.tune.best import Tuned as Tuned
from throughtime.learn.tune.budget import checked_budget as checked_budget
from throughtime.learn.tune.printing import TrialPrinter as TrialPrinter
from throughtime.learn.tune.request import Request as Request
from throughtime.learn.tune.trials import Trial as Trial
from throughtime.learn.tune.tuning import require_optuna as require_optuna
from throughtime.learn.tune.tuning import search as search
from throughtime.learn.tune.tuning import tune as tune
