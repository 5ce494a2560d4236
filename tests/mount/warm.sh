# limit: 120
# alone
# What the kernel has been told it does not ask again: counted by the protocol's own trace (-d). (Alone, since others
# make the kernel forget.)
[ "$STORE" = file ] || exit 0 # nothing of it has to do with stores
. "$HERE/lib.sh"

# traced OPTIONS: mounts, and keeps a trace of the requests
traced() {
	"$PROGRAM" mount "$URL" "$MNT" -f -d -o "$(store_opts),$1" >>"$WORK/trace" 2>&1 &
	for _ in $(seq 300); do
		mountpoint -q "$MNT" && return
		sleep 0.1
	done
	fail "not mounted: $(tail -5 "$WORK/trace")"
}
unmount() {
	umount_fs
	wait
}

# asked COMMAND...: which requests it made, "NAME=COUNT ..." by name; what goes on behind its back does not count
asked() {
	local from
	from=$(stat -c %s "$WORK/trace")
	"$@" >"$WORK/said" || fail "$*"
	tail -c "+$((from + 1))" "$WORK/trace" | sed -n 's/.* opcode: \([A-Z]*\) .*/\1/p' |
		grep -vE '^(STATFS|FORGET|BATCH|RELEASE|RELEASEDIR|INTERRUPT)$' | sort | uniq -c | awk '{ printf "%s=%d ", $2, $1 }'
}
is() { [ "$2" = "$3" ] || fail "$1 asked for: $2(expected: $3)"; }

mkfs
traced relatime
mkdir "$MNT"/{a,b,c} && touch "$MNT"/{a,b,c}/{1,2,3}
find "$MNT" -ls >/dev/null
asked find "$MNT" -ls >/dev/null # the access time that listing has changed is asked for once
is "a warm find" "$(asked find "$MNT" -ls)" "OPENDIR=4 "
asked stat "$MNT/a/1" "$MNT/b/2" >/dev/null # birth times do not come with a listing
is "a warm stat" "$(asked stat "$MNT/a/1" "$MNT/b/2")" ""
ls "$MNT/a/none" 2>/dev/null
is "a name known not to exist" "$(asked test ! -e "$MNT/a/none")" ""
echo text >"$MNT/a/1"
asked cat "$MNT/a/1" >/dev/null # as above
asked cat "$MNT/a/1" >/dev/null
is "a warm read" "$(asked cat "$MNT/a/1")" "OPEN=1 "

# A changed folder is listed anew, and its access time follows.
rm "$MNT/b/2" && touch "$MNT/b/4"
[ "$(ls "$MNT/b")" = $'1\n3\n4' ] || fail "listed after a change: $(ls "$MNT/b")"
[ "$(stat -c %X "$MNT/b")" -ge "$(stat -c %Y "$MNT/b")" ] || fail "listing did not change the access time"
mv "$MNT/c/1" "$MNT/b/1" && ln "$MNT/b/1" "$MNT/b/5"
[ "$(ls "$MNT/b" "$MNT/c" | tr '\n' ' ')" = "$MNT/b: 1 3 4 5  $MNT/c: 2 3 " ] || fail "listed after moving: $(ls "$MNT"/{b,c})"
unmount

traced relatime
# Names that are not there, by the thousand; the same file again, and where a link leads; whoever asks.
mkdir "$MNT/d" && echo text >"$MNT/d/1"
head -c 3000000 /dev/urandom >"$WORK/bytes"
cp "$WORK/bytes" "$MNT/d/bytes"
ln -s ../nowhere "$MNT/d/link"
setfacl -m u:1234:r "$MNT/d/1"
unmount
traced relatime
look_for_missing() {
	python3 - "$MNT" <<'PY'
import os, sys
for n in range(1000):
    assert not os.path.exists("%s/%s/none-%d" % (sys.argv[1], "abc"[n % 3], n % 10))
PY
}
look_for_missing
is "a thousand looks for what is not there" "$(asked look_for_missing)" ""
read_twice() { cat "$MNT/d/bytes" "$MNT/d/bytes" | cmp - <(cat "$WORK/bytes" "$WORK/bytes"); }
read_twice
is "reading again" "$(asked read_twice)" "OPEN=2 "
readlink "$MNT/d/link" >/dev/null
is "following again" "$(asked readlink "$MNT/d/link")" ""
# (Of the root folder's ACL the kernel always asks: that inode is older than its knowledge that ACLs are to be kept.)
may_read() { (cd "$MNT/d" && setpriv --reuid=1234 --regid=1234 --clear-groups test -r 1); }
may_read || fail "the ACL grants nothing"
is "an ACL that is known" "$(asked may_read)" ""

# Writing is a request for each write; what was written need not be read.
write_pieces() { # COUNT SIZE
	python3 - "$MNT/d/pieces" "$@" <<'PY'
import os, sys, time
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fd = os.open(path, os.O_RDWR | os.O_TRUNC)
start = time.time() - 0.02 # the kernel's clock has ticks
for n in range(count):
    os.write(fd, b"%d" % (n % 10) * size)
st = os.fstat(fd)
assert st.st_size == count * size
assert start <= st.st_mtime <= time.time() and start <= st.st_ctime <= time.time(), (start, st)
assert os.pread(fd, count * size, 0) == b"".join(b"%d" % (n % 10) * size for n in range(count))
PY
}
touch "$MNT/d/pieces"
is "writing" "$(asked write_pieces 100 4096 | tr ' ' '\n' | grep -E '^(READ|WRITE)=')" "WRITE=100"
unmount

# With writeback the kernel gathers small writes; size and times are right before they arrive and afterwards.
traced relatime,writeback
writes=$(asked write_pieces 1000 100 | sed -n 's/.*WRITE=\([0-9]*\) .*/\1/p')
[ "${writes:-0}" -le 100 ] || fail "1000 small writes came as $writes"
was=$(stat -c '%s %y %z' "$MNT/d/pieces")
sync "$MNT/d/pieces"
[ "$(stat -c '%s %y %z' "$MNT/d/pieces")" = "$was" ] || fail "$was before fsync, after it $(stat -c '%s %y %z' "$MNT/d/pieces")"
unmount
rm -rf "$CACHE"
traced noatime
[ "$(stat -c '%s %y %z' "$MNT/d/pieces")" = "$was" ] || fail "$was before unmounting, after it $(stat -c '%s %y %z' "$MNT/d/pieces")"
find "$MNT" -ls >/dev/null
asked find "$MNT" -ls >/dev/null
is "a warm find without access times" "$(asked find "$MNT" -ls)" ""
rm "$MNT/a/3"
[ "$(ls "$MNT/a")" = $'1\n2' ] || fail "listed after a change: $(ls "$MNT/a")"
unmount

traced strictatime
find "$MNT" -ls >/dev/null
before=$(stat -c %x "$MNT/a")
ls "$MNT/a" >/dev/null
[ "$(stat -c %x "$MNT/a")" != "$before" ] || fail "strictatime: listing did not change the access time"
unmount
fsck_fs
