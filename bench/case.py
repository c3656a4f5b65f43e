"""What a case of compare.py is: a reference module, its inputs, and how clfusion builds the same."""
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


HALF_GOAL = 0.65


class Case:
    """One module on one set of inputs.

    inputs     name of clfusion's input -> array, in the order of the module's forward
    config     of clfusion's connector, and the family where the configuration does not say it
    names      state-dict name -> tensor name of the checkpoint; a text is put before every name
    outputs    names of clfusion's outputs, in the order of what the module returns
    extra      inputs that only clfusion needs, ids for instance
    connect    makes clfusion's side when it is not a connector: library, case, storage -> runner
    bound      what limits it: "fma", "read", or None where neither is counted
    traffic    bytes that one call must move: of weights and keys, and of all else; with bound "read"
    goal       share of that peak that clfusion is to reach, best against best; HALF_GOAL where it reads half the bytes
    storage    "f16", "bf16": of weights and keys on all sides, whose values parameters and inputs then are; peers
               compute in that type, too.  None: f32 for peers, and for clfusion what is asked for
    without    name of a runner -> why it cannot run this
    limit      of the difference with weights in f32; None: the usual one
    """

    def __init__(self, module, inputs, config=None, names="", family=None, outputs=("tokens",), extra=None,
                 connect=None, bound="fma", traffic=(0, 0), goal=0.75, without=None, limit=None,
                 storage=None):
        self.module, self.inputs, self.config, self.names = module.eval().requires_grad_(False), inputs, config, names
        self.family, self.outputs, self.extra, self.connect = family, outputs, extra or {}, connect
        self.bound, self.traffic, self.goal, self.without, self.limit = bound, traffic, goal, without or {}, limit
        self.storage = storage

    def arguments(self, dtype=torch.float32):
        return tuple(torch.from_numpy(array).to(dtype) for array in self.inputs.values())

    def weights(self):
        state = self.module.state_dict()
        if isinstance(self.names, str):
            return {self.names + name: value.numpy() for name, value in state.items()}
        return {self.names[name]: value.numpy() for name, value in state.items()}

    def bytes(self, storage_bytes):
        """What a call moves with weights of so many bytes an element."""
        return self.traffic[0] * storage_bytes // 4 + self.traffic[1]

    def goal_with(self, weights):
        return HALF_GOAL if self.goal and self.traffic[0] and weights != "f32" else self.goal

    def reference(self):
        """The results in double precision, and the floating-point operations: two for each multiply-add of a product.
        Afterwards the module is as it was: every f32 is a double."""
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            want = self.module.double()(*self.arguments(torch.float64))
        self.module.float()
        return [y.numpy() for y in (want if isinstance(want, tuple) else (want,))], counter.get_total_flops()

    def difference(self, got, want):
        """The greatest difference, in units of the reference's root mean square; NaN is infinite."""
        return max(finite(np.max(np.abs(g - w)) / np.sqrt(np.mean(w * w))) for g, w in zip(got, want))


class TopKCase(Case):
    """Values and indices of the best of rows; the module has exact(*inputs), the scores in double precision."""

    def reference(self):
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            return self.module.exact(*self.arguments()), counter.get_total_flops()

    def difference(self, got, want):
        """Of the values from the best scores, and of the scores at the indices: of equal scores any will do."""
        values, indices = (torch.from_numpy(np.array(array)) for array in got)
        best = torch.topk(want, values.shape[-1]).values
        if any(len(set(row)) < len(row) for row in indices.tolist()):
            return float("inf")
        off = max(float((found - best).abs().max()) for found in (values, want.gather(-1, indices.long())))
        return finite(off / float(best.square().mean().sqrt()))


def finite(x):
    return float(x) if x == x else float("inf")


def values(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def vary(module):
    """Norms, gates and queries away from the ones and zeros they start with: a wrong branch would pass."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() == 1:
                parameter.fill_(0.8)
            elif torch.all(parameter == 1):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif torch.all(parameter == 0):
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return module
