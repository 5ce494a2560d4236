# limit: 120
# What the kernel has been told it does not ask again: counted by the protocol's own trace (-d).
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

traced noatime
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
