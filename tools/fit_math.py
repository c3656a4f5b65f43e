#!/usr/bin/env python3
"""Fits the polynomials of cl/clf_math.h: weighted minimax by Lawson's iteration in long precision, coefficients then rounded
to f32 from the lowest upwards with the rest refitted.  Prints C constants and the fit error.

    python3 tools/fit_math.py [exp2] [tail] [tanh]   needs numpy and mpmath
"""
import numpy as np, mpmath as mp, sys
mp.mp.dps = 30

def lawson(V, f, allow, rounds=400):
    w = np.ones(len(f)); best = (np.inf, None)
    for _ in range(rounds):
        s = np.sqrt(w) / allow
        c, *_ = np.linalg.lstsq(V * s[:, None], f * s, rcond=None)
        e = np.abs(V @ c - f) / allow
        if e.max() < best[0]: best = (e.max(), c)
        w = w * (e / e.max() + 1e-3); w /= w.sum()
    return best

def fit(name, x, f, allow, degree, fixed=()):
    """f(x) ~ sum c_i x^i; fixed: leading coefficients held; each next is rounded to f32 and the rest refitted."""
    scale = x.max()
    got = list(fixed)
    while len(got) <= degree:
        n0 = len(got)
        u = x / scale                                   # Chebyshev columns would not factor out x^n0; equilibrate instead
        V = np.stack([u ** n0 * np.cos(i * np.arccos(np.clip((2 * x - x.max() - x.min()) / (x.max() - x.min()), -1, 1)))
                      for i in range(degree + 1 - n0)], 1)
        g = f - sum(c * x ** i for i, c in enumerate(got)) if got else f.copy()
        err, c = lawson(V, g, allow, 1500 if n0 == len(fixed) else 400)
        if n0 == len(fixed): first = err
        at0 = np.arccos(complex(-(x.max() + x.min()) / (x.max() - x.min())))
        low = sum(ci * np.cos(i * at0).real for i, ci in enumerate(c))        # the series at x = 0
        got.append(float(np.float32(low / scale ** n0)))
    e = np.abs(sum(c * x ** i for i, c in enumerate(got)) - f) / allow
    print(f"/* {name}: degree {degree}, worst error / allowed {first:.3g} exact, {e.max():.3g} with f32 coefficients */")
    for i, c in enumerate(got): print(f"  c{i:<2d} {float(c).hex():>22s}  {c:.9g}f")
    return np.array(got)

def cheb(a, b, n): return (a + b) / 2 + (b - a) / 2 * np.cos(np.pi * (np.arange(n) + .5) / n)[::-1]
F = lambda fn, x: np.array([float(fn(mp.mpf(float(v)))) for v in x])

what = sys.argv[1:] or ["exp2", "tail", "tanh"]
if "exp2" in what:
    x = cheb(-.5001, .5001, 1500); f = 2.0 ** x
    for d in (5, 6): fit("2^r, |r| <= 1/2, relative", x, f, f, d, (1.0,))
if "tanh" in what:
    # tanh(x) / x over u = x^2: the odd part is left to the kernel.
    u = cheb(0, .3026, 1500); f = F(lambda v: mp.tanh(mp.sqrt(v)) / mp.sqrt(v), u)
    for d in (4, 5): fit("tanh(sqrt u) / sqrt u, u <= 0.55^2, relative", u, f, f, d, (1.0,))
if "tail" in what:
    # 2^P(t) stands for Phi(-t), the upper normal tail.  Allowed: 1e-8 of q absolute, never looser than 3e-4 of q itself.
    T = 13.2
    x = cheb(0, T, 3000); q = F(lambda t: mp.ncdf(-t), x)
    f = F(lambda t: mp.log(mp.ncdf(-t), 2), x)
    allow = np.minimum(1e-8 / q, 3e-4) / np.log(2)
    for d in map(int, (sys.argv[2:] or "12".split())): fit("log2 Phi(-t), 0 <= t <= 13.2", x, f, allow, d, ())
