/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the S3 store:
 *
 *	s3.c            the operations
 *	s3_multipart.c  large unconditional PUTs in parts
 *	s3_call.c       one request: address, signature, exchange, credentials read anew
 *	s3_error.c      what answers mean
 *	s3_http.c       one HTTP exchange on a bounded pool of kept-alive connections (libcurl)
 *	s3_pace.c       how many exchanges at once, by what the server says
 *	s3_sign.c       AWS Signature Version 4
 *	s3_examine.c    the way to the server, step by step, for people
 *	s3_extra.c      encryption by the server, storage class, ACL, tags
 *	s3_xml.c        the XML of answers (expat), hostile or not
 *	s3_url.c        where the bucket is: URL, endpoint, addressing style
 *	s3_keys.c       the keys in use, renewed in time (s3_cred.h: where they come from)
 *
 * Nothing here tries again (that is the retry wrapper's), but for a request refused because of its
 * credentials, which is sent once more if newer ones are found.
 */
#ifndef LEVELS3_STORE_S3_H
#define LEVELS3_STORE_S3_H

#include "store/internal.h"

#define S3_KEY_MAX 1024 /* S3's limit, the URL's prefix included */

/* ---- credentials: s3_keys.c, s3_cred.c, s3_files.c ---- */

struct s3_place;

struct s3_cred { /* strings owned; wiped when released */
	char *access_key, *secret_key, *session_token;
	int64_t expires_s; /* 0: never */
	bool is_remote;	   /* somebody else was asked, not just a file read */
	const char *from;  /* who gave them, for people: "environment" */
};

struct s3_profile { /* what the environment and the shared files say besides keys */
	char *region, *endpoint, *ca_file;
};

/* The environment first, then the profile's section of the shared files; NULL: AWS_PROFILE, else
 * "default". -L3_BAD_OPTION for a profile's name that cannot be one. */
int s3_profile_load(const char *profile, struct s3_profile *ret);
void s3_profile_release(struct s3_profile *p);
void s3_cred_release(struct s3_cred *c);
bool s3_cred_same(const struct s3_cred *a, const struct s3_cred *b);
/* The value of key in a section of an INI file's text, malloc'd. 0, -ENOENT or -ENOMEM; key NULL:
 * just whether the section is there. */
int s3_ini_get(const char *text, const char *section, const char *key, char **ret);
/* 2009-10-12T17:50:30.000Z or with an offset, in seconds since 1970; 0 for anything else. */
int64_t s3_parse_time(const char *text);

struct s3_keys {       /* never changed; newer ones replace the whole */
	unsigned refs; /* atomic */
	int64_t since_s;
	struct s3_cred cred;
};

struct s3_keyring; /* any thread may use it */

/* Looks for keys, which may take a while; then or -L3_DENIED with a note on who was asked and why
 * he had none, -L3_BAD_OPTION for a named profile that is in no file. config is used for time-outs
 * and certificates, and not kept. */
int s3_keyring_new(const struct store_config *config, const struct s3_place *place,
		   struct clock *clock, struct s3_keyring **ret);
void s3_keyring_free(struct s3_keyring *r); /* accepts NULL */
/* Whoever waits for keys does so no more than about a second from now. Accepts NULL. */
void s3_keyring_stop(struct s3_keyring *r);
/* The keys of the moment; a reference to be put. Waits only where they run out in this minute. */
struct s3_keys *s3_keyring_get(struct s3_keyring *r);
void s3_keys_put(struct s3_keys *k); /* accepts NULL */
/* After `used` were refused: true if there are others now. */
bool s3_keyring_renew(struct s3_keyring *r, const struct s3_keys *used);
/* Appends why newer keys could not be had, if so. */
void s3_keyring_trouble(struct s3_keyring *r, struct buf *out);

/* ---- s3_sign.c ---- */

#define S3_AMZ_DATE_LEN 17
#define S3_SHA256_HEX_LEN 65
#define S3_MD5_BASE64_LEN 25

struct s3_header {
	const char *name; /* lower case */
	const char *value;
};

struct s3_sign_request {
	const char *method;
	const char
		*path; /* as it is sent: encoded, with leading slash; S3 paths are not normalised */
	const char *query;		 /* as it is sent, without '?'; pairs in any order */
	const struct s3_header *headers; /* all to be signed; those of one name in their order */
	size_t header_count;
	const char *payload_sha256; /* hex */
	const char *amz_date;	    /* 20130524T000000Z */
	const char *region, *service;
	const struct s3_cred *cred;
};

/* This moment, as x-amz-date has it. */
int s3_amz_date(char out[S3_AMZ_DATE_LEN]);
/* Appends the value of the Authorization header. */
int s3_sign(const struct s3_sign_request *r, struct buf *ret_authorization);
/* The first step of it; signed_names gets "host;x-amz-date". */
int s3_canonical_request(const struct s3_sign_request *r, struct buf *out,
			 struct buf *signed_names);
int s3_sha256_hex(const struct iovec *iov, int iovcnt, char out[S3_SHA256_HEX_LEN]);
int s3_md5_base64(const void *data, size_t len, char out[S3_MD5_BASE64_LEN]);
/* True if hex could be an MD5, and is not that of the data. */
bool s3_md5_differs(const void *data, size_t len, const char *hex);
/* Percent-encoding as SigV4 wants it: all but A-Za-z0-9-._~ (and '/' if keep_slash). */
void s3_encode(struct buf *out, const char *s, bool keep_slash);

/* ---- s3_xml.c ---- */

#define S3_XML_MAX ((size_t)16 << 20)

struct s3_error { /* of an <Error>; strings are printable, "" where it says nothing */
	char code[64], message[256], request_id[96], region[48], server_time[40];
};

/*
 * All: 0, -ENOMEM, or -L3_SERVER with a note for what is not well-formed, declares a document type,
 * nests or talks too much, or has another root than the one asked for. Those that take a struct
 * s3_error return -L3_SERVER and fill it where the root is an <Error>; its code is "" otherwise.
 */

/* One page. Keys that begin with strip_prefix go to out without it; others are passed over.
 * *ret_last is the last key as the server has it (malloc'd, NULL if there was none). out->more is
 * set; where the server does not say it, as S3's schema wants: true if there was a key. */
int s3_xml_list(const void *xml, size_t len, const char *strip_prefix, struct store_list *out,
		char **ret_last);
/* An answer of which only success matters: root "CopyObjectResult" or the like. */
int s3_xml_result(const void *xml, size_t len, const char *root, struct s3_error *ret);
int s3_xml_upload_id(const void *xml, size_t len, char **ret, struct s3_error *ret_error);
/* *ret is the first failure of a DeleteResult; key is the one it is about, as the server has it. */
int s3_xml_delete(const void *xml, size_t len, struct s3_error *ret, char key[S3_KEY_MAX + 1]);
/* True if it is an <Error> with a code. */
bool s3_xml_error(const void *xml, size_t len, struct s3_error *ret);
/* STS' answer: root "AssumeRoleResponse" or the like. */
int s3_xml_credentials(const void *xml, size_t len, const char *root, struct s3_cred *ret);
/* Text for an element. False if XML cannot hold it (control characters). */
bool s3_xml_escape(struct buf *out, const char *text);

/* ---- s3_pace.c: how many at once. No lock of its own: s3_http's. */

#define S3_PACE_LEAST 4

struct s3_pace {
	unsigned most, limit, under_way, went_well;
	uint64_t begun, slowed_at; /* numbers of requests */
};

void s3_pace_init(struct s3_pace *p, unsigned most);
bool s3_pace_may_begin(const struct s3_pace *p);
uint64_t s3_pace_begin(struct s3_pace *p); /* its number, for the end */
/* status of HTTP; 0: there was no answer. True if one more than before may be under way. */
bool s3_pace_end(struct s3_pace *p, uint64_t number, long status);

/* ---- s3_http.c ---- */

struct s3_http;

struct s3_exchange {
	const char *method;
	const char *url;
	const struct s3_header *headers;
	size_t header_count;
	const struct iovec *iov; /* body, for PUT and POST */
	int iovcnt;
	uint64_t body_bytes;
	struct buf *sink; /* where a 2xx body goes, instead of answer->body */
	/* Of the object, what sink is to get. An answer 206 is taken to be that range; of an answer
	 * 200 (the server does not know ranges) the rest is passed over. */
	uint64_t offset, len;
	bool direct; /* past any proxy */
	bool secret; /* there are keys in it: what it passed through is overwritten */
	bool once;   /* the connection is not kept */
};

struct s3_answer {
	long status;
	unsigned sends; /* how often the request went out: curl sends again on a new connection when
			   a kept-alive one dies under it */
	char etag[STORE_ETAG_MAX];
	char request_id[96];
	char region[48];
	bool has_range; /* Content-Range: the next two are set */
	uint64_t range_first, range_last;
	int64_t total_bytes; /* of the object, by Content-Range or Content-Length; -1: not said */
	int64_t content_length;
	bool chunked;
	int64_t mtime_s, date_s; /* 0: not said */
	struct buf body;
};

int s3_http_new(const struct store_config *config, struct s3_http **ret);
void s3_http_free(struct s3_http *h);
/* Exchanges in progress end within about a second, later ones at once. */
void s3_http_cancel(struct s3_http *h);
/* 0 when a whole HTTP answer came, whatever its status; else -L3_UNREACHABLE, -L3_SERVER (an answer
 * without bounds), -L3_DENIED (certificate), -L3_BAD_OPTION (endpoint), -ECANCELED, -ENOMEM with a
 * note that does not name the operation. On failure sink is as it was. */
int s3_http_do(struct s3_http *h, const struct s3_exchange *x, struct s3_answer *ret);
void s3_answer_release(struct s3_answer *a);

/* ---- s3_url.c ---- */

struct s3_place {
	char *bucket, *prefix; /* prefix "" or with '/' at its end */
	char *base; /* "https://host:port", the bucket's name in it if virtual-host style */
	char *host; /* for the Host header */
	char *path; /* "" or "/bucket" */
	char *region;
};

int s3_place_parse(const char *url, const struct store_config *config,
		   const struct s3_profile *profile, struct s3_place *ret);
void s3_place_release(struct s3_place *p);
/* "https://host:port[/]" → scheme with "://", and "host:port". -L3_BAD_OPTION with a note that
 * names the option or variable it is from. */
int s3_split_endpoint(const char *name, const char *endpoint, char **ret_scheme, char **ret_host);
int s3_check_region(const char *name, const char *region);

/* ---- s3_known.c ---- */

#define S3_REGION_MAX 64

struct s3_known {
	const char *name;
	const char *host;   /* how its host names end; NULL: anybody may run one */
	const char *says;   /* how the Server header of its answers begins; may be NULL */
	const char *region; /* always; NULL: the label before `host`, if it looks like one */
	const char *ids;    /* how the ids that it gives requests begin; may be NULL */
	bool bare_match;    /* it takes If-Match without quotes only */
	const char *advice; /* about what does not show when the server is tried; may be NULL */
};

const struct s3_known *s3_known_host(const char *host);	  /* NULL: none of them */
const struct s3_known *s3_known_words(const char *words); /* of the Server header; NULL likewise */
const struct s3_known *s3_known_id(const char *request_id); /* NULL: ids like that say nothing */
bool s3_known_region(const char *host, char out[S3_REGION_MAX]);

/* ---- s3_extra.c ---- */

#define S3_EXTRA_HEADERS 12

enum s3_kind { /* of a request */
	       S3_OTHER,
	       S3_READ,	 /* GET, HEAD of an object */
	       S3_WRITE, /* PUT, or the beginning of an upload in parts */
	       S3_PART,
	       S3_COPY,
};

struct s3_extra { /* strings owned; NULL: not wanted */
	char *sse, *sse_kms_key, *storage_class, *acl, *tags;
	char *customer_key; /* SSE-C, base64; protected */
	char customer_key_md5[S3_MD5_BASE64_LEN];
	bool requester_pays;
};

/* -L3_BAD_OPTION with a note that names the option and what it may be. */
int s3_extra_init(const struct store_config *c, struct s3_extra *ret);
int s3_extra_check(const struct store_config *c);
void s3_extra_release(struct s3_extra *e);
/* A key is not sent in the clear. */
int s3_extra_check_place(const struct s3_extra *e, const struct s3_place *p);
/* How many; they point into e. */
size_t s3_extra_headers(const struct s3_extra *e, enum s3_kind kind,
			struct s3_header out[S3_EXTRA_HEADERS]);

/* ---- the store, and one request to it ---- */

#define S3_REGIONS_MAX 4 /* to which a server may send us, one after the other */

enum s3_match { S3_MATCH_UNKNOWN, S3_MATCH_QUOTED, S3_MATCH_BARE };

struct s3 {
	struct store store;
	struct s3_http *http;
	struct s3_place *
		place; /* atomic: where the bucket is known to be; bucket, prefix and path never change */
	struct s3_place places[S3_REGIONS_MAX]; /* those before it, too: somebody may use them */
	unsigned place_count;
	pthread_mutex_t place_lock; /* of the two above */
	struct store_config where;  /* what places are made of; strings owned */
	bool region_given;	    /* as an option: then it is meant */
	struct s3_extra extra;
	struct s3_keyring *keyring; /* NULL: anonymous */
	uint64_t multipart_bytes;
	unsigned connections;
	enum s3_match match; /* atomic: how this server wants If-Match */
	uint64_t granted_key,
		granted_etag; /* atomic: hashes; of the last write with it, and of what it made */
	bool single_only;     /* atomic: it does not know DeleteObjects */
	bool plain_etags; /* atomic: its ETags look like MD5 sums, but say nothing about the bytes (SSE-KMS) */
};

static inline const struct s3_place *s3_place_of(const struct s3 *s3)
{
	return __atomic_load_n(&s3->place, __ATOMIC_ACQUIRE);
}

#define S3_CALL_HEADERS 4

struct s3_call {
	struct s3 *s3;
	const char *what;   /* for notes: "PUT" */
	const char *about;  /* for notes: the key, or what else it is about */
	const char *key;    /* NULL: the bucket itself */
	const char *method; /* of HTTP */
	enum s3_kind kind;
	const struct s3_place *place; /* of the last sending */
	struct buf query;
	struct s3_header headers[S3_CALL_HEADERS];
	size_t header_count;
	const struct iovec *iov;
	int iovcnt;
	struct buf *sink;
	uint64_t offset, len;
	struct s3_answer answer; /* after s3_call_run */
	struct s3_error error;
};

void s3_call_init(struct s3_call *c, struct s3 *s3, const char *what, const char *method,
		  const char *key);
void s3_call_release(struct s3_call *c);
void s3_call_header(struct s3_call *c, const char *name, const char *value);
/* name=value, encoded; "name=" for an empty value. */
void s3_call_query(struct s3_call *c, const char *name, const char *value);
/* Signs, sends, judges: 0 for an answer 2xx, else the store's error with its note. */
int s3_call_run(struct s3_call *c);
/* For failures that a 2xx answer turns out to be: c->error is set, or code is "" and the thread's
 * note says what was wrong with the answer. Returns the error, with the full note. */
int s3_call_failed(struct s3_call *c, int err);

/* ---- s3_error.c ---- */

/* The store's error for c->answer.status and c->error, and its note. */
int s3_error_judge(const struct s3_call *c);
/* Whether other credentials might be answered differently. */
/* The region in which the server says the bucket is, if that is why it refuses; else NULL. */
const char *s3_error_other_region(const struct s3_call *c);
bool s3_error_is_about_keys(const struct s3_call *c);
/* The server does not know this kind of request. */
bool s3_error_is_unknown_request(const struct s3_call *c);

/* ---- s3_multipart.c ---- */

/* Unconditional; -L3_... as a PUT. What was sent of a failed one is thrown away if the server can
 * be reached; a bucket's rule for incomplete uploads sees to the rest. */
int s3_put_parts(struct s3 *s3, const struct store_put *put, uint64_t size);

#endif
