# limit: 900
# Options that change what programs see: limits of space, access times, the kernel's writeback cache.
. "$HERE/lib.sh"
. "$HERE/posix_lib.sh"

mkfs
mount_fs size_limit=32M,inode_limit=200
[ "$(df --output=size -B1 "$MNT" | tail -1)" -eq $((32 * 1024 * 1024)) ] || fail "df: $(df -B1 "$MNT")"
[ "$(df --output=itotal "$MNT" | tail -1)" -eq 200 ] || fail "df -i: $(df -i "$MNT")"
posix space

# What was accepted is stored whole, and a smaller limit hides nothing.
head -c 20M /dev/urandom >"$WORK/bytes"
cp "$WORK/bytes" "$MNT/file"
umount_fs
rm -rf "$CACHE"
mount_fs size_limit=1M
cmp "$WORK/bytes" "$MNT/file" || fail "not what was written"
[ "$(df --output=avail -B1 "$MNT" | tail -1)" -eq 0 ] || fail "df beyond the limit: $(df -B1 "$MNT")"
echo x 2>/dev/null >"$MNT/more" && fail "written beyond the limit"
rm "$MNT/file"
echo x >"$MNT/more" || fail "no room after deleting"
umount_fs
fsck_fs

# atime OPTION READS CHANGES: after two reads of the same file.
atime() {
	local before first second
	mount_fs "$1"
	echo text >"$MNT/read"
	touch -d yesterday "$MNT/read"
	before=$(stat -c %x "$MNT/read")
	cat "$MNT/read" >/dev/null
	first=$(stat -c %x "$MNT/read")
	cat "$MNT/read" >/dev/null
	second=$(stat -c %x "$MNT/read")
	[ "$([ "$before" = "$first" ] && echo same || echo new) $([ "$first" = "$second" ] && echo same || echo new)" = "$2" ] ||
		fail "$1: $before, $first, $second"
	umount_fs
	mount_fs noatime
	[ "$(stat -c %x "$MNT/read")" = "$second" ] || fail "$1: the access time was lost by unmounting"
	umount_fs
}
atime relatime "new same"
atime noatime "same same"
atime strictatime "new new"

# Without access times the kernel does not even open folders: nothing else changes.
mount_fs noatime
posix names names
posix names listing
umount_fs

# The kernel gathers writes: nothing changes.
mount_fs writeback
for name in rights times files ranges locks; do
	posix $name
done
posix names names
posix names listing
umount_fs
fsck_fs
