"""The part of clfusion's C interface that compare.py needs, through ctypes.  See include/clfusion for what each does."""
import ctypes as c
import json

import numpy as np

MAX_RANK = 6
F32, F16, BF16 = 1, 2, 3
DTYPES = {np.dtype(np.float32): F32, np.dtype(np.float16): F16}


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
NAME = c.CFUNCTYPE(c.c_char_p, c.c_void_p, c.c_size_t)
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

    def finish(self):
        self.check(self.lib.clf_stream_finish(self.stream, c.byref(self.error)))

    def tensor(self, dtype, dims):
        t = Tensor()
        self.check(self.lib.clf_tensor_create(self.context, dtype, shape_of(dims), c.byref(t), c.byref(self.error)))
        return t

    def free(self, t):
        self.lib.clf_tensor_free(self.context, c.byref(t))

    def close(self):
        self.lib.clf_stream_destroy(self.stream)
        self.lib.clf_context_destroy(self.context)


class Connector:
    """A connector from numpy arrays, its input and output in device memory."""

    def __init__(self, library, config, weights, vision, family=None, storage=0):
        self.library, lib = library, library.lib
        names = [name.encode() for name in weights]
        arrays = {name.encode(): np.ascontiguousarray(array) for name, array in weights.items()}

        def find(_, name, tensor, __):
            array = arrays.get(name)
            tensor[0] = HostTensor() if array is None else HostTensor(
                array.ctypes.data, DTYPES[array.dtype], array.ndim, (c.c_int64 * MAX_RANK)(*array.shape))
            return 0

        source = Source(None, b"compare", COUNT(lambda _: len(names)), NAME(lambda _, i: names[i]), FIND(find), None)
        text = json.dumps(config).encode()
        options = ConnectorOptions(struct_size=c.sizeof(ConnectorOptions), family=family.encode() if family else None,
                                   storage=storage)
        self.handle = c.c_void_p()
        library.check(lib.clf_connector_create(library.context, c.byref(source), text, c.c_size_t(len(text)),
                                               c.byref(options), c.byref(self.handle), c.byref(library.error)))

        self.vision = library.tensor(F32, vision.shape)
        lib.clf_upload(library.stream, vision.ctypes.data, self.vision)
        library.finish()
        self.input = Value(b"vision", self.vision, None)
        self.output = Value(b"tokens", Tensor(), None)
        library.check(lib.clf_connector_plan(self.handle, c.byref(self.input), c.c_size_t(1), c.byref(self.output),
                                             c.c_size_t(1), c.byref(library.error)))
        planned = self.output.tensor
        self.shape = tuple(planned.dim[:planned.rank])
        self.output.tensor = self.tokens = library.tensor(planned.dtype, self.shape)
        self.one = c.c_size_t(1)

    def run(self):
        lib = self.library.lib
        lib.clf_connector_enqueue(self.library.stream, self.handle, c.byref(self.input), self.one,
                                  c.byref(self.output), self.one)
        self.library.finish()

    def result(self):
        values = np.empty(self.shape, np.float32)
        self.library.lib.clf_download(self.library.stream, self.tokens, values.ctypes.data)
        self.library.finish()
        return values

    def flop(self):
        return self.library.lib.clf_connector_flop(self.handle, c.byref(self.input), self.one, c.byref(self.output),
                                                   self.one)

    def close(self):
        self.library.free(self.vision)
        self.library.free(self.tokens)
        self.library.lib.clf_connector_destroy(self.handle)
