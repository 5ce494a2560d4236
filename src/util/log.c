/* SPDX-License-Identifier: BSD-3-Clause */
/* The log, and the notifier by which lower rooms reach a person. */
#include "util/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 2048

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level max_level = LOG_L_WARN; /* atomic */
static log_sink_fn sink;
static void *sink_ctx;

void log_setup(enum log_level level, log_sink_fn fn, void *ctx)
{
	pthread_mutex_lock(&lock);
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
	sink = fn;
	sink_ctx = ctx;
	pthread_mutex_unlock(&lock);
}

bool log_wants(enum log_level level)
{
	return level <= __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
}

enum log_level log_level(void)
{
	return __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

static const char *const names[] = { [LOG_L_ERROR] = "error",
				     [LOG_L_WARN] = "warn",
				     [LOG_L_INFO] = "info",
				     [LOG_L_DEBUG] = "debug" };

const char *log_level_name(enum log_level level)
{
	return names[level];
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret = (enum log_level)i;
		return 0;
	}
	return -EINVAL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&lock);
	if (sink)
		sink(sink_ctx, level, line);
	else
		(void)fprintf(stderr, "levels3fs: %s\n", line);
	pthread_mutex_unlock(&lock);
}

void notify(const struct notifier *n, enum log_level level, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	if (!n || !n->fn)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n->fn(n->ctx, level, text);
}
