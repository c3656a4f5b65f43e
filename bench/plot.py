"""A bar for each case and peer: how many times as long as clfusion it takes."""
import textwrap

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the line above must come first)

from report import TITLES  # noqa: E402

# Okabe and Ito's colours, which most forms of colour blindness keep apart.
COLOURS = {"torch": "#D55E00", "compile": "#E69F00", "onnxruntime": "#0072B2", "openvino": "#009E73"}
TICKS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def draw(run, path):
    """SVG or PNG, as the name says."""
    results = [result for result in run["results"] if "clfusion" in result.get("runners", {})]
    peers = [name for name in COLOURS if any(name in result["runners"] for result in results)]
    height = 0.8 / max(len(peers), 1)
    with pyplot.rc_context({"svg.hashsalt": "clfusion", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.62 * len(results)), layout="constrained")
        for i, name in enumerate(peers):
            at = [y - 0.4 + (i + 0.5) * height for y in range(len(results))]
            draw_peer(axes, results, name, at, height)
        decorate(axes, results)
        figure.legend(loc="outside upper center", ncols=len(peers), frameon=False)
        figure.savefig(path, dpi=150, metadata={"Date": None} if str(path).endswith(".svg") else None)
        pyplot.close(figure)


def draw_peer(axes, results, name, at, height):
    times = [result["runners"].get(name, {}).get("median_ms") for result in results]
    ratios = [time / result["runners"]["clfusion"]["median_ms"] if time else 1 for time, result in zip(times, results)]
    words = [f"{ratio:.2f}" if time else absent(result, name) for time, ratio, result in zip(times, ratios, results)]
    bars = axes.barh(at, [ratio - 1 for ratio in ratios], height, left=1, color=COLOURS[name], label=TITLES[name])
    axes.bar_label(bars, words, padding=2, fontsize=6.5)


def absent(result, name):
    return "wrong" if name in result["wrong"] else "-" if name in result["missing"] else ""


def decorate(axes, results):
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(results)), [f"{textwrap.fill(result['title'], 44)}\n"
                                          f"clfusion {result['runners']['clfusion']['median_ms']:.3g} ms"
                                          for result in results])
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    low, high = min(0.85 * low, 0.9), 1.2 * high
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("median time, clfusion = 1; right of the line: slower")
    axes.grid(axis="x", linewidth=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
