# Sourced by every test in this folder (bash). The runner has set:
#	PROGRAM    the levels3fs to test
#	STORE      file or s3
#	BASE_URL   where this test may make filesystems: BASE_URL/NAME
#	WORK       an empty folder of this test's own, removed afterwards
# and, for s3, the AWS_* variables and LEVELS3_TEST_S3_ENDPOINT.
set -u
MNT=$WORK/mnt
CACHE=$WORK/cache
URL=$BASE_URL/fs
mkdir -p "$MNT"
# What the machine's own configuration says is none of these tests' business.
export LEVELS3FS_CONFIG=$WORK/levels3fs.conf
[ -e "$LEVELS3FS_CONFIG" ] || : >"$LEVELS3FS_CONFIG"

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

check() { # check DESCRIPTION COMMAND...
	local what=$1
	shift
	"$@" || fail "$what: $*"
}

# Options for reaching the store, ready for -o.
store_opts() {
	local o="cache_dir=$CACHE"
	[ "$STORE" = s3 ] && o="$o,endpoint=$LEVELS3_TEST_S3_ENDPOINT,path_style"
	echo "$o"
}

mkfs() { "$PROGRAM" mkfs "$URL" -o "$(store_opts)" || fail "mkfs $URL"; }

# mount_fs [MORE,OPTIONS]
mount_fs() {
	unchecked=1
	"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts)${1:+,$1}" || fail "mounting $URL"
	mountpoint -q "$MNT" || fail "mount returned, but $MNT is no mountpoint"
}

umount_fs() {
	"$PROGRAM" umount "$MNT" || fail "umount $MNT"
	! mountpoint -q "$MNT" || fail "still mounted after umount"
}

daemon_pid() { "$PROGRAM" status "$MNT" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["pid"])'; }

# A zombie is gone too (what takes in orphans may be slow to say so), once its last thread is.
gone() { [ ! -d "/proc/$1" ] || awk '/^State:.*Z/ { z = 1 } /^Threads:/ { n = $2 } END { exit !(z && n <= 1) }' "/proc/$1/status" 2>/dev/null; }

# Its control socket, for which umount waits, closes a moment before the process is seen to end.
await_gone() {
	for _ in $(seq 200); do
		gone "$1" && return
		sleep 0.05
	done
	false
}

# Loses the daemon as a power cut would lose the machine's memory, and cleans up the dead mount.
kill_fs() {
	local pid
	pid=$(daemon_pid) || fail "no status"
	kill -9 "$pid"
	until gone "$pid"; do sleep 0.05; done
	fusermount3 -uz "$MNT" 2>/dev/null || umount -l "$MNT" 2>/dev/null
	! mountpoint -q "$MNT" || fail "dead mount could not be removed"
}

# In a new mount namespace: forgets the mounts of other tests, which could not be unmounted as long as this one has copies.
forget_other_mounts() {
	local mounts type dir
	mounts=$(cat /proc/mounts) # first all of it: the list moves up below one who reads it and unmounts
	while read -r _ dir type _; do
		[ "$type" != fuse.levels3fs ] || [ "$dir" = "$MNT" ] || umount -l "$dir"
	done <<<"$mounts"
}

# start_witness: from now on somebody in the mount notes elsewhere what fsync has acknowledged (witness.py).
# check_witness: after kill_fs and mounting again, all of that is there.
# start_witness steady: it may not meet any error; stop_witness ends it, then check_witness.
start_witness() {
	mkdir "$MNT/witness" || fail "no folder for the witness"
	rm -f "$WORK/witnessed"
	python3 "$HERE/witness.py" "${1:-run}" "$MNT/witness" "$WORK/witnessed" &
	witness=$!
	await_lines "$WORK/witnessed" 1 $witness "the witness"
}
stop_witness() { kill -TERM $witness || fail "the witness is gone"; }
check_witness() {
	local lines
	wait $witness || fail "exit status $? of the witness"
	lines=$(python3 "$HERE/witness.py" check "$MNT/witness" "$WORK/witnessed") || fail "what fsync had acknowledged"
	echo "all $lines acknowledged fsyncs are there"
	rm -r "$MNT/witness" || fail "the witness cannot be removed"
}

