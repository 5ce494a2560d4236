# As systemd starts a service of Type=notify: a command with NOTIFY_SOCKET, here an abstract one, and WATCHDOG_USEC.
#	notify.py MOUNTPOINT LEVELS3FS mount -f ...
# What it must say and when: READY once programs can use the mount, WATCHDOG again and again, a STATUS with what is not
# stored yet, STOPPING when it is unmounted; and the processes that it starts must not inherit the socket's name.
import os, socket, subprocess, sys, time

mnt, command = sys.argv[1], sys.argv[2:]
name = f"levels3fs-test-{os.getpid()}"
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
inbox.bind("\0" + name)
inbox.settimeout(60)
said = []


def await_line(what):
    while True:
        for line in inbox.recv(4096).decode().split("\n"):
            said.append(line)
            if line.startswith(what):
                return line


def fail(why):
    sys.exit(f"{why}: {said}")


env = dict(os.environ, NOTIFY_SOCKET="@" + name, WATCHDOG_USEC="2000000")
daemon = subprocess.Popen(command, env=env)
try:
    await_line("READY=1")
    if not os.path.ismount(mnt):
        fail("ready, and not mounted")
    if said[:-1] != []:
        fail("it said something before")
    for _ in range(3):
        await_line("WATCHDOG=1")
    with open(mnt + "/unstored", "wb") as f:
        f.write(b"x" * 3000000)
    while "2.9 MiB not stored yet" not in await_line("STATUS=Mounted"):
        pass
    os.sync()
    os.chmod(mnt + "/unstored", 0o600)
    subprocess.run([command[0], "umount", mnt], check=True, timeout=120)
    await_line("STOPPING=1")
    if daemon.wait(60) != 0:
        fail(f"exit status {daemon.returncode}")
finally:
    daemon.terminate()
