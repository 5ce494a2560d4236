/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside doctor: what is checked, and how it is said.
 *
 *	doctor.c        the verb; lines, JSON, the report for others
 *	doctor_host.c   the machine: FUSE, cache folder, memory, limits, clock
 *	doctor_store.c  the way to the store, rights, conditions, what is there, latency
 *	doctor_mount.c  a mount's process
 */
#ifndef LEVELS3_CLI_DOCTOR_H
#define LEVELS3_CLI_DOCTOR_H

#include "cli/internal.h"
#include "store/store.h"

struct doctor {
	struct cli_url url; /* first: take_own goes from it to the rest */
	bool json, colour, any;
	bool mount_asked;
	int mount_err;		 /* why it does not answer */
	struct cli_answer mount; /* its status, if it was asked and answers */
	const char *bundle;
	FILE *report; /* of --bundle; NULL: none */
	unsigned problems, warnings;
};

/* What follows is about this. */
void doctor_about(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One finding. advice may be NULL. */
void doctor_say(struct doctor *d, enum store_verdict verdict, const char *what, const char *advice,
		const char *fmt, ...) PRINTF_LIKE(5, 6);
/* A problem, with what is known of the thread's last failure, and its usual advice if there is no better. */
void doctor_say_error(struct doctor *d, int err, const char *what, const char *advice);

void doctor_check_host(struct doctor *d);
void doctor_check_store(struct doctor *d, const char *url);
/* Asks the mount that a word means for its status, which the checks of machine and mount look at. */
void doctor_ask_mount(struct doctor *d, const char *word);
/* What it has said. Its URL is appended to ret_url, if its process says it. */
void doctor_check_mount(struct doctor *d, const char *word, struct buf *ret_url);
/* To d->report, after the findings: versions, settings, environment, mounts, log. No secrets. `status` of a mount. */
void doctor_write_rest(struct doctor *d, const char *word);

#endif