lines_of() { [ -e "$1" ] && wc -l <"$1" || echo 0; }

# await_lines FILE MORE PID WHO: until the process has written so many lines more.
await_lines() {
	local goal=$(($(lines_of "$1") + $2))
	until [ "$(lines_of "$1")" -ge "$goal" ]; do
		kill -0 "$3" 2>/dev/null || fail "$4 ended: $(tail -1 "$1")"
		sleep 0.05
	done
}

# Unmount, forget the cache, mount: what is read now comes from the store.
remount_cold() {
	umount_fs
	rm -rf "$CACHE"
	mount_fs "${1:-}"
}

# fsck_fs [--data]: every test ends with it; what was mounted and not checked since is checked at the exit.
unchecked=
fsck_fs() {
	"$PROGRAM" fsck "$URL" -o "$(store_opts)" "$@" || fail "fsck found problems ($?)"
	unchecked=
}

# One number of the status: status_value requests.put
status_value() {
	"$PROGRAM" status "$MNT" --json | python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print(value)' "$1"
}

# Everything about a tree that must survive: type, mode, owner, times, size, links, targets, devices,
# xattrs, and a checksum of each file. Directory sizes differ between filesystems and are left out.
describe_tree() {
	python3 - "$1" <<'PY'
import hashlib, os, stat, sys
top = sys.argv[1]
def lines(path, name):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    out = [name, oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns]
    if kind != stat.S_IFDIR:
        out += [st.st_nlink, st.st_size]
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        out.append(st.st_rdev)
    if kind == stat.S_IFLNK:
        out.append(os.readlink(path))
    for x in sorted(os.listxattr(path, follow_symlinks=False)):
        out += [x, os.getxattr(path, x, follow_symlinks=False).hex()]
    if kind == stat.S_IFREG:
        h = hashlib.blake2b()
        with open(path, "rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
        out.append(h.hexdigest())
    print(*out, sep="\t")
for folder, dirs, files in os.walk(top):
    dirs.sort()
    for name in sorted(dirs + files):
        path = os.path.join(folder, name)
        lines(path, os.path.relpath(path, top))
PY
}

# same_tree A B: fails with the first differences.
same_tree() {
	describe_tree "$1" >"$WORK/tree.a" || fail "cannot read $1"
	describe_tree "$2" >"$WORK/tree.b" || fail "cannot read $2"
	[ -s "$WORK/tree.a" ] || fail "$1 is empty: nothing compared"
	cmp -s "$WORK/tree.a" "$WORK/tree.b" ||
		fail "trees differ: $(diff "$WORK/tree.a" "$WORK/tree.b" | head -6 | cut -c1-300)"
}

# at_exit COMMAND: runs before the cleanup, last one first, however the test ends; its status changes nothing.
exit_commands=()
at_exit() { exit_commands=("$*" "${exit_commands[@]}"); }

cleanup() {
	local status=$? command
	for command in "${exit_commands[@]}"; do eval "$command"; done
	if mountpoint -q "$MNT" 2>/dev/null || [ "$(stat -f -c %T "$MNT" 2>&1)" = fuseblk ]; then
		# What cannot be stored any more (the server may be gone) must not live on as a process.
		timeout 60 "$PROGRAM" umount "$MNT" >/dev/null 2>&1 ||
			timeout 20 "$PROGRAM" umount --force "$MNT" >/dev/null 2>&1 || fusermount3 -uz "$MNT" 2>/dev/null
	fi
	fusermount3 -uz "$MNT" 2>/dev/null
	if [ $status = 0 ] && [ -n "$unchecked" ]; then
		"$PROGRAM" fsck "$URL" -o "$(store_opts)" || { echo "FAIL: fsck at the end ($?)" >&2; status=1; }
	fi
	exit $status
}
trap cleanup EXIT
