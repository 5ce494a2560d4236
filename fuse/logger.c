/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's log. See logger.h. */
#include "logger.h"

#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FIELDS_MAX 12
#define SLOW_NS ((uint64_t)3000000000)
#define SLOW_BYTES_PER_S MIB /* more time for more bytes */
#define EVERY_S 10

struct field {
	const char *name, *value;
};

static struct {
	const struct daemon_request *request;
	enum log_where where;
	bool attached; /* atomic: the terminal is there, and gets it all */
	int journal;
} logger = { .attached = true, .journal = -1 };

static const int priorities[] = { [LOG_L_ERROR] = LOG_ERR,
				  [LOG_L_WARN] = LOG_WARNING,
				  [LOG_L_INFO] = LOG_INFO,
				  [LOG_L_DEBUG] = LOG_DEBUG };

/* ---- journald's own protocol: systemd.io/JOURNAL_NATIVE_PROTOCOL ---- */

static int open_journal(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
		logger.journal = fd;
		return 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return err_note(-ENOENT, "log=journald: there is no journald (" JOURNAL_SOCKET "): %s",
			err_text(-errno));
}

/* In the form in which a value may have any bytes. */
static void add_field(struct buf *out, const char *name, const char *value)
{
	buf_add_str(out, name);
	buf_u8(out, '\n');
	buf_u64(out, strlen(value));
	buf_add_str(out, value);
	buf_u8(out, '\n');
}

static void send_to_journal(enum log_level level, const char *line, const struct field *more)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;
	char priority[2] = { (char)('0' + priorities[level]), '\0' };

	add_field(&out, "MESSAGE", line);
	add_field(&out, "PRIORITY", priority);
	add_field(&out, "SYSLOG_IDENTIFIER", "levels3fs");
	add_field(&out, "LEVELS3FS_URL", logger.request->url);
	add_field(&out, "LEVELS3FS_MOUNTPOINT", logger.request->dir);
	for (; more && more->name; more++)
		add_field(&out, more->name, more->value);
	if (buf_error(&out) >= 0)
		(void)send(logger.journal, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- a line ---- */

/* Of the line that this thread is logging; ends with a NULL name. */
static _Thread_local const struct field *fields;

static void sink(void *ctx, enum log_level level, const char *line)
{
	bool attached = __atomic_load_n(&logger.attached, __ATOMIC_ACQUIRE);

	if (attached || logger.where == LOG_TO_STDERR)
		(void)fprintf(stderr, "levels3fs: %s\n", line);
	else if (logger.where == LOG_TO_JOURNALD)
		send_to_journal(level, line, fields);
	else
		syslog(priorities[level], "%s", line);
}

/* systemd connected our standard error with the journal. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(fd, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

static int choose(const struct daemon_request *r)
{
	enum log_where where = r->options->log_where;
	bool in_journal = is_journal(STDERR_FILENO);

	(void)unsetenv("JOURNAL_STREAM");
	if (where == LOG_TO_STDERR && !r->foreground)
		return err_note(-L3_BAD_OPTION, "log=stderr is for the foreground (-f)");
	if (where == LOG_BY_ITSELF && r->foreground)
		where = in_journal && open_journal() >= 0 ? LOG_TO_JOURNALD : LOG_TO_STDERR;
	else if (where == LOG_BY_ITSELF)
		where = LOG_TO_SYSLOG;
	logger.where = where;
	return where == LOG_TO_JOURNALD && logger.journal < 0 ? open_journal() : 0;
}

int logger_start(const struct daemon_request *r)
{
	int err;

	logger.request = r;
	log_setup(r->debug ? LOG_L_DEBUG : r->options->log_level, sink, NULL);
	err = choose(r);
	if (err >= 0 && logger.where == LOG_TO_SYSLOG)
		openlog("levels3fs", LOG_PID, LOG_DAEMON);
	/* Where there is no terminal that goes, it is from the beginning as it will be. */
	if (err >= 0 && r->foreground)
		logger_detach();
	return err;
}

void logger_detach(void)
{
	__atomic_store_n(&logger.attached, false, __ATOMIC_RELEASE);
}

const char *logger_where(void)
{
	return logger.where == LOG_TO_STDERR   ? "stderr"
	       : logger.where == LOG_TO_SYSLOG ? "syslog"
					       : "journald";
}

/* ---- requests ---- */

/* While somebody waits at a terminal for the mount, what ends that is told there as its end. */
static bool is_told_anyway(const struct store_request *r)
{
	return __atomic_load_n(&logger.attached, __ATOMIC_ACQUIRE) && !err_is_transient(r->result);
}

static bool is_slow(const struct store_request *r)
{
	return r->took_ns / 1000 > (SLOW_NS + r->bytes * 1000000000 / SLOW_BYTES_PER_S) / 1000;
}

/* One in a while; ret_left_out: how many were not said since the last one. */
static bool is_due(uint64_t *ret_left_out)
{
	static uint64_t next_s, left_out; /* atomic */
	uint64_t now_s = clock_mono_ms(&clock_system) / 1000;
	uint64_t due_s = __atomic_load_n(&next_s, __ATOMIC_RELAXED);

	if (now_s < due_s || !__atomic_compare_exchange_n(&next_s, &due_s, now_s + EVERY_S, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_add_fetch(&left_out, 1, __ATOMIC_RELAXED);
		return false;
	}
	*ret_left_out = __atomic_exchange_n(&left_out, 0, __ATOMIC_RELAXED);
	return true;
}

static void describe(const struct store_request *r, bool failed, uint64_t left_out, struct buf *out)
{
	char size[SIZE_STR_LEN];

	if (failed && *err_last_note())
		buf_add_str(out, err_last_note());
	else
		buf_printf(out, "%s %s: %s%s%s%s", store_op_name(r->op), r->key,
			   failed ? err_text(r->result) : "slow",
			   *r->request_id ? " (request " : "", r->request_id,
			   *r->request_id ? ")" : "");
	buf_printf(out, "; took %.1f s, %s, try %u", (double)r->took_ns / 1e9,
		   format_size(r->bytes, size), r->attempt);
	if (left_out)
		buf_printf(out, "; %llu more like this", (unsigned long long)left_out);
}

void logger_request(const struct store_request *r)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;
	bool failed = store_has_failed(r->result), all = log_wants(LOG_L_DEBUG);
	uint64_t left_out = 0;
	char took[24];
	struct field own[] = { { "LEVELS3FS_REQUEST", store_op_name(r->op) },
			       { "LEVELS3FS_OBJECT", r->key },
			       { "LEVELS3FS_TOOK_MS", took },
			       { "LEVELS3FS_RESULT", r->result < 0 ? err_text(r->result) : "ok" },
			       { "LEVELS3FS_REQUEST_ID", r->request_id },
			       { NULL, NULL } };

	if (failed ? is_told_anyway(r) : !is_slow(r))
		return;
	if (!log_wants(LOG_L_INFO) || (!all && !is_due(&left_out)))
		return;
	(void)snprintf(took, sizeof(took), "%llu", (unsigned long long)(r->took_ns / 1000000));
	describe(r, failed, left_out, &text);
	fields = own;
	log_line(LOG_L_INFO, "%s", buf_cstr(&text));
	fields = NULL;
}
