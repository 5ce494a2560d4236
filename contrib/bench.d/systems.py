# SPDX-License-Identifier: BSD-3-Clause
"""What is compared: how each filesystem is mounted, made cold, settled and unmounted."""
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time

QUIET_S = 2.0  # no request for so long: a peer has sent what it will


def run(*command, **more):
    """Runs a command that must succeed; its output is kept for the message if it does not."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout.strip()[-600:]}")
    return done.stdout


def drop_kernel_caches():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def is_mounted(path):
    return any(line.split()[1] == str(path) for line in open("/proc/mounts"))


def wait_for(what, condition, limit_s=60):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {limit_s} s in vain: {what}")
        time.sleep(0.02)


def difference(before, after):
    return {k: v - before.get(k, 0) for k, v in after.items()}


class System:
    """One filesystem. `top` is its own folder; `mnt` is where the work is done."""
    name = "?"
    note = ""
    remote = False      # keeps its data in the S3 server
    files_max = None    # as many as it can hold at all
    streams = True
    more_options = ""   # for a group of workloads

    def __init__(self, bench):
        self.bench = bench
        self.top = bench.work / self.name
        self.mnt = self.top / "mnt"
        self.mnt.mkdir(parents=True, exist_ok=True)

    def start(self):
        """A new, empty filesystem."""

    def settle(self):
        """Returns when what was written is where it will stay."""

    def cold(self):
        """Nothing is cached anywhere any more. Returns (seconds, requests) of mounting, if that was done."""
        drop_kernel_caches()
        return None

    def stop(self):
        """Unmounts, and leaves nothing behind."""

    def counts(self):
        """Requests so far, by kind; {} where there are none."""
        return {}

    def written(self):
        """Bytes that programs have written since it was mounted; 0 where nobody counts."""
        return 0

    def processes(self):
        """Of the filesystem: those that were started with its mountpoint as an argument."""
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.fsencode(self.mnt) in (p / "cmdline").read_bytes().split(b"\0"):
                    found.append(p)
            except OSError:
                pass  # it has ended
        return found

    def memory_kib(self):
        """The most memory its process ever had; 0 if it has none."""
        lines = [line for p in self.processes() for line in open(p / "status") if line.startswith("VmHWM:")]
        return max((int(line.split()[1]) for line in lines), default=0)

    def cpu_s(self):
        """What its process has used since it was mounted."""
        ticks = 0
        for p in self.processes():
            fields = (p / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Native(System):
    name = "native"
    note = "the disk's own filesystem, in the folder of --work"

    def settle(self):
        run("sync", "-f", self.mnt)

    def stop(self):
        shutil.rmtree(self.mnt, ignore_errors=True)
        self.mnt.mkdir(exist_ok=True)


class Mounted(System):
    def mount(self):
        raise NotImplementedError

    def start(self):
        self.mount()

    def unmount(self):
        for _ in range(50):
            if subprocess.run(["fusermount3", "-u", self.mnt], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        run("fusermount3", "-uz", self.mnt)

    def stop(self):
        if not is_mounted(self.mnt):
            return
        try:
            self.unmount()
        except RuntimeError:
            run("fusermount3", "-uz", self.mnt)
            raise


class Passthrough(Mounted):
    """libfuse's passthrough_hp over tmpfs: what FUSE costs when the filesystem below costs nothing."""
    name = "passthrough"

    def __init__(self, bench):
        super().__init__(bench)
        self.below = self.top / "below"
        self.below.mkdir(exist_ok=True)
        self.hp = bench.build / "passthrough_hp"
        if self.hp.exists():
            self.note = "libfuse's passthrough_hp over tmpfs"
            # It keeps a descriptor for each inode that the kernel knows.
            limit = int(run("sh", "-c", "ulimit -Hn").strip().replace("unlimited", "1000000000"))
            self.files_max = limit * 9 // 10
        else:
            self.note = "bindfs over tmpfs"

    def mount(self):
        if self.hp.exists():
            run(self.hp, self.below, self.mnt)
        else:
            run("bindfs", "--multithreaded", self.below, self.mnt)
        wait_for("passthrough", lambda: is_mounted(self.mnt))

    def start(self):
        run("mount", "-t", "tmpfs", "-o", "size=75%", "none", self.below)
        self.mount()

    def stop(self):
        super().stop()
        if is_mounted(self.below):
            run("umount", "-l", self.below)


