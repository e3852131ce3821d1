"""OpenVINO: inference of the same ONNX models."""

import openvino
import torch

from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.bench.recurrent.peers._contender import Prepared, SkipCaseError
from throughtime.bench.recurrent.peers._onnx_model import inputs_of, onnx_model, tokens_of


class _OpenVino:
    name = "openvino"
    version = openvino.__version__

    def __init__(self, threads: int) -> None:
        self.core = openvino.Core()
        # OpenVINO may compute in bfloat16 where the processor can; all other libraries compute in float32.
        self.options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        """Return the case ready to run."""
        if mode == "training":
            raise SkipCaseError("OpenVINO does not train")
        model = self.core.read_model(onnx_model(case))
        compiled = self.core.compile_model(model, "CPU", self.options)
        request, inputs = compiled.create_infer_request(), inputs_of(case)

        def infer() -> object:
            return request.infer(inputs, share_inputs=True, share_outputs=True)[0]

        return Prepared(infer, lambda y: (tokens_of(torch.from_numpy(y.copy()), case),))


def contender(threads: int) -> _OpenVino:
    """Return OpenVINO's CPU device with so many threads."""
    return _OpenVino(threads)
