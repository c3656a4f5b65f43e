#!/usr/bin/env python3
"""What compare.py measured, as a table, a summary and a plot.

    build/venv/bench/bin/python bench/report.py run.json --document docs/performance.md --plot docs/performance.svg

Several files are merged: of a case that is in more than one the last counts.
"""
import argparse
import json
import statistics
from pathlib import Path

import document

NAME = "compare.py"  # of the marks
TITLES = {"clfusion": "clfusion", "torch": "PyTorch", "compile": "torch.compile", "onnxruntime": "ONNX Runtime",
          "openvino": "OpenVINO"}
SLOW = 1.05  # below this ratio a case is named


def merge(parts):
    """One run of several, each {"about": ..., "results": [...]}."""
    about, results = {}, {}
    for part in parts:
        about |= part["about"]
        for result in part["results"]:
            results.pop(result["case"], None)
            results[result["case"]] = result
    return run_of(about, list(results.values()))


def run_of(about, results):
    """What compare.py writes: the results and their summary."""
    return {"about": about, "results": results, "summary": summarise(results)}


def failure(case, in_suite, reason):
    """The result of a case that could not be measured."""
    return {"case": case, "title": case, "suite": in_suite, "failed": reason, "runners": {}, "missing": {}, "wrong": []}


def whole(run):
    """Every case was measured, and clfusion is right in all of them."""
    return not any("failed" in result or "clfusion" in result["wrong"] for result in run["results"])


# ---- figures ------------------------------------------------------------------------------------------------------

def best_peer(result, figure):
    """Name and time of the fastest peer, or None."""
    peers = [(r[figure], name) for name, r in result["runners"].items() if name != "clfusion"]
    return min(peers)[::-1] if peers else None


def ratio(result, figure="median_ms"):
    """The best peer's time over clfusion's, or None."""
    peer, ours = best_peer(result, figure), result["runners"].get("clfusion")
    return peer[1] / ours[figure] if peer and ours else None


def goals(results):
    """Case -> its share of the peak and the share to reach; those beside the suite, too."""
    return {result["case"]: [result["runners"]["clfusion"]["share"], result["goal"]] for result in results
            if result.get("goal") and "clfusion" in result["runners"]}


def summarise(results):
    """Geometric means over the cases of the suite that have a ratio, and the cases to look at."""
    shares = {"below_goal": {case: pair for case, pair in goals(results).items() if pair[0] < pair[1]},
              "read_goals": goals(result for result in results if result.get("bound") == "read")}
    results = [result for result in results if result["suite"] and ratio(result)]
    ratios = {result["case"]: ratio(result) for result in results}
    if not ratios:
        return shares
    return {"cases": len(ratios), "geomean": statistics.geometric_mean(ratios.values()),
            "geomean_of_best_times": statistics.geometric_mean([ratio(result, "best_ms") for result in results]),
            "worst": min(ratios, key=ratios.get), "ratios": ratios,
            "slow": [case for case, value in ratios.items() if value < SLOW], **shares}


# ---- text ---------------------------------------------------------------------------------------------------------

def milliseconds(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share):
    return f"{100 * share:.0f} %"


def cell(result, name):
    r = result["runners"].get(name)
    if r is None:
        return "wrong" if name in result["wrong"] else "-"
    return f"{milliseconds(r['median_ms'])} ({milliseconds(r['best_ms'])})"


def row(result, names):
    ours, value = result["runners"].get("clfusion"), ratio(result)
    cells = [result["title"]] + [cell(result, name) for name in names]
    cells.append(f"{value:.2f}" if value else "-")
    if ours and result["bound"]:
        peak = result["peaks"][result["bound"]]
        cells += [f"{ours['rate']:.0f} {peak['unit']}", f"{percent(ours['share'])} of {peak['best']:.0f}"]
    else:
        cells += ["-", "-"]
    cells.append(str(result.get("launches") or "-"))
    return "| " + " | ".join(cells) + " |"


def table(results):
    names = [name for name in TITLES if any(name in r["runners"] or name in r["missing"] for r in results)]
    header = ["case"] + [TITLES[name] for name in names]
    header += ["against the best peer", "clfusion's rate", "best, share of the peak", "launches"]
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + [row(result, names) for result in results]


