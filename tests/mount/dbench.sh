# limit: 200
# dbench with the load file of its package: the file server's mix of creating, writing, renaming, deleting and
# looking up, from several clients, flushes included; fsck afterwards.
# LEVELS3_TEST_SECONDS=N   how long it runs (default 5)
. "$HERE/lib.sh"

load=/usr/share/dbench/client.txt
[ -r "$load" ] || fail "$load is missing (package dbench)"
mkfs
mount_fs
# --xattr: extended attributes as Samba keeps them; --sync-dir: folders are fsynced after changes.
timeout 150 dbench --loadfile="$load" --directory="$MNT" --timelimit="${LEVELS3_TEST_SECONDS:-5}" --xattr --sync-dir \
	--skip-cleanup 6 >"$WORK/log" 2>&1 || fail "dbench: $(tail -5 "$WORK/log")"
grep -q '^Throughput' "$WORK/log" || fail "dbench came to no end: $(tail -5 "$WORK/log")"
! grep -E '^\[[0-9]+\]|failed for|not found' "$WORK/log" || fail "dbench complains"
[ "$(find "$MNT" -type f | wc -l)" -ge 20 ] || fail "dbench left hardly any files"
describe_tree "$MNT" >"$WORK/before"
remount_cold
describe_tree "$MNT" >"$WORK/after"
cmp -s "$WORK/before" "$WORK/after" || fail "changed over the remount: $(diff "$WORK/before" "$WORK/after" | head -4)"
check "remove all" find "$MNT" -mindepth 1 -delete
umount_fs
fsck_fs
