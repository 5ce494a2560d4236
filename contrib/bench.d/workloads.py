# SPDX-License-Identifier: BSD-3-Clause
"""The workloads, in groups that share a mount. Each is a function of a turn; GROUPS lists them."""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import tarfile
import time

from measure import bandwidth, rate, sync_p50
from systems import difference

MIB = 2**20


# ---- names and small files

def files(t):
    """create + write + close, then the same files cold and warm."""
    n = t.files("create", "create", t.sizes.files, settle=True)
    t.cold()
    t.files("list, cold", "list", n)
    t.cold()
    t.files("stat, cold", "stat", n)
    t.files("stat, warm", "stat", n)
    t.files("read, cold", "read", n)
    t.files("read, warm", "read", n)
    renamed = t.files("rename", "rename", n, settle=True)
    t.files("unlink", "unlink", renamed, settle=True)


def many(t):
    """A large number of files: mounting, walking, removing."""
    n = t.files("create many", "create", t.sizes.many, settle=True)
    t.cold("mount, many files")
    t.walk("ls -lR, cold", f"ls -lR {t.mnt} >/dev/null", n)
    t.cold()
    t.walk("find, cold", f"find {t.mnt} -size +1G", n)
    t.walk("rm -rf", f"rm -rf {t.mnt}/d*", n, settle=True)


