noinst_LTLIBRARIES += libdata.la
libdata_la_SOURCES = \
	src/data/data.h src/data/data.c \
	src/data/segment.h src/data/segment.c \
	src/data/format.h src/data/format.c src/data/blocks.c \
	src/data/hot.h src/data/hot.c \
	src/data/upload.c src/data/pace.c src/data/cut.c src/data/recover.c \
	src/data/runs.c src/data/read.c src/data/prefetch.c src/data/index.c
