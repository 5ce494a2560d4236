# Random steps on ours and a native filesystem side by side; by itself it tests itself (root). See tests/mount/model.sh.
check_PROGRAMS += tests/model/fsmodel
tests_model_fsmodel_SOURCES = tests/model/op.h tests/model/op.c tests/model/gen.h tests/model/gen.c \
	tests/model/worker.h tests/model/worker.c tests/model/exec.h tests/model/exec.c \
	tests/model/exec_file.c tests/model/exec_map.c tests/model/exec_name.c tests/model/exec_attr.c \
	tests/model/tree.c tests/model/compare.h tests/model/compare.c tests/model/run.h \
	tests/model/run.c tests/model/shrink.c tests/model/selftest.h tests/model/selftest.c \
	tests/model/main.c
tests_model_fsmodel_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
