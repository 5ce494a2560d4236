# limit: 300
# rsync -aHAX there and back: nothing is lost or left to send; kill -9 in the middle and again.
. "$HERE/lib.sh"

src=$WORK/src
mkdir -p "$src/acl" "$src/d e e p/x/y/z"
cp -a /usr/share/perl5 "$src/" 2>/dev/null || cp -a /usr/include "$src/"
head -c 3000000 /dev/urandom >"$src/random"
ln "$src/random" "$src/d e e p/x/hard"
ln -s '../nowhere' "$src/d e e p/dangling"
mkfifo "$src/fifo"
mknod "$src/dev" b 7 200
printf 'ünï\ncode' >"$src/ünï
newline"
setfattr -n user.empty "$src/random"
setfattr -n user.big -v "$(head -c 3000 /dev/zero | tr '\0' x)" "$src/acl"
setfacl -m u:1234:rwx,g:4321:r,m:rx "$src/acl"
setfacl -d -m u:77:rw "$src/acl"
chown -h 3:4 "$src/d e e p/dangling"
chmod 1777 "$src/acl"
truncate -s 5M "$src/hole"
find "$src" -exec touch -h -d '2011-12-13 14:15:16.171819' {} +

mkfs
mount_fs
check "rsync there" rsync -aHAX --sparse "$src/" "$MNT/copy/"
same_tree "$src" "$MNT/copy"
[ "$(getfacl -cn "$src/acl" 2>/dev/null)" = "$(getfacl -cn "$MNT/copy/acl" 2>/dev/null)" ] || fail "ACL: $(getfacl -cn "$MNT/copy/acl")"
remount_cold
same_tree "$src" "$MNT/copy"
[ -z "$(rsync -aHAXn --itemize-changes "$src/" "$MNT/copy/")" ] || fail "rsync would still change something"
check "rsync back" rsync -aHAX "$MNT/copy/" "$WORK/back/"
same_tree "$src" "$WORK/back"

# Changes are carried over into the files in place, block by block, holes and all; on both sides in turn.
# (--modify-window=-1: a folder changed twice within a second has changed.)
change() { # change FOLDER SEED: bytes overwritten, appended, cut off; holes; names moved, added, removed
	python3 - "$@" <<'PY'
import os, random, sys
top, rnd = sys.argv[1], random.Random(int(sys.argv[2]))
with open(top + "/random", "r+b") as f:
    for _ in range(50):
        f.seek(rnd.randrange(2500000))
        f.write(rnd.randbytes(rnd.randrange(1, 3000)))
    f.truncate(2600000 + rnd.randrange(100000))
with open(top + "/hole", "r+b") as f:
    for _ in range(5):
        f.seek(rnd.randrange(1 << 25))
        f.write(b"island")
files = sorted(os.path.join(d, n) for d, _, names in os.walk(top) for n in names if n.endswith((".pm", ".h")))
for n, path in enumerate(rnd.sample(files, 30)):
    if n % 3 == 0:
        os.unlink(path)
    elif n % 3 == 1:
        os.rename(path, path + ".moved")
    else:
        with open(path, "ab") as f:
            f.write(b"more\n" * rnd.randrange(1, 2000))
PY
}
for round in 1 2; do
	change "$src" $round
	check "rsync --inplace" rsync -aHAX --delete --modify-window=-1 --inplace --no-whole-file --sparse "$src/" "$MNT/copy/"
	same_tree "$src" "$MNT/copy"
	change "$MNT/copy" $((round + 10))
	check "rsync --inplace back" rsync -aHAX --delete --modify-window=-1 --inplace --no-whole-file --sparse "$MNT/copy/" "$src/"
	same_tree "$src" "$MNT/copy"
done
[ "$(($(stat -c %b "$MNT/copy/hole") * 512))" -lt 20000000 ] || fail "the holes were filled"
remount_cold
same_tree "$src" "$MNT/copy"

start_witness
rsync -aHAX "$src/" "$MNT/second/" 2>/dev/null &
pid=$!
sleep 0.7
kill_fs
wait $pid 2>/dev/null
rm -rf "$CACHE"
mount_fs
check_witness
same_tree "$src" "$MNT/copy"
check "rsync again after the crash" rsync -aHAX --delete "$src/" "$MNT/second/"
same_tree "$src" "$MNT/second"
umount_fs
fsck_fs
