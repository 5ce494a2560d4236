# limit: 100
# contrib/quickstart and contrib/check on machines where they cannot do their work: they say why, and change nothing.
. "$HERE/lib.sh"
[ "$STORE" = file ] || exit 0 # nothing of it has to do with stores

mkdir "$WORK/src" "$WORK/bin"
cp -r "$HERE/../../contrib" "$WORK/src/"
chmod -R a+rX "$WORK/src" && chmod 755 "$WORK" "$(dirname "$WORK")"

# stub NAME: a program of that name that goes before the real one; its text is read from stdin
stub() {
	{ echo '#!/bin/sh' && cat; } >"$WORK/bin/$1"
	chmod 755 "$WORK/bin/$1"
}

# refused WORDS COMMAND...: each of the two scripts, run so, says that and does nothing
refused() {
	local words=$1 script
	shift
	for script in quickstart check; do
		timeout 30 "$@" "$WORK/src/contrib/$script" >"$WORK/out" 2>&1 </dev/null && fail "$script went on: $*"
		grep -qE "^$script: .*$words" "$WORK/out" || fail "$script does not say \"$words\": $(cat "$WORK/out")"
	done
	[ "$(ls "$WORK/src")" = contrib ] || fail "something was built: $(ls "$WORK/src")"
}

refused 'needs root, .*: sudo .*/contrib/' setpriv --reuid=12345 --regid=12345 --clear-groups

bare_dev='mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 || exit 99'
stub modprobe <<<'exit 1'
refused '/dev/fuse is missing: .*modprobe fuse' env PATH="$WORK/bin:$PATH" unshare -m --propagation private sh -c "$bare_dev; exec \"\$0\""
refused '/dev/fuse is there, but may not be opened' unshare -m --propagation private sh -c \
	"$bare_dev; mkdir /dev/x && mount -t tmpfs -o nodev none /dev/x && mknod /dev/x/fuse c 10 229 && touch /dev/fuse && ln -sf x/fuse /dev/fuse; exec \"\$0\""

# Packages are missing, and apt-get cannot fetch them.
stub dpkg-query <<<'exit 1'
stub apt-get <<<'echo "Err:1 http://deb.example.org stable InRelease"; echo "  Temporary failure resolving deb.example.org"; exit 100'
refused 'no network, or the package servers cannot be reached. Connect this machine' env PATH="$WORK/bin:$PATH"
grep -q 'Installing .* packages: .*libfuse3-dev' "$WORK/out" || fail "what is to be installed is not said: $(cat "$WORK/out")"
stub apt-get <<<'echo "E: Unable to locate package uthash-dev"; exit 100'
refused 'not in any of this system.s sources' env PATH="$WORK/bin:$PATH"
grep -q 'E: Unable to locate package uthash-dev' "$WORK/out" || fail "apt-get's words are not shown: $(cat "$WORK/out")"

for script in quickstart check; do
	"$WORK/src/contrib/$script" --nonsense >"$WORK/out" 2>&1 && fail "$script takes --nonsense"
	grep -q "usage: sudo .*/contrib/$script" "$WORK/out" || fail "$script does not say how it is used: $(cat "$WORK/out")"
done
