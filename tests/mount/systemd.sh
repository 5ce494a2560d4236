# limit: 400
# not under address thread: the unit's sandbox is made for the program, not for the sanitizer's
# The service levels3fs@NAME: what it tells systemd, whether systemd takes its files, and, where a systemd can run, how
# it starts, comes back after a crash, stops, and stores everything before the network goes.
. "$HERE/lib.sh"
. "$HERE/systemd_lib.sh"
units=$HERE/../../contrib/systemd
unit=$(dirname "$PROGRAM")/contrib/systemd/levels3fs@.service

# ---- the notifications, without a systemd
mkfs
timeout 200 python3 "$HERE/notify.py" "$MNT" "$PROGRAM" mount -f "$URL" "$MNT" -o "$(store_opts),commit=3600" || fail "notifications"
fsck_fs
# a socket that nobody could use is an error, not silence
NOTIFY_SOCKET=relative timeout 60 "$PROGRAM" mount -f "$URL" "$MNT" -o "$(store_opts)" 2>"$WORK/err" && fail "it runs with a socket that cannot be used"
grep -q 'NOTIFY_SOCKET=relative' "$WORK/err" || fail "it says $(cat "$WORK/err")"
[ "$STORE" = file ] || exit 0 # the rest knows no store

# ---- beside a line of fstab, of which systemd makes a unit by itself
beside() { # OPTIONS-OF-THE-LINE PATTERN
	printf '# %s\n%s %s/ levels3fs %s 0 0\n' "$MNT" "$URL" "$MNT" "$1" >"$WORK/fstab"
	NOTIFY_SOCKET=@nobody-$$ timeout 60 unshare -m bash -c 'mount --bind "$0" /etc/fstab && exec "$@"' "$WORK/fstab" \
		"$PROGRAM" mount -f file:///no/such/store "$MNT" -o cache_dir=none 2>"$WORK/err"
	local status=$?
	grep -q "$2" "$WORK/err" || fail "beside a line with $1 it says $(cat "$WORK/err")"
	return $status
}
if [ -e /etc/fstab ]; then
	beside _netdev 'is in /etc/fstab, too'
	[ $? = 1 ] || fail "systemd would try it again and again: status $?"
	beside noauto,x-systemd.automount 'is in /etc/fstab, too'
	beside noauto 'no/such/store'
fi

