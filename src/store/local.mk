noinst_LTLIBRARIES += libstore.la
libstore_la_SOURCES = src/store/store.h src/store/internal.h src/store/store.c src/store/mem.c \
	src/store/file.c src/store/retry.c src/store/trace.c src/store/fault.c
