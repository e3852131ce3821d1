"""Simple models that networks are compared with: frequencies, linear models on features, bigrams."""

from throughtime.baselines.advice import advice as advice
from throughtime.baselines.advice import beats as beats
from throughtime.baselines.bag_of_words import BagOfWords as BagOfWords
from throughtime.baselines.bag_of_words import fit_bag_of_words as fit_bag_of_words
from throughtime.baselines.baseline import Baseline as Baseline
from throughtime.baselines.baseline import Fit as Fit
from throughtime.baselines.fit import Fitter as Fitter
from throughtime.baselines.fit import fit_baseline as fit_baseline
from throughtime.baselines.fit import fit_baselines as fit_baselines
from throughtime.baselines.solve import solve as solve
