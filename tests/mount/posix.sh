# limit: 900
# A program cannot tell the mount from a local filesystem: tests/posix_*.c, with default options, as root and as others.
. "$HERE/lib.sh"

# posix NAME...: runs these programs in the mount.
posix() {
	local name program
	for name; do
		program=$(dirname "$PROGRAM")/tests/posix_$name
		[ -x "$program" ] || fail "$program is missing: make check builds it"
		LEVELS3_TEST_DIR=$MNT "$program" >"$WORK/posix.log" 2>&1 ||
			fail "$name: $(grep -v ':P:' "$WORK/posix.log" | head -c 1500)"
	done
}

chmod 755 "$WORK" "$(dirname "$WORK")" # other users pass, as they do to a mountpoint in /mnt
mkfs
mount_fs
posix names rights
umount_fs
fsck_fs
