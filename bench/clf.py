"""The part of clfusion's C interface that the benchmarks need, through ctypes.  include/clfusion describes all."""
import ctypes as c
import json

import numpy as np

MAX_RANK = 6
F32, F16, BF16, I32, I64 = 1, 2, 3, 9, 11
DTYPES = {np.dtype(np.float32): F32, np.dtype(np.float16): F16, np.dtype(np.int32): I32, np.dtype(np.int64): I64}
NUMPY = {code: dtype for dtype, code in DTYPES.items()}


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("line", c.c_int), ("file", c.c_char_p), ("message", c.c_char * 1500)]


class Tensor(c.Structure):
    _fields_ = [("mem", c.c_void_p), ("offset", c.c_uint64), ("dtype", c.c_int), ("rank", c.c_int32),
                ("dim", c.c_int64 * MAX_RANK), ("stride", c.c_int64 * MAX_RANK)]


class Dims(c.Structure):
    _fields_ = [("rank", c.c_int32), ("dim", c.c_int64 * MAX_RANK)]


class HostTensor(c.Structure):
    _fields_ = [("data", c.c_void_p), ("dtype", c.c_int), ("rank", c.c_int32), ("dim", c.c_int64 * MAX_RANK)]


class Value(c.Structure):
    _fields_ = [("name", c.c_char_p), ("tensor", Tensor), ("host", c.c_void_p)]


COUNT = c.CFUNCTYPE(c.c_size_t, c.c_void_p)
NAME = c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_size_t)  # an address: ctypes would leak text
FIND = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.POINTER(HostTensor), c.POINTER(Error))


class Source(c.Structure):
    _fields_ = [("self", c.c_void_p), ("label", c.c_char_p), ("count", COUNT), ("name", NAME), ("find", FIND),
                ("done", c.c_void_p)]


class ContextDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("device", c.c_char_p), ("gemm", c.c_int), ("kernels", c.c_int),
                ("cache_dir", c.c_char_p), ("cl_context", c.c_void_p), ("cl_device", c.c_void_p)]


class ConnectorOptions(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("family", c.c_char_p), ("storage", c.c_int),
                ("sets", c.POINTER(c.c_char_p)), ("set_count", c.c_size_t)]


# The first fields of clf_device_info; the rest is not read.
class DeviceInfo(c.Structure):
    _fields_ = [("platform", c.c_int), ("device", c.c_int), ("kind", c.c_int), ("platform_name", c.c_char * 128),
                ("name", c.c_char * 128), ("vendor", c.c_char * 128), ("version", c.c_char * 128),
                ("driver", c.c_char * 128)]


def shape_of(dims):
    return Dims(len(dims), (c.c_int64 * MAX_RANK)(*dims))


class Library:
    """A loaded library with one context and one stream."""

    def __init__(self, path, device=None, gemm=0):
        self.lib = c.CDLL(path)
        self.error = Error()
        self.lib.clf_context_device.restype = c.POINTER(DeviceInfo)
        self.lib.clf_context_gemm.restype = c.c_char_p
        self.lib.clf_version.restype = c.c_char_p
        self.lib.clf_connector_flop.restype = c.c_uint64
        self.lib.clf_tensor_shape.restype = Tensor
        self.lib.clf_tensor_shape.argtypes = [c.c_int, Dims]
        self.lib.clf_tensor_create.argtypes = [c.c_void_p, c.c_int, Dims, c.POINTER(Tensor), c.POINTER(Error)]
        for name in ("clf_upload", "clf_download"):
            getattr(self.lib, name).restype = None
        self.lib.clf_upload.argtypes = [c.c_void_p, c.c_void_p, Tensor]
        self.lib.clf_download.argtypes = [c.c_void_p, Tensor, c.c_void_p]
        if hasattr(self.lib, "clf_stream_launches"):  # not in older builds
            self.lib.clf_stream_launches.restype = c.c_uint64
            self.lib.clf_stream_launches.argtypes = [c.c_void_p, c.c_void_p]

        desc = ContextDesc(struct_size=c.sizeof(ContextDesc), device=device.encode() if device else None, gemm=gemm)
        self.context, self.stream = c.c_void_p(), c.c_void_p()
        self.check(self.lib.clf_context_create(c.byref(desc), c.byref(self.context), c.byref(self.error)))
        self.check(self.lib.clf_stream_create(self.context, None, c.byref(self.stream), c.byref(self.error)))

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.error.message.decode())

    def describe(self):
        info = self.lib.clf_context_device(self.context).contents
        return {"version": self.lib.clf_version().decode(), "device": info.name.decode(),
                "platform": info.platform_name.decode(), "driver": info.driver.decode(),
                "gemm": self.lib.clf_context_gemm(self.context).decode()}

    def launches(self):
        """Kernels enqueued so far; None where the library does not count."""
        count = getattr(self.lib, "clf_stream_launches", None)
        return count(self.stream, None) if count else None

    def finish(self):
        self.check(self.lib.clf_stream_finish(self.stream, c.byref(self.error)))

    def tensor(self, dtype, dims):
        t = Tensor()
        self.check(self.lib.clf_tensor_create(self.context, dtype, shape_of(dims), c.byref(t), c.byref(self.error)))
        return t

    def upload(self, array):
        """Enqueued: finish() before the array goes."""
        tensor = self.tensor(DTYPES[array.dtype], array.shape)
        self.lib.clf_upload(self.stream, array.ctypes.data, tensor)
        return tensor

    def download(self, tensor):
        values = np.empty(tuple(tensor.dim[:tensor.rank]), NUMPY[tensor.dtype])
        self.lib.clf_download(self.stream, tensor, values.ctypes.data)
        self.finish()
        return values

    def free(self, t):
        self.lib.clf_tensor_free(self.context, c.byref(t))

    def close(self):
        self.lib.clf_stream_destroy(self.stream)
        self.lib.clf_context_destroy(self.context)


