# limit: 300
# Every way in which programs ask for durability gets it: what returned is there after kill -9, without the cache.
. "$HERE/lib.sh"

mkfs
mount_fs commit=3600
python3 - "$MNT" <<'PY' || fail "storing"
import ctypes, mmap, os, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def text(name):
    return (name * 1000).encode()[:5000]
def made(name, flags=0):
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | flags, 0o644)
def folder_sync():
    fd = os.open(".", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)

# Each of these stores its own file and asks for nothing else.
def by_fsync(name):
    fd = made(name)
    os.write(fd, text(name))
    os.fsync(fd)
def by_fdatasync(name):
    fd = made(name)
    os.write(fd, text(name))
    os.fdatasync(fd)
def by_o_sync(name):
    os.write(made(name, os.O_SYNC), text(name))
def by_o_dsync(name):
    os.write(made(name, os.O_DSYNC), text(name))
def by_rwf_dsync(name):
    os.pwritev(made(name), [text(name)], 0, os.RWF_DSYNC)
def by_rwf_sync(name):
    os.pwritev(made(name), [text(name)], 0, os.RWF_SYNC)
def by_direct_sync(name):
    fd = made(name, os.O_DIRECT | os.O_DSYNC)
    block = mmap.mmap(-1, 8192)
    block.write(text(name))
    os.write(fd, block)
    os.ftruncate(fd, 5000)
    os.fsync(fd)
def by_msync(name):
    fd = made(name)
    os.ftruncate(fd, 5000)
    m = mmap.mmap(fd, 5000)
    m[:] = text(name)
    m.flush()
def by_mapping_and_fsync(name):
    fd = made(name)
    os.ftruncate(fd, 5000)
    m = mmap.mmap(fd, 5000)
    m[:] = text(name)
    os.fsync(fd)
def by_folder(name):
    fd = made(name + ".new")
    os.write(fd, text(name))
    os.rename(name + ".new", name)
    folder_sync()
def by_allocating(name):
    fd = made(name)
    libc.posix_fallocate(fd, ctypes.c_long(0), ctypes.c_long(5000))
    os.pwrite(fd, text(name), 0)
    os.fdatasync(fd)
def by_copying(name):
    fd = made(name)
    source = os.open("by_fsync", os.O_RDONLY)
    assert os.copy_file_range(source, fd, 5000) == 5000
    os.pwrite(fd, text(name), 0)
    os.fsync(fd)
ways = [f for n, f in list(globals().items()) if n.startswith("by_")]
assert len(ways) == 12
for way in ways:
    way(way.__name__)
os.write(made("never asked"), b"x")
PY
kill_fs
rm -rf "$CACHE"
mount_fs commit=3600
check_ways() {
	python3 - "$MNT" "$1" <<'PY'
import os, sys
os.chdir(sys.argv[1])
names = [n for n in os.listdir(".") if n.startswith("by_")]
assert len(names) == int(sys.argv[2]), names
for name in names:
    with open(name, "rb") as f:
        assert f.read() == (name * 1000).encode()[:5000], name
PY
}
check "what was asked for" check_ways 12
[ ! -e "$MNT/never asked" ] || fail "durable without being asked: this test shows nothing"

# The whole filesystem, by its root folder.
for i in 1 2 3; do echo $i >"$MNT/whole-$i"; done
sync "$MNT"
kill_fs
mount_fs commit=3600
[ "$(cat "$MNT"/whole-*)" = "1
2
3" ] || fail "sync of the mountpoint lost something"

# -o dirsync: names; -o sync: bytes, too. Without a word by the program.
umount_fs
mount_fs commit=3600,dirsync
mkdir "$MNT/dir"
ln -s x "$MNT/dir/link"
mv "$MNT/whole-1" "$MNT/dir/moved"
rm "$MNT/whole-2"
kill_fs
mount_fs commit=3600,sync
[ -L "$MNT/dir/link" ] && [ -e "$MNT/dir/moved" ] && [ ! -e "$MNT/whole-2" ] || fail "dirsync: $(find "$MNT")"
echo bytes >"$MNT/dir/bytes"
chmod 600 "$MNT/dir/bytes"
kill_fs
mount_fs commit=3600
[ "$(cat "$MNT/dir/bytes")" = bytes ] && [ "$(stat -c %a "$MNT/dir/bytes")" = 600 ] || fail "sync: $(ls -l "$MNT/dir")"
# What commit= says happens by itself.
umount_fs
mount_fs commit=1
before=$(status_value slot)
echo soon >"$MNT/soon"
for _ in $(seq 600); do
	[ "$(status_value slot)" -gt "$before" ] && [ "$(status_value dirty_bytes)" = 0 ] && break
	sleep 0.1
done
kill_fs
mount_fs
[ "$(cat "$MNT/soon")" = soon ] || fail "not stored by itself"
umount_fs
fsck_fs
