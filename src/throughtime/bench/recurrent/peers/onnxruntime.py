"""ONNX Runtime: inference of the standard operators."""

import onnxruntime
import torch

from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.bench.recurrent.peers._contender import Prepared, SkipCaseError
from throughtime.bench.recurrent.peers._onnx_model import inputs_of, onnx_model, tokens_of


class _OnnxRuntime:
    name = "onnxruntime"
    version = onnxruntime.__version__

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        """Return the case ready to run."""
        if mode == "training":
            raise SkipCaseError("ONNX Runtime's package for Python does not train")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(onnx_model(case), options, providers=["CPUExecutionProvider"])
        inputs = inputs_of(case)
        return Prepared(
            lambda: session.run(["Y"], inputs)[0], lambda y: (tokens_of(torch.from_numpy(y), case),)
        )


def contender(threads: int) -> _OnnxRuntime:
    """Return ONNX Runtime with so many threads, spinning as it does by default."""
    return _OnnxRuntime(threads)
