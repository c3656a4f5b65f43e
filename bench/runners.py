"""What runs a case: clfusion and its peers.  A runner has run(), which ends when the result is there, result(), a list
of arrays in the order of the case's outputs, and close().

All get the same weights in f32 (clfusion can keep them in f16 or bf16) and the same inputs in memory, and prepare as
much as they can before the first call: peers pack or copy weights as their authors think best.
"""
import copy
import os
import tempfile
import warnings
from pathlib import Path

import torch
import torch._inductor.config as inductor

import clf

STORAGES = {"f32": clf.F32, "f16": clf.F16, "bf16": clf.BF16}
STORAGE_BYTES = {"f32": 4, "f16": 2, "bf16": 2}
TORCH_TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def storage_of(case, name, settings):
    """The type of a runner's weights."""
    return case.storage or (settings.weights if name == "clfusion" else "f32")


class Export:
    """The case as an ONNX file, made when it is first asked for; it and its folder live until close()."""

    def __init__(self, case):
        self.case, self.folder, self.failure = case, None, None

    def path(self):
        if self.failure:
            raise self.failure
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory()
            try:
                self.write(self.file())
            except Exception as error:
                self.failure = RuntimeError("torch.onnx.export: " + first_line(error))
                raise self.failure from error
        return self.file()

    def file(self):
        return os.path.join(self.folder.name, "case.onnx")

    def write(self, path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(self.case.module, self.case.arguments(), path, input_names=list(self.case.inputs),
                              output_names=list(self.case.outputs), opset_version=20, dynamo=True, verbose=False)

    def close(self):
        if self.folder:
            self.folder.cleanup()


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class TorchRunner:
    def __init__(self, case, export, settings):
        torch.set_num_threads(settings.threads)
        self.call, self.inputs, self.y = case.module, case.arguments(), None
        if case.storage:
            dtype = TORCH_TYPES[case.storage]
            self.call, self.inputs = copy.deepcopy(case.module).to(dtype), case.arguments(dtype)

    def run(self):
        with torch.inference_mode():
            self.y = self.call(*self.inputs)

    def result(self):
        ys = self.y if isinstance(self.y, tuple) else (self.y,)
        return [(y.float() if y.is_floating_point() else y).numpy() for y in ys]

    def close(self):
        self.call = self.inputs = self.y = None


class CompileRunner(TorchRunner):
    """torch.compile with its CPU backend, which needs a C++ compiler, and with frozen weights, which it packs.  With
    max_autotune, too, LLaVA-1.5's MLP took the same time on the machine of docs/performance.md."""

    def __init__(self, case, export, settings):
        super().__init__(case, export, settings)
        inductor.compile_threads = 1  # no pool of compiling processes that stay
        torch._dynamo.reset()
        self.call = torch.compile(self.call, fullgraph=True)
        with inductor.patch(freezing=True):
            self.run()

    def close(self):
        super().close()
        torch._dynamo.reset()


class OnnxRuntimeRunner:
    def __init__(self, case, export, settings):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
        self.session = ort.InferenceSession(export.path(), options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        for name, array in case.inputs.items():
            self.binding.bind_cpu_input(name, array)
        for name in case.outputs:
            self.binding.bind_output(name, "cpu")

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        return self.binding.copy_outputs_to_cpu()

    def close(self):
        self.session = self.binding = None


class OpenVinoRunner:
    def __init__(self, case, export, settings):
        import openvino as ov
        core = ov.Core()
        compiled = core.compile_model(core.read_model(export.path()), "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": settings.threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY"})
        self.request, self.count = compiled.create_infer_request(), len(case.outputs)
        for name, array in case.inputs.items():
            self.request.set_tensor(name, ov.Tensor(array, shared_memory=True))

    def run(self):
        self.request.infer()

    def result(self):
        return [self.request.get_output_tensor(i).data.copy() for i in range(self.count)]

    def close(self):
        self.request = None


class ClfusionRunner:
    library = None  # one context for all cases of a process

    def __init__(self, case, export, settings):
        if ClfusionRunner.library is None:
            ClfusionRunner.library = clf.Library(str(Path(settings.build) / "libclfusion.so"), settings.device)
        connect = case.connect or clf.Connector.of_case
        self.module = connect(self.library, case, STORAGES[storage_of(case, "clfusion", settings)])
        self.run, self.result, self.close = self.module.run, self.module.result, self.module.close

    def launches(self):
        """Kernels of one call; None where the library does not count or the module has queues of its own."""
        before = self.library.launches()
        self.run()
        return (self.library.launches() - before or None) if before is not None else None

    def flop(self, formula):
        """What a call computes: the formula's operations, or fewer where the module has a form that takes fewer."""
        return min(formula, self.module.flop()) if isinstance(self.module, clf.Connector) else formula


RUNNERS = {"clfusion": ClfusionRunner, "torch": TorchRunner, "compile": CompileRunner,
           "onnxruntime": OnnxRuntimeRunner, "openvino": OpenVinoRunner}
