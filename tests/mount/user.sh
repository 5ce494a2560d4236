# limit: 600
# alone
# An ordinary user mounts through fusermount3, with the same semantics, and nobody else gets in.
. "$HERE/lib.sh"
. "$HERE/posix_lib.sh"
USER_ID=$(id -u nobody) GROUP_ID=$(id -g nobody) # fusermount3 wants a user with a name
AS="setpriv --reuid=$USER_ID --regid=$GROUP_ID --clear-groups env HOME=$WORK"
[ -r /dev/fuse ] && $AS test -w /dev/fuse || {
	mode=$(stat -c %a /dev/fuse)
	chmod 666 /dev/fuse # as udev does everywhere
	at_exit "chmod $mode /dev/fuse"
}
chown $USER_ID:$GROUP_ID "$WORK" "$MNT"
[ "$STORE" = s3 ] || chown $USER_ID:$GROUP_ID "$WORK/store"

$AS "$PROGRAM" mkfs "$URL" -o "$(store_opts)" || fail "mkfs as an ordinary user"
$AS "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts)" || fail "mount as an ordinary user"
$AS mountpoint -q "$MNT" || fail "nothing is mounted"
findmnt -no OPTIONS "$MNT" | grep -q nosuid || fail "an ordinary user's mount without nosuid"
! ls "$MNT" 2>/dev/null || fail "root got into a user's mount without allow_other"
[ "$($AS stat -c '%u %g' "$MNT")" = "$USER_ID $GROUP_ID" ] || fail "the root folder belongs to $($AS stat -c '%u %g' "$MNT")"
posix files
posix locks
posix names listing
$AS sh -c "echo mine >'$MNT/file'" || fail "writing"
! $AS chown 0 "$MNT/file" 2>/dev/null || fail "a file was given away"
! $AS mknod "$MNT/null" c 1 3 2>/dev/null || fail "a device was made"
$AS "$PROGRAM" umount "$MNT" || fail "umount as an ordinary user"
! mountpoint -q "$MNT" || fail "still mounted"

# With allow_other, where fuse.conf permits it, others come in and the kernel checks their rights: root is one of them
# and stays root. In a mount namespace with a fuse.conf of its own.
cat >"$WORK/others.sh" <<'SH'
. "$HERE/lib.sh"
forget_other_mounts
mount --bind "$WORK/fuse.conf" /etc/fuse.conf || fail "no fuse.conf of its own"
$AS "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),allow_other" || fail "mount with allow_other"
other="setpriv --reuid=54321 --regid=54321 --clear-groups"
[ "$($other cat "$MNT/file")" = mine ] || fail "others cannot read"
! $other sh -c "echo theirs >'$MNT/file'" 2>/dev/null || fail "others can write what they may not"
! $other rm -f "$MNT/file" 2>/dev/null || fail "others can remove what they may not"
$AS mkdir -m 1777 "$MNT/shared"
$other sh -c "echo theirs >'$MNT/shared/file'" || fail "others cannot write where they may"
[ "$(stat -c %u "$MNT/shared/file")" = 54321 ] || fail "owner: $(stat -c %u "$MNT/shared/file")"
chown 1:2 "$MNT/shared/file" && [ "$(stat -c '%u %g' "$MNT/shared/file")" = "1 2" ] || fail "root is not root here"
$AS "$PROGRAM" umount "$MNT" || fail "umount with allow_other"
SH
cp /etc/fuse.conf "$WORK/fuse.conf" && echo user_allow_other >>"$WORK/fuse.conf"
AS="$AS" unshare -m bash "$WORK/others.sh" || fail "allow_other"
grep -q '^user_allow_other' /etc/fuse.conf || {
	! $AS "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),allow_other" 2>/dev/null || fail "allow_other against fuse.conf"
}

# The same filesystem mounted by root: the kernel decides who may what.
rm -rf "$CACHE"
mount_fs
[ "$(stat -c %u "$MNT/file")" = $USER_ID ] || fail "owner"
chmod 600 "$MNT/file"
! setpriv --reuid=54321 --regid=54321 --clear-groups cat "$MNT/file" 2>/dev/null || fail "somebody else read it"
[ "$($AS cat "$MNT/file")" = mine ] || fail "the owner cannot read it"
umount_fs
fsck_fs
