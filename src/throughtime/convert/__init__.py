"""Swap the layers of a model, and convert recurrent layers to and from torch, Keras and ONNX."""

from throughtime.convert._keras import from_keras as from_keras
from throughtime.convert._keras import to_keras as to_keras
from throughtime.convert._onnx import OnnxOperator as OnnxOperator
from throughtime.convert._onnx import from_onnx as from_onnx
from throughtime.convert._onnx import to_onnx as to_onnx
from throughtime.convert._swap import swap_ as swap_
from throughtime.convert._swap import unswap_ as unswap_
from throughtime.convert._swap_report import KeptLayer as KeptLayer
from throughtime.convert._swap_report import SwappedLayer as SwappedLayer
from throughtime.convert._swap_report import SwapReport as SwapReport
from throughtime.convert._torch import from_torch as from_torch
from throughtime.convert._torch import to_torch as to_torch
from throughtime.convert._update import with_update as with_update
