"""relevance: from a picture and a query to the cells that matter, their budgets and their detail.

Composed from torch and kornia after the reference, github.com/djwar42/arr-coc-0-1, in double precision: scaling
divides the entropies by their small range, so that float32 is off by 1e-5 there.  What the reference leaves open is
decided so:

  scaling      (x - min) / (max - min + 1e-8), after a channel is reduced to the grid; "batch": over all pictures.
  indices      [B, k] best first, of equal relevance the lower index, as torch.topk gives them; budgets, tokens, positions,
               dense_tokens and lengths follow that order.
  positions    [B, k, 3] i64: t = 0, row, column of each chosen cell.
  budgets      [B, k] round half to even(min_tokens + r (max_tokens - min_tokens)), r in 0..1.  With `total` each cell gets
               min_tokens and what remains is shared in proportion to the weights rint(r 2^24); a share above
               max_tokens - min_tokens is cut and what is over is shared anew; then the whole parts, and one more to the
               largest remainders.  If only weights of 0 are left they count as equal.  Ties go to the lower place in
               `indices`.
  lengths      [B, k] i64, n^2, n = min(floor(sqrt(budget)), side); the cell's side x side features are averaged to n x n as
               adaptive_avg_pool2d does and stand row by row in dense_tokens [sum of lengths, D].
"""

import copy
import math
from fractions import Fraction

import kornia
import torch
from case import Case
from torch.nn import functional as F

nn = torch.nn
EPS = 1e-8


def scaled(x, scale):
    """x [B, ...] to 0..1, over each picture or the whole batch."""
    over = tuple(range(1, x.dim())) if scale == "picture" else tuple(range(x.dim()))
    low, high = x.amin(over, keepdim=True), x.amax(over, keepdim=True)
    return (x - low) / (high - low + EPS)


def textures_of(image, g, scale):
    """image [B, 3, H, W] to [B, 13, g, g]."""

    def reduced(x):
        return F.interpolate(x, size=(g, g), mode="bilinear", align_corners=False)

    large = F.interpolate(image, size=(16 * g, 16 * g), mode="bilinear", align_corners=False)
    lab = kornia.color.rgb_to_lab(large)
    grey = kornia.color.rgb_to_grayscale(large)
    gradient = kornia.filters.spatial_gradient(grey, mode="sobel", order=1, normalized=True)[:, 0]
    edges = torch.cat([gradient, (gradient.square().sum(1, keepdim=True) + EPS).sqrt()], 1)
    edges = torch.stack([scaled(channel, scale) for channel in reduced(edges).unbind(1)], 1)

    lightness, a = reduced(lab[:, :1]) / 100, (reduced(lab[:, 1:2]) + 128) / 255
    steps = torch.linspace(0, 1, g, dtype=image.dtype)
    row, column = torch.meshgrid(steps, steps, indexing="ij")
    distance = ((row - 0.5) ** 2 + (column - 0.5) ** 2).sqrt()
    distance = distance / distance.max()
    place = torch.stack([row, column, distance]).expand(len(image), -1, -1, -1)
    return torch.cat([reduced(large), lightness, a, edges, place, edges[:, 2:], lightness], 1)


class Relevance(nn.Module):
    def __init__(self, Q):
        super().__init__()
        self.participatory_scorer = nn.Module()
        self.participatory_scorer.texture_proj = nn.Sequential(nn.Conv2d(13, 64, 1), nn.ReLU(), nn.Conv2d(64, Q, 1))
        self.balancer = nn.Module()
        self.balancer.weight_predictor = nn.Sequential(
            nn.Linear(9 + Q, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 3), nn.Softmax(-1))

    def maps(self, textures, query, scale):
        """Information, perspectival, participatory and balanced map [B, g, g], and the weights of the three."""
        p = textures.softmax(1)
        information = scaled(-(p * (p + 1e-10).log()).sum(1), scale)
        perspectival = textures[:, 7]
        features = self.participatory_scorer.texture_proj(textures)
        participatory = (F.cosine_similarity(features, query[:, :, None, None], dim=1) + 1) / 2

        three = torch.stack([information, perspectival, participatory], 1)
        flat = three.flatten(2)
        summary = torch.stack([flat.mean(-1), flat.amax(-1), flat.std(-1)], -1).flatten(1)
        weights = self.balancer.weight_predictor(torch.cat([summary, query], 1))
        relevance = scaled((weights[:, :, None, None] * three).sum(1), scale)
        return information, perspectival, participatory, relevance, weights


def budgets_of(r, low, high, total=0):
    """r [k], the relevance of one picture's chosen cells."""
    r = r.double().clamp(0, 1)
    if not total:
        return (low + r * (high - low)).round().long()
    weights = (r * 2**24).round().long().tolist()
    open_cells, rest, cap = list(range(len(weights))), total - low * len(weights), high - low
    share = [Fraction(0)] * len(weights)
    while open_cells:
        w = [weights[i] for i in open_cells]
        if not any(w):
            w = [1] * len(w)
        parts = [Fraction(rest * x, sum(w)) for x in w]
        if all(part <= cap for part in parts):
            for i, part in zip(open_cells, parts):
                share[i] = part
            break
        for i, part in zip(open_cells, parts):
            if part > cap:
                share[i] = Fraction(cap)
        rest -= cap * sum(part > cap for part in parts)
        open_cells = [i for i, part in zip(open_cells, parts) if part <= cap]
    whole = [math.floor(x) for x in share]
    order = sorted(range(len(share)), key=lambda i: (whole[i] - share[i], i))
    for i in order[:total - low * len(share) - sum(whole)]:
        whole[i] += 1
    return torch.tensor(whole) + low


