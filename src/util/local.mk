noinst_LTLIBRARIES += libutil.la
libutil_la_SOURCES = src/util/util.h src/util/err.c src/util/buf.c src/util/frame.c \
	src/util/clock.c src/util/log.c src/util/pool.c src/util/budget.c src/util/parse.c src/util/ini.c \
	src/util/option.h src/util/option.c \
	src/util/ctl.h src/util/ctl.c src/util/mounts.c src/util/unmount.c src/util/utab.c
