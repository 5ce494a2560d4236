# limit: 900
# A program cannot tell the mount from a local filesystem: tests/posix_*.c with default options, as root and as others.
. "$HERE/lib.sh"
. "$HERE/posix_lib.sh"

mkfs
mount_fs
for name in rights times files ranges locks; do
	posix $name
done
posix names names
posix names listing
[ "$STORE" != file ] || posix names emlink # 65,000 links: once is enough
posix handles save
posix handles use

# What must be the same after an unmount, is.
mkdir "$MNT/kept"
cd "$MNT/kept"
echo text >file
chmod 6751 file
chown 1001:2002 file
setfattr -n user.a -v b file
setfattr -n trusted.c -v d file
setfacl -m u:1003:rwx,g:1004:r file
mkdir dir
setfacl -d -m u:1003:rx dir
echo inherited >dir/file
ln file hard
ln -s ../nowhere link
mkfifo fifo
mknod node c 240 1000000
truncate -s 5G sparse
echo end >>sparse
touch -h -d '1960-01-02 03:04:05.678901234' link
touch -d '2200-01-02 03:04:05.678901234' file
cat dir/file >/dev/null # its access time: lazy, but not lost
births_of() { find . -exec stat -c '%n %X.%x %W %h %b' {} + | sort; }
describe_tree . >"$WORK/before"
births_of >"$WORK/births.before"
getfacl -R . >"$WORK/acls.before" 2>/dev/null
cd /
remount_cold
cd "$MNT/kept"
births_of >"$WORK/births.after"
describe_tree . >"$WORK/after"
getfacl -R . >"$WORK/acls.after" 2>/dev/null
cd /
for f in "" births. acls.; do
	cmp -s "$WORK/${f}before" "$WORK/${f}after" || fail "not the same after unmounting: $(diff "$WORK/${f}before" "$WORK/${f}after" | head -5)"
done
posix handles use
umount_fs
fsck_fs
