# limit: 200
# What is true stays in the kernel: requests of the kernel are counted, and what it has been told it does not ask again.
. "$HERE/lib.sh"

# mount_seen [OPTIONS]: mounts in the foreground with every request logged.
mount_seen() {
	"$PROGRAM" mount "$URL" "$MNT" -d -o "$(store_opts)${1:+,$1}" >"$WORK/requests" 2>&1 &
	daemon=$!
	for _ in $(seq 600); do
		mountpoint -q "$MNT" && return
		kill -0 $daemon 2>/dev/null || break
		sleep 0.1
	done
	fail "not mounted: $(tail -5 "$WORK/requests")"
}
umount_seen() {
	umount_fs
	wait $daemon || fail "exit status $? of the daemon: $(tail -5 "$WORK/requests")"
}

# asked OPCODE...: how many requests of these kinds there were
asked() { grep -cE "unique: .* opcode: ($(tr ' ' '|' <<<"$*")) " "$WORK/requests"; }
# costs N WHAT OPCODE... -- COMMAND...: the command causes that many of these requests, exactly
costs() {
	local want=$1 what=$2 kinds=() before got
	shift 2
	while [ "$1" != -- ]; do kinds+=("$1") && shift; done
	shift
	before=$(asked "${kinds[@]}")
	"$@" || fail "$what: $*"
	got=$(($(asked "${kinds[@]}") - before))
	[ "$got" = "$want" ] || fail "$what: $got requests, not $want: $(grep -E 'unique: .* opcode: ' "$WORK/requests" | tail -5)"
}
attributes="LOOKUP GETATTR STATX ACCESS"

look_at_all() { # twice, by everybody
	python3 - "$MNT/tree" "$1" <<'PY'
import os, sys
top, users = sys.argv[1], sys.argv[2].split()
for user in users:
    os.seteuid(0)
    os.seteuid(int(user))
    for n in range(2):
        for i in range(200):
            path = f"{top}/{i % 10}/file-{i}"
            assert os.stat(path).st_size == i
            assert os.access(path, os.R_OK)
PY
}
look_for_missing() {
	python3 - "$MNT/tree" <<'PY'
import os, sys
for n in range(100):
    for i in range(10):
        assert not os.path.exists(f"{sys.argv[1]}/{i}/none"), i
PY
}
read_twice() { cat "$MNT/tree/bytes" "$MNT/tree/bytes" | cmp - "$WORK/twice"; }
follow() { for _ in 1 2 3; do readlink "$MNT/tree/link" >/dev/null || return 1; done; }
change() { chmod 640 "$MNT/tree/1/file-1" && chown 1:1 "$MNT/tree/1/file-1" && touch -d 2001-01-01 "$MNT/tree/1/file-1" && mv "$MNT/tree/1/file-1" "$MNT/tree/2/new"; }
check_change() { [ "$(stat -c '%a %u %Y' "$MNT/tree/2/new")" = "640 1 $(date -d 2001-01-01 +%s)" ] && [ ! -e "$MNT/tree/1/file-1" ]; }
write_pieces() { # COUNT SIZE
	python3 - "$MNT/tree/pieces" "$@" <<'PY'
import os, sys, time
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
start = time.time() - 0.02 # the kernel's clock has ticks
for n in range(count):
    os.write(fd, b"%d" % (n % 10) * size)
    assert os.fstat(fd).st_size == os.stat(path).st_size == (n + 1) * size
st = os.fstat(fd)
assert start <= st.st_mtime <= time.time() and start <= st.st_ctime <= time.time(), (start, st)
assert os.pread(fd, count * size, 0) == b"".join(b"%d" % (n % 10) * size for n in range(count))
PY
}

mkfs
mount_fs
mkdir "$MNT/tree" "$MNT"/tree/{0,1,2,3,4,5,6,7,8,9}
for i in $(seq 0 199); do head -c "$i" /dev/zero >"$MNT/tree/$((i % 10))/file-$i"; done
setfacl -m u:1234:r "$MNT/tree/3/file-3"
head -c 3000000 /dev/urandom >"$WORK/bytes"
cat "$WORK/bytes" "$WORK/bytes" >"$WORK/twice"
cp "$WORK/bytes" "$MNT/tree/bytes"
ln -s ../nowhere "$MNT/tree/link"
umount_fs

mount_seen
# Listed once with readdirplus, nothing needs to be asked any more, whoever looks.
ls -lR "$MNT" >/dev/null
check "listing" look_at_all "0"
costs 0 "attributes that are known" $attributes READDIR READDIRPLUS -- look_at_all "0 1234 4321"
# What is not there is known, too, until somebody makes it.
check "missing names" look_for_missing
costs 0 "names known not to exist" $attributes -- look_for_missing
check "making one" bash -c ': >"$1" && [ -e "$1" ] && rm "$1" && [ ! -e "$1" ]' - "$MNT/tree/4/none"
check "missing names again" look_for_missing
# Changes are seen at once, and then known.
check "changes" change
check "after changes" check_change
costs 0 "after changes" $attributes READDIR READDIRPLUS -- check_change
# Bytes are read once, however often the file is opened, and targets of links.
check "reading" read_twice
costs 0 "reading again" READ -- read_twice
check "following" follow
costs 0 "following again" READLINK -- follow
# Who may is asked once of an ACL. (Of the root folder's, always: its inode is older than the kernel's knowledge that
# ACLs are to be cached.)
may_read() {
	(cd "$MNT/tree" && for _ in 1 2 3; do setpriv --reuid=1234 --regid=1234 --clear-groups test -r 3/file-3 || exit 1; done)
}
check "an ACL" may_read
costs 0 "an ACL that is known" GETXATTR $attributes -- may_read
# Writing costs a request for each write, and the bytes stay.
costs 100 "writing" WRITE READ SETATTR -- write_pieces 100 4096
umount_seen

# With writeback the kernel gathers small writes; sizes and times are right before they arrive and afterwards.
mount_seen writeback
before=$(asked WRITE)
check "writing back" write_pieces 1000 100
[ $(($(asked WRITE) - before)) -le 100 ] || fail "1000 small writes came as $(($(asked WRITE) - before)) requests"
was=$(stat -c '%s %y %z' "$MNT/tree/pieces")
sync "$MNT/tree/pieces"
[ "$(stat -c '%s %y %z' "$MNT/tree/pieces")" = "$was" ] || fail "$was before fsync, after it $(stat -c '%s %y %z' "$MNT/tree/pieces")"
umount_seen
rm -rf "$CACHE"
mount_fs
[ "$(stat -c '%s %y %z' "$MNT/tree/pieces")" = "$was" ] || fail "$was before unmounting, after it $(stat -c '%s %y %z' "$MNT/tree/pieces")"
umount_fs
fsck_fs
