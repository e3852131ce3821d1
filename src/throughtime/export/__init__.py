"""Trained models for other runtimes: ONNX."""

from throughtime.export._onnx import onnx as onnx