def host_tensor(array):
    """None is an absent tensor.  The caller keeps the array."""
    if array is None:
        return HostTensor()
    return HostTensor(array.ctypes.data, DTYPES[array.dtype], array.ndim, (c.c_int64 * MAX_RANK)(*array.shape))


class Connector:
    """A connector from numpy arrays; floating-point inputs and the outputs in device memory, ids in host memory."""

    def __init__(self, library, config, weights, inputs, outputs=("tokens",), family=None, storage=0):
        self.library, lib = library, library.lib
        names = [c.create_string_buffer(name.encode()) for name in weights]
        arrays = {name.encode(): np.ascontiguousarray(array) for name, array in weights.items()}

        def find(_, name, tensor, __):
            tensor[0] = host_tensor(arrays.get(name))
            return 0

        source = Source(None, b"compare", COUNT(lambda _: len(names)), NAME(lambda _, i: c.addressof(names[i])),
                        FIND(find), None)
        text = json.dumps(config).encode()
        options = ConnectorOptions(struct_size=c.sizeof(ConnectorOptions), family=family.encode() if family else None,
                                   storage=storage)
        self.handle = c.c_void_p()
        library.check(lib.clf_connector_create(library.context, c.byref(source), text, c.c_size_t(len(text)),
                                               c.byref(options), c.byref(self.handle), c.byref(library.error)))

        self.owned, self.kept = [], []
        self.inputs = (Value * len(inputs))(*(self.input(name, array) for name, array in inputs.items()))
        self.outputs = (Value * len(outputs))(*(Value(name.encode(), Tensor(), None) for name in outputs))
        self.counts = c.c_size_t(len(inputs)), c.c_size_t(len(outputs))
        library.finish()
        library.check(lib.clf_connector_plan(self.handle, self.inputs, self.counts[0], self.outputs, self.counts[1],
                                             c.byref(library.error)))
        for output in self.outputs:
            planned = output.tensor
            output.tensor = library.tensor(planned.dtype, planned.dim[:planned.rank])
            self.owned.append(output.tensor)

    @staticmethod
    def of_case(library, case, storage):
        return Connector(library, case.config, case.weights(), case.inputs | case.extra, case.outputs, case.family,
                         storage)

    def input(self, name, array):
        array = np.ascontiguousarray(array)
        self.kept.append(array)
        dtype = DTYPES[array.dtype]
        if array.dtype.kind != "f":
            return Value(name.encode(), self.library.lib.clf_tensor_shape(dtype, shape_of(array.shape)),
                         array.ctypes.data)
        tensor = self.library.upload(array)
        self.owned.append(tensor)
        return Value(name.encode(), tensor, None)

    def run(self):
        self.library.lib.clf_connector_enqueue(self.library.stream, self.handle, self.inputs, self.counts[0],
                                               self.outputs, self.counts[1])
        self.library.finish()

    def flop(self):
        """What a call computes, which may be less than the reference's formula takes."""
        return self.library.lib.clf_connector_flop(self.handle, self.inputs, self.counts[0], self.outputs,
                                                   self.counts[1])

    def result(self):
        return [self.library.download(output.tensor) for output in self.outputs]

    def close(self):
        for tensor in self.owned:
            self.library.free(tensor)
        self.library.lib.clf_connector_destroy(self.handle)