# ---- the files
mkdir -p "$WORK/verify"
sed "s|^ExecStart=[^ ]*|ExecStart=$PROGRAM|" "$unit" >"$WORK/verify/levels3fs@.service"
cp "$units"/examples/* "$WORK/verify"
systemd-analyze verify --man=no "$WORK/verify"/* >"$WORK/out" 2>&1 || fail "systemd-analyze verify: $(cat "$WORK/out")"
[ ! -s "$WORK/out" ] || fail "systemd-analyze verify: $(cat "$WORK/out")"

# ---- a real one
shared=$WORK/shared
mkdir -p "$shared/install/usr/local/bin" "$shared/install/etc/systemd/system" "$shared/install/sbin"
mv "$WORK/store" "$shared/store"
URL=file://$shared/store/fs
cp "$PROGRAM" "$shared/install/usr/local/bin/levels3fs"
rmdir "$shared/install/sbin" # a link in the root
mkdir -p "$shared/install$(realpath /sbin)"
for h in mount.levels3fs umount.levels3fs umount.fuse.levels3fs; do
	ln -sf /usr/local/bin/levels3fs "$shared/install$(realpath /sbin)/$h"
done
etc=$shared/install/etc
sed 's|^ExecStart=[^ ]*|ExecStart=/usr/local/bin/levels3fs|; s/^RestartSec=.*/RestartSec=1s/' "$unit" >"$etc/systemd/system/levels3fs@.service"
cp "$units"/examples/* "$etc/systemd/system"
cat >"$etc/levels3fs.conf" <<EOF
[photos]
url = $URL
mountpoint = /srv/photos
commit = 3600
cache_dir = none
EOF
mkdir -p "$shared/install/srv/photos" "$etc/systemd/system/levels3fs@.service.d"
printf '[Unit]\nRequiresMountsFor=%s\n' "$shared" >"$etc/systemd/system/levels3fs@.service.d/store.conf"
# What the network is here: when it goes, it notes who still needs it.
cat >"$etc/systemd/system/network.service" <<EOF
[Unit]
Before=network-online.target
RequiresMountsFor=$shared
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'if pgrep -x levels3fs; then echo too early; else echo unused; fi >$shared/network'
EOF
mkdir "$etc/systemd/system/network-online.target.wants"
ln -s ../network.service "$etc/systemd/system/network-online.target.wants/network.service"
boot_systemd "$shared" || {
	[ -z "${LEVELS3_TEST_SYSTEMD:-}" ] || fail "no systemd runs here"
	exit 0
}

# property NAME
property() { inside systemctl show -p "$1" --value levels3fs@photos; }
journal() { inside systemctl status --no-pager -l levels3fs@photos 2>&1; }
stored() { timeout 60 "$PROGRAM" cat "$URL" "$1"; }

check "start" inside timeout 60 systemctl start levels3fs@photos
[ "$(property ActiveState)" = active ] || fail "it is $(property ActiveState): $(journal)"
[ "$(inside systemctl is-active network.service)" = active ] || fail "it did not wait for the network: $(inside systemctl status --no-pager network.service network-online.target)"
inside findmnt -n -t fuse.levels3fs /srv/photos >/dev/null || fail "it runs, and nothing is mounted"
inside sh -c 'echo one >/srv/photos/file' || fail "write: $(journal)"
until property StatusText | grep -q 'Mounted; .* not stored yet, the oldest change'; do sleep 0.1; done
[ "$(property WatchdogUSec)" = 3min ] || fail "its watchdog is $(property WatchdogUSec)"

# a crash: systemd starts it again, over the mount that was left
inside sync /srv/photos/file
inside systemctl kill -s KILL levels3fs@photos
until [ "$(property NRestarts)" = 1 ] && [ "$(property ActiveState)" = active ]; do
	[ "$(property ActiveState)" != failed ] || fail "it does not come back: $(journal)"
	sleep 0.1
done
[ "$(inside cat /srv/photos/file)" = one ] || fail "after a crash the file is gone"

# stopping stores everything, though a program is in it
inside sh -c 'echo two >/srv/photos/file'
inside sh -c "cd /srv/photos && echo \$\$ >$shared/pid && exec sleep 1000" &
until [ -s "$shared/pid" ]; do sleep 0.1; done
check "stop" inside timeout 60 systemctl stop levels3fs@photos
[ "$(property Result)" = success ] || fail "stopped with $(property Result): $(journal)"
[ "$(stored /file)" = two ] || fail "not stored when it was stopped"
inside kill "$(cat "$shared/pid")"

# with a line in fstab it says that once, and is not tried again
inside sh -c "echo '$URL /srv/photos levels3fs nofail 0 0' >/etc/fstab"
! inside timeout 60 systemctl start levels3fs@photos 2>/dev/null || fail "started beside a line in fstab"
[ "$(property ActiveState) $(property ExecMainStatus)" = "failed 1" ] || fail "beside a line in fstab it is $(property ActiveState), status $(property ExecMainStatus)"
inside sh -c ': >/etc/fstab && systemctl reset-failed levels3fs@photos'

# the mount unit, with the helpers of mount(8) and umount(8)
check "mount unit" inside timeout 60 systemctl start srv-photos.mount
inside sh -c 'echo three >/srv/photos/file'
check "stop the mount unit" inside timeout 60 systemctl stop srv-photos.mount
[ "$(stored /file)" = three ] || fail "not stored when the mount unit was stopped"

# shutting down: first this, then the network. (Two units for one mountpoint contradict each other.)
inside sh -c 'rm /etc/systemd/system/srv-photos.* && systemctl daemon-reload'
check "start again" inside timeout 60 systemctl start levels3fs@photos
inside sh -c 'echo four >/srv/photos/file'
inside systemctl --no-block poweroff
wait $boot_job
[ "$(stored /file)" = four ] || fail "not stored at the shutdown"
[ "$(cat "$shared/network")" = unused ] || fail "the network went while the daemon ran: $(cat "$shared/network")"
fsck_fs
