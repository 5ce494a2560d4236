# SPDX-License-Identifier: BSD-3-Clause
"""From figures to table.txt, table.csv and plot.svg: medians over the rounds, and ratios between systems."""
import csv
import math
import statistics
from xml.sax.saxutils import escape

KINDS = ("get", "put", "head", "list", "copy", "delete", "delete_many", "multipart", "other")
# Waits for durability, which rclone does not give: being fast there is no merit.
DURABLE = ("fsync", "SQLite", "write,", "random 4 KiB write", "cp of", "pgbench")
COLOURS = {"native": "#888888", "passthrough": "#d08a00", "noop": "#b0b0b0", "levels3fs": "#0060c0", "s3fs": "#c03030",
           "rclone": "#309040"}


class Cell:
    """One row on one system."""

    def __init__(self, figures):
        self.value = statistics.median(f.value for f in figures)
        self.low, self.high = min(f.value for f in figures), max(f.value for f in figures)
        self.rounds = len(figures)
        self.first = figures[0]
        self.at_least = any(f.at_least for f in figures)
        self.amount = statistics.median(f.amount for f in figures)
        self.cpu_s = statistics.median(f.cpu_s for f in figures)
        self.written = statistics.median(f.written for f in figures)
        self.stored_s = statistics.median(f.stored_s for f in figures)
        self.requests = {k: statistics.median(f.requests.get(k, 0) for f in figures)
                         for k in KINDS + ("body_up", "wire_up", "wire_down") if any(f.requests for f in figures)}

    def per(self, kind, amount=None):
        amount = amount or self.amount
        return self.requests.get(kind, 0) / amount if amount else None

    def total(self):
        return sum(self.requests.get(k, 0) for k in KINDS)


class Table:
    def __init__(self, figures):
        self.cells, self.rows = {}, []
        grouped = {}
        for f in figures:
            grouped.setdefault((f.row, f.system), []).append(f)
            if f.row not in self.rows and not f.row.startswith("("):
                self.rows.append(f.row)
        for key, list_ in grouped.items():
            self.cells[key] = Cell(list_)

    def get(self, row, system="levels3fs"):
        return self.cells.get((row, system))

    def ratio(self, row, other, system="levels3fs"):
        """How many times better than the other; None where one of them is missing."""
        a, b = self.get(row, system), self.get(row, other)
        if not a or not b or not a.value or not b.value:
            return None
        return a.value / b.value if a.first.higher else b.value / a.value


def short(value):
    if value is None:
        return ""
    if value and abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def columns(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip()
            for r in rows]


# ---- the tables

def results(table, names):
    rows = [["", "unit", *names, "× passthrough", "× best peer"]]
    for row in table.rows:
        cells = [table.get(row, n) for n in names]
        unit = next(c.first.unit for c in cells if c) if any(cells) else ""
        peers = [table.ratio(row, p) for p in (("s3fs",) if row.startswith(DURABLE) else ("s3fs", "rclone"))]
        rows.append([row, unit, *[("" if not c else ("≥ " if c.at_least else "") + short(c.value)) for c in cells],
                     short(table.ratio(row, "passthrough")), short(min((p for p in peers if p), default=None))])
    return columns(rows)


def requests(table, names):
    rows = [["", "system", *KINDS, "MiB up", "MiB down", "until stored s"]]
    for row in table.rows:
        for name in names:
            c = table.get(row, name)
            if c and c.requests:
                rows.append([row, name, *[f"{c.requests[k]:g}" for k in KINDS], short(c.requests["wire_up"] / 2**20),
                             short(c.requests["wire_down"] / 2**20), short(c.stored_s) if c.stored_s else ""])
    return columns(rows) if len(rows) > 1 else []


def processor(table, names):
    """Microseconds of the filesystem's own process for each file or operation."""
    rows = [["", *names]]
    for row in table.rows:
        cells = [table.get(row, n) for n in names]
        if any(c and c.cpu_s and 0 < c.amount < 10**6 for c in cells):
            rows.append([row, *["" if not c or not c.amount or not c.cpu_s else short(c.cpu_s * 1e6 / c.amount)
                                for c in cells]])
    return columns(rows) if len(rows) > 1 else []


def amplification(table):
    """Bytes of objects sent for each byte that programs wrote, metadata and cleaning included."""
    rows = [["", "MiB written", "MiB sent", "sent ÷ written"]]
    for row in table.rows:
        c = table.get(row)
        if c and c.written >= 2**16:
            rows.append([row, short(c.written / 2**20), short(c.requests["body_up"] / 2**20),
                         short(c.requests["body_up"] / c.written)])
    return columns(rows) if len(rows) > 1 else []


