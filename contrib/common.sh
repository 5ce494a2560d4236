# Sourced by quickstart and check.
here=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root, to install packages and to mount: sudo $0 $*"
}

need_fuse() {
	[ -c /dev/fuse ] || modprobe fuse 2>/dev/null
	[ -c /dev/fuse ] || die "/dev/fuse is missing: load the fuse module (modprobe fuse), or give the container /dev/fuse and CAP_SYS_ADMIN"
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
	apt-get update -q >"$log" 2>&1 || die "apt-get update failed; is the network there? The end of its output:
$(tail -5 "$log")"
	apt-get install -q -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
		die "apt-get install failed. The end of its output:
$(tail -8 "$log")"
}

# build DIR CONFIGURE-OPTIONS...: configures (if not done with these options before) and makes, out of tree.
build() {
	local dir=$1
	shift
	say "Building in $dir"
	mkdir -p "$dir" || die "cannot make $dir"
	[ -x "$here/configure" ] && [ "$here/configure" -nt "$here/configure.ac" ] ||
		"$here/autogen.sh" >"$log" 2>&1 || die "autogen.sh failed:
$(tail -20 "$log")"
	if [ ! -e "$dir/Makefile" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ]; then
		(cd "$dir" && "$here/configure" "$@") >"$log" 2>&1 || die "configure failed:
$(tail -20 "$log")"
		echo "$*" >"$dir/.options"
	fi
	make -C "$dir" -j"$(nproc)" >"$log" 2>&1 || die "make failed:
$(tail -30 "$log")"
}

log=$(mktemp "${TMPDIR:-/tmp}/levels3fs-$(basename "$0").XXXXXX")
trap 'rm -f "$log"' EXIT
