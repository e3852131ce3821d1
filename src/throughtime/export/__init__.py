"""Trained models for other runtimes: ONNX."""

from throughtime.export._onnx import onnx as onnx
from throughtime.export._registered import onnx_translations as onnx_translations
