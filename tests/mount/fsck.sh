# fsck on the command line: exit codes, the report as JSON, what is mounted, repair, a terminal's line.
. "$HERE/lib.sh"

# status NUMBER COMMAND...: its exit status is that. Output goes to $WORK/out.
status() {
	local want=$1 got=0
	shift
	"$@" >"$WORK/out" 2>"$WORK/err" || got=$?
	[ $got = "$want" ] || fail "exit status $got instead of $want: $* -- $(cat "$WORK/out" "$WORK/err" | head -c 2000)"
}
fsck() { "$PROGRAM" fsck "$URL" -o "$(store_opts)" "$@"; }
# json EXPRESSION: of the report `r` in $WORK/out, true in Python.
json() {
	python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); sys.exit(0 if eval(sys.argv[2]) else 1)' \
		"$WORK/out" "$1" || fail "not so: $1 -- $(head -c 3000 "$WORK/out")"
}
said() { grep -q "$1" "$WORK/out" || fail "\"$1\" is not said: $(head -c 3000 "$WORK/out")"; }

mkfs
mount_fs
mkdir "$MNT/dir"
head -c 3000000 /dev/urandom >"$MNT/dir/big file"
sync "$MNT"

# ---- mounted ----
status 0 fsck --json
json 'r["in_use"]["mountpoint"].endswith("/mnt") and r["in_use"]["pid"] > 0 and r["result"] == "sound"'
status 0 fsck
said 'in use by .*mounted on'
status 8 fsck --repair
grep -q 'held by .*pid .*unmount it first' "$WORK/err" || fail "refused without a reason: $(cat "$WORK/err")"
status 8 fsck --repair --json
json 'r["result"] == "failed" and "held by" in r["error"] and r["exit_status"] == 8'
echo goes on >"$MNT/dir/more" && sync "$MNT" || fail "the mount suffered"
umount_fs

# ---- sound ----
status 0 fsck
said 'is sound'
status 0 fsck --data --json
json 'r["result"] == "sound" and r["found"] == r["remaining"] == r["changes"] == 0 and r["exit_status"] == 0'
json 'r["counts"]["inodes"] == 4 and r["counts"]["names"] == 3 and r["counts"]["bytes"] >= 3000000'
json 'r["in_use"] is None and r["error"] is None and r["problems"] == r["repairs"] == r["left"] == []'
status 0 fsck --repair
status 16 fsck --nonsense
status 16 "$PROGRAM" fsck
status 16 "$PROGRAM" fsck "$URL" "$URL"
status 8 "$PROGRAM" fsck "$BASE_URL/nothing" -o "$(store_opts)"
timeout 120 script -qec "'$PROGRAM' fsck '$URL' -o '$(store_opts)'" /dev/null >"$WORK/out" || fail "fsck on a terminal"
said 'is sound'

# ---- interrupted ----
# interrupt SIGNAL ARGUMENT...: fsck gets it as soon as it listens (to SIGHUP last); its exit status is 32.
interrupt() {
	local signal=$1 pid got=0
	shift
	"$PROGRAM" fsck "$URL" -o "$(store_opts),lease_wait=600" "$@" >"$WORK/out" 2>"$WORK/err" &
	pid=$!
	until [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$PROGRAM")" ] &&
		[ $((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' /proc/$pid/status) & 1)) -ne 0 ]; do
		kill -0 $pid || fail "fsck ended by itself: $(cat "$WORK/err")"
		sleep 0.05
	done
	kill -"$signal" $pid
	wait $pid || got=$?
	[ $got = 32 ] || fail "exit status $got instead of 32 after $signal: $(cat "$WORK/out" "$WORK/err" | head -c 2000)"
}

# Objects can be damaged by hand where they are files.
if [ "$STORE" != file ]; then
	fsck_fs --data
	exit 0
fi
objects=${URL#file://}
[ -d "$objects/chain" ] || fail "no store in $objects"

# ---- bytes of a file ----
seg=$(ls -S "$objects"/data/* | head -1)
python3 -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(1500000)
    b = f.read(1)
    f.seek(1500000)
    f.write(bytes([b[0] ^ 1]))' "$seg"
status 0 fsck # bytes are read on request
status 4 fsck --data
said '^problem: .*cannot be read.*(/dir/big file)'
said 'nothing was changed'
status 4 fsck --data --json
json '[p["path"] for p in r["problems"]] == ["/dir/big file"]'
json 'r["problems"][0]["code"] == "bytes-damaged" and 0 < r["problems"][0]["end"] - r["problems"][0]["start"] <= 131072'
touch "$objects/holiday.jpg"

# While it is mounted a repair that may wait for the lease does so for ever, once it has found what is wrong.
mount_fs
for signal in INT TERM; do
	interrupt $signal --data --repair
	grep -q 'interrupted: .*nothing was changed' "$WORK/err" || fail "it is not said what was done: $(cat "$WORK/err")"
done
interrupt TERM --data --repair --json
json 'r["result"] == "interrupted" and r["exit_status"] == 32 and r["changes"] == 0 and not r["unfinished"]'
json '"nothing was changed" in r["error"]'
echo unharmed >"$MNT/dir/during" && sync "$MNT" || fail "the mount suffered from an interrupted fsck"
rm "$MNT/dir/during"
umount_fs
status 4 fsck --data
status 1 fsck --data --repair --json
json 'r["result"] == "repaired" and r["remaining"] == 0 and r["changes"] > 0 and r["counts"]["lost_bytes"] > 0'
json 'r["counts"]["foreign_objects"] == 1 and any(n.get("object") == "holiday.jpg" for n in r["notes"])'
[ -e "$objects/holiday.jpg" ] || fail "a foreign object was touched"
status 0 fsck --data
said 'of files are lost'
mount_fs
! cat "$MNT/dir/big file" >/dev/null 2>"$WORK/err" || fail "lost bytes were read"
grep -qi 'input/output error' "$WORK/err" || fail "$(cat "$WORK/err")"
[ "$(head -c 1000000 "$MNT/dir/big file" | wc -c)" = 1000000 ] || fail "the bytes before"
[ "$(tail -c 1000000 "$MNT/dir/big file" | wc -c)" = 1000000 ] || fail "the bytes behind"
echo new >"$MNT/dir/big file" || fail "a damaged file cannot be written"
[ "$(cat "$MNT/dir/big file")" = new ] || fail "what was written over"
[ "$(cat "$MNT/dir/more")" = "goes on" ] || fail "another file"
for n in 1 2 3 4 5 6; do
	echo $n >"$MNT/n$n"
	sync "$MNT"
done
kill_fs

# ---- a slot that is missing ----
slot=$(ls "$objects/chain" | sort | tail -3 | head -1)
[ -n "$slot" ] || fail "no slots"
rm "$objects/chain/$slot"
"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),lease_wait=60" 2>"$WORK/err" && fail "a broken chain was mounted"
status 4 fsck --json
json 'any(p["code"] == "slot-missing" for p in r["problems"])'
status 1 fsck --repair
said '^repaired: .*slots .* are missing'
status 0 fsck --data
mount_fs
[ "$(cat "$MNT/n1")" = 1 ] && [ "$(cat "$MNT/dir/more")" = "goes on" ] || fail "what was before the gap"
[ ! -e "$MNT/n6" ] || fail "what was behind the gap is there"
ls "$objects"/aside/*/chain/ >/dev/null || fail "slots behind the gap are not kept"
umount_fs
fsck_fs --data
