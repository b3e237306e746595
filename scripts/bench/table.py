"""The table of ratios: this program over each peer, medians over the rounds."""
import os
import platform
import statistics

# Cores of other processes from which on a measurement is in doubt.
CONTENDED = 0.1

COLUMNS = (
    "measure", "data", "threads", "ours", "rate", "peer", "peer's rate", "ratio", "quality", "peer's", "time to it", "memory"
)  # fmt: skip


def table(lines):
    """Markdown. `ratio` is that of median rates. `quality` is NDCG@10: on validation the best epoch's, else on test.

    `time to it` compares the seconds of training until 99% of the peer's best validation NDCG@10: the peer's over
    ours, `never` when this program does not get there.
    """
    groups = {}
    for line in lines:
        key = (line["measure"], line["data"], line["threads"])
        groups.setdefault(key, {}).setdefault(line["peer"], []).append(line)
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for (measure, data, threads), peers in groups.items():
        ours = {name: peers.pop(name) for name in sorted(peers) if name.startswith("recsys")} or {"recsys": []}
        for name, own in ours.items():
            for peer, theirs in sorted(peers.items()):
                rows.append([measure, data, threads, name, *cells(own, peer, theirs)])
            if not peers:
                rows.append([measure, data, threads, name, rate(own), "", "", "", quality(own), "", "", memory(own)])
    text = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return "\n\n".join(filter(None, (machine(), contention(lines), text, bandwidth(lines))))


def bandwidth(lines):
    """What gpu.sh adds: bytes of the examples' rows, as if no two shared one, beside a copy on the same card."""
    copy = median([line for line in lines if line["measure"] == "copy"])
    moved = {}
    for line in lines:
        if "bytes_per_second" in line:
            moved.setdefault(f"{line['measure']} {line['data']}", []).append(line["bytes_per_second"])
    rates = {what: statistics.median(rates) for what, rates in moved.items()}
    return "\n".join(
        f"- {what}: {rate / 1e9:.1f} GB/s" + (f", {rate / copy:.1%} of a copy's {copy / 1e9:.0f} GB/s" if copy else "")
        for what, rate in rates.items()
    )


def cells(own, peer, theirs):
    ratio = ""
    if median(own) and median(theirs):
        ratio = f"{median(own) / median(theirs):.2f}x"
    return [
        rate(own), peer, rate(theirs), ratio, quality(own), quality(theirs), time_to(own, theirs),
        f"{memory(own)} / {memory(theirs)}",
    ]  # fmt: skip


def median(lines):
    rates = [line["rate"] for line in lines if "rate" in line]
    return statistics.median(rates) if rates else None


def rate(lines):
    value = median(lines)
    if value is None:
        failed = next((line["failed"] for line in lines if "failed" in line), None)
        return f"failed: {failed.split(':')[0]}" if failed else ""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.2f} {unit}/s"
    return f"{value:.1f} /s"


def quality(lines):
    values = [line["quality"]["ndcg@10"] for line in lines if line.get("quality")]
    return f"{statistics.median(values):.4f}" if values else ""


def memory(lines):
    values = [line["peak_memory_bytes"] for line in lines if line.get("peak_memory_bytes")]
    return f"{statistics.median(values) / 2**20:.0f} MiB" if values else ""


def time_to(own, theirs):
    """Seconds until 99% of the peer's best, theirs over ours."""
    best = [line["quality"]["ndcg@10"] for line in theirs if (line.get("quality") or {}).get("part") == "valid"]
    if not best or not any(line.get("curve") for line in own):
        return ""
    target = 0.99 * statistics.median(best)
    times = []
    for lines in (own, theirs):
        reached = [seconds for line in lines if (seconds := reach(line, target)) is not None]
        if len(reached) * 2 <= len(lines):
            return "never" if lines is own else ""
        times.append(statistics.median(reached))
    return f"{times[1]:.2f} s / {times[0]:.2f} s = {times[1] / times[0]:.2f}x"


def reach(line, target):
    return next((point["elapsed"] for point in line.get("curve", []) if point.get("ndcg@10", 0) >= target), None)


def machine():
    """Processor, cores and system, for whoever reads the table elsewhere."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def contention(lines):
    """Whether the rest of the machine was idle. Programs with spinning threads suffer from company more than others."""
    others = [line["others"] for line in lines if "others" in line]
    if not others:
        return ""
    text = f"Other processes kept {statistics.median(others):.2f} cores busy (median), {max(others):.2f} at most"
    return text + (": **contended, the ratios are not to be relied on**." if max(others) > CONTENDED else ".")