def named(cases):
    return ", ".join(f"`{case}` {text}" for case, text in cases.items()) or "none"


def speed_lines(s):
    if "ratios" not in s:
        return []
    ratios = s["ratios"]
    return [f"- Geometric mean over {s['cases']} cases: {s['geomean']:.2f} times as fast as the best peer; of best "
            f"times {s['geomean_of_best_times']:.2f}. The worst case: `{s['worst']}`, {ratios[s['worst']]:.2f}.",
            f"- Below {SLOW}: {named({case: f'{ratios[case]:.3f}' for case in s['slow']})}."]


def share_lines(s):
    """Which goals of shares hold; weights and keys that are read, in 32 and 16 bits, are named all."""
    read = s["read_goals"]
    missed = [case for case, (share, goal) in read.items() if share < goal]
    lines = [f"- Below the share of the peak that they are to reach: "
             f"{named({case: ' of '.join(map(percent, pair)) for case, pair in s['below_goal'].items()})}."]
    if read:
        shares = named({case: f"{percent(share)} ({percent(goal)})" for case, (share, goal) in read.items()})
        lines.append(f"- Share of the read bandwidth, and in brackets what it is to reach: {shares}. "
                     + (f"Missed by {', '.join(f'`{case}`' for case in missed)}." if missed else "All hold."))
    return lines


def summary_lines(run):
    return speed_lines(run["summary"]) + share_lines(run["summary"])


def missing_lines(results):
    """Who could not run what, and why; the same reason once."""
    reasons = {}
    for result in results:
        if "failed" in result:
            reasons.setdefault(result["failed"], []).append(f"`{result['case']}`")
        for name, reason in result["missing"].items():
            reasons.setdefault(reason, []).append(f"{TITLES[name]} on `{result['case']}`")
    return [f"- No figure: {', '.join(who)}: {reason.replace('|', '/')}" for reason, who in reasons.items()]


def about_lines(about):
    if not about:
        return []
    ours = about.get("clfusion", {})
    versions = [f"{TITLES[name]} {about[name]}" for name in ("torch", "onnxruntime", "openvino") if name in about]
    count = about.get("processes", 1)
    processes = f"in {count} processes" if count > 1 else "in one process"
    return [f"{about['processor']}, {about['threads']} of {about['cores']} cores, {about['memory']}; "
            f"{about['system']}; {ours.get('platform', 'OpenCL')} {ours.get('driver', '')}, {ours.get('device', '')}. "
            f"{', '.join(versions)}, Python {about['python']}; clfusion {ours.get('version', '')} at "
            f"{about.get('commit', 'an unknown commit')}, weights in {about['weights']}. {about['date']}, "
            f"{about['rounds']} rounds of at least {about['calls']} calls, {processes} a case. "
            f"Times in milliseconds: median (best)."]


def markdown(run):
    suite, beside = ([result for result in run["results"] if result["suite"] is counts] for counts in (True, False))
    parts = [about_lines(run["about"]), table(suite), summary_lines(run) + missing_lines(run["results"])]
    if beside:
        parts += [["Beside the suite, and not counted in the means:"], table(beside)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def progress(result, seconds):
    """A line for who waits: a case's time, and where it went."""
    parts = [f"{part} {took:.1f}" for part, took in result.get("took_s", {}).items()]
    return f"{result['case']}: {seconds:.0f} s" + (f" ({', '.join(parts)})" if parts else "")


def write_json(run, path):
    """Whole or not at all: who stops a run keeps the last whole one."""
    if path:
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps(run, indent=1) + "\n")
        beside.replace(path)


def write(run, args):
    """The table to stdout, and what else was asked for."""
    text = markdown(run)
    print(text, end="")
    write_json(run, args.json)
    if args.markdown:
        args.markdown.write_text(text)
    if args.plot:
        import plot
        plot.draw(run, args.plot)
    if args.document:
        document.put(args.document, NAME, text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", type=Path, metavar="JSON")
    for name, what in (("json", "the merged run"), ("markdown", "the text"), ("plot", "an .svg or .png"),
                       ("document", "the text, between the marks of this file")):
        p.add_argument("--" + name, type=Path, help="write " + what)
    args = p.parse_args()
    write(merge(json.loads(path.read_text()) for path in args.files), args)


if __name__ == "__main__":
    main()
