# limit: 300
# rsync -aHAX there and back: nothing is lost or left to send; kill -9 in the middle and again.
. "$HERE/lib.sh"

src=$WORK/src
mkdir -p "$src/acl" "$src/d e e p/x/y/z"
cp -a /usr/share/perl5 "$src/" 2>/dev/null || cp -a /usr/include "$src/"
head -c 3000000 /dev/urandom >"$src/random"
ln "$src/random" "$src/d e e p/x/hard"
ln -s '../nowhere' "$src/d e e p/dangling"
mkfifo "$src/fifo"
mknod "$src/dev" b 7 200
printf 'ünï\ncode' >"$src/ünï
newline"
setfattr -n user.empty "$src/random"
setfattr -n user.big -v "$(head -c 3000 /dev/zero | tr '\0' x)" "$src/acl"
setfacl -m u:1234:rwx,g:4321:r,m:rx "$src/acl"
setfacl -d -m u:77:rw "$src/acl"
chown -h 3:4 "$src/d e e p/dangling"
chmod 1777 "$src/acl"
truncate -s 5M "$src/hole"
find "$src" -exec touch -h -d '2011-12-13 14:15:16.171819' {} +

mkfs
mount_fs
check "rsync there" rsync -aHAX --sparse "$src/" "$MNT/copy/"
same_tree "$src" "$MNT/copy"
[ "$(getfacl -cn "$src/acl" 2>/dev/null)" = "$(getfacl -cn "$MNT/copy/acl" 2>/dev/null)" ] || fail "ACL: $(getfacl -cn "$MNT/copy/acl")"
remount_cold
same_tree "$src" "$MNT/copy"
[ -z "$(rsync -aHAXn --itemize-changes "$src/" "$MNT/copy/")" ] || fail "rsync would still change something"
check "rsync back" rsync -aHAX "$MNT/copy/" "$WORK/back/"
same_tree "$src" "$WORK/back"

rsync -aHAX "$src/" "$MNT/second/" 2>/dev/null &
pid=$!
sleep 0.7
kill_fs
wait $pid 2>/dev/null
rm -rf "$CACHE"
mount_fs
same_tree "$src" "$MNT/copy"
check "rsync again after the crash" rsync -aHAX --delete "$src/" "$MNT/second/"
same_tree "$src" "$MNT/second"
umount_fs
fsck_fs
