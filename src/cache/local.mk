noinst_LTLIBRARIES += libcache.la
libcache_la_SOURCES = src/cache/cache.h src/cache/internal.h src/cache/flight.h src/cache/disk.h \
	src/cache/cache.c src/cache/blob.c src/cache/flight.c src/cache/memory.c src/cache/disk.c src/cache/objects.c \
	src/cache/index.c src/cache/folder.c src/cache/spare.c
