# SPDX-License-Identifier: BSD-3-Clause
"""Runs beside a job that is about to be killed, and knows afterwards what must be there.

witness.py run FOLDER LOG     works in FOLDER until that fails; each line of LOG, outside of the mount, is
                              written after an fsync has returned, and says what it made durable
witness.py check FOLDER LOG   every line of LOG holds

Each kind of line is something programs rely on: a new file after its own fsync, a file replaced by a rename and an
fsync of its folder, bytes appended, a block overwritten, a name removed.
"""
import os
import random
import struct
import sys

BLOCK = 4096
BLOCKS = 64


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


def run(top, log):
    def say(what, i):
        os.write(out, b"%s %d\n" % (what.encode(), i))

    out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        appended = os.open(f"{top}/appended", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        blocks = os.open(f"{top}/blocks", os.O_CREAT | os.O_RDWR, 0o600)
        i = 0
        while True:
            one_round(top, i, appended, blocks, say)
            i += 1
    except OSError:
        pass  # the mount is dead, as planned


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


{"run": run, "check": check}[sys.argv[1]](sys.argv[2], sys.argv[3])
