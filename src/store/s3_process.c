/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * credential_process: a program of the user's that prints keys as JSON. It is started without a
 * shell, with no descriptor of ours but its output's, and gets neither all the time nor all the
 * memory in the world. What it says on standard error may hold anything, so nobody sees it.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 64
#define TIME_MAX_MS 60000
#define LOOK_MS 100 /* how soon a cancellation is seen */

extern char **environ;

/* ---- the command line ---- */

/* One word as a shell would read it, without any expansion: quotes, backslashes. Moves *line past
 * it. False if a quote is not closed. */
static bool take_word(const char **line, char **to)
{
	const char *c = *line;
	char quote = '\0';

	for (; *c && (quote || !strchr(" \t", *c)); c++) {
		if (quote ? *c == quote : *c == '"' || *c == '\'') {
			quote = quote ? '\0' : *c;
			continue;
		}
		if (*c == '\\' && quote != '\'' && c[1] && (!quote || strchr("\"\\", c[1])))
			c++;
		*(*to)++ = *c;
	}
	*(*to)++ = '\0';
	*line = c;
	return !quote;
}

/* words point into *ret_text; the last is NULL. */
static int split(const char *command, char *words[WORDS_MAX + 1], char **ret_text)
{
	char *to = malloc(2 * strlen(command) + 2);
	size_t count = 0;

	*ret_text = to;
	if (!to)
		return -ENOMEM;
	for (;;) {
		command += strspn(command, " \t");
		if (!*command)
			break;
		if (count == WORDS_MAX)
			return err_note(-L3_BAD_OPTION, "credential_process: too many words");
		words[count++] = to;
		if (!take_word(&command, &to))
			return err_note(-L3_BAD_OPTION,
					"credential_process: a quote is not closed");
	}
	words[count] = NULL;
	return count ? 0 : err_note(-L3_BAD_OPTION, "credential_process is empty");
}

/* ---- the program ---- */

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, int output)
{
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	err = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						     POSIX_SPAWN_SETSIGDEF);
	if (!err)
		err = posix_spawnattr_setsigmask(attr, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(attr, &all);
	if (!err)
		err = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(actions, output, 1);
	if (!err)
		err = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	if (!err)
		err = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
	return err;
}

static int start(char **words, int output, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int err;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	err = prepare(&actions, &attr, output);
	if (!err)
		err = posix_spawnp(ret, words[0], &actions, &attr, words, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (err)
		return err_note(-L3_DENIED, "credential_process: cannot start %s: %s", words[0],
				err_text(-err));
	return 0;
}

static bool is_stopped(const struct s3_chain *chain)
{
	return __atomic_load_n(chain->stopped, __ATOMIC_ACQUIRE);
}

static int out_of_time(const struct s3_chain *chain)
{
	if (is_stopped(chain))
		return err_note(-ECANCELED, "cancelled");
	return err_note(-L3_DENIED, "credential_process did not end within %d s",
			TIME_MAX_MS / 1000);
}

/* All that it prints. */
static int read_output(const struct s3_chain *chain, int fd, uint64_t until_ms, struct buf *out)
{
	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t n;

		if (is_stopped(chain) || clock_mono_ms(&clock_system) >= until_ms)
			return out_of_time(chain);
		if (poll(&p, 1, LOOK_MS) <= 0)
			continue;
		if (out->len == S3_TOKEN_MAX)
			return err_note(-L3_DENIED, "credential_process prints too much");
		n = read(fd, out->data + out->len, S3_TOKEN_MAX - out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_note(-errno, "credential_process: cannot read what it prints");
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
}

/* Its output may be closed before it ends. */
static int await_end(const struct s3_chain *chain, pid_t pid, uint64_t until_ms, int *ret_status)
{
	for (;;) {
		pid_t got = waitpid(pid, ret_status, WNOHANG);

		if (got == pid)
			return 0;
		if (got < 0 && errno != EINTR)
			return err_note(-errno, "credential_process: cannot wait for it");
		if (is_stopped(chain) || clock_mono_ms(&clock_system) >= until_ms)
			return out_of_time(chain);
		(void)poll(NULL, 0, 10);
	}
}

static int judge_status(int status)
{
	if (WIFSIGNALED(status))
		return err_note(-L3_DENIED, "credential_process was killed by signal %d",
				WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_note(-L3_DENIED,
				"credential_process failed with exit status %d: run it by hand to "
				"see why",
				WEXITSTATUS(status));
	return 0;
}

static int run(const struct s3_chain *chain, char **words, struct buf *out)
{
	uint64_t until_ms = clock_mono_ms(&clock_system) + TIME_MAX_MS;
	int ends[2], status = 0, err;
	pid_t pid = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_note(-errno, "credential_process: no pipe");
	err = start(words, ends[1], &pid);
	(void)close(ends[1]);
	if (err >= 0) {
		err = read_output(chain, ends[0], until_ms, out);
		if (err >= 0)
			err = await_end(chain, pid, until_ms, &status);
		if (err < 0) { /* and whatever it started */
			(void)kill(-pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
		} else {
			err = judge_status(status);
		}
	}
	(void)close(ends[0]);
	return err;
}

int s3_cred_process(const struct s3_chain *chain, const char *command, struct s3_cred *ret)
{
	static const struct s3_json_names names = { .access_key = "AccessKeyId",
						    .secret_key = "SecretAccessKey",
						    .token = "SessionToken",
						    .expires = "Expiration" };
	struct buf out CLEANUP(s3_wipe_buf) = BUF_INIT;
	char *text CLEANUP(free_ptr) = NULL, *words[WORDS_MAX + 1];
	int err = split(command, words, &text);

	if (err >= 0)
		err = buf_reserve(&out, S3_TOKEN_MAX);
	if (err >= 0)
		err = run(chain, words, &out);
	if (err < 0)
		return err;
	if (!s3_json_is_version_1(&out))
		return err_note(-L3_DENIED,
				"credential_process prints no JSON object with \"Version\": 1");
	return s3_json_cred(&out, "credential_process", &names, ret);
}
