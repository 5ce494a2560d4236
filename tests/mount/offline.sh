# limit: 200
# Looking into a filesystem without mounting it (ls, cat, cp), its lease (show, break), and its end (destroy).
. "$HERE/lib.sh"
run() { timeout 60 "$PROGRAM" "$@" -o "$(store_opts)"; }
# refuses WORDS COMMAND...: exit status 1, and it says why
refuses() {
	local words=$1
	shift
	run "$@" >"$WORK/said" 2>&1 </dev/null && fail "not refused: $*"
	grep -q "$words" "$WORK/said" || fail "$*: does not say \"$words\": $(cat "$WORK/said")"
}

mkfs
mount_fs
mkdir -p "$MNT/dir/below"
echo hello >"$MNT/dir/file"
ln "$MNT/dir/file" "$MNT/dir/hard"
ln -s ../file "$MNT/dir/below/link"
ln -s /dir "$MNT/absolute"
mkfifo "$MNT/dir/pipe"
truncate -s 64M "$MNT/sparse"
head -c 300000 /dev/urandom | dd of="$MNT/sparse" bs=1M seek=33 conv=notrunc status=none
chown 12:34 "$MNT/dir/file" && chmod 4751 "$MNT/dir/file" && setfattr -n user.color -v blue "$MNT/dir/file"
setfacl -m u:77:rx "$MNT/dir/below"
touch -d '2001-02-03 04:05:06.789' "$MNT/dir/file" "$MNT/dir/below"
head -c 5000000 /dev/urandom >"$MNT/dir/below/big"
sync "$MNT"

# While it is mounted: what is stored can be read, and nothing disturbs the mount.
[ "$(run ls "$URL")" = $'absolute\ndir\nsparse' ] || fail "ls: $(run ls "$URL")"
[ "$(run ls "$URL" -R dir)" = $'dir:\nbelow\nfile\nhard\npipe\n\ndir/below:\nbig\nlink' ] || fail "ls -R: $(run ls "$URL" -R dir)"
run ls "$URL" -l dir | grep -q '^-rwsr-x--x   2    12    34            6 2001-02-03 04:05:06 file$' || fail "ls -l: $(run ls "$URL" -l dir)"
run ls "$URL" -R --json dir | python3 -c '
import json, sys
r = {e["path"]: e for e in map(json.loads, sys.stdin)}
assert sorted(r) == ["dir/below", "dir/below/big", "dir/below/link", "dir/file", "dir/hard", "dir/pipe"], r
f = r["dir/file"]
assert (f["type"], f["mode"], f["links"], f["uid"], f["gid"], f["size"]) == ("file", "4751", 2, 12, 34, 6), f
assert int(f["mtime"]) == int(sys.argv[1]) and f["inode"] == r["dir/hard"]["inode"], f
assert r["dir/below/link"]["target"] == "../file" and r["dir/pipe"]["type"] == "fifo"' "$(date -d '2001-02-03 04:05:06' +%s)" || fail "ls --json: $(run ls "$URL" -R --json dir)"
run ls "$URL" -l dir/below | grep -q ' link -> ../file$' || fail "ls -l of a link"
[ "$(run cat "$URL" dir/below/link /absolute/hard)" = $'hello\nhello' ] || fail "cat through links"
run cat "$URL" dir/below/big | cmp - "$MNT/dir/below/big" || fail "cat of a long file"
refuses 'none: No such file' cat "$URL" none
refuses 'dir: Is a directory' cat "$URL" dir
refuses 'file/none: Not a directory' ls "$URL" dir/file/none
ln -s loop "$MNT/loop" && sync "$MNT/loop" 2>/dev/null
sync "$MNT"
refuses 'loop: Too many' cat "$URL" loop

mkdir "$WORK/out"
run cp "$URL" dir sparse "$WORK/out" || fail "cp"
rsync -aHAXn --itemize-changes --delete "$MNT/dir/" "$WORK/out/dir/" >"$WORK/said"
[ ! -s "$WORK/said" ] || fail "copied differently: $(cat "$WORK/said")"
diff -r --no-dereference -x pipe "$MNT/dir" "$WORK/out/dir" || fail "copied bytes differ"
cmp "$MNT/sparse" "$WORK/out/sparse" || fail "a sparse file was copied wrong"
[ "$(du -k "$WORK/out/sparse" | cut -f1)" -lt 2000 ] || fail "holes were filled: $(du -k "$WORK/out/sparse")"
refuses 'dir: cannot be made: File exists' cp "$URL" dir "$WORK/out"
refuses 'is no folder' cp "$URL" dir "$WORK/out/sparse"
mkdir "$WORK/all"
run cp "$URL" / "$WORK/all" || fail "cp of everything"
[ "$(ls "$WORK/all" | tr '\n' ' ')" = "absolute dir loop sparse " ] || fail "cp of everything: $(ls "$WORK/all")"

# The lease.
run lease show "$URL" | grep -q "^held (epoch .*, mounted on $MNT since" || fail "lease show: $(run lease show "$URL")"
run lease show "$URL" --json | python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["held"] and d["mountpoint"] == sys.argv[1] and not d["holder_is_dead"], d' "$MNT" || fail "lease show --json"
refuses 'held by' destroy "$URL" --yes
refuses 'nothing was changed' lease break "$URL"
refuses 'knows "show" and "break"' lease steal "$URL"
run lease break "$URL" --yes || fail "lease break"
run lease show "$URL" | grep -q '^free' || fail "broken, but: $(run lease show "$URL")"
other=$WORK/other
mkdir "$other"
"$PROGRAM" mount "$URL" "$other" -o "$(store_opts)" || fail "mounting after lease break"
# The mount that was robbed acknowledges nothing more.
timeout 60 python3 - "$MNT" <<'PY' || fail "a write was acknowledged after the lease was broken"
import os, sys
try:
    fd = os.open(sys.argv[1] + "/late", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x")
    os.fsync(fd)
except OSError:
    sys.exit(0)
sys.exit(1)
PY
"$PROGRAM" umount --force "$MNT" >/dev/null 2>&1
"$PROGRAM" umount "$other" || fail "umount"
run lease break "$URL" --yes | grep -q 'nobody holds' || fail "breaking a lease that nobody holds"
fsck_fs

# The end.
refuses 'nothing was changed' destroy "$URL"
mount_fs && [ "$(cat "$MNT/dir/hard")" = hello ] || fail "destroy did something unasked"
umount_fs
run destroy "$URL" --yes || fail "destroy"
refuses 'empty' ls "$URL"
mkfs # the place can be used again
fsck_fs