def allocate(relevance, options):
    """Indices and budgets [B, k]."""
    flat = relevance.flatten(1)
    indices = torch.sort(flat, dim=-1, descending=True, stable=True).indices[:, :options.get("k", 200)]
    best = flat.gather(1, indices)
    low, high = options.get("min_tokens", 64), options.get("max_tokens", 400)
    return indices, torch.stack([budgets_of(r, low, high, options.get("total", 0)) for r in best])


def detail(dense, budgets):
    """dense [B, k, S, D] to dense_tokens [sum, D] and lengths [B, k]."""
    side = math.isqrt(dense.shape[2])
    tokens, lengths = [], torch.zeros_like(budgets)
    for b in range(dense.shape[0]):
        for i in range(dense.shape[1]):
            n = min(math.isqrt(int(budgets[b, i])), side)
            lengths[b, i] = n * n
            if n:
                square = dense[b, i].T.unflatten(1, (side, side))
                tokens.append(F.adaptive_avg_pool2d(square, n).flatten(1).T)
    return torch.cat(tokens) if tokens else dense.new_zeros(0, dense.shape[3]), lengths


def drawing(case, B, H, W):
    """Waves of colour with noise, and rectangles of which one is black and one white, in 0..1."""
    random = case.generator
    y, x = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
    wave = case.normal(B, 3, 4, 3)
    parts = torch.sin(6 * (wave[..., 0, None, None] * y + wave[..., 1, None, None] * x) + wave[..., 2, None, None])
    image = (0.5 + 0.15 * parts.sum(2) + 0.05 * case.normal(B, 3, H, W)).clamp(0, 1)
    for b in range(B):
        for i in range(5):
            h, w = (1 + int(torch.randint(size // 2 + 1, (), generator=random)) for size in (H, W))
            top, left = (int(torch.randint(size, (), generator=random)) for size in (H, W))
            colour = torch.rand(3, 1, 1, generator=random) if i < 3 else torch.full((3, 1, 1), float(i == 3))
            image[b, :, top:top + h, left:left + w] = colour
    return image.contiguous()


def certain(case, relevance, options, noise):
    """Whether indices and budgets stay as they are under the noise."""
    found = allocate(relevance, options)
    for _ in range(20):
        other = relevance + noise * (2 * torch.rand(relevance.shape, generator=case.generator) - 1)
        if any(not torch.equal(a, b) for a, b in zip(found, allocate(other, options))):
            return False
    return True


def relevance(root, name, options, B, size=None, Q=24, D=0, side=0, dtype=torch.float32, metadata=False, noise=4e-5):
    """size: of the picture; None: the texture array is the input.  D: width of vision, 0: none.  side: of the detail."""
    case = Case(root, name)
    config = {"model_type": "clfusion", "module": "relevance", **options}
    module = case.randomise(Relevance(Q), dtype)
    with torch.no_grad():
        module.balancer.weight_predictor[4].bias[0] = -4  # entropies count little, for the sake of their error
    case.keep(module, "")
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    exact = copy.deepcopy(module).double()
    g, scale = options.get("grid", 32), options.get("scale", "batch")

    def maps(module, source, query):
        textures = textures_of(source, g, scale) if size else source
        return textures, *module.maps(textures, query, scale)

    while True:  # until nothing hangs on the last bits
        source = drawing(case, B, *size) if size else torch.rand(B, 13, g, g, generator=case.generator)
        query = case.normal(B, Q)
        made = maps(exact, source.double(), query.double())
        if certain(case, made[4], options, noise):
            break
    if 3 * (maps(module, source, query)[4] - made[4]).abs().max() > noise:
        raise ValueError(f"{name}: float32 is not well within the noise of {noise}")

    textures, information, perspectival, participatory, balanced, weights = made
    indices, budgets = allocate(balanced, options)
    case.give("image" if size else "textures", source)
    case.give("query", query)
    if size:
        case.expect("textures", textures)
    case.expect("information", information)
    case.expect("perspectival", perspectival)
    case.expect("participatory", participatory)
    case.expect("relevance", balanced)
    case.expect("weights", weights)
    case.expect("indices", indices)
    case.expect("budgets", budgets)
    case.expect("positions", torch.stack([torch.zeros_like(indices), indices // g, indices % g], -1))
    if D:
        vision = case.give("vision", case.normal(B, g * g, D))
        case.expect("tokens", vision.gather(1, indices[..., None].expand(-1, -1, D)))
    if side:
        dense = case.give("dense", case.normal(*indices.shape, side * side, max(D, 5)))
        tokens, lengths = detail(dense, budgets)
        case.expect("dense_tokens", tokens)
        case.expect("lengths", lengths)


def make(root):
    relevance(root, "relevance_basic", {}, 1, (41, 66), Q=16, D=3, noise=5e-6)
    small = {"grid": 7, "k": 12, "min_tokens": 2, "max_tokens": 30}
    relevance(root, "relevance_batch_f16", small, 3, (31, 44), D=7, side=5, dtype=torch.float16, metadata=True)
    options = {**small, "scale": "picture", "total": 150}
    relevance(root, "relevance_picture_total_bf16", options, 3, (46, 27), Q=19, D=6, side=4, dtype=torch.bfloat16)
    options = {"grid": 5, "k": 25, "min_tokens": 0, "max_tokens": 9, "total": 131, "scale": "batch"}
    relevance(root, "relevance_textures_f16", options, 3, Q=33, D=8, side=3, dtype=torch.float16)
    options = {"grid": 3, "k": 1, "min_tokens": 4, "max_tokens": 4, "scale": "picture"}
    relevance(root, "relevance_large_picture", options, 1, (79, 60), Q=7, side=7, dtype=torch.bfloat16, metadata=True)
