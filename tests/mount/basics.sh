# Make, mount, use, unmount, mount again.
. "$HERE/lib.sh"

"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts)" 2>"$WORK/err" && fail "an empty prefix was mounted"
grep -q mkfs "$WORK/err" || fail "no hint at mkfs: $(cat "$WORK/err")"

mkfs
mount_fs
echo hello >"$MNT/file"
mkdir "$MNT/dir"
ln -s ../file "$MNT/dir/link"
ln "$MNT/file" "$MNT/dir/hard"
mkfifo "$MNT/fifo"
mknod "$MNT/null" c 1 3
setfattr -n user.colour -v blue "$MNT/file"
chown 1234:2345 "$MNT/dir"
chmod 4711 "$MNT/file"
[ "$(cat "$MNT/dir/link")" = hello ] || fail "symlink does not lead to the file"
truncate -s 1T "$MNT/sparse"
echo end >>"$MNT/sparse"
exec 3<>"$MNT/doomed"
echo unlinked >&3
rm "$MNT/doomed"
[ "$(cat /proc/self/fd/3 2>/dev/null || true)" = unlinked ] || fail "unlinked file cannot be read"
exec 3>&-
mv "$MNT/dir/hard" "$MNT/renamed"
! rmdir "$MNT/dir" 2>/dev/null || fail "rmdir removed a folder that is not empty"
touch -d '2001-02-03 04:05:06.123456789' "$MNT/dir"
remount_cold
[ "$(stat -c %s "$MNT/sparse")" = 1099511627780 ] || fail "size of the sparse file"
[ "$(tail -c 4 "$MNT/sparse")" = end ] || fail "end of the sparse file"
[ "$(stat -c %b "$MNT/sparse")" -lt 1000 ] || fail "the sparse file takes space"
[ "$(stat -c '%u %g %a' "$MNT/dir")" = "1234 2345 755" ] || fail "owner or mode of dir"
[ "$(stat -c %y "$MNT/dir" | cut -c1-29)" = "2001-02-03 04:05:06.123456789" ] || fail "time of dir: $(stat -c %y "$MNT/dir")"
[ "$(stat -c '%h %a' "$MNT/renamed")" = "2 4711" ] || fail "links or mode"
[ "$(getfattr --only-values -n user.colour "$MNT/renamed")" = blue ] || fail "xattr"
[ -p "$MNT/fifo" ] && [ -c "$MNT/null" ] || fail "special files"
umount_fs
fsck_fs
