# SPDX-License-Identifier: BSD-3-Clause
"""Runs beside a job that is about to be killed, and knows afterwards what must be there.

witness.py run FOLDER LOG     works in FOLDER until that fails; each line of LOG, outside of the mount, is
                              written after an fsync has returned, and says what it made durable
witness.py steady FOLDER LOG  likewise, until SIGTERM; that something fails is an error
witness.py check FOLDER LOG   every line of LOG holds
witness.py fill FOLDER        files for a reader
witness.py read FOLDER LOG    reads those over and over, past the kernel's cache, until SIGTERM; a line for each
                              time it has read all of them. What fails, or is wrong, is an error
witness.py look FOLDER        reads them once: "right", "failed" and "wrong" with numbers; wrong ones are an error

Each kind of line is something programs rely on: a new file after its own fsync, a file replaced by a rename and an
fsync of its folder, bytes appended, a block overwritten, a name removed.
"""
import mmap
import os
import random
import signal
import struct
import sys

BLOCK = 4096
BLOCKS = 64
READ_FILES = 12
READ_BYTES = 192 * 1024  # a multiple of the page
stopped = False


def stop(*_):
    global stopped
    stopped = True


def content(i):
    return random.Random(i).randbytes(1 + i * 7919 % 20000)


def block(i):
    return struct.pack("<q", i) * (BLOCK // 8)


def write_new(path, data, sync=True):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(fd, data)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def one_round(top, i, appended, blocks, say):
    write_new(f"{top}/new-{i}", content(i))
    say("new", i)
    write_new(f"{top}/next", content(i), sync=False)
    os.rename(f"{top}/next", f"{top}/current")
    sync_folder(top)
    say("current", i)
    os.write(appended, struct.pack("<q", i))
    os.fdatasync(appended)
    say("appended", i)
    os.pwrite(blocks, block(i), i * 37 % BLOCKS * BLOCK)
    os.fsync(blocks)
    say("block", i)
    if i % 3 == 2:
        os.unlink(f"{top}/new-{i - 1}")
        sync_folder(top)
        say("removed", i - 1)


def work(top, say):
    appended = os.open(f"{top}/appended", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    blocks = os.open(f"{top}/blocks", os.O_CREAT | os.O_RDWR, 0o600)
    i = 0
    while not stopped:
        one_round(top, i, appended, blocks, say)
        i += 1


def run(top, log, steady=False):
    def say(what, i):
        os.write(out, b"%s %d\n" % (what.encode(), i))

    out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_DSYNC, 0o600)
    signal.signal(signal.SIGTERM, stop)
    try:
        work(top, say)
    except OSError as e:
        if steady:
            sys.exit(f"the witness failed: {e}")
        # else the mount is dead, as planned


def run_steady(top, log):
    run(top, log, steady=True)


def reader_file(top, i):
    return f"{top}/read-{i}", random.Random(1000 + i).randbytes(READ_BYTES)


def fill(top):
    for i in range(READ_FILES):
        write_new(*reader_file(top, i))


def read_direct(path, into):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        at = 0
        while at < READ_BYTES:
            n = os.preadv(fd, [memoryview(into)[at:READ_BYTES]], at)
            if n == 0:
                break
            at += n
        return into[:at]
    finally:
        os.close(fd)


def read_over_and_over(top, log):
    into = mmap.mmap(-1, READ_BYTES)  # O_DIRECT wants whole pages
    out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
    signal.signal(signal.SIGTERM, stop)
    passes = 0
    while not stopped:
        for i in range(READ_FILES):
            path, data = reader_file(top, i)
            if read_direct(path, into) != data:
                sys.exit(f"{path}: not what was written")
        if len(os.listdir(top)) < READ_FILES:
            sys.exit("names are missing")
        passes += 1
        os.write(out, b"pass %d\n" % passes)


def look(top):
    into = mmap.mmap(-1, READ_BYTES)
    right = failed = wrong = 0
    for i in range(READ_FILES):
        path, data = reader_file(top, i)
        try:
            if read_direct(path, into) == data:
                right += 1
            else:
                wrong += 1
        except OSError as e:
            failed += 1
            print(path, e, file=sys.stderr)
    print(f"right {right} failed {failed} wrong {wrong}")
    sys.exit(1 if wrong else 0)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def expect(good, what):
    if not good:
        sys.exit(f"acknowledged, and not there: {what}")


def check_files(top, last, removed):
    for i in range(last["new"] + 1):
        path = f"{top}/new-{i}"
        there = os.path.exists(path)
        # Its removal may have been on its way, or done and not yet acknowledged.
        leaving = i % 3 == 1 and last.get("block", -1) > i
        if i in removed:
            expect(not there, f"the removal of new-{i}")
        elif there or not leaving:
            expect(there and read(path) == content(i), f"new-{i}")


def check_current(top, last):
    data = read(f"{top}/current") if os.path.exists(f"{top}/current") else None
    # The one after the last acknowledged may have been on its way.
    expect(data in (content(last), content(last + 1)), f"current {last}")


def check_appended(top, last):
    data = read(f"{top}/appended")
    expect(len(data) >= 8 * (last + 1), f"appended {last}")
    for i in range(len(data) // 8):
        expect(struct.unpack_from("<q", data, 8 * i)[0] == i, f"appended {i}")


def check_blocks(top, last):
    data = read(f"{top}/blocks")
    newest = {i * 37 % BLOCKS: i for i in range(last + 1)}
    for at, i in newest.items():
        later = last + 1 if (last + 1) * 37 % BLOCKS == at else i
        expect(data[at * BLOCK:(at + 1) * BLOCK] in (block(i), block(later)), f"block {i}")


def check(top, log):
    last, removed, lines = {}, set(), 0
    with open(log) as f:
        for line in f:
            what, i = line.split()
            last[what] = int(i)
            if what == "removed":
                removed.add(int(i))
            lines += 1
    expect(lines >= 1, "anything at all: nothing was acknowledged")
    if "new" in last:
        check_files(top, last, removed)
    for what, check_one in (("current", check_current), ("appended", check_appended), ("block", check_blocks)):
        if what in last:
            check_one(top, last[what])
    print(lines)


VERBS = {"run": run, "steady": run_steady, "check": check, "fill": fill, "read": read_over_and_over, "look": look}
VERBS[sys.argv[1]](*sys.argv[2:])
