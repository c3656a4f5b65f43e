"""Compression by selection: the visual tokens that a text asks for, or that stand out."""

import torch
from case import Case
from torch.nn import functional as F


def case_of(root, name, options, metadata=False):
    case = Case(root, name)
    config = {"model_type": "clfusion", **options}
    if metadata:
        case.save(config)
    else:
        case.config(config)
        case.save()
    return case


def best(scores, k, order):
    """torch.topk says nothing of ties; a stable sort keeps the lower index first."""
    indices = torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, :k]
    return indices if order == "score" else indices.sort(-1).values


def expect_best(case, vision, scores, options):
    k = options["k"]
    indices = case.expect("indices", best(scores, k, options.get("order", "position")))
    case.expect("scores", scores.gather(1, indices))
    case.expect("tokens", vision.gather(1, indices[..., None].expand(-1, -1, vision.shape[2])))


def top_k(root, name, options, shape, dtype=torch.float32, whole=False, metadata=False):
    """whole: small whole numbers, so that scores are exact and tie."""
    case = case_of(root, name, {"module": "top_k", **options}, metadata)
    vision = case.normal(*shape)
    query = case.normal(shape[0], 1, shape[2])
    if whole:
        vision, query = vision.round(), query.round()
    vision = case.give("vision", vision.to(dtype)).float()
    query = case.give("text", query.to(dtype)).float()
    expect_best(case, vision, (vision @ query.transpose(1, 2))[..., 0], options)


def query_aware(root, name, options, shape, T, dtype=torch.float32, metadata=False):
    case = case_of(root, name, {"module": "query_aware", **options}, metadata)
    vision = case.give("vision", case.normal(*shape).to(dtype)).float()
    text = case.give("text", case.normal(shape[0], T, shape[2]))
    pool = options.get("pool", "mean")
    if pool == "mean":
        text = text.mean(1, keepdim=True)
    elif pool == "max":
        text = text.amax(1, keepdim=True)
    v, q = vision, text
    if options.get("cosine"):
        v, q = F.normalize(v, dim=-1), F.normalize(q, dim=-1)
    expect_best(case, vision, (v @ q.transpose(1, 2)).amax(-1), options)


def prune(root, name, options, shape, dtype=torch.float32, empty=(), metadata=False):
    """empty: pictures of zeros, which keep nothing."""
    case = case_of(root, name, {"module": "importance_prune", **options}, metadata)
    vision = case.normal(*shape) * torch.rand(*shape[:2], 1, generator=case.generator)
    for b in empty:
        vision[b] = 0
    vision = case.give("vision", vision.to(dtype)).float()
    variance = options.get("metric", "l2") == "variance"
    importance = vision.var(-1, correction=0) if variance else vision.norm(dim=-1)
    keep = importance / importance.amax(-1, keepdim=True) > options.get("threshold", 0.5)
    lengths = case.expect("lengths", keep.sum(-1))
    pad = torch.nn.utils.rnn.pad_sequence
    tokens = pad([v[k] for v, k in zip(vision, keep)], batch_first=True)
    case.expect("tokens", tokens)
    case.expect("mask", torch.arange(tokens.shape[1]) < lengths[:, None])
    case.expect("indices", pad([k.nonzero()[:, 0] for k in keep], batch_first=True, padding_value=-1))


