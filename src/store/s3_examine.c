/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way to a store, step by step, for people who look for what is wrong: one request without
 * signature, whose answer does not matter, tells name, connection, certificate and clock; then keys
 * are looked for.
 */
#include "store/file.h"
#include "store/s3_cred.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define US_PER_MS 1000
#define CONNECT_MS 10000
#define ANSWER_MS 30000
#define SKEW_ODD_S 60
#define SKEW_REFUSED_S (15 * 60)	    /* what AWS does; others later */
#define EXPIRES_SOON_S ((time_t)14 * 86400) /* of a certificate */

struct examination {
	void (*remark)(void *ctx, const struct store_remark *r);
	void *ctx;
	struct store_config config;
	struct s3_profile profile;
	struct s3_place place;
	char error[CURL_ERROR_SIZE];
	time_t date;	 /* of the answer; -1: it had none */
	char server[64]; /* what it calls itself */
};

static void say(const struct examination *e, enum store_verdict verdict, const char *what,
		const char *advice, const char *fmt, ...) PRINTF_LIKE(5, 6);

static void say(const struct examination *e, enum store_verdict verdict, const char *what,
		const char *advice, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e->remark(e->ctx, &(struct store_remark){ verdict, what, text, advice });
}

static const char *day(time_t t, char out[16])
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, 16, "?");
	return out;
}

static bool is_tls(const struct examination *e)
{
	return strncmp(e->place.base, "https://", strlen("https://")) == 0;
}

/* ---- the request ---- */

/* The value of the header of that name ("date:"), without what is around it. */
static bool header_value(const char *line, size_t len, const char *name, char out[64])
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return false;
	while (n < len && line[n] == ' ')
		n++;
	while (len > n && strchr(" \r\n", line[len - 1]))
		len--;
	(void)snprintf(out, 64, "%.*s", (int)(len - n), line + n);
	return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct examination *e = ctx;
	char value[64];

	if (header_value(line, size * count, "date:", value))
		e->date = curl_getdate(value, NULL);
	(void)header_value(line, size * count, "server:", e->server);
	return size * count;
}

static int set_request(struct examination *e, CURL *c, const char *url)
{
	CURLcode bad = curl_easy_setopt(c, CURLOPT_URL, url);

	if (bad == CURLE_OK && e->config.ca_file)
		bad = curl_easy_setopt(c, CURLOPT_CAINFO, e->config.ca_file);
	(void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_CERTINFO, 1L);
	(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, e->error);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, e->config.no_verify ? 0L : 1L);
	(void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, e->config.no_verify ? 0L : 2L);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, e);
	return bad == CURLE_OK ? 0 : -ENOMEM;
}

/* ---- what it tells ---- */

static void tell_failure(const struct examination *e, CURLcode code)
{
	const char *words = e->error[0] ? e->error : curl_easy_strerror(code);

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		say(e, STORE_WRONG, "name",
		    "check endpoint= and region= for typos, and the name servers in "
		    "/etc/resolv.conf",
		    "%s: %s", e->place.host, words);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		say(e, STORE_WRONG, "certificate",
		    "a private authority is trusted with ca_file=FILE; an expired one has to be "
		    "renewed on the server",
		    "%s", words);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		say(e, STORE_WRONG, "certificate", "ca_file= must name a file of PEM certificates",
		    "%s", words);
		break;
	case CURLE_SSL_CONNECT_ERROR:
		say(e, STORE_WRONG, "certificate", "if it does not speak TLS: endpoint=http://…",
		    "%s", words);
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		say(e, STORE_WRONG, "connection", "if it wants TLS: endpoint=https://…",
		    "what answers is no HTTP: %s", words);
		break;
	default:
		say(e, STORE_WRONG, "connection",
		    "is the server up, the port right, and does a firewall let us through?",
		    "%s: %s", e->place.host, words);
	}
}

