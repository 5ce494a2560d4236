# SPDX-License-Identifier: BSD-3-Clause
"""One turn: a group of workloads on one system in one round. Every figure keeps the command it came from."""
import dataclasses
import json
import shlex
import subprocess
import time

from systems import difference

FIO = ("fio --output-format=json --ioengine=psync --thread --group_reporting --fallocate=none "
       "--randrepeat=0 --refill_buffers --buffer_compress_percentage=0")


@dataclasses.dataclass
class Figure:
    row: str
    system: str
    round: int
    value: float
    unit: str
    higher: bool            # is better
    command: str
    amount: float = 0       # files, bytes or operations done
    stored_s: float = 0     # until everything was in the store, where that was waited for
    cpu_s: float = 0        # that the filesystem's process used
    at_least: bool = False  # cut off: the value is a bound
    written: float = 0      # bytes by programs, where they are counted
    requests: dict = dataclasses.field(default_factory=dict)


class TooSlow(Exception):
    """A phase was cut off, so that those after it have nothing to work on."""


class Turn:
    def __init__(self, bench, system, number):
        self.bench, self.system, self.number = bench, system, number
        self.sizes, self.mnt = bench.sizes, system.mnt

    # ---- keeping

    def keep(self, row, value, unit, command, higher=None, **more):
        higher = unit.endswith("/s") if higher is None else higher
        figure = Figure(row, self.system.name, self.number, value, unit, higher, self.shown(command), **more)
        self.bench.keep(figure)
        return figure

    def shown(self, command):
        text = command if isinstance(command, str) else shlex.join(str(c) for c in command)
        for path, name in ((self.mnt, "MNT"), (self.system.top, "TOP"), (self.bench.build, "BUILD"),
                           (self.bench.work, "WORK")):
            text = text.replace(str(path), name)
        return " ".join(text.split())

    def measured(self, act, settle):
        """What act returned, how long it took, and what else a figure keeps of it."""
        cpu, before, written = self.system.cpu_s(), self.system.counts(), self.system.written()
        start = time.monotonic()
        result = act()
        seconds, stored = time.monotonic() - start, 0
        if settle:
            self.system.settle()
            stored = time.monotonic() - start
        after = self.system.counts()
        return result, seconds, {"stored_s": stored, "requests": difference(before, after),
                                 "cpu_s": self.system.cpu_s() - cpu, "written": self.system.written() - written}

    # ---- ways to measure

    def call(self, command, limit_s):
        """stdout, or None when it took too long."""
        with subprocess.Popen(command, shell=isinstance(command, str), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              start_new_session=True) as p:
            try:
                out, err = p.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                subprocess.run(["kill", "-KILL", "--", f"-{p.pid}"], check=False)
                p.communicate()
                return None
        if p.returncode:
            raise RuntimeError(f"{self.shown(command)}: {err.strip()[-500:] or out.strip()[-500:]}")
        return out

    def seconds(self, row, command, settle=False):
        """The time of a command. One that is cut off counts with the limit, and ends the turn."""
        out, seconds, more = self.measured(lambda: self.call(command, self.sizes.command_s), settle)
        self.keep(row, seconds, "s", command, at_least=out is None, **more)
        if out is None:
            raise TooSlow(row)

    def walk(self, row, command, files, settle=False):
        """A command on so many files, as files per second: systems that were cut off have fewer of them."""
        out, seconds, more = self.measured(lambda: self.call(command, self.sizes.command_s), settle)
        if out is None:
            raise TooSlow(row)
        self.keep(row, files / seconds, "files/s", command, amount=files, **more)

    def files(self, row, phase, count, settle=False, folder="", limit_s=0):
        """Files per second; returns how many were done."""
        limit_s = limit_s or self.sizes.limit_s
        command = [str(self.bench.part("files")), phase, str(self.mnt / folder), str(count), str(self.sizes.file_bytes),
                   str(limit_s)]
        out, _, more = self.measured(lambda: self.call(command, limit_s * 10), settle)
        if out is None:
            raise TooSlow(row)
        answer = json.loads(out)
        self.keep(row, answer["done"] / answer["seconds"], "files/s", command, amount=answer["done"], **more)
        return answer["done"]

    def fio(self, row, arguments, pick, unit, settle=False, higher=None):
        """pick(job, whole answer) → (value, amount)"""
        command = f"{FIO} {arguments}"
        out, _, more = self.measured(lambda: self.call(command, self.sizes.limit_s * 10), settle)
        if out is None:
            raise TooSlow(row)
        answer = json.loads(out[out.index("{"):])
        value, amount = pick(answer["jobs"][0])
        return self.keep(row, value, unit, command, higher=higher, amount=amount, **more)

    def cold(self, row=None):
        """Forgets every cache; a row keeps the time of mounting, where that is part of it."""
        self.system.settle()
        mounting = self.system.cold()
        if row and mounting:
            self.keep(row, mounting[0], "s", "mount with an empty cache", requests=mounting[1])


def bandwidth(kind):
    return lambda job: (job[kind]["bw_bytes"] / 2**20, job[kind]["io_bytes"])


def rate(kind):
    return lambda job: (job[kind]["iops"], job[kind]["total_ios"])


def sync_p50(job):
    return job["sync"]["lat_ns"]["percentile"]["50.000000"] / 1e6, job["sync"]["total_ios"]
