# SPDX-License-Identifier: BSD-3-Clause
"""File handles as an NFS server keeps them, which Python has no names for.

handle.py take PATH            prints it, in hexadecimal
handle.py use MOUNT HANDLE     prints what it leads to; exit 3: it is stale (ESTALE)
"""
import ctypes
import errno
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
MAX = 128


def check(result):
    if result < 0:
        code = ctypes.get_errno()
        if code == errno.ESTALE:
            sys.exit(3)
        raise OSError(code, os.strerror(code))
    return result


def take(path):
    handle = ctypes.create_string_buffer(struct.pack("Ii", MAX, 0), 8 + MAX)
    mount = ctypes.c_int()
    check(libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(mount), 0))
    size = struct.unpack_from("I", handle)[0]
    print(handle.raw[:8 + size].hex())


def use(top, handle):
    mount = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    raw = ctypes.create_string_buffer(bytes.fromhex(handle))
    fd = check(libc.open_by_handle_at(mount, raw, os.O_RDONLY))
    sys.stdout.buffer.write(os.read(fd, 1 << 20))


{"take": take, "use": use}[sys.argv[1]](*sys.argv[2:])
