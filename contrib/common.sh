# Sourced by quickstart and check.
here=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root, to install packages and to mount: sudo $0${*:+ $*}"
}

need_fuse() {
	[ -c /dev/fuse ] || modprobe fuse 2>/dev/null
	[ -c /dev/fuse ] || die "/dev/fuse is missing: load the fuse module (modprobe fuse), or give the container /dev/fuse and CAP_SYS_ADMIN"
	(: <>/dev/fuse) 2>/dev/null || die "/dev/fuse is there, but may not be opened: give the container that device and CAP_SYS_ADMIN"
}

# Why apt-get, whose output is in the log, did not get its packages, as far as that can be told from its words.
why_apt_failed() {
	if grep -qE 'Temporary failure resolving|Could not (resolve|connect)|Unable to connect|Network is unreachable|Connection (failed|timed out)' "$log"; then
		echo "no network, or the package servers cannot be reached. Connect this machine, or install the packages by hand, and run this again"
	elif grep -q 'Unable to locate package' "$log"; then
		echo "a package is not in any of this system's sources (on Ubuntu: add-apt-repository universe)"
	elif grep -q 'Could not get lock' "$log"; then
		echo "another package manager is at work; run this again when it is through"
	else
		echo "see below"
	fi
}

# Installs what is missing of the packages named; does not touch the network when nothing is.
need_packages() {
	local missing=() p
	command -v apt-get >/dev/null || die "needs apt-get (Debian or Ubuntu); elsewhere install by hand: $*"
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -q '^installed$' || missing+=("$p")
	done
	if [ ${#missing[@]} = 0 ]; then
		say "All packages are installed already"
		return
	fi
	say "Installing ${#missing[@]} packages: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# A source that does not answer may be one that is not needed: installing shows.
	{
		apt-get update -q -o DPkg::Lock::Timeout=300
		apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
	} >"$log" 2>&1 || die "could not install them: $(why_apt_failed). The end of apt-get's output:
$(tail -8 "$log")"
}

# What is built belongs to whom the sources belong to, not to root.
as_owner() {
	local owner
	owner=$(stat -c %u "$here")
	if [ "$owner" = 0 ]; then
		"$@"
	else
		setpriv --reuid="$owner" --regid="$(stat -c %g "$here")" --clear-groups -- "$@"
	fi
}

# build DIR CONFIGURE-OPTIONS...: configures (if not done with these options before) and makes, out of tree.
build() {
	local dir=$1
	shift
	say "Building in $dir"
	as_owner mkdir -p "$dir" || die "cannot make $dir"
	[ -x "$here/configure" ] && [ "$here/configure" -nt "$here/configure.ac" ] ||
		as_owner "$here/autogen.sh" >"$log" 2>&1 || die "autogen.sh failed:
$(tail -20 "$log")"
	if [ ! -e "$dir/Makefile" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ]; then
		(cd "$dir" && as_owner "$here/configure" "$@") >"$log" 2>&1 || die "configure failed:
$(tail -20 "$log")"
		echo "$*" | as_owner tee "$dir/.options" >/dev/null
	fi
	as_owner make -C "$dir" -j"$(nproc)" >"$log" 2>&1 || die "make failed:
$(tail -30 "$log")"
}

log=$(mktemp "${TMPDIR:-/tmp}/levels3fs-$(basename "$0").XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
