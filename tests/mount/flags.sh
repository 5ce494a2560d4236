# limit: 200
# chattr(1) and lsattr(1): what immutable and append-only files and folders refuse is what ext4 refuses (ioctl_iflags(2)).
. "$HERE/lib.sh"

# refused WHAT COMMAND...: with EPERM
refused() {
	local what=$1
	shift
	"$@" >"$WORK/said" 2>&1 && fail "$what: not refused: $*"
	grep -q 'Operation not permitted' "$WORK/said" || fail "$what: $*: $(cat "$WORK/said")"
}
flags() { lsattr -d "$1" | cut -d' ' -f1 | tr -d -; }

mkfs
mount_fs commit=3600
cd "$MNT" || fail "cd"
echo one >file
mkdir dir
echo in >dir/in
[ -z "$(flags file)$(flags dir)" ] || fail "flags of new files: $(flags file) $(flags dir)"

# Immutable: neither bytes nor attributes nor names.
exec 3>>file
chattr +i file || fail "chattr +i"
[ "$(flags file)" = i ] || fail "lsattr: $(flags file)"
refused immutable bash -c 'echo two >>file'
refused immutable bash -c 'echo two >file'
refused immutable truncate -s 0 file
refused "immutable, open before" bash -c 'echo two >&3'
refused immutable rm -f file
refused immutable mv file other
refused immutable mv -f dir/in file
refused immutable ln file hard
refused immutable chmod 600 file
refused immutable chown 1 file
refused immutable touch file
refused immutable setfattr -n user.a -v b file
refused immutable setfacl -m u:1:r file
refused immutable fallocate -l 100k file
[ "$(cat file)" = one ] || fail "an immutable file changed"
chattr -i file && echo two >&3 && echo three >>file || fail "still immutable"
exec 3>&-
[ "$(cat file)" = $'one\ntwo\nthree' ] || fail "afterwards: $(cat file)"

# Append-only: may grow, and be touched.
chattr +a file || fail "chattr +a"
echo four >>file || fail "append-only: appending"
touch file || fail "append-only: touching"
refused append-only bash -c 'echo no >file'
refused append-only dd if=/dev/zero of=file bs=1 count=1 conv=notrunc status=none
refused append-only truncate -s 1 file
refused append-only touch -d 2001-01-01 file
refused append-only rm -f file
refused append-only mv file other
refused append-only ln file hard
refused append-only chmod 600 file
refused append-only fallocate -p -o 0 -l 4096 file
[ "$(tail -1 file)" = four ] || fail "append-only: $(cat file)"

# Folders.
chattr +i dir
refused "immutable folder" touch dir/new
refused "immutable folder" mkdir dir/new
refused "immutable folder" ln -s x dir/new
refused "immutable folder" rm -f dir/in
refused "immutable folder" mv dir/in .
refused "immutable folder" mv dir dir2
echo more >>dir/in || fail "a file in an immutable folder may change"
chattr -i +a dir
touch dir/new || fail "append-only folder: a new file"
refused "append-only folder" rm -f dir/new
refused "append-only folder" mv dir/new dir/newer
chattr -a dir

# What is passed on, and what there is not.
chattr +AdSD dir
mkdir dir/sub && echo x >dir/file && ln -s x dir/link
[ "$(flags dir/sub)" = SDdA ] && [ "$(flags dir/file)" = SdA ] || fail "inherited: $(flags dir/sub) $(flags dir/file)"
chattr +c file 2>"$WORK/said" && fail "compression was promised"
grep -q 'not supported' "$WORK/said" || fail "chattr +c: $(cat "$WORK/said")"
setpriv --reuid=12345 --regid=12345 --clear-groups lsattr -d file >/dev/null || fail "anybody may look"
refused "somebody else's" setpriv --reuid=12345 --regid=12345 --clear-groups chattr -a file

# +A: no access times. +S: durable when write returns.
touch -a -d 2001-01-01 dir/file && cat dir/file >/dev/null
[ "$(stat -c %x dir/file)" = "$(stat -c %x dir/file)" ] && [ "$(stat -c %x dir/file | cut -c1-4)" = 2001 ] || fail "+A: $(stat -c %x dir/file)"
echo durable >>dir/file
cd / && kill_fs
mount_fs
[ "$(tail -1 "$MNT/dir/file")" = durable ] || fail "+S: not durable"
[ "$(flags "$MNT/file")" = a ] && [ "$(flags "$MNT/dir")" = SDdA ] || fail "after a crash: $(flags "$MNT/file") $(flags "$MNT/dir")"
refused "after a crash" rm -f "$MNT/file"
chattr -a "$MNT/file" && rm "$MNT/file" || fail "cannot be taken back"
umount_fs
fsck_fs
