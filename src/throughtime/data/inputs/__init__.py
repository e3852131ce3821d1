"""Inputs: what is learned from training rows to turn rows of a table into what a model reads."""

from throughtime.data.inputs.bpe import BytePairOptions as BytePairOptions
from throughtime.data.inputs.characters import CharacterOptions as CharacterOptions
from throughtime.data.inputs.interface import InputOptions as InputOptions
from throughtime.data.inputs.interface import Inputs as Inputs
from throughtime.data.inputs.interface import InputShape as InputShape
from throughtime.data.inputs.kinds import input_options as input_options
from throughtime.data.inputs.kinds import read_inputs as read_inputs
from throughtime.data.inputs.lengths import LengthLimit as LengthLimit
from throughtime.data.inputs.lengths import windows as windows
from throughtime.data.inputs.numeric import NumericColumns as NumericColumns
from throughtime.data.inputs.numeric import NumericOptions as NumericOptions
from throughtime.data.inputs.own_tokenizer import TokenizerOptions as TokenizerOptions
from throughtime.data.inputs.series import SeriesInputs as SeriesInputs
from throughtime.data.inputs.series import SeriesOptions as SeriesOptions
from throughtime.data.inputs.text import TextInputs as TextInputs
from throughtime.data.inputs.tokens import TokenInputs as TokenInputs
from throughtime.data.inputs.tokens import TokenOptions as TokenOptions
from throughtime.data.inputs.words import WordOptions as WordOptions