def commands(table):
    """As run on levels3fs, where it ran; phases on other systems get the count that their own create reached."""
    lines = []
    for row in table.rows:
        cell = table.get(row) or next(c for (r, _), c in table.cells.items() if r == row)
        lines.append(f"{row}:\n    {cell.first.command}")
    return lines


# ---- the targets

def value(cell):
    return cell.value if cell else None


def quotient(a, b):
    return a / b if a is not None and b else None


def targets(table, bench):
    """(what, measured, relation, target)"""
    t, n = table, bench.sizes
    ours = t.get
    out = [(f"{row} ÷ passthrough", t.ratio(row, "passthrough"), ">=", 1.0)
           for row in ("create", "list, cold", "stat, cold", "rename", "unlink", "untar")]
    out += [(f"{row} ÷ noop (the protocol's limit)", t.ratio(row, "noop"), None, None)
            for row in ("create", "stat, cold", "read, warm", "rename", "unlink")]
    one = value(ours("fsync, 1 thread, p50"))
    out += [
        ("fsync p50 ÷ raw PUT p50", quotient(one, value(ours("raw PUT 4 KiB, p50"))), "<=", 1.3),
        ("PUTs per fsync, 1 thread", ours("fsync, 1 thread") and ours("fsync, 1 thread").per("put"), "<=", 1.05),
        ("fsyncs of 64 threads ÷ 1 thread", quotient(value(ours("fsync, 64 threads")), value(ours("fsync, 1 thread"))),
         ">=", 20),
        ("fsync p50 beside a stream ÷ alone", quotient(value(ours("fsync beside a stream, p50")), one), "<=", 2)]
    for row, raw in (("write, 1 stream", "raw PUT, parallel"), ("write, 4 streams", "raw PUT, parallel"),
                     ("read, 1 stream, cold", "raw GET, parallel"), ("read, 4 streams, cold", "raw GET, parallel")):
        out.append((f"{row} ÷ {raw}", quotient(value(ours(row)), value(ours(raw))), ">=", 0.85))
    out += [(f"{row} ÷ passthrough", t.ratio(row, "passthrough"), ">=", 0.9)
            for row in ("read, 1 stream, warm", "buffered write, no fsync")]
    reads, made, gone = ours("random 4 KiB read, cold"), ours("create many"), ours("rm -rf")
    ls = ours("ls -lR, cold")
    written, idle, mount = ours("write, 1 stream"), ours("idle mount, requests"), ours("mount, many files")
    out += [
        ("GETs per cold random 4 KiB read", reads and reads.per("get"), "<=", 1.0),
        ("bytes fetched ÷ bytes read, cold random", reads and reads.per("wire_down", reads.amount * 4096), "<=", 1.5),
        ("seconds of ls -lR, cold", ls and quotient(ls.amount, ls.value), "<", 2.0 if n.many >= 100_000 else None),
        ("PUTs per small file created", made and made.per("put"), "<=", 0.005),
        (f"requests of removing {n.many} files", gone and gone.total(), "<=", 100),
        ("bytes sent ÷ bytes written, stream", written and written.per("wire_up"), "<", 1.2),
        ("requests of an idle mount a minute", value(idle), "<=", 6.5),
        ("LISTs of an idle mount", idle and idle.requests.get("list"), "<=", 0),
        (f"requests of mounting {n.many} files", mount and mount.total(), "<=", 15),
        ("seconds of mounting them", value(mount), "<", None if bench.delay_ms else 1.0),
        ("bytes in the bucket ÷ live, half deleted", value(ours("bytes in the bucket ÷ live, half deleted")), "<", 1.3),
        ("memory of the daemon ÷ mem_limit", quotient(bench.memory.get("levels3fs"), 512 * 1024), "<=", 1.1)]
    for kind in ("create", "stat, cold", "rename", "unlink"):
        rates = [c.value for (row, _), c in t.cells.items() if row.startswith(f"{kind}, beside ")]
        out.append((f"{kind}: fastest ÷ slowest size", quotient(max(rates), min(rates)) if rates else None, "<=", 1.5))
    for kind in ("read", "write"):
        rates = [c.value for (row, _), c in t.cells.items() if row.startswith(f"random 4 KiB {kind} in ")]
        out.append((f"random {kind}: fastest ÷ slowest size", quotient(max(rates), min(rates)) if rates else None, "<=", 1.5))
    return out