def merge_tokens(x, sizes, r):
    """Bipartite soft matching, arXiv:2210.09461, appendix D; ties to the lower index, tokens in the order of the module."""
    B, N, D = x.shape
    unit = F.normalize(x, dim=-1)
    cosines = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    best, partner = torch.sort(cosines, dim=-1, descending=True, stable=True)
    best, partner = best[..., 0], partner[..., 0]
    order = torch.sort(best, dim=-1, descending=True, stable=True).indices
    gone, kept = order[:, :r], order[:, r:].sort(-1).values
    E = best.shape[1]

    source = torch.zeros(B, N, dtype=torch.long)
    source[:, 1::2] = torch.arange(N // 2) + E - r
    even = partner + E - r
    even.scatter_(1, kept, torch.arange(E - r).expand(B, -1))
    source[:, ::2] = even
    merged_sizes = torch.zeros(B, N - r).scatter_add_(1, source, sizes)
    sums = torch.zeros(B, N - r, D).scatter_add_(1, source[..., None].expand(-1, -1, D), x * sizes[..., None])
    return sums / merged_sizes[..., None], merged_sizes, source


def token_merge(root, name, r, shape, dtype=torch.float32, sizes=False, ties=False, metadata=False):
    """ties: tokens along the axes, so that cosines are 0 or 1."""
    case = case_of(root, name, {"module": "token_merge", "r": r}, metadata)
    vision = case.normal(*shape)
    if ties:
        axes = torch.randint(0, shape[2], shape[:2], generator=case.generator)
        vision = F.one_hot(axes, shape[2]) * 2.0 ** torch.randint(-1, 3, (*shape[:2], 1), generator=case.generator)
    vision = case.give("vision", vision.to(dtype)).float()
    counts = torch.ones(shape[:2])
    if sizes:
        counts = case.give("sizes", torch.randint(1, 5, shape[:2], generator=case.generator).float())
    tokens, merged_sizes, source = merge_tokens(vision, counts, r)
    case.expect("tokens", tokens)
    case.expect("sizes", merged_sizes)
    case.expect("source", source)


def make(root):
    top_k(root, "top_k_basic", {"k": 4}, (1, 13, 24))
    top_k(root, "top_k_ties_by_score", {"k": 9, "order": "score"}, (3, 29, 3), whole=True)
    top_k(root, "top_k_ties_by_position_f16", {"k": 8, "order": "position"}, (3, 21, 2), torch.float16, whole=True)
    top_k(root, "top_k_one", {"k": 1}, (3, 7, 17), torch.float16, metadata=True)
    top_k(root, "top_k_all_by_score", {"k": 15, "order": "score"}, (1, 15, 5))
    query_aware(root, "query_aware_basic", {"k": 5}, (1, 17, 24), 6)
    query_aware(root, "query_aware_max_f16", {"k": 3, "pool": "max", "order": "score"}, (3, 11, 19), 4, torch.float16)
    options = {"k": 6, "pool": "per-token-max", "cosine": True}
    query_aware(root, "query_aware_token_max_cosine", options, (3, 16, 20), 5, metadata=True)
    query_aware(root, "query_aware_mean_batch", {"k": 7}, (3, 15, 21), 5, metadata=True)
    query_aware(root, "query_aware_max_one", {"k": 4, "pool": "max"}, (1, 13, 27), 3)
    query_aware(root, "query_aware_token_max_one", {"k": 3, "pool": "per-token-max", "order": "score"}, (1, 9, 11), 7)
    query_aware(root, "query_aware_cosine_one_row", {"k": 2, "cosine": True, "order": "score"}, (1, 9, 33), 1)
    prune(root, "importance_prune_basic", {}, (1, 19, 24))
    prune(root, "importance_prune_ragged_f16", {"threshold": 0.7}, (3, 13, 17), torch.float16, metadata=True)
    prune(root, "importance_prune_variance", {"metric": "variance", "threshold": 0.25}, (3, 11, 9))
    prune(root, "importance_prune_variance_one", {"metric": "variance"}, (1, 17, 7), metadata=True)
    prune(root, "importance_prune_zeros", {"threshold": 0.3}, (3, 7, 5), empty=(1,))
    token_merge(root, "token_merge_basic", 4, (1, 16, 24))
    token_merge(root, "token_merge_odd_f16", 6, (3, 13, 17), torch.float16, metadata=True)
    token_merge(root, "token_merge_sizes", 5, (3, 14, 9), sizes=True)
    token_merge(root, "token_merge_ties", 7, (3, 21, 3), ties=True)
    token_merge(root, "token_merge_none", 0, (1, 5, 4), sizes=True)
