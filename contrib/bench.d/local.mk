# Parts of contrib/bench: built with the rest so that they stay whole, never installed.
EXTRA_DIST += contrib/bench.d/bench.py contrib/bench.d/systems.py contrib/bench.d/workloads.py \
	contrib/bench.d/measure.py contrib/bench.d/report.py contrib/bench.d/objects.mk
noinst_PROGRAMS = contrib/bench.d/proxy contrib/bench.d/files contrib/bench.d/noopfs
contrib_bench_d_proxy_SOURCES = contrib/bench.d/proxy.c contrib/bench.d/http.h contrib/bench.d/http.c \
	contrib/bench.d/fault.h contrib/bench.d/fault.c
contrib_bench_d_proxy_LDADD =
contrib_bench_d_files_SOURCES = contrib/bench.d/files.c contrib/bench.d/names.h
contrib_bench_d_files_LDADD =
contrib_bench_d_noopfs_SOURCES = contrib/bench.d/noopfs.c contrib/bench.d/names.h
contrib_bench_d_noopfs_LDADD = $(FUSE_LIBS)
