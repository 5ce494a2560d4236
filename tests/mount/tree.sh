# limit: 400
# Untar of a tree of 20,000+ files, few requests, everything back after a cold remount; and a kill -9 in the middle.
. "$HERE/lib.sh"

# The system's own trees, and enough made files to reach the number anywhere.
make_tar() {
	local src=$WORK/src n
	mkdir -p "$src"
	cp -a /usr/include "$src/" 2>/dev/null
	cp -a /usr/share/doc "$src/" 2>/dev/null
	python3 - "$src/made" <<'PY'
import os, random, sys
top, rnd = sys.argv[1], random.Random(1)
count = sum(not os.path.islink(os.path.join(d, f)) for d, _, files in os.walk(os.path.dirname(top)) for f in files)
for i in range(max(2000, 20500 - count)):
    d = os.path.join(top, "%02d" % (i % 97), "%02d" % (i % 13))
    os.makedirs(d, exist_ok=True)
    with open(os.path.join(d, "file %d.txt" % i), "wb") as f:
        f.write((b"%d " % i) * rnd.randrange(0, 3000))
PY
	for n in 1 2 3; do ln "$src/made/00/00/file 0.txt" "$src/hard$n" 2>/dev/null || ln "$(find "$src" -type f | head -1)" "$src/hard$n"; done
	ln -s made "$src/soft"
	setfattr -n user.origin -v here "$src/hard1"
	chown -R 1000:1000 "$src/made" 2>/dev/null
	tar -C "$src" --xattrs -cf "$WORK/tree.tar" .
	files=$(find "$src" -type f | wc -l)
	[ "$files" -ge 20000 ] || fail "only $files files in the tree"
}

make_tar
mkfs
mount_fs
before=$(status_value requests.put)
check untar tar -C "$MNT" --xattrs -xpf "$WORK/tree.tar"
sync "$MNT"
puts=$(($(status_value requests.put) - before))
echo "FIGURE $STORE: untar of $files files ($(stat -c %s "$WORK/tree.tar") bytes) + sync: $puts PUTs, $(status_value requests.bytes_out) bytes out"
[ "$puts" -lt 200 ] || fail "$puts PUTs for $files files"
remount_cold
echo "FIGURE $STORE: mounting that filesystem: $("$PROGRAM" status "$MNT" --json | tr -d '\n')"
same_tree "$WORK/src" "$MNT"
umount_fs
fsck_fs

# In the middle: what was synced before is there, and the rest is a sound prefix.
URL=$BASE_URL/killed
mkfs
mount_fs commit=1
mkdir "$MNT/first"
check "copy" cp -a "$WORK/src/made/01" "$MNT/first/"
sync "$MNT" || fail sync
start_witness
tar -C "$MNT" -xpf "$WORK/tree.tar" 2>/dev/null &
tar=$!
sleep 1.5
kill_fs
wait $tar 2>/dev/null
rm -rf "$CACHE"
mount_fs
check_witness
same_tree "$WORK/src/made/01" "$MNT/first/01"
umount_fs
fsck_fs