static void tell_connection(const struct examination *e, CURL *c)
{
	curl_off_t named = 0, connected = 0;
	const char *ip = "";
	long port = 0;

	(void)curl_easy_getinfo(c, CURLINFO_NAMELOOKUP_TIME_T, &named);
	(void)curl_easy_getinfo(c, CURLINFO_CONNECT_TIME_T, &connected);
	(void)curl_easy_getinfo(c, CURLINFO_PRIMARY_IP, &ip);
	(void)curl_easy_getinfo(c, CURLINFO_PRIMARY_PORT, &port);
	say(e, STORE_FINE, "name", NULL, "%s", e->place.host);
	say(e, STORE_FINE, "connection", NULL, "to %s, port %ld, in %.1f ms", ip, port,
	    (double)(connected - named) / US_PER_MS);
	if (!is_tls(e) && strncmp(ip, "127.", 4) != 0 && strcmp(ip, "::1") != 0)
		say(e, STORE_ODD, "certificate", "endpoint=https://… if the server can",
		    "without TLS, what is read and written can be seen on the way");
}

/* Its name is surer than what it says of itself: that may be a proxy's. */
static void tell_server(const struct examination *e)
{
	const struct s3_known *k = s3_known_host(e->place.host);

	if (!k)
		k = s3_known_words(e->server);
	if (k)
		say(e, k->advice ? STORE_ODD : STORE_FINE, "server", k->advice, "%s", k->name);
	else if (e->server[0])
		say(e, STORE_FINE, "server", NULL, "calls itself %s", e->server);
}

/* "Expire date:Mar  3 12:00:00 2027 GMT" of the server's own one, which comes first. */
static time_t expiry(CURL *c)
{
	static const char name[] = "Expire date:";
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(c, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
	    info->num_of_certs < 1)
		return -1;
	for (const struct curl_slist *l = info->certinfo[0]; l; l = l->next)
		if (strncmp(l->data, name, strlen(name)) == 0)
			return curl_getdate(l->data + strlen(name), NULL);
	return -1;
}

static void tell_certificate(const struct examination *e, CURL *c)
{
	time_t until = expiry(c), now = (time_t)(clock_system.real_ns(&clock_system) / NS_PER_S);
	char text[16];

	if (!is_tls(e))
		return;
	if (e->config.no_verify)
		say(e, STORE_ODD, "certificate", "ca_file=FILE trusts a private authority",
		    "it is not checked (no_verify): anybody on the way may pose as the server");
	else if (until == -1)
		say(e, STORE_FINE, "certificate", NULL, "trusted");
	else if (until - now < EXPIRES_SOON_S)
		say(e, STORE_ODD, "certificate", "it has to be renewed on the server",
		    "trusted, but only until %s", day(until, text));
	else
		say(e, STORE_FINE, "certificate", NULL, "trusted, valid until %s",
		    day(until, text));
}

static void tell_clock(const struct examination *e)
{
	int64_t now = clock_system.real_ns(&clock_system) / NS_PER_S, ahead = e->date - now;
	enum store_verdict verdict = STORE_FINE;

	if (e->date == -1) {
		say(e, STORE_FINE, "clock", NULL, "the server does not tell the time");
		return;
	}
	if (ahead >= SKEW_ODD_S || ahead <= -SKEW_ODD_S)
		verdict = STORE_ODD;
	if (ahead >= SKEW_REFUSED_S || ahead <= -SKEW_REFUSED_S)
		verdict = STORE_WRONG;
	if (verdict == STORE_FINE)
		say(e, verdict, "clock", NULL, "the server's and ours agree");
	else
		say(e, verdict, "clock",
		    "set the wrong one of the two: timedatectl set-ntp true; requests signed with "
		    "a wrong time are refused",
		    "ours is %lld seconds %s the server's", (long long)(ahead < 0 ? -ahead : ahead),
		    ahead > 0 ? "behind" : "ahead of");
}

