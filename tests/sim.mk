TESTS += tests/sim_broken
EXTRA_DIST += tests/sim_broken
# The code's own functions of these names are replaced by those in sim.c.
SIM_WRAP = -Wl,--wrap=order_data -Wl,--wrap=db_table_key \
	-Wl,--wrap=db_load_confirm -Wl,--wrap=random_u64
check_PROGRAMS += tests/sim
tests_sim_SOURCES = tests/sim.c tests/sim_world.c tests/sim_history.c tests/sim_machine.c \
	tests/sim_run.c tests/sim.h tests/model.h
tests_sim_LDADD = $(FS_LIBS) $(CHECK_LIBS)
tests_sim_LDFLAGS = $(AM_LDFLAGS) $(SIM_WRAP)
nodist_EXTRA_tests_sim_SOURCES = dummy.cc