def verdict(measured, relation, target):
    if target is None:
        return ""
    ok = {">=": measured >= target, "<=": measured <= target, "<": measured < target}[relation]
    return "met" if ok else "MISSED"


def target_lines(table, bench):
    rows = [["", "measured", "target", ""]]
    for what, measured, relation, target in targets(table, bench):
        if measured is not None:
            rows.append([what, short(measured), f"{relation} {target:g}" if target is not None else "",
                         verdict(measured, relation, target)])
    return columns(rows) if len(rows) > 1 else []


# ---- files

def write_csv(path, figures):
    with open(path, "w", newline="") as out:
        w = csv.writer(out)
        w.writerow(["row", "system", "round", "value", "unit", "at_least", "amount", "stored_s", "cpu_s", "written", *KINDS, "body_up", "wire_up",
                    "wire_down", "command"])
        for f in figures:
            w.writerow([f.row, f.system, f.round + 1, f"{f.value:.6g}", f.unit, int(f.at_least), f"{f.amount:g}",
                        f"{f.stored_s:.3f}", f"{f.cpu_s:.2f}", f"{f.written:g}", *[f.requests.get(k, "") for k in KINDS + ("body_up", "wire_up", "wire_down")],
                        f.command])


def write_svg(path, table, names, head):
    """A line per row: how many times faster (right) or slower (left) than levels3fs each system is."""
    rows = [r for r in table.rows if table.get(r) and any(table.get(r, n) for n in names if n != "levels3fs")]
    left, width, line, top = 300, 640, 22, 70
    height = top + line * len(rows) + 40

    def x(ratio):
        return left + width * (math.log10(min(max(ratio, 0.001), 100)) + 3) / 5
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}" '
           'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="18">{escape(head[0])}</text>', f'<text x="10" y="34">{escape(head[1])}</text>']
    at = left
    for n in names:
        out.append(f'<circle cx="{at}" cy="50" r="5" fill="{COLOURS[n]}"/><text x="{at + 9}" y="54">{n}</text>')
        at += 110
    for power in range(-3, 3):
        p = x(10.0 ** power)
        out.append(f'<line x1="{p:.0f}" y1="{top - 8}" x2="{p:.0f}" y2="{height - 34}" '
                   f'stroke="{"#0060c0" if power == 0 else "#dddddd"}"/>'
                   f'<text x="{p:.0f}" y="{height - 18}" text-anchor="middle">{10.0 ** power:g}×</text>')
    for i, row in enumerate(rows):
        y = top + line * i + 8
        out.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(row)}</text>')
        for n in names:
            ratio = table.ratio(row, "levels3fs", n)
            if ratio:
                out.append(f'<circle cx="{x(ratio):.1f}" cy="{y}" r="5" fill="{COLOURS[n]}" fill-opacity="0.8">'
                           f'<title>{escape(row)}, {n}: {ratio:.3g} × levels3fs</title></circle>')
    out.append(f'<text x="{left}" y="{height - 3}">as fast as levels3fs: 1×; faster: right</text></svg>')
    path.write_text("\n".join(out) + "\n")


def write(folder, head, bench, names):
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(bench.figures)
    parts = [head, ["Medians. Rates: more is better; seconds and milliseconds: less. ≥: cut off after that long.",
                    "The last columns say how many times better levels3fs is; rclone is no peer where durability is waited for.", "", *results(table, names)]]
    lines = target_lines(table, bench)
    if lines:
        parts.append(["Targets (ratios within this run)", "", *lines])
    lines = requests(table, names)
    if lines:
        parts.append(["Requests while that ran and until it was stored, as a proxy between client and server counted them",
                      "", *lines])
    lines = processor(table, names)
    if lines:
        parts.append(["Processor time of the filesystem's process, µs for each file or operation", "", *lines])
    lines = amplification(table)
    if lines:
        parts.append(["levels3fs: bytes sent for each byte that programs wrote, while that ran and until it was stored",
                      "", *lines])
    parts.append(["Commands", "", *commands(table)])
    if bench.failures:
        parts.append(["Failed", "", *bench.failures])
    text = "\n\n".join("\n".join(p) for p in parts) + "\n"
    (folder / "table.txt").write_text(text)
    write_csv(folder / "table.csv", bench.figures)
    write_svg(folder / "plot.svg", table, names, head)
    print("\n" + text + f"\nwritten to {folder}/table.txt, table.csv, plot.svg")
