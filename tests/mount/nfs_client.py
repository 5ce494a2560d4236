# SPDX-License-Identifier: BSD-3-Clause
"""An NFS client that keeps its handles while server and filesystem come and go: nfs_client.py EXPORT FOLDER

EXPORT is a URL as libnfs has it, FOLDER the mount that is exported. Works in it over NFS, checks on the mount that all
of it is there; then says "restart" and, later, "remount", and waits each time for a line on stdin, whereupon what was
open must still be right.
"""
import ctypes
import ctypes.util
import errno
import os
import sys

lib = ctypes.CDLL(ctypes.util.find_library("nfs"))
pointer, number = ctypes.c_void_p, ctypes.c_uint64


class Url(ctypes.Structure):
    _fields_ = [("server", ctypes.c_char_p), ("path", ctypes.c_char_p), ("file", ctypes.c_char_p)]


class Dirent(ctypes.Structure):  # its beginning
    _fields_ = [("next", pointer), ("name", ctypes.c_char_p), ("inode", ctypes.c_uint64)]


class Stat(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in (
        "dev ino mode nlink uid gid rdev size blksize blocks atime mtime ctime atime_ns mtime_ns ctime_ns used").split()]


lib.nfs_init_context.restype = pointer
lib.nfs_parse_url_dir.restype = ctypes.POINTER(Url)
lib.nfs_get_error.restype = ctypes.c_char_p
lib.nfs_readdir.restype = ctypes.POINTER(Dirent)
ctx = pointer(lib.nfs_init_context())


def call(name, *args):
    result = getattr(lib, "nfs_" + name)(ctx, *args)
    if result < 0:
        raise OSError(-result, "%s: %s" % (name, lib.nfs_get_error(ctx).decode()))
    return result


def refused(error, name, *args):
    try:
        call(name, *args)
    except OSError as e:
        assert e.errno == error, e
        return
    raise AssertionError("%s%r should fail: %s" % (name, args, os.strerror(error)))


def nfs_open(path, flags=os.O_RDONLY):
    fh = pointer()
    call("open", path, flags, ctypes.byref(fh))
    return fh


def create(path, mode, data):
    fh = pointer()
    call("creat", path, mode, ctypes.byref(fh))
    assert call("pwrite", fh, number(0), number(len(data)), data) == len(data)
    call("fsync", fh)
    return fh


def pread(fh, size, at=0):
    buf = ctypes.create_string_buffer(size)
    got = call("pread", fh, number(at), number(size), buf)
    return buf.raw[:got]


def stat_of(path):
    st = Stat()
    call("stat64", path, ctypes.byref(st))
    return st


def names(path):
    folder, found = pointer(), []
    call("opendir", path, ctypes.byref(folder))
    while entry := lib.nfs_readdir(ctx, folder):
        found.append(entry.contents.name)
    lib.nfs_closedir(ctx, folder)
    return sorted(n for n in found if n not in (b".", b".."))


def work(top):
    data = os.urandom(3000000)
    call("mkdir", b"/dir")
    big = create(b"/dir/big", 0o640, data[:1000000])
    for at in range(1000000, 3000000, 500000):
        assert call("pwrite", big, number(at), number(500000), data[at:at + 500000]) == 500000
    call("fsync", big)
    with open(top + "/dir/big", "rb") as f:
        assert f.read() == data
    call("truncate", b"/dir/big", number(2500000))
    call("rename", b"/dir/big", b"/dir/moved")
    call("link", b"/dir/moved", b"/hard")
    call("symlink", b"dir/moved", b"/soft")
    call("chown", b"/hard", 1234, 2345)
    call("chmod", b"/hard", 0o4711)
    st = os.lstat(top + "/dir/moved")
    assert (st.st_size, st.st_nlink, st.st_mode & 0o7777, st.st_uid, st.st_gid) == (2500000, 2, 0o4711, 1234, 2345), st
    assert os.readlink(top + "/soft") == "dir/moved"
    over = stat_of(b"/hard")
    assert (over.ino, over.size, over.nlink, over.uid, over.mtime) == (st.st_ino, st.st_size, 2, 1234, int(st.st_mtime))
    refused(errno.ENOTEMPTY, "rmdir", b"/dir")
    refused(errno.ENOENT, "unlink", b"/none")
    refused(errno.EEXIST, "mkdir", b"/dir")
    call("mkdir", b"/many")
    for n in range(1500):
        lib.nfs_close(ctx, create(b"/many/%04d" % n, 0o644, b"%d" % n))
    assert names(b"/many") == [b"%04d" % n for n in range(1500)]
    assert sorted(os.listdir(top + "/many")) == ["%04d" % n for n in range(1500)]
    for n in range(0, 1500, 2):
        call("unlink", b"/many/%04d" % n)
    assert names(b"/many") == [b"%04d" % n for n in range(1, 1500, 2)]
    return data[:2500000], big


def main(url, top):
    parsed = lib.nfs_parse_url_dir(ctx, url.encode()).contents
    call("mount", parsed.server, parsed.path)
    lib.nfs_set_autoreconnect(ctx, -1)
    data, big = work(top)
    doomed = create(b"/doomed", 0o644, b"doomed")
    far = nfs_open(b"/many/0777")
    call("chdir", b"/dir")
    for word in ("restart", "remount"):
        print(word, flush=True)
        sys.stdin.readline()
        # Nothing has been looked up again: these are the handles from before.
        assert pread(big, len(data)) == data
        assert pread(far, 100) == b"777"
        assert call("pwrite", big, number(len(data)), number(4), b"more") == 4
        call("fsync", big)
        data += b"more"
        with open(top + "/hard", "rb") as f:
            assert f.read() == data
        refused(errno.ESTALE, "fstat64", doomed, ctypes.byref(Stat()))
        assert stat_of(b"moved").ino == os.lstat(top + "/hard").st_ino
        assert names(b"/many") == [b"%04d" % n for n in range(1, 1500, 2)]
    print("done", flush=True)


main(*sys.argv[1:])
