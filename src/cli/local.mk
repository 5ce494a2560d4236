noinst_LTLIBRARIES += libl3cli.la
libl3cli_la_SOURCES = src/cli/cli.h src/cli/internal.h src/cli/cli.c src/cli/say.c src/cli/store.c \
	src/cli/umount.c src/cli/busy.c src/cli/status.c src/cli/bench.c
