"""clfusion's modules that no connector makes, through ctypes: each has run(), result() and close()."""
import ctypes as c

import numpy as np

from clf import F32, HostTensor, Tensor, host_tensor

CROSS_RESIDUAL, NORM_LAYER, NORM_RMS, GELU, SILU = 1, 1, 2, 1, 4


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


class Weights:
    """Parts of descriptions by the names of a state dict, whose arrays live as long as this."""

    def __init__(self, state, eps):
        self.state, self.eps = {name: np.ascontiguousarray(array) for name, array in state.items()}, eps

    def tensor(self, name):
        return host_tensor(self.state.get(name))

    def linear(self, name):
        return LinearLayer(self.tensor(name + ".weight"), self.tensor(name + ".bias"))

    def norm(self, name, kind=NORM_RMS):
        return NormDesc(kind, self.tensor(name + ".weight"), self.tensor(name + ".bias"), self.eps)


class Module:
    """What all have: one input and one output in device memory, and a handle of the C interface."""

    def __init__(self, library, kind, x, shape):
        self.library, self.lib, self.kind, self.handle = library, library.lib, kind, c.c_void_p()
        x = np.ascontiguousarray(x)
        self.x, self.y = library.upload(x), library.tensor(F32, shape)
        library.finish()

    def create(self, desc):
        self.library.check(getattr(self.lib, self.kind + "_create")(self.library.context, c.byref(desc),
                                                                    c.byref(self.handle), c.byref(self.library.error)))

    def declare(self, name, *types):
        """A function without a result."""
        function = getattr(self.lib, name)
        function.argtypes, function.restype = types, None
        return function

    def run(self):
        self.enqueue()
        self.library.finish()

    def result(self):
        return [self.library.download(self.y)]

    def close(self):
        self.library.free(self.x)
        self.library.free(self.y)
        getattr(self.lib, self.kind + "_destroy")(self.handle)


# ---- a product ------------------------------------------------------------------------------------------------------

class LinearWeightDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("weight", HostTensor), ("bias", HostTensor), ("storage", c.c_int),
                ("source", c.c_void_p), ("parts", c.c_void_p), ("part_count", c.c_int32)]


class Linear(Module):
    """clf_linear without options."""

    def __init__(self, library, weight, x, storage):
        super().__init__(library, "clf_linear_weight", x, (len(x), len(weight)))
        self.product = self.declare("clf_linear", c.c_void_p, Tensor, c.c_void_p, c.c_void_p, Tensor)
        self.create(LinearWeightDesc(struct_size=c.sizeof(LinearWeightDesc), weight=host_tensor(weight),
                                     storage=storage))

    def enqueue(self):
        self.product(self.library.stream, self.x, self.handle, None, self.y)


# ---- a layer of Llama 3.2's -----------------------------------------------------------------------------------------

class CrossLayerDesc(c.Structure):
    _fields_ = [("attention", AttentionLayerDesc), ("feed_forward", FeedForwardDesc)]


class CrossAttentionDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("form", c.c_int), ("layers", c.POINTER(CrossLayerDesc)),
                ("layer_count", c.c_int32), ("media_projection", LinearLayer), ("storage", c.c_int),
                ("source", c.c_void_p)]


class CrossLayer(Module):
    """One layer of clf_cross_attention without feed-forward, and a visual memory that is filled before any call.

    Names in state: input_layernorm, q_proj, k_proj, v_proj, o_proj, q_norm, k_norm (.weight each) and gate."""

    def __init__(self, library, state, heads, kv_heads, media, text, storage, eps=1e-5):
        super().__init__(library, "clf_cross_attention", text, text.shape)
        append = self.declare("clf_visual_memory_append", c.c_void_p, c.c_void_p, Tensor)
        self.forward = self.declare("clf_cross_attention_forward", c.c_void_p, c.c_void_p, c.c_int32, Tensor,
                                    c.c_void_p, c.c_void_p, Tensor)
        self.lib.clf_visual_memory_create.argtypes = [c.c_void_p, c.c_int64, c.c_int64, c.c_int, c.c_void_p, c.c_void_p]
        w = Weights(state, eps)
        layer = CrossLayerDesc(AttentionLayerDesc(
            norm=w.norm("input_layernorm"), q=w.linear("q_proj"), k=w.linear("k_proj"), v=w.linear("v_proj"),
            out=w.linear("o_proj"), heads=heads, kv_heads=kv_heads, q_norm=w.norm("q_norm"), k_norm=w.norm("k_norm"),
            gate=w.tensor("gate")))
        self.create(CrossAttentionDesc(struct_size=c.sizeof(CrossAttentionDesc), form=CROSS_RESIDUAL,
                                       layers=c.pointer(layer), layer_count=1, storage=storage))
        self.memory = c.c_void_p()
        library.check(self.lib.clf_visual_memory_create(self.handle, media.shape[0], media.shape[1], storage,
                                                        c.byref(self.memory), c.byref(library.error)))
        pictures = library.upload(np.ascontiguousarray(media))
        append(library.stream, self.memory, pictures)
        library.finish()
        library.free(pictures)

    def enqueue(self):
        self.forward(self.library.stream, self.handle, 0, self.x, self.memory, None, self.y)

    def close(self):
        self.lib.clf_visual_memory_destroy(self.memory)
        super().close()


# ---- Idefics2's perceiver -------------------------------------------------------------------------------------------

class ResamplerLayerDesc(c.Structure):
    _fields_ = [("self", AttentionLayerDesc), ("cross", AttentionLayerDesc), ("context_norm", NormDesc),
                ("feed_forward", FeedForwardDesc)]


class ResamplerDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("latents", HostTensor), ("input", LinearLayer),
                ("input_feed_forward", FeedForwardDesc), ("input_norm", NormDesc),
                ("layers", c.POINTER(ResamplerLayerDesc)), ("layer_count", c.c_int32), ("latents_in_context", c.c_bool),
                ("residual", c.c_bool), ("final_norm", NormDesc), ("output", LinearLayer), ("storage", c.c_int),
                ("source", c.c_void_p)]


class Idefics2Perceiver(Module):
    """clf_resampler with RMS norms, grouped keys and gated feed-forwards; names as in the perceiver's checkpoint.  The
    family idefics2 has the projection before it, too, which this leaves out."""

    def __init__(self, library, state, heads, kv_heads, vision, storage, eps=1e-6):
        latents, depth = state["latents"], 1 + max(int(name.split(".")[1]) for name in state if "layers." in name)
        super().__init__(library, "clf_resampler", vision, (vision.shape[0], *latents.shape))
        self.forward = self.declare("clf_resampler_forward", c.c_void_p, c.c_void_p, Tensor, c.c_void_p, Tensor)
        w = Weights(state, eps)
        layers = (ResamplerLayerDesc * depth)(*(self.layer(w, f"layers.{i}.", heads, kv_heads) for i in range(depth)))
        self.create(ResamplerDesc(struct_size=c.sizeof(ResamplerDesc), latents=w.tensor("latents"), layers=layers,
                                  layer_count=depth, latents_in_context=True, residual=True,
                                  final_norm=w.norm("norm"), storage=storage))

    @staticmethod
    def layer(w, at, heads, kv_heads):
        q, k, v, out = (w.linear(f"{at}self_attn.{name}_proj") for name in "qkvo")
        up, gated, down = (w.linear(f"{at}mlp.{name}_proj") for name in ("up", "gate", "down"))
        return ResamplerLayerDesc(
            cross=AttentionLayerDesc(norm=w.norm(at + "input_latents_norm"), q=q, k=k, v=v, out=out, heads=heads,
                                     kv_heads=kv_heads),
            context_norm=w.norm(at + "input_context_norm"),
            feed_forward=FeedForwardDesc(norm=w.norm(at + "post_attention_layernorm"), up=up, gated=gated, down=down,
                                         activation=SILU))

    def enqueue(self):
        self.forward(self.library.stream, self.handle, self.x, None, self.y)


# ---- Qwen2-VL's merger ----------------------------------------------------------------------------------------------

PROJECTOR_MAX_LAYERS = 16


class ProjectorDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("compress_ratio", c.c_int64), ("norm_weight", HostTensor),
                ("norm_bias", HostTensor), ("norm_eps", c.c_float), ("layer_count", c.c_int32),
                ("layers", LinearLayer * PROJECTOR_MAX_LAYERS), ("activation", c.c_int), ("storage", c.c_int),
                ("source", c.c_void_p)]


class Merger(Module):
    """clf_layer_norm on every token, then clf_projector, which merges and multiplies: a projector's own norm comes
    after its merge.  Names in state: ln_q, mlp.0, mlp.2."""

    def __init__(self, library, state, ratio, vision, storage, eps=1e-6):
        w, (batch, rows, _) = Weights(state, eps), vision.shape
        super().__init__(library, "clf_projector", vision, (batch, rows // ratio, len(state["mlp.2.weight"])))
        self.norm = self.declare("clf_layer_norm", c.c_void_p, Tensor, Tensor, Tensor, c.c_float, Tensor)
        self.forward = self.declare("clf_projector_forward", c.c_void_p, c.c_void_p, Tensor, Tensor)
        layers = (LinearLayer * PROJECTOR_MAX_LAYERS)(w.linear("mlp.0"), w.linear("mlp.2"))
        self.create(ProjectorDesc(struct_size=c.sizeof(ProjectorDesc), compress_ratio=ratio, norm_eps=eps,
                                  layer_count=2, layers=layers, activation=GELU, storage=storage))
        self.parameters = [library.upload(w.state[name]) for name in ("ln_q.weight", "ln_q.bias")]
        self.normed, self.eps = library.tensor(F32, vision.shape), eps
        library.finish()

    def enqueue(self):
        self.norm(self.library.stream, self.x, *self.parameters, self.eps, self.normed)
        self.forward(self.library.stream, self.handle, self.normed, self.y)

    def close(self):
        for tensor in (*self.parameters, self.normed):
            self.library.free(tensor)
        super().close()


# ---- retrieval ------------------------------------------------------------------------------------------------------

class RetrievalDesc(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("stored", HostTensor), ("block_rows", c.c_int64), ("upload", c.c_bool),
                ("profiling", c.c_bool)]


class Retrieval:
    """clf_retrieval over an array in host memory.  It has queues of its own and waits itself."""

    def __init__(self, library, stored, queries, k, block_rows=0, upload=False):
        self.library, self.kept = library, (stored, queries)
        self.handle, self.k = c.c_void_p(), c.c_int64(k)
        desc = RetrievalDesc(c.sizeof(RetrievalDesc), host_tensor(stored), block_rows, upload, False)
        library.check(library.lib.clf_retrieval_create(library.context, c.byref(desc), c.byref(self.handle),
                                                       c.byref(library.error)))
        self.search = library.lib.clf_retrieval_search
        self.search.argtypes = [c.c_void_p, HostTensor, c.c_int64, c.c_void_p, c.c_void_p, c.c_void_p]
        self.values, self.indices = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        self.queries = host_tensor(queries)

    def run(self):
        self.library.check(self.search(self.handle, self.queries, self.k, self.values.ctypes.data,
                                       self.indices.ctypes.data, c.byref(self.library.error)))

    def result(self):
        return [self.values, self.indices]

    def close(self):
        self.library.lib.clf_retrieval_destroy(self.handle)
        self.kept = None
