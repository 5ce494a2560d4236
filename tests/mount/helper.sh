# limit: 200
# The filesystem type as mount(8) uses it: mount -t, an fstab line, umount, remount, options; signals flush as well.
# In a mount namespace of its own, with an /sbin and an fstab of its own: what is installed here stays as it is, and
# other runs of this test are not in the way.
[ -n "${LEVELS3_TEST_INSIDE:-}" ] || LEVELS3_TEST_INSIDE=1 exec unshare -m bash "$0"
. "$HERE/lib.sh"
forget_other_mounts

# As `make install` does it.
sbin=$(realpath /sbin)
mkdir "$WORK/sbin" "$WORK/sbin.real"
mount --bind "$sbin" "$WORK/sbin.real" && cp -as "$WORK/sbin.real/." "$WORK/sbin" || fail "cannot make another /sbin"
for h in mount.levels3fs mount.fuse.levels3fs umount.levels3fs umount.fuse.levels3fs; do
	ln -sf "$PROGRAM" "$WORK/sbin/$h"
done
mount --bind "$WORK/sbin" "$sbin" || fail "cannot use another /sbin"
at_exit 'umount -l "$sbin" "$WORK/sbin.real"'
fstab=$WORK/fstab

mkfs
check "mount -t" mount -t levels3fs "$URL" "$MNT" -o "$(store_opts),noatime,nodev"
[ "$(findmnt -no FSTYPE "$MNT")" = fuse.levels3fs ] || fail "type $(findmnt -no FSTYPE "$MNT")"
[ "$(findmnt -no SOURCE "$MNT")" = "$URL" ] || fail "source $(findmnt -no SOURCE "$MNT")"
findmnt -no OPTIONS "$MNT" | grep -q nodev || fail "nodev was not honoured"
findmnt -no OPTIONS "$MNT" | grep -q nosuid && fail "nosuid although not asked for"
echo data >"$MNT/file"
pid=$(daemon_pid)
check "umount" umount "$MNT"
await_gone "$pid" || fail "umount returned while the daemon was still at work"

echo "$URL $MNT levels3fs $(store_opts),_netdev,nofail,user,x-systemd.requires=network-online.target,noauto 0 0" >"$fstab"
check "mount from fstab" mount -T "$fstab" "$MNT"
[ "$(cat "$MNT/file")" = data ] || fail "the file is gone"
findmnt -no OPTIONS "$MNT" | grep -q nosuid || fail "user implies nosuid"
check "remount read-only" mount -T "$fstab" -o remount,ro "$MNT"
! touch "$MNT/x" 2>/dev/null || fail "written on a read-only mount"
check "remount read-write" mount -T "$fstab" -o remount,rw "$MNT"
check "writing again" touch "$MNT/x"
check "umount of it" umount "$MNT"

# By a name of the configuration file.
printf '[named]\nurl = %s\nnoatime\n' "$URL" >"$LEVELS3FS_CONFIG"
echo "named $MNT levels3fs $(store_opts),_netdev,noauto 0 0" >"$fstab"
check "mount by name from fstab" mount -T "$fstab" "$MNT"
[ "$(findmnt -no SOURCE "$MNT")" = "$URL" ] || fail "source $(findmnt -no SOURCE "$MNT")"
findmnt -no OPTIONS "$MNT" | grep -q noatime || fail "noatime of the configuration file was lost"
check "umount of it" umount "$MNT"

# -o ro never writes, and needs no lease.
mount_fs
check "ro" bash -c 'mkdir -p "$1/ro" && "$2" mount "$3" "$1/ro" -o "$4,ro,cache_dir=none"' - "$WORK" "$PROGRAM" "$URL" "$(store_opts)"
[ "$(cat "$WORK/ro/file")" = data ] || fail "ro mount beside a writer"
! touch "$WORK/ro/y" 2>/dev/null || fail "written on ro"
check "umount ro" "$PROGRAM" umount "$WORK/ro"

# Signals end it cleanly: what was written is there, without any sync.
for sig in TERM INT HUP; do
	echo $sig >"$MNT/$sig"
	pid=$(daemon_pid)
	kill -$sig "$pid"
	for _ in $(seq 300); do
		gone "$pid" && break
		sleep 0.1
	done
	gone "$pid" || fail "still running 30 s after SIG$sig"
	mountpoint -q "$MNT" && fail "still mounted after SIG$sig"
	rm -rf "$CACHE"
	mount_fs
	[ "$(cat "$MNT/$sig")" = $sig ] || fail "SIG$sig lost a file"
done
echo fu >"$MNT/fu"
pid=$(daemon_pid)
check fusermount3 fusermount3 -u "$MNT"
for _ in $(seq 300); do
	gone "$pid" && break
	sleep 0.1
done
rm -rf "$CACHE"

# In the foreground too.
"$PROGRAM" "$URL" "$MNT" -f -o "$(store_opts)" 2>"$WORK/fg" &
fg=$!
for _ in $(seq 100); do
	mountpoint -q "$MNT" && break
	sleep 0.1
done
[ "$(cat "$MNT/fu")" = fu ] || fail "fusermount3 -u lost a file: $(cat "$WORK/fg")"
kill $fg
wait $fg || fail "exit status $? of the foreground daemon after SIGTERM: $(cat "$WORK/fg")"
# Whom fstab allows it (user) mounts it with mount(8) without being root, and unmounts it.
if [ "$STORE" = file ] && [ -e /etc/fstab ]; then
	own=$(dirname "$(mktemp -u)")/levels3fs-user.$$
	mkdir -p "$own/mnt" "$own/store" && mknod -m 666 "$own/fuse" c 10 229 && cp "$PROGRAM" "$own/levels3fs" || fail "no folder for a user"
	at_exit 'umount -l /dev/fuse /etc/fstab "$own/mnt" 2>/dev/null; rm -rf "$own"'
	chown -R nobody "$own/mnt" "$own/store"
	chmod 755 "$own" "$own/levels3fs"
	for h in mount.levels3fs umount.levels3fs umount.fuse.levels3fs; do ln -sf "$own/levels3fs" "$WORK/sbin/$h"; done
	echo "file://$own/store/fs $own/mnt levels3fs create,cache_dir=none,noauto,user 0 0" >"$fstab"
	mount --bind "$own/fuse" /dev/fuse && mount --bind "$fstab" /etc/fstab || fail "no fstab of its own"
	as="setpriv --reuid=$(id -u nobody) --regid=$(id -g nobody) --clear-groups env -u LEVELS3FS_CONFIG HOME=$own"
	$as mount "$own/mnt" || fail "a user may not mount what fstab allows"
	findmnt -no OPTIONS "$own/mnt" | grep -q nosuid || fail "a user's mount with suid"
	$as sh -c "echo mine >'$own/mnt/file'" || fail "a user cannot write into the own mount"
	$as umount "$own/mnt" || fail "a user may not unmount it"
	[ "$("$PROGRAM" cat "file://$own/store/fs" file)" = mine ] || fail "not stored when the user unmounted it"
fi
! grep -sF " TARGET=$MNT " /run/mount/utab || fail "a line about the mount is left in libmount's table"
fsck_fs
