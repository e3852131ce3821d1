"""Layers with int8 weights for inference; `quantize` puts them in the place of a model's layers."""

from throughtime.quantized._conv1d import QuantizedConv1d as QuantizedConv1d
from throughtime.quantized._embedding import QuantizedEmbedding as QuantizedEmbedding
from throughtime.quantized._linear import QuantizedLinear as QuantizedLinear
from throughtime.quantized._linear import QuantizedReadout as QuantizedReadout
from throughtime.quantized._quantize import quantize as quantize
from throughtime.quantized._recurrent import QuantizedRecurrent as QuantizedRecurrent
