"""Figures of a case from what its processes have read: medians, best times, and shares of the best peak.

Where memory lies moves all calls of a process by 1 to 4 %, and an hour has busy minutes; so a case has several processes,
apart in time, and each runner's calls are taken together.  In one process all runners make the same number of them.
"""
import statistics


def together(parts, key):
    """Name -> readings of all processes, of the names that are in every one."""
    names = [name for name in parts[0][key] if all(name in part[key] for part in parts)]
    return {name: [part[key][name] for part in parts] for name in names}


def peaks_of(parts):
    pooled = {}
    for name, peaks in together(parts, "peaks").items():
        readings = [value for peak in peaks for value in peak["readings"]]
        pooled[name] = {"best": max(readings), "median": statistics.median(readings), "unit": peaks[0]["unit"]}
    return pooled


def figures(times, work, peak):
    """Of one runner; peak is None where nothing is counted."""
    quarter = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    result = {"median_ms": 1e3 * quarter[1], "quartiles_ms": [1e3 * quarter[0], 1e3 * quarter[2]],
              "best_ms": 1e3 * min(times)}
    if peak:
        result |= {"rate": work / quarter[1] * 1e-9, "share": work / min(times) * 1e-9 / peak}
    return result


def result_of(parts):
    """Everything measured about a case, as compare.py writes it into its JSON."""
    same = ("case", "title", "suite", "inputs", "flop", "bytes", "bound", "goal", "launches")
    result = {key: parts[-1][key] for key in same if key in parts[-1]}
    result["wrong"] = sorted({name for part in parts for name in part["wrong"]})
    result["missing"] = {name: reason for part in parts for name, reason in part["missing"].items()}
    result["peaks"] = peaks_of(parts)
    peak = result["peaks"][result["bound"]]["best"] if result["bound"] else None
    result["runners"] = {}
    for name, seconds in together(parts, "seconds").items():
        times = [value for part in seconds for value in part]
        result["runners"][name] = {**figures(times, parts[-1]["work"][name], peak), "calls": len(times),
                                   "medians_ms": [1e3 * statistics.median(part) for part in seconds],
                                   "difference": max(part["difference"][name] for part in parts)}
    result["took_s"] = {key: round(sum(part["took_s"].get(key, 0) for part in parts), 2) for key in parts[-1]["took_s"]}
    result["peak_resident_bytes"] = max(part["peak_resident_bytes"] for part in parts)
    return result
