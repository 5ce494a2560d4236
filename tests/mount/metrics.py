# Prometheus' text format, version 0.0.4, read strictly: what promtool(1) would refuse, and what its lint would warn of.
#	metrics.py check FILE			the whole of it is well formed
#	metrics.py value FILE SAMPLE		the number of one sample, NAME or NAME{LABEL="VALUE"}
#	metrics.py dashboard FILE JSON		a Grafana dashboard asks only for metrics and labels that are there
import json, re, sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:{{({LABEL}(?:,{LABEL})*)}})? (\S+)\Z")
ABBREVIATED = re.compile(r"_(ms|us|ns|kb|mb|sec|secs|mins?|pct|percent)(_|$)")


def die(why, line=""):
    sys.exit(f"metrics: {why}{': ' if line else ''}{line}")


class Family:
    def __init__(self, name):
        self.name, self.type, self.help, self.samples = name, None, None, {}


def family_of(name, families):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and base in families and families[base].type in ("histogram", "summary"):
            return families[base]
    return families.get(name)


def read(path):
    text = open(path, encoding="utf-8").read()
    if not text.endswith("\n"):
        die("the last line has no end")
    families, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, help = line[7:].split(" ", 1)
            if name in families:
                die("described twice", line)
            current = families[name] = Family(name)
            current.help = help
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if not current or current.name != name or current.type or current.samples:
                die("a type in the wrong place", line)
            if kind not in ("counter", "gauge", "histogram", "summary"):
                die("unknown type", line)
            current.type = kind
        else:
            m = SAMPLE.match(line) or die("not a sample", line)
            family = family_of(m[1], families)
            if not family or family is not current:
                die("a sample away from its family", line)
            labels = tuple(sorted(re.findall(LABEL, m[2] or "")))
            if len({k for k, _ in labels}) != len(labels):
                die("a label twice", line)
            if (m[1], labels) in family.samples:
                die("a sample twice", line)
            try:
                family.samples[m[1], labels] = float(m[7])
            except ValueError:
                die("not a number", line)
    return families


def check_histogram(f):
    groups = {}
    for (name, labels), value in f.samples.items():
        rest = tuple(l for l in labels if l[0] != "le")
        groups.setdefault(rest, {}).setdefault(name[len(f.name):], []).append((dict(labels).get("le"), value))
    for rest, g in groups.items():
        bounds = [float(le) for le, _ in g["_bucket"]]
        counts = [n for _, n in g["_bucket"]]
        if bounds != sorted(bounds) or bounds[-1] != float("inf") or counts != sorted(counts):
            die("buckets that do not grow", f.name)
        if len(g["_sum"]) != 1 or [n for _, n in g["_count"]] != counts[-1:]:
            die("count and last bucket differ", f.name)


def check(families):
    for f in families.values():
        if not f.type or not f.help or not f.samples:
            die("without type, help or sample", f.name)
        if (f.type == "counter") != f.name.endswith("_total"):
            die("only counters end with _total, and all of them", f.name)
        if ABBREVIATED.search(f.name) or f.name.lower() != f.name:
            die("not a name by the conventions", f.name)
        if f.type == "histogram":
            check_histogram(f)
        elif any(v < 0 for v in f.samples.values()):
            die("less than nothing", f.name)
    if len(families) < 20:
        die(f"only {len(families)} metrics")


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query", "definition") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def dashboard(families, path):
    known, labels = set(), {"instance", "job", "le"}
    for f in families.values():
        for name, pairs in f.samples:
            known.add(name)
            labels |= {k for k, _ in pairs}
    asked = 0
    for query in expressions(json.load(open(path))):
        names = re.findall(r"\b(?:levels3fs|process)_[a-z0-9_]+", query)
        asked += len(names)
        for name in names:
            if name not in known:
                die(f"the dashboard asks for {name}, which does not exist", query)
        used = re.findall(r"[{,]\s*([a-z_]+)\s*=", query)
        used += [w for by in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", query) for w in re.split(r"\W+", by) if w]
        used += re.findall(r"label_values\([^,()]+,\s*([a-z_]+)\)", query)
        for label in used:
            if label not in labels:
                die(f"the dashboard asks for the label {label}, which does not exist", query)
    if asked < 10:
        die(f"only {asked} metrics in the dashboard")


families = read(sys.argv[2])
if sys.argv[1] == "check":
    check(families)
elif sys.argv[1] == "value":
    m = SAMPLE.match(sys.argv[3] + " 0")
    print(int(family_of(m[1], families).samples[m[1], tuple(sorted(re.findall(LABEL, m[2] or "")))]))
elif sys.argv[1] == "dashboard":
    dashboard(families, sys.argv[3])
