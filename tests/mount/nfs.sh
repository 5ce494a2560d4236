# limit: 300
# The mount is exported over NFS, and a client's handles stay right when the kernel has forgotten all inodes, and when
# server and filesystem are started anew: NFS-Ganesha, which works with open_by_handle_at(2) as the kernel's server does,
# in a network of its own.
. "$HERE/lib.sh"

unshare -n sleep infinity & # the network lives as long as this
holder=$!
at_exit 'kill $holder 2>/dev/null'
for _ in $(seq 100); do
	[ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break
	sleep 0.1
done
inside() { nsenter -t $holder -n "$@"; }
inside ip link set lo up || fail "no network of its own"

# Allow_Set_Io_Flusher_Fail: newer servers else want a right that root may lack in a container.
cat >"$WORK/ganesha.conf" <<CONF
NFS_CORE_PARAM { Protocols = 3; NFS_Port = 2049; MNT_Port = 20048; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; Allow_Set_Io_Flusher_Fail = true; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys; }
EXPORT { Export_Id = 1; Path = $MNT; Pseudo = /fs; Filesystem_Id = 1.1; FSAL { Name = VFS; } }
CONF
# With a /run of its own, too. What is in there ends together.
cat >"$WORK/server.sh" <<'SH'
. "$HERE/lib.sh"
trap - EXIT
forget_other_mounts
mount -t tmpfs none /run && mkdir /run/ganesha || exit 1
rpcbind -w -f &
ganesha.nfsd -F -f "$WORK/ganesha.conf" -L "$WORK/ganesha.log" -p "$WORK/ganesha.pid" -N NIV_EVENT &
trap 'kill $(jobs -p); wait; exit' TERM
wait
SH
start_server() {
	nsenter -t $holder -n unshare -m bash "$WORK/server.sh" & # not by the function: $! is to be the script
	server=$!
	for _ in $(seq 600); do
		inside nfs-ls "$export" >"$WORK/ls" 2>&1 && return
		kill -0 $server 2>/dev/null || break
		sleep 0.1
	done
	fail "no NFS server: $(cat "$WORK/ls") $(grep -E 'FATAL|CRIT' "$WORK/ganesha.log" | tail -3)"
}
stop_server() {
	kill $server
	wait $server
}

export="nfs://127.0.0.1$MNT?version=3&nfsport=2049&mountport=20048"
mkfs
mount_fs
start_server
at_exit stop_server
mkfifo "$WORK/go"
nsenter -t $holder -n timeout 250 python3 "$HERE/nfs_client.py" "$export" "$MNT" <"$WORK/go" >"$WORK/said" 2>"$WORK/client.err" &
client=$!
exec 9>"$WORK/go"
# await WORD: the client says so, or what went wrong
await() {
	until grep -q "$1" "$WORK/said"; do
		kill -0 $client 2>/dev/null || grep -q "$1" "$WORK/said" || fail "client, before $1: $(cat "$WORK/client.err")"
		sleep 0.1
	done
}
await restart
rm "$MNT/doomed"
stop_server
echo 3 >/proc/sys/vm/drop_caches
start_server
echo go >&9
await remount
stop_server
# The server knows a filesystem without a block device by its number, which the kernel gives out anew with each mount:
# mostly the same one. (The kernel's own server is told one: fsid= in exports(5).)
device=$(stat -c %d "$MNT")
for _ in $(seq 20); do
	remount_cold
	[ "$(stat -c %d "$MNT")" = "$device" ] && break
done
if [ "$(stat -c %d "$MNT")" = "$device" ]; then
	start_server
	echo go >&9
	await "done"
	wait $client || fail "client: $(cat "$WORK/client.err")"
	stop_server
else
	echo "not tried with a new mount: others have taken its number"
	kill $client
fi
umount_fs
fsck_fs
