"""The part of clfusion's C interface that compare.py needs, through ctypes.  See include/clfusion for what each does."""
import ctypes as c
import json

import numpy as np

MAX_RANK = 6
F32, F16, BF16, I32, I64 = 1, 2, 3, 9, 11
DTYPES = {np.dtype(np.float32): F32, np.dtype(np.float16): F16, np.dtype(np.int32): I32, np.dtype(np.int64): I64}


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

    def upload(self, array):
        """Enqueued: finish() before the array goes."""
        tensor = self.tensor(DTYPES[array.dtype], array.shape)
        self.lib.clf_upload(self.stream, array.ctypes.data, tensor)
        return tensor

    def download(self, tensor, shape):
        values = np.empty(shape, np.float32)
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
    """A connector from numpy arrays; floating-point inputs and the output in device memory, ids in host memory."""

    def __init__(self, library, config, weights, inputs, output="tokens", family=None, storage=0):
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

        self.owned, self.kept, self.one = [], [], c.c_size_t(1)
        self.inputs = (Value * len(inputs))(*(self.input(name, array) for name, array in inputs.items()))
        self.input_count = c.c_size_t(len(inputs))
        library.finish()
        self.output = Value(output.encode(), Tensor(), None)
        library.check(lib.clf_connector_plan(self.handle, self.inputs, self.input_count, c.byref(self.output),
                                             self.one, c.byref(library.error)))
        planned = self.output.tensor
        self.shape = tuple(planned.dim[:planned.rank])
        self.output.tensor = library.tensor(planned.dtype, self.shape)
        self.owned.append(self.output.tensor)

    @staticmethod
    def of_case(library, case, storage):
        return Connector(library, case.config, case.weights(), case.inputs | case.extra, case.output, case.family,
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
        self.library.lib.clf_connector_enqueue(self.library.stream, self.handle, self.inputs, self.input_count,
                                               c.byref(self.output), self.one)
        self.library.finish()

    def result(self):
        return self.library.download(self.output.tensor, self.shape)

    def close(self):
        for tensor in self.owned:
            self.library.free(tensor)
        self.library.lib.clf_connector_destroy(self.handle)


class NormDesc(c.Structure):
    _fields_ = [("kind", c.c_int), ("weight", HostTensor), ("bias", HostTensor), ("eps", c.c_float)]


class LinearLayer(c.Structure):
    _fields_ = [("weight", HostTensor), ("bias", HostTensor)]


class AttentionLayerDesc(c.Structure):
    _fields_ = [("norm", NormDesc), ("q", LinearLayer), ("k", LinearLayer), ("v", LinearLayer), ("out", LinearLayer),
                ("dense", LinearLayer), ("activation", c.c_int), ("heads", c.c_int32), ("kv_heads", c.c_int32),
                ("scale", c.c_float), ("q_norm", NormDesc), ("k_norm", NormDesc), ("gate", HostTensor)]


class FeedForwardDesc(c.Structure):
    _fields_ = [("norm", NormDesc), ("up", LinearLayer), ("gated", LinearLayer), ("down", LinearLayer),
                ("activation", c.c_int), ("gate", HostTensor)]


class CrossLayerDesc(c.Structure):
    _fields_ = [("attention", AttentionLayerDesc), ("feed_forward", FeedForwardDesc)]


class CrossAttentionDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("form", c.c_int), ("layers", c.POINTER(CrossLayerDesc)),
                ("layer_count", c.c_int32), ("media_projection", LinearLayer), ("storage", c.c_int),
                ("source", c.c_void_p)]


CROSS_RESIDUAL, NORM_RMS = 1, 2


class CrossLayer:
    """One layer of clf_cross_attention without feed-forward, and a visual memory that is filled before any call.

    Names in state: input_layernorm, q_proj, k_proj, v_proj, o_proj, q_norm, k_norm (.weight each) and gate."""

    def __init__(self, library, state, heads, kv_heads, media, text, storage, eps=1e-5):
        self.library, lib = library, library.lib
        lib.clf_visual_memory_create.argtypes = [c.c_void_p, c.c_int64, c.c_int64, c.c_int, c.c_void_p, c.c_void_p]
        lib.clf_visual_memory_append.argtypes = [c.c_void_p, c.c_void_p, Tensor]
        lib.clf_cross_attention_forward.argtypes = [c.c_void_p, c.c_void_p, c.c_int32, Tensor, c.c_void_p, c.c_void_p,
                                                    Tensor]
        for name in ("clf_visual_memory_append", "clf_cross_attention_forward"):
            getattr(lib, name).restype = None
        state = {name: np.ascontiguousarray(array) for name, array in state.items()}
        layer = CrossLayerDesc(self.attention(state, heads, kv_heads, eps))
        desc = CrossAttentionDesc(struct_size=c.sizeof(CrossAttentionDesc), form=CROSS_RESIDUAL,
                                  layers=c.pointer(layer), layer_count=1, storage=storage)
        self.handle, self.memory = c.c_void_p(), c.c_void_p()
        library.check(lib.clf_cross_attention_create(library.context, c.byref(desc), c.byref(self.handle),
                                                     c.byref(library.error)))
        library.check(lib.clf_visual_memory_create(self.handle, media.shape[0], media.shape[1], storage,
                                                   c.byref(self.memory), c.byref(library.error)))
        pictures = library.upload(np.ascontiguousarray(media))
        lib.clf_visual_memory_append(library.stream, self.memory, pictures)
        library.finish()
        library.free(pictures)
        self.text, self.shape = library.upload(text), text.shape
        self.hidden = library.tensor(F32, text.shape)
        library.finish()

    @staticmethod
    def attention(state, heads, kv_heads, eps):
        def norm(name):
            return NormDesc(NORM_RMS, host_tensor(state[name + ".weight"]), HostTensor(), eps)

        def linear(name):
            return LinearLayer(host_tensor(state[name + ".weight"]), HostTensor())

        return AttentionLayerDesc(norm=norm("input_layernorm"), q=linear("q_proj"), k=linear("k_proj"),
                                  v=linear("v_proj"), out=linear("o_proj"), heads=heads, kv_heads=kv_heads,
                                  q_norm=norm("q_norm"), k_norm=norm("k_norm"), gate=host_tensor(state["gate"]))

    def run(self):
        self.library.lib.clf_cross_attention_forward(self.library.stream, self.handle, 0, self.text, self.memory, None,
                                                     self.hidden)
        self.library.finish()

    def result(self):
        return self.library.download(self.hidden, self.shape)

    def close(self):
        self.library.free(self.text)
        self.library.free(self.hidden)
        self.library.lib.clf_visual_memory_destroy(self.memory)
        self.library.lib.clf_cross_attention_destroy(self.handle)
