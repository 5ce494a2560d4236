# limit: 200
# bonnie++: by block, rewriting, seeking from several processes; then thousands of files of many sizes, in
# many folders, in order and at random, with an fsync after each write (-b) on the second round.
. "$HERE/lib.sh"

bonnie=$(PATH=$PATH:/usr/sbin type -P bonnie++) || fail "bonnie++ is missing (package bonnie++)"
run_bonnie() { # run_bonnie LOG OPTIONS...
	local log=$1
	shift
	(cd "$MNT/bonnie" && timeout 150 "$bonnie" -d "$MNT/bonnie" -u 0:0 -m test -q -r 16 "$@") >"$log" 2>"$log.err" ||
		fail "bonnie++ $*: $(tail -5 "$log.err")"
	! grep -iE "can't|error|fail|drastic|corrupt" "$log.err" || fail "bonnie++ $* complains"
	[ -z "$(ls -A "$MNT/bonnie")" ] || fail "bonnie++ $* left $(ls "$MNT/bonnie" | head -3)"
}

mkfs
mount_fs
mkdir "$MNT/bonnie"
# -f: no bytes one by one, which measures the latency of a call and nothing else
run_bonnie "$WORK/large" -s 32 -f -n 0
run_bonnie "$WORK/small" -s 0 -n 1:20000:0:20
run_bonnie "$WORK/synced" -s 0 -n 1:4000:10:4 -b
umount_fs
fsck_fs