/* 1: an answer came. */
static int examine_way(struct examination *e)
{
	char *url CLEANUP(free_ptr) = NULL;
	CURLcode code;
	CURL *c;
	int err;

	s3_curl_init();
	if (asprintf(&url, "%s%s/", e->place.base, e->place.path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	c = curl_easy_init();
	if (!c)
		return -ENOMEM;
	err = set_request(e, c, url);
	if (err >= 0) {
		code = curl_easy_perform(c);
		err = code == CURLE_OK;
		if (code != CURLE_OK) {
			tell_failure(e, code);
		} else {
			tell_connection(e, c);
			tell_certificate(e, c);
			tell_clock(e);
			tell_server(e);
		}
	}
	curl_easy_cleanup(c);
	return err;
}

/* ---- keys ---- */

static void tell_keys(const struct examination *e, const struct s3_keys *k)
{
	const char *from = k->cred.from ? k->cred.from : "?";
	const char *name = NULL;
	char text[16];

	if (strcmp(from, "profile") == 0)
		(void)s3_profile_name(e->config.profile, &name);
	if (k->cred.expires_s)
		say(e, STORE_FINE, "credentials", NULL,
		    "from: %s%s%s; they expire in %lld minutes (on %s), and are renewed before",
		    from, name ? " " : "", name ? name : "",
		    (long long)((k->cred.expires_s -
				 clock_system.real_ns(&clock_system) / NS_PER_S) /
				60),
		    day((time_t)k->cred.expires_s, text));
	else
		say(e, STORE_FINE, "credentials", NULL, "from: %s%s%s", from, name ? " " : "",
		    name ? name : "");
}

static int examine_keys(struct examination *e)
{
	struct s3_keyring *ring = NULL;
	struct s3_keys *k;
	int err;

	if (e->config.anonymous) {
		say(e, STORE_FINE, "credentials", NULL,
		    "none: requests are not signed (anonymous)");
		return 0;
	}
	err = s3_keyring_new(&e->config, &e->place, &clock_system, &ring);
	if (err == -ENOMEM)
		return err;
	if (err < 0) {
		say(e, STORE_WRONG, "credentials",
		    "man levels3fs, CREDENTIALS, lists the places that are looked at", "%s",
		    err_last_note());
		return 0;
	}
	k = s3_keyring_get(ring);
	tell_keys(e, k);
	s3_keys_put(k);
	s3_keyring_free(ring);
	return 0;
}

/* ---- the whole ---- */

static int examine_s3(struct examination *e, const char *url)
{
	int err = s3_profile_load(e->config.profile, &e->profile);

	if (err >= 0)
		err = s3_place_parse(url, &e->config, &e->profile, &e->place);
	if (err < 0)
		return err;
	if (!e->config.ca_file)
		e->config.ca_file = e->profile.ca_file;
	err = examine_way(e);
	if (err >= 0) /* worth knowing either way */
		err = examine_keys(e);
	s3_place_release(&e->place);
	return err;
}

static int examine_file(struct examination *e, const char *url)
{
	int root, err = store_file_root(url, false, &root);

	if (err == -ENOMEM || err == -L3_BAD_OPTION)
		return err;
	if (err < 0) {
		say(e, STORE_WRONG, "folder", NULL, "%s", err_last_note());
		return 0;
	}
	say(e, STORE_FINE, "folder", NULL, "%s", url + strlen("file://"));
	(void)close(root);
	return 0;
}

int store_examine(const char *url, const struct store_config *config,
		  void (*remark)(void *ctx, const struct store_remark *r), void *ctx)
{
	struct examination e = { .remark = remark, .ctx = ctx, .config = *config, .date = -1 };
	int err = 0;

	if (strncmp(url, "s3://", strlen("s3://")) == 0)
		err = examine_s3(&e, url);
	else if (strncmp(url, "file://", strlen("file://")) == 0)
		err = examine_file(&e, url);
	s3_profile_release(&e.profile);
	return err < 0 ? err : 0;
}
