bin_PROGRAMS += levels3fs
levels3fs_SOURCES = fuse/main.c fuse/mount.h fuse/mount.c fuse/options.h fuse/options.c \
	fuse/mountpoint.h fuse/mountpoint.c fuse/daemon.h fuse/daemon.c fuse/control.c \
	fuse/inspect.c fuse/report.h fuse/report.c fuse/metrics.c fuse/meter.h fuse/meter.c \
	fuse/virtual.h fuse/virtual.c fuse/stream.h fuse/stream.c \
	fuse/supervisor.h fuse/supervisor.c fuse/pulse.c fuse/logger.h fuse/logger.c \
	fuse/scrape.h fuse/scrape.c fuse/scrape_address.c fuse/trace.h fuse/trace.c fuse/trace_ops.h fuse/trace_ops.c \
	fuse/session.h fuse/session.c fuse/ops.h fuse/ops.c fuse/ops_name.c fuse/ops_attr.c \
	fuse/ops_file.c fuse/ops_dir.c fuse/ops_flags.c fuse/wait.c fuse/park.c fuse/wire.h fuse/wire.c
nodist_EXTRA_levels3fs_SOURCES = dummy.cc
levels3fs_LDADD = $(CLI_LIBS) $(FUSE_LIBS)
