noinst_LTLIBRARIES += libl3cli.la
libl3cli_la_SOURCES = src/cli/cli.h src/cli/internal.h src/cli/cli.c src/cli/say.c src/cli/wrap.c src/cli/option.c src/cli/url.c src/cli/place.c src/cli/mkfs.c src/cli/fsck.c src/cli/json.c \
	src/cli/path.c src/cli/list.c src/cli/copy.c src/cli/lease.c src/cli/destroy.c src/cli/gc.c src/cli/doctor.h src/cli/doctor.c src/cli/doctor_host.c src/cli/doctor_store.c src/cli/doctor_mount.c \
	src/cli/umount.c src/cli/busy.c src/cli/ask.c src/cli/status.c src/cli/price.c src/cli/stats.c src/cli/trace.c src/cli/log.c src/cli/inspect.c src/cli/bench.c src/cli/bench_mount.c
