# A name of the configuration file does for the URL, on the command line of every verb; what is given there goes first.
. "$HERE/lib.sh"

[ "$STORE" = file ] || server="endpoint = $LEVELS3_TEST_S3_ENDPOINT
path_style"
cat >"$LEVELS3FS_CONFIG" <<CONF
[defaults]
cache_dir = $CACHE
${server:-}

[work]
url = $URL
mountpoint = $MNT
commit = 60
noexec
CONF

run() { timeout 60 "$PROGRAM" "$@"; }
refuses() { # refuses WORDS VERB…
	local words=$1 said
	shift
	said=$(run "$@" 2>&1) && fail "not refused: $*"
	[[ $said == *"$words"* ]] || fail "$*: \"$words\" is not in \"$said\""
}

run mkfs work || fail "mkfs work"
run mount work || fail "mount work"
unchecked=1
[ "$(findmnt -no SOURCE "$MNT")" = "$URL" ] || fail "source $(findmnt -no SOURCE "$MNT")"
findmnt -no OPTIONS "$MNT" | grep -q noexec || fail "noexec of the file was lost"
[ -d "$CACHE" ] || fail "the cache is elsewhere"
echo data >"$MNT/file"
sync -f "$MNT" && sync "$MNT"
[ "$(run cat work /file)" = data ] || fail "cat work /file"
[ "$(run ls work)" = file ] || fail "ls work"
# The name, and the URL, mean the mount.
(cd / && run status work) | grep -q " on $MNT\$" || fail "status work"
run status "$URL" --json | grep -q '"state": "mounted"' || fail "status URL"
run stats work --count 1 >/dev/null || fail "stats work"
run summary work | grep -q '1 file,' || fail "summary work"
refuses 'did you mean "work"?' status wokr
run gc work --dry-run >/dev/null || fail "gc work"
run lease show work | grep -q "mounted on $MNT" || fail "lease show work"
umount_fs

# Another folder, another option, than the file says; and the URL itself has the defaults.
other=$WORK/other
mkdir "$other"
at_exit 'fusermount3 -uz "$other" 2>/dev/null'
run mount work "$other" -o ro,commit=1 || fail "mount work elsewhere"
findmnt -no OPTIONS "$other" | grep -qw ro || fail "ro was not honoured"
[ "$(cat "$other/file")" = data ] || fail "the file is gone"
run umount work || fail "umount work, which is mounted elsewhere than the file says"
! mountpoint -q "$other" || fail "still mounted"
refuses 'work is not mounted' status work
refuses 'is not mounted here' umount "$URL"
run mount "$URL" "$other" || fail "mounting the URL with the defaults of the file"
run umount "$other" || fail "umount $other"
run fsck work || fail "fsck work"
unchecked=

# Mistakes are named, and nothing happens.
refuses 'did you mean "work"?' mount wokr
refuses 'needs a URL and a folder' mount "$URL"
echo 'comit = 3' >>"$LEVELS3FS_CONFIG"
refuses "$LEVELS3FS_CONFIG:$(wc -l <"$LEVELS3FS_CONFIG"): unknown option \"comit\"; did you mean \"commit\"?" mount work
sed -i '$d' "$LEVELS3FS_CONFIG"
chmod g+w "$LEVELS3FS_CONFIG"
refuses 'can be written by others' mount work
chmod g-w "$LEVELS3FS_CONFIG"
! mountpoint -q "$MNT" || fail "mounted after a refusal"
