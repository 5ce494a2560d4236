# Sourced by systemd.sh: a real systemd, as the first process of a root of its own, which is an overlay on this
# machine's: whatever it does stays there. It has its own /tmp, /run and processes; the network is this machine's.

# boot_systemd FOLDER: the two share it; what is in FOLDER/install is put into its root. False, with the reason, where
# that cannot be done. Units that use it need RequiresMountsFor.
boot_systemd() {
	local n
	[ -x /lib/systemd/systemd ] || { echo "there is no systemd"; return 1; }
	boot_cgroup=$(findmnt -n -t cgroup2 -o TARGET | head -1)/levels3fs-test.$$
	mkdir "$boot_cgroup" 2>"$WORK/boot.log" || { echo "no cgroup can be made: $(cat "$WORK/boot.log")"; return 1; }
	at_exit end_systemd
	mkdir -p "$WORK/boot"
	ROOT=$WORK/boot/root SHARED=$1 CGROUP=$boot_cgroup timeout -k 5 200 bash -c '
		echo 0 >"$CGROUP/cgroup.procs" && exec unshare -fpmuC --kill-child bash -c "$0"' "$(declare -f become_systemd); become_systemd" \
		>"$WORK/boot.log" 2>&1 </dev/null &
	boot_job=$!
	for n in $(seq 600); do
		boot_pid=$(head -1 "$boot_cgroup/init.scope/cgroup.procs" 2>/dev/null)
		[ -n "$boot_pid" ] && [ "$(inside systemctl is-system-running 2>/dev/null)" = running ] && return
		kill -0 $boot_job 2>/dev/null || break
		sleep 0.1
	done
	echo "it does not start: $(tail -3 "$WORK/boot.log")"
	return 1
}

# A command in there.
inside() { nsenter -t "$boot_pid" -m -p -C -r -w "$@"; }

# In namespaces of its own, as their first process.
become_systemd() {
	set -e
	local over=${ROOT%/root}
	mount --make-rprivate /
	mount -t tmpfs tmpfs "$over"
	mkdir "$over/upper" "$over/work" "$ROOT"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" "$ROOT"
	mount -t proc proc "$ROOT/proc"
	mount -t sysfs sysfs "$ROOT/sys"
	mount -t cgroup2 none "$ROOT/sys/fs/cgroup"
	mount --rbind /dev "$ROOT/dev"
	mount -t tmpfs tmpfs "$ROOT/run"
	mount -t tmpfs tmpfs "$ROOT/tmp"
	mkdir -p "$ROOT$SHARED"
	mount --bind "$SHARED" "$ROOT$SHARED"
	# Nothing that this machine would start.
	rm -rf "$ROOT"/usr/lib/systemd/system/*.wants "$ROOT/etc/systemd/system"
	mkdir -p "$ROOT/etc/systemd/system"
	: >"$ROOT/etc/fstab"
	cp -a "$SHARED/install/." "$ROOT/"
	exec chroot "$ROOT" env -i container=other PATH="$PATH" /lib/systemd/systemd --unit=basic.target
}

end_systemd() {
	local n
	kill "$boot_job" 2>/dev/null
	wait "$boot_job" 2>/dev/null
	for n in $(seq 100); do
		find "$boot_cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
		[ -d "$boot_cgroup" ] || return 0
		sleep 0.1
	done
}
