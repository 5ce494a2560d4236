/* SPDX-License-Identifier: BSD-3-Clause */
/* How every check(1) program here runs its suite: main returns run_suite(s). Frees the suite. */
#ifndef LEVELS3_TESTS_RUNNER_H
#define LEVELS3_TESTS_RUNNER_H

#include <check.h>
#include <stdlib.h>

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
