"""Trained models for other runtimes: ONNX."""

from throughtime.export._int8 import onnx_int8 as onnx_int8
from throughtime.export._onnx import onnx as onnx
from throughtime.export._packed_sequences import packed_sequences as packed_sequences
from throughtime.export._registered import onnx_translations as onnx_translations
from throughtime.export._stream_state import stream_state as stream_state