def make_tree(t):
    """The archive that is unpacked: the same bytes in every run."""
    archive, tree = t.bench.work / "tree.tar", t.bench.work / "tree"
    if archive.exists():
        return archive, tree
    r = random.Random(1)
    words = [("%x" % r.getrandbits(r.choice((8, 16, 32)))).encode() for _ in range(5000)]
    for i in range(t.sizes.tree_files):
        folder = tree / f"{i // 400:02d}" / f"{i // 40 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        size = min(int(r.lognormvariate(8.6, 1.3)), 512 * 1024)
        (folder / f"file{i}.c").write_bytes(b" ".join(r.choices(words, k=size // 5 + 1))[:size])
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, "tree")
    return archive, tree


def tree(t):
    """What developers do."""
    archive, _ = make_tree(t)
    t.seconds("untar", ["tar", "-xf", archive, "-C", t.mnt], settle=True)
    t.seconds("git clone", f"git clone -q --no-hardlinks {t.bench.repository} {t.mnt}/clone", settle=True)
    objects = t.bench.parts_dir / "objects.mk"
    t.seconds("make", f"make -s -j2 -C {t.mnt}/clone -f {objects}", settle=True)
    t.cold()
    t.seconds("tar of the tree, cold", f"tar -cf - -C {t.mnt} tree | cat >/dev/null")


def copy(t):
    """cp -r of files of 30 KiB."""
    source = t.bench.work / "copy"
    if not source.exists():
        source.mkdir()
        for i in range(t.sizes.copy_files):
            (source / f"{i}").write_bytes(random.Random(i).randbytes(15 * 1024).hex().encode())
    t.seconds("cp -r of 30 KiB files", ["cp", "-r", source, t.mnt], settle=True)


# ---- bytes

def stream(t):
    size, one = t.sizes.stream_mib, f"--filename={t.mnt}/stream --bs=1M"
    t.fio("buffered write, no fsync", f"--name=buffered --rw=write {one} --size={min(size, 128)}m",
          bandwidth("write"), "MiB/s", settle=True)
    t.fio("write, 1 stream", f"--name=write --rw=write {one} --size={size}m --end_fsync=1", bandwidth("write"), "MiB/s",
          settle=True)
    t.cold()
    t.fio("read, 1 stream, cold", f"--name=read --rw=read {one} --size={size}m", bandwidth("read"), "MiB/s")
    t.fio("read, 1 stream, warm", f"--name=warm --rw=read {one} --size={size}m", bandwidth("read"), "MiB/s")
    if not t.system.streams:
        return
    four = f"--directory={t.mnt} --filename_format='stream.$jobnum' --numjobs=4 --bs=1M --size={size // 4}m"
    t.fio("write, 4 streams", f"--name=write4 --rw=write {four} --end_fsync=1", bandwidth("write"), "MiB/s", settle=True)
    t.cold()
    t.fio("read, 4 streams, cold", f"--name=read4 --rw=read {four}", bandwidth("read"), "MiB/s")
    t.seconds("cp of a large file inside", f"cp {t.mnt}/stream {t.mnt}/copy && sync {t.mnt}/copy")


def blocks(t):
    """Random 4 KiB."""
    size = f"--filename={t.mnt}/blocks --size={t.sizes.blocks_mib}m"
    t.call(f"fio --output-format=json --name=lay --rw=write --bs=1M --end_fsync=1 --refill_buffers {size}", 600)
    t.cold()
    t.fio("random 4 KiB read, cold", f"--name=randread --rw=randread --bs=4k {size} --norandommap "
          f"--number_ios={t.sizes.reads} --runtime={t.sizes.limit_s}", rate("read"), "reads/s")
    t.fio("random 4 KiB write, fsync at the end", f"--name=randwrite --rw=randwrite --bs=4k {size} --norandommap "
          f"--number_ios={t.sizes.writes} --runtime={t.sizes.limit_s} --end_fsync=1", rate("write"), "writes/s", settle=True)


def fsync(t):
    """4 KiB write + fsync by 1, 8 and 64 threads, and beside a stream."""
    def job(threads, name):
        return (f"--name={name} --directory={t.mnt} --rw=write --bs=4k --size=8m --fsync=1 --time_based "
                f"--runtime={t.sizes.fsync_s} --numjobs={threads}")
    t.fio("fsync, 1 thread, p50", job(1, "p50"), sync_p50, "ms", higher=False)
    t.fio("fsync, 1 thread", job(1, "one"), rate("write"), "/s")
    t.fio("fsync, 8 threads", job(8, "eight"), rate("write"), "/s")
    t.fio("fsync, 64 threads", job(64, "many"), rate("write"), "/s")
    beside = subprocess.Popen(["fio", "--name=beside", f"--filename={t.mnt}/beside", "--rw=write", "--bs=1M",
                               "--thread", "--size=1g", "--time_based", f"--runtime={t.sizes.fsync_s + 5}"], start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    try:
        t.fio("fsync beside a stream, p50", job(1, "p50beside"), sync_p50, "ms", higher=False)
    finally:
        beside.kill()
        beside.wait()


def databases(t):
    """SQLite, one commit at a time, with full synchronisation."""
    for mode in ("delete", "wal"):
        path = t.mnt / f"{mode}.db"

        def commits():
            db = sqlite3.connect(path, isolation_level=None)
            db.execute(f"pragma journal_mode={mode}")
            db.execute("pragma synchronous=full")
            db.execute("create table t(i integer primary key, v blob)")
            start, n = time.monotonic(), 0
            while n < t.sizes.commits and time.monotonic() - start < t.sizes.limit_s:
                db.execute("insert into t(v) values (randomblob(200))")
                n += 1
            seconds = time.monotonic() - start
            db.close()
            return n / seconds, n
        (value, n), _, more = t.measured(commits, False)
        t.keep(f"SQLite commits, {mode}", value, "/s",
               f"sqlite3 {path}: journal_mode={mode}, synchronous=full, {t.sizes.commits} x insert", amount=n, **more)


def postgres(t):
    """pgbench, as its own user."""
    if t.system.name == "rclone":
        return  # no modes, no owners: it cannot hold a cluster
    binaries = sorted(os.scandir("/usr/lib/postgresql"), key=lambda e: int(e.name))[-1].path + "/bin"
    data, run_dir = t.mnt / "pg", t.system.top / "pgrun"
    run_dir.mkdir(exist_ok=True)
    data.mkdir(mode=0o700)
    for path in (data, run_dir):
        shutil.chown(path, "postgres", "postgres")

    def as_postgres(command):
        return ["runuser", "-u", "postgres", "--", "sh", "-c", f"cd / && {command}"]
    t.call(as_postgres(f"{binaries}/initdb -D {data} -A trust"), 600)
    server = f"{binaries}/pg_ctl -D {data} -w -t 120 -o \"-k {run_dir} -c listen_addresses=''\" -l {run_dir}/log"
    t.call(as_postgres(server + " start"), 300)
    try:
        t.call(as_postgres(f"{binaries}/pgbench -h {run_dir} -i -s {t.sizes.pg_scale} postgres"), 900)
        command = f"{binaries}/pgbench -h {run_dir} -c 8 -j 2 -T {t.sizes.pg_s} postgres"
        out, _, more = t.measured(lambda: t.call(as_postgres(command), t.sizes.pg_s + 300), False)
        value = next(float(line.split()[2]) for line in out.splitlines() if line.startswith("tps = "))
        t.keep("pgbench, 8 clients", value, "/s", command, **more)
    finally:
        t.call(as_postgres(server + " -m fast stop"), 300)


# ---- size

def flat(t):
    """The same work beside few files and beside many, in a small file and in a large one."""
    there = 0
    for size in (t.sizes.flat_files // 100, t.sizes.flat_files // 10, t.sizes.flat_files):
        (t.mnt / f"base{size}").mkdir()
        t.files("(files beside)", "create", size - there, settle=True, folder=f"base{size}", limit_s=t.sizes.command_s)
        there, probe = size, f"probe{size}"
        (t.mnt / probe).mkdir()
        t.files(f"create, beside {size:,} files", "create", t.sizes.files, settle=True, folder=probe)
        t.cold()
        t.files(f"stat, cold, beside {size:,} files", "stat", t.sizes.files, folder=probe)
        t.files(f"rename, beside {size:,} files", "rename", t.sizes.files, settle=True, folder=probe)
        t.files(f"unlink, beside {size:,} files", "unlink", t.sizes.files, settle=True, folder=probe)
    for gib in sorted({max(t.sizes.flat_gib // 100, 1), t.sizes.flat_gib}):
        file = f"--filename={t.mnt}/large --size={gib}g --zero_buffers"
        t.call(f"fio --output-format=json --name=lay --rw=write --bs=1M --end_fsync=1 {file}", 20 * t.sizes.command_s)
        t.cold()
        for name, more in (("read", ""), ("write", "--end_fsync=1")):
            t.fio(f"random 4 KiB {name} in {gib} GiB", f"--name={name} --rw=rand{name} --bs=4k {file} --norandommap "
                  f"--number_ios={t.sizes.reads} --runtime={t.sizes.limit_s} {more}", rate(name), f"{name}s/s")


def space(t):
    """Every second file is deleted: what the bucket holds then, and how long that takes by itself."""
    size, count = 256 * 1024, t.sizes.space_mib * 4
    for i in range(count):
        (t.mnt / str(i)).write_bytes(random.randbytes(size))
    t.system.settle()
    live = count // 2 * size

    def shrinks():
        for i in range(0, count, 2):
            (t.mnt / str(i)).unlink()
        end = time.monotonic() + SPACE_WAIT_S
        while (held := t.bench.bucket_bytes(t.system.bucket)) >= 1.3 * live and time.monotonic() < end:
            time.sleep(1)
        return held / live
    ratio, seconds, more = t.measured(shrinks, False)
    command = f"rm of every second of {count} files of 256 KiB, -o {t.system.more_options}"
    t.keep("bytes in the bucket ÷ live, half deleted", ratio, "×", command, higher=False, amount=live)
    t.keep("until they are below 1.3", seconds, "s", command, higher=False, amount=live, at_least=ratio >= 1.3, **more)


# ---- the store

def idle(t):
    """What a mount asks of the store when nobody asks anything of it."""
    t.files("(files before idling)", "create", 100, settle=True)
    time.sleep(12)  # the interval of commits, and whatever follows them
    before = t.system.counts()
    time.sleep(t.sizes.idle_s)
    after = t.system.counts()
    requests = difference(before, after)
    total = sum(v for k, v in requests.items() if k not in ("connections", "lost", "body_up", "wire_up", "wire_down"))
    t.keep("idle mount, requests", total * 60 / t.sizes.idle_s, "a minute", f"sleep {t.sizes.idle_s}", higher=False,
           requests=requests)


def raw(t):
    """The store itself, through our own client and the same proxy."""
    command = [str(t.bench.program), "bench", f"s3://{t.system.bucket}/raw", "--json", "--total",
               f"{t.sizes.raw_mib}M", "--threads", "16", "-o", f"endpoint={t.system.endpoint()},path_style"]
    answer = json.loads(t.call(command, 900))
    for name, key, unit in (("raw PUT 4 KiB, p50", "put_small", "ms"), ("raw GET 4 KiB, p50", "get_small", "ms"),
                            ("raw PUT, parallel", "put_large_parallel", "MiB/s"),
                            ("raw GET, parallel", "get_large_parallel", "MiB/s"),
                            ("raw GET of a range, p50", "get_range", "ms")):
        value = answer[key]["p50_ms" if unit == "ms" else "mib_per_s"]
        t.keep(name, value, unit, command, higher=unit != "ms", amount=answer[key]["count"])


SPACE_WAIT_S = 900
OPTIONS = {"space": "grace=30"}  # group: more options of ours; the default grace is ten minutes

LOCAL = ("native", "passthrough", "noop")
EVERY = LOCAL + ("levels3fs", "s3fs", "rclone")
DISKS = tuple(s for s in EVERY if s != "noop")
PEERS = ("levels3fs", "s3fs", "rclone")

GROUPS = {  # name: (function, systems)
    "raw": (raw, ("levels3fs",)),
    "files": (files, EVERY),
    "fsync": (fsync, tuple(s for s in DISKS if s != "passthrough")),
    "stream": (stream, EVERY),
    "blocks": (blocks, DISKS),
    "tree": (tree, DISKS),
    "copy": (copy, DISKS),
    "databases": (databases, DISKS),
    "many": (many, DISKS),
    "idle": (idle, PEERS),
    "postgres": (postgres, DISKS),
    "flat": (flat, ("levels3fs",)),
    "space": (space, ("levels3fs",)),
}
