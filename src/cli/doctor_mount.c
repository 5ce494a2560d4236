/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor, a mount: whether its process is well, by what it says itself. */
#include "cli/doctor.h"

#include <errno.h>
#include <string.h>

#define LAG_ODD_MS 120000
#define FAILED_ODD_PERCENT 5
#define REQUESTS_MANY 100

static bool is_true(const struct cli_answer *a, const char *key)
{
	return strcmp(cli_answer_text(a, key), "true") == 0;
}

static void check_state(struct doctor *d, const struct cli_answer *a)
{
	const char *state = cli_answer_text(a, "state");

	if (is_true(a, "fenced"))
		doctor_say(d, STORE_WRONG, "mount",
			   "unmount it here (levels3fs umount), and mount it where it is needed: "
			   "levels3fs lease show says who has it",
			   "another mount has taken the filesystem over; nothing can be written");
	else if (strcmp(state, "mounted") != 0)
		doctor_say(d, STORE_ODD, "mount", "levels3fs umount waits for it",
			   "it is unmounted, and stores the rest: %s bytes to go",
			   cli_answer_text(a, "dirty_bytes"));
	else
		doctor_say(d, STORE_FINE, "mount", NULL, "%s, process %s, levels3fs %s",
			   is_true(a, "read_only") ? "mounted read-only" : "mounted",
			   cli_answer_text(a, "pid"), cli_answer_text(a, "version"));
}

static void check_unsaved(struct doctor *d, const struct cli_answer *a)
{
	uint64_t lag_ms = cli_answer_number(a, "lag_ms");
	char size[SIZE_STR_LEN];

	(void)format_size(cli_answer_number(a, "dirty_bytes"), size);
	if (lag_ms > LAG_ODD_MS)
		doctor_say(d, STORE_ODD, "unsaved",
			   "the store takes things slowly or not at all: see the last trouble",
			   "%s, and the oldest change is %llu s old", size,
			   (unsigned long long)(lag_ms / 1000));
	else
		doctor_say(d, STORE_FINE, "unsaved", NULL, "%s", size);
}

static void check_requests(struct doctor *d, const struct cli_answer *a)
{
	uint64_t all = cli_answer_sum(a, "requests."), failed = cli_answer_sum(a, "failed.");
	bool odd = all >= REQUESTS_MANY && failed * 100 > all * FAILED_ODD_PERCENT;

	doctor_say(d, odd ? STORE_ODD : STORE_FINE, "requests",
		   "levels3fs trace shows them as they fail",
		   "%llu, of which %llu failed",
		   (unsigned long long)all, (unsigned long long)failed);
	if (*cli_answer_text(a, "last_error"))
		doctor_say(d, STORE_ODD, "last trouble", NULL, "%s",
			   cli_answer_text(a, "last_error"));
}

static void say_unreachable(struct doctor *d, const char *word, int err)
{
	char dir[PATH_MAX], path[PATH_MAX];
	struct ctl_mount m;

	if (err == -ENOTSUP)
		doctor_say(d, STORE_WRONG, "mount", "levels3fs mount URL DIR",
			   "no levels3fs is mounted there");
	else if (err == -EACCES)
		doctor_say(d, STORE_ODD, "mount", "ask as that user, or as root",
			   "it was mounted by somebody else, who alone may ask it");
	else if (cli_place_dir(word, dir) >= 0 && ctl_resolve(dir, path) >= 0 &&
		 ctl_mount_at(path, &m) >= 0 && ctl_mount_is_dead(&m))
		doctor_say(d, STORE_WRONG, "mount",
			   "levels3fs umount, and mount it again: what was stored is all right",
			   "its process has died");
	else
		doctor_say(d, STORE_WRONG, "mount", "if it hangs, levels3fs umount --force ends it",
			   "its process does not answer, or is in another network namespace");
}

void doctor_ask_mount(struct doctor *d, const char *word)
{
	d->mount_err = cli_answer_ask(word, "status", &d->mount);
	d->mount_asked = true;
}

void doctor_check_mount(struct doctor *d, const char *word, struct buf *ret_url)
{
	const struct cli_answer *a = &d->mount;

	doctor_about(d, "mount %s", word);
	if (d->mount_err < 0) {
		say_unreachable(d, word, d->mount_err);
		return;
	}
	buf_add_str(ret_url, cli_answer_text(a, "url"));
	check_state(d, a);
	if (strcmp(cli_answer_text(a, "state"), "mounted") == 0) {
		check_unsaved(d, a);
		check_requests(d, a);
	}
}