class Noop(Mounted):
    name = "noop"
    note = "answers without doing anything: what the kernel's protocol alone allows"
    streams = False

    def mount(self):
        run(self.bench.part("noopfs"), self.mnt, self.bench.sizes.file_bytes)
        wait_for("noopfs", lambda: is_mounted(self.mnt))


class Remote(Mounted):
    """Keeps its data in a bucket of its own, reached through a proxy of its own."""
    remote = True

    def __init__(self, bench):
        super().__init__(bench)
        self.cache = self.top / "cache"
        self.bucket = f"bench-{self.name}-{secrets.token_hex(4)}"
        self.proxy = None

    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def start_proxy(self):
        self.counter = self.top / "counts.sock"
        self.counter.unlink(missing_ok=True)
        self.proxy = subprocess.Popen([self.bench.part("proxy"), str(self.bench.server_port),
                                       str(self.bench.delay_ms), str(self.counter)],
                                      stdout=subprocess.PIPE, text=True)
        self.port = int(self.proxy.stdout.readline())

    def counts(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.counter))
            return json.loads(s.makefile().read())

    def prepare(self):
        """Before the first mount, in an empty bucket."""

    def start(self):
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir()
        self.start_proxy()
        self.bench.make_bucket(self.bucket)
        self.prepare()
        self.mount()

    def requests(self):
        c = self.counts()
        return sum(v for k, v in c.items() if k not in ("connections", "lost"))

    def settle(self):
        seen, since = self.requests(), time.monotonic()
        while time.monotonic() - since < QUIET_S:
            time.sleep(0.1)
            now = self.requests()
            if now != seen:
                seen, since = now, time.monotonic()

    def cold(self):
        self.settle()
        self.unmount()
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir()
        drop_kernel_caches()
        before, start = self.counts(), time.monotonic()
        self.mount()
        seconds = time.monotonic() - start
        return seconds, difference(before, self.counts())

    def stop(self):
        try:
            super().stop()
        finally:
            if self.proxy:
                self.proxy.kill()
                self.proxy.wait()
                self.proxy.stdout.close()
                self.proxy = None
            self.bench.remove_bucket(self.bucket)
            shutil.rmtree(self.cache, ignore_errors=True)


class Levels3fs(Remote):
    name = "levels3fs"
    note = "default options; durable after fsync (and 5 s)"

    def options(self):
        more = self.more_options and f",{self.more_options}"
        return f"endpoint={self.endpoint()},path_style,cache_dir={self.cache}{more}"

    def written(self):
        if not is_mounted(self.mnt):
            return 0
        return json.loads(run(self.bench.program, "status", self.mnt, "--json"))["files"]["bytes_written"]

    def url(self):
        return f"s3://{self.bucket}/fs"

    def prepare(self):
        run(self.bench.program, "mkfs", self.url(), "-o", self.options())

    def mount(self):
        run(self.bench.program, "mount", self.url(), self.mnt, "-o", self.options())

    def settle(self):
        run("sync", self.mnt)

    def unmount(self):
        run(self.bench.program, "umount", self.mnt)


class S3fs(Remote):
    name = "s3fs"
    note = "use_cache; stores each file when it is closed, so closing promises more than ours; no atomic rename, no hard links"

    def prepare(self):
        keys = self.top / "passwd"
        keys.touch(mode=0o600)
        keys.write_text(f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}\n")

    def mount(self):
        run("s3fs", self.bucket, self.mnt, "-o",
            f"url={self.endpoint()},use_path_request_style,passwd_file={self.top}/passwd,use_cache={self.cache}")
        wait_for("s3fs", lambda: is_mounted(self.mnt))


class Rclone(Remote):
    name = "rclone"
    note = "--vfs-cache-mode writes; fsync does nothing, files are sent 1 s after closing: promises less; no links, modes, owners"

    def mount(self):
        run("rclone", "mount", f"bench:{self.bucket}", self.mnt, "--vfs-cache-mode", "writes", "--vfs-write-back", "1s",
            "--cache-dir", self.cache, "--daemon", env=self.bench.rclone_env(self.endpoint()))
        wait_for("rclone", lambda: is_mounted(self.mnt))

    def settle(self):
        time.sleep(1)
        super().settle()


ALL = {c.name: c for c in (Native, Passthrough, Noop, Levels3fs, S3fs, Rclone)}
