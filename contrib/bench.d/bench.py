# SPDX-License-Identifier: BSD-3-Clause
"""Runs the workloads on every system in turn, round after round, and writes what came out. See contrib/bench."""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

import measure
import report
import systems
import workloads


@dataclasses.dataclass
class Sizes:
    """How much of everything; `--size NAME=N` sets one."""
    files: int = 10_000         # of `files`
    file_bytes: int = 4096      # in each
    many: int = 100_000
    tree_files: int = 9_000
    copy_files: int = 6_400
    stream_mib: int = 2048
    blocks_mib: int = 1024
    reads: int = 5_000
    writes: int = 50_000
    fsync_s: int = 8
    commits: int = 1_000
    pg_scale: int = 10
    pg_s: int = 30
    idle_s: int = 60
    raw_mib: int = 1024
    flat_files: int = 1_000_000  # from a hundredth of it
    flat_gib: int = 100          # likewise
    space_mib: int = 1024
    limit_s: int = 60           # of a phase of many small operations
    command_s: int = 900        # of a command


QUICK = Sizes(files=2_000, many=5_000, tree_files=300, copy_files=200, stream_mib=128, blocks_mib=32, reads=200,
              writes=2_000, fsync_s=1, commits=50, pg_scale=1, pg_s=5, idle_s=10, raw_mib=256, flat_files=20_000,
              flat_gib=1, space_mib=128, limit_s=2, command_s=20)
QUICK_GROUPS = ("raw", "files", "fsync", "stream", "blocks", "tree", "copy", "databases", "many", "idle")
QUICK_BUDGET_S = 500  # leaves time for the last turn and for the report


def parse_arguments():
    p = argparse.ArgumentParser(prog="contrib/bench", description="Compares levels3fs with its peers and its limits.")
    p.add_argument("--quick", action="store_true", help="small sizes; ends within ten minutes")
    p.add_argument("--latency", default="0", metavar="MS", help="a round trip to the server, such as 30ms (0)")
    p.add_argument("--rounds", type=int, help="how often everything is done (5; --quick: 3)")
    p.add_argument("--systems", default=",".join(systems.ALL), help="which, by name: %(default)s")
    p.add_argument("--only", metavar="GROUP,…", help="which groups: " + ", ".join(workloads.GROUPS))
    p.add_argument("--size", action="append", default=[], metavar="NAME=N",
                   help="sets one of: " + ", ".join(f.name for f in dataclasses.fields(Sizes)))
    p.add_argument("--budget", type=int, metavar="SECONDS", help="begins no turn after this long")
    p.add_argument("--out", default="bench-result", help="folder of the results (%(default)s)")
    p.add_argument("--work", default="/var/tmp", help="where temporary files go (%(default)s)")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    return p.parse_args()


def sizes_of(a):
    sizes = dataclasses.replace(QUICK) if a.quick else Sizes()
    for text in a.size:
        name, _, value = text.partition("=")
        if not hasattr(sizes, name) or not value.isdigit():
            sys.exit(f"bench: --size {text}: NAME=N, where NAME is one of those that --help lists")
        setattr(sizes, name, int(value))
    return sizes


def chosen(text, known, what):
    names = [n for n in text.split(",") if n]
    for n in names:
        if n not in known:
            sys.exit(f"bench: no {what} {n}; there are {', '.join(known)}")
    return names


