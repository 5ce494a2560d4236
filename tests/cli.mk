# Options and the control socket; tests/mount has the verbs.
check_PROGRAMS += tests/util_ctl tests/fs_options tests/fs_conf tests/cli_options \
	tests/cli_trace tests/cli_words
tests_util_ctl_SOURCES = tests/util_ctl.c
tests_util_ctl_LDADD = $(UTIL_LIBS) $(CHECK_LIBS)
tests_fs_options_SOURCES = tests/fs_options.c
tests_fs_options_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_options_SOURCES = dummy.cc
tests_fs_conf_SOURCES = tests/fs_conf.c
tests_fs_conf_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_fs_conf_SOURCES = dummy.cc
tests_cli_options_SOURCES = tests/cli_options.c fuse/options.h fuse/options.c
tests_cli_options_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_cli_options_SOURCES = dummy.cc
tests_cli_trace_SOURCES = tests/cli_trace.c fuse/trace.h fuse/trace.c fuse/trace_ops.h fuse/trace_ops.c
tests_cli_trace_LDADD = $(FS_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_cli_trace_SOURCES = dummy.cc
tests_cli_words_SOURCES = tests/cli_words.c
tests_cli_words_LDADD = $(CLI_LIBS) $(CHECK_LIBS)
nodist_EXTRA_tests_cli_words_SOURCES = dummy.cc
# The watchdog of systemd.
check_PROGRAMS += tests/fuse_pulse
tests_fuse_pulse_SOURCES = tests/fuse_pulse.c fuse/supervisor.h fuse/pulse.c
tests_fuse_pulse_LDADD = $(UTIL_LIBS) $(CHECK_LIBS)
