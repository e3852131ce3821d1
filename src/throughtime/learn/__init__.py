"""From raw data to a trained model and its predictions; what the command line and the estimators share."""

from throughtime.learn.encoder import Encoder as Encoder
from throughtime.learn.fitting import Fitted as Fitted
from throughtime.learn.fitting import fit as fit
from throughtime.learn.fitting import fit_recipe as fit_recipe
from throughtime.learn.fitting import prepare as prepare
from throughtime.learn.predictor import Predictor as Predictor
from throughtime.learn.predictor import load as load
from throughtime.learn.prepared import Prepared as Prepared
from throughtime.learn.recipe import AUTO as AUTO
from throughtime.learn.recipe import Recipe as Recipe
