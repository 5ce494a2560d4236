/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and names as people write them; small local files. */
#include "util/util.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int parse_u64(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (digit > 9)
			return -EINVAL;
		if (v > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		v = v * 10 + digit;
	}
	*ret = v;
	return 0;
}

/* A plain decimal number with at most one dot; *ret_rest is what follows it. Exact for whole ones.
 */
static int parse_decimal(const char *s, uint64_t *ret_whole, double *ret_fraction,
			 const char **ret_rest)
{
	uint64_t whole = 0;
	double fraction = 0, scale = 0.1;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	for (; isdigit((unsigned char)*s); s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (whole > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		whole = whole * 10 + digit;
	}
	if (*s == '.') {
		s++;
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		for (; isdigit((unsigned char)*s); s++, scale /= 10)
			fraction += scale * (*s - '0');
	}
	*ret_whole = whole;
	*ret_fraction = fraction;
	*ret_rest = s;
	return 0;
}

static int scale(uint64_t whole, double fraction, uint64_t unit, uint64_t *ret)
{
	uint64_t part = (uint64_t)(fraction * (double)unit + 0.5);

	if (whole > (UINT64_MAX - part) / unit)
		return -ERANGE;
	*ret = whole * unit + part;
	return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char letters[] = "KMGTP";
	uint64_t whole, unit = 1;
	double fraction;
	const char *rest, *letter;
	int err = parse_decimal(s, &whole, &fraction, &rest);

	if (err < 0)
		return err;
	letter = *rest ? strchr(letters, toupper((unsigned char)*rest)) : NULL;
	if (letter) {
		unit = (uint64_t)1 << (10 * (letter - letters + 1));
		rest++;
		if (*rest == 'i')
			rest++;
	}
	if (*rest == 'B')
		rest++;
	if (*rest)
		return -EINVAL;
	return scale(whole, fraction, unit, ret_bytes);
}

int parse_duration_ms(const char *s, uint64_t *ret_ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "", 1000 },	{ "s", 1000 },	  { "ms", 1 },	    { "m", 60000 },
		      { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	uint64_t whole;
	double fraction;
	const char *rest;
	int err = parse_decimal(s, &whole, &fraction, &rest);

	if (err < 0)
		return err;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(rest, units[i].suffix) == 0)
			return scale(whole, fraction, units[i].ms, ret_ms);
	return -EINVAL;
}

int parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "yes", "true", "on" };
	static const char *const no[] = { "0", "no", "false", "off" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
			*ret = strcasecmp(s, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

const char *format_size(uint64_t bytes, char out[SIZE_STR_LEN])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		u++;
	}
	(void)snprintf(out, SIZE_STR_LEN, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

#define WORD_MAX 48

/* Levenshtein's distance, with one swap of neighbours counted as one. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = d[i % 3], *up = d[(i + 2) % 3], *upper = d[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);

			best = best < up[j] + 1 ? best : up[j] + 1;
			best = best < now[j - 1] + 1 ? best : now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    upper[j - 2] + 1 < best)
				best = upper[j - 2] + 1;
			now[j] = best;
		}
	}
	return d[la % 3][lb];
}

const char *nearest_name(const char *word, const char *const *names, size_t count)
{
	const char *best = NULL;
	unsigned best_distance = 3;

	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(word, names[i]);

		if (d < best_distance && d < strlen(names[i])) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}

int file_read_all(const char *path, size_t limit, struct buf *ret)
{
	int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = ret->len;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;
		int err = buf_reserve(ret, 4096);

		if (err < 0)
			return err;
		n = read(fd, ret->data + ret->len, ret->cap - ret->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		ret->len += (size_t)n;
		if (ret->len - start > limit)
			return -EFBIG;
	}
}
