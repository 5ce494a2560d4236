# Sourced by the tests that run tests/posix_*.c on a mount.

# posix NAME [CASE]: runs that program in the mount, or one of its cases.
posix() {
	local program
	program=$(dirname "$PROGRAM")/tests/posix_$1
	[ -x "$program" ] || fail "$program is missing: make check builds it"
	env ${2:+CK_RUN_CASE="$2"} LEVELS3_TEST_DIR="$MNT" $AS "$program" >"$WORK/posix.log" 2>&1 ||
		fail "$1: $(grep -v ':P:' "$WORK/posix.log" | head -c 1500)"
	grep -q 'Checks: [1-9]' "$WORK/posix.log" || fail "$1 ${2:-}: nothing was run"
}

AS= # a command that runs another as somebody else

chmod 755 "$WORK" "$(dirname "$WORK")" # other users pass, as they do to a mountpoint in /mnt