class Bench:
    def __init__(self, a, work):
        self.work = pathlib.Path(work)
        self.build = pathlib.Path(a.build).resolve()
        self.program = self.build / "levels3fs"
        self.parts_dir = pathlib.Path(__file__).resolve().parent
        self.repository = self.parts_dir.parent.parent
        self.sizes = sizes_of(a)
        match = re.fullmatch(r"([0-9.]+)(ms)?", a.latency)
        if not match:
            sys.exit(f"bench: --latency {a.latency}: milliseconds, such as 30ms")
        self.delay_ms = float(match[1])
        self.server = os.environ["LEVELS3_TEST_S3_ENDPOINT"]
        self.server_port = urlsplit(self.server).port
        self.figures, self.failures, self.memory = [], [], {}

    def part(self, name):
        return self.build / "contrib" / "bench.d" / name

    def rclone_env(self, endpoint):
        # Its S3 client cannot take a bundle of certificates from here; it needs none.
        mine = {k: v for k, v in os.environ.items() if k != "AWS_CA_BUNDLE"}
        return dict(mine, RCLONE_CONFIG="/dev/null", RCLONE_CONFIG_BENCH_TYPE="s3",
                    RCLONE_CONFIG_BENCH_PROVIDER="Ceph", RCLONE_CONFIG_BENCH_ENV_AUTH="true",
                    RCLONE_CONFIG_BENCH_ENDPOINT=endpoint)

    def make_bucket(self, name):
        """Straight to the server: not counted, not delayed."""
        systems.run("rclone", "mkdir", f"bench:{name}", env=self.rclone_env(self.server))

    def remove_bucket(self, name):
        """With all that is in it, at once: what waits for the server's collector would fill its memory."""
        systems.run("radosgw-admin", "-c", f"{os.environ['LEVELS3_TEST_RGW_DIR']}/ceph.conf", "bucket", "rm",
                    f"--bucket={name}", "--purge-objects", "--bypass-gc")

    def keep(self, figure):
        self.figures.append(figure)
        print(f"  {figure.row:38} {figure.system:12} {'≥ ' if figure.at_least else '':2}{figure.value:12.2f} {figure.unit}",
              flush=True)

    def bucket_bytes(self, name):
        """Of all objects in it, by the server's own account."""
        said = json.loads(systems.run("radosgw-admin", "-c", f"{os.environ['LEVELS3_TEST_RGW_DIR']}/ceph.conf",
                                      "bucket", "stats", f"--bucket={name}"))
        return said["usage"].get("rgw.main", {}).get("size", 0)

    def fits(self, system, group):
        most = {"many": self.sizes.many, "files": self.sizes.files}.get(group, 0)
        return system.files_max is None or most <= system.files_max

    def attempt(self, system, group, number, act):
        """A failure is reported, and does not keep the others from running."""
        try:
            act()
        except measure.TooSlow as e:
            print(f"  {system.name}: {e} was cut off; the rest of {group} is left out", flush=True)
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as e:
            self.failures.append(f"{group} on {system.name}, round {number + 1}: {str(e).strip()[:400]}")
            print(f"  FAILED {self.failures[-1]}", flush=True)

    def turn(self, system, group, number):
        act = workloads.GROUPS[group][0]
        if not self.fits(system, group):
            print(f"  {system.name} cannot hold so many files", flush=True)
            return

        def work():
            system.more_options = workloads.OPTIONS.get(group, "")
            system.start()
            act(measure.Turn(self, system, number))
            kib = system.memory_kib()
            if kib:
                self.memory[system.name] = max(kib, self.memory.get(system.name, 0))
        try:
            self.attempt(system, group, number, work)
        finally:
            self.attempt(system, group, number, system.stop)


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    kib = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal")))
    return f"{os.cpu_count()} cores ({model}), {kib / 2**20:.0f} GiB, Linux {platform.release()}; the S3 server on the same cores"


def rounds(bench, a, names, groups):
    """Interleaved: every system has its turn with a group before the next group begins."""
    budget = a.budget or (QUICK_BUDGET_S if a.quick else 0)
    start = time.monotonic()
    for number in range(a.rounds or (3 if a.quick else 5)):
        for group in groups:
            for name in names:
                if budget and time.monotonic() - start > budget:
                    return f"stopped in round {number + 1}, at {group}, after {budget} s"
                if name not in workloads.GROUPS[group][1]:
                    continue
                print(f"round {number + 1}, {group}, {name}", flush=True)
                bench.turn(systems.ALL[name](bench), group, number)
    return "ran to its end"


def main():
    a = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is unmounted
    names = chosen(a.systems, systems.ALL, "system")
    groups = chosen(a.only or ",".join(QUICK_GROUPS if a.quick else workloads.GROUPS), workloads.GROUPS, "group")
    work = tempfile.mkdtemp(prefix="levels3fs-bench.", dir=a.work)
    bench = Bench(a, work)
    try:
        ended = rounds(bench, a, names, groups)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    head = [f"levels3fs and others, {time.strftime('%Y-%m-%d')}: {machine()}",
            f"round trip to the server: {'loopback' if not bench.delay_ms else f'{bench.delay_ms:g} ms more than loopback'}; {ended}",
            "sizes: " + ", ".join(f"{k}={v}" for k, v in dataclasses.asdict(bench.sizes).items())]
    head += [f"{c.name}: {c(bench).note}" for n, c in systems.ALL.items() if n in names]
    report.write(pathlib.Path(a.out), head, bench, names)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
