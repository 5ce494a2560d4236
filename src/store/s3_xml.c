/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XML of S3's answers, by expat. One reader for all: it keeps the path of open elements and
 * hands each element's text to the form being read when it closes. A document type declaration
 * (where entity expansion comes from), deep nesting or long text end it.
 */
#include "store/s3_cred.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
#define PATH_MAX_BYTES 512
#define TEXT_MAX 8192

struct reader {
	XML_Parser parser;
	char path[PATH_MAX_BYTES]; /* "ListBucketResult/Contents/Key" */
	unsigned depth;
	struct buf text;
	bool refused;
	int err; /* of the form */
	void (*on_close)(struct reader *r, const char *path, const char *text);
	void *form;
	struct s3_error *error; /* of an <Error> for a root */
	const char *root;	/* the one expected */
	bool secret;		/* the texts are: all memory is overwritten as it is freed */
	bool root_seen;
};

static void refuse(struct reader *r)
{
	r->refused = true;
	(void)XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = ctx;
	const char *colon = strrchr(name, ':'); /* namespace prefixes do not matter */
	size_t len = strlen(r->path);

	if (r->refused)
		return;
	if (colon)
		name = colon + 1;
	if (++r->depth > DEPTH_MAX || strlen(name) > sizeof(r->path) - len - 2) {
		refuse(r);
		return;
	}
	(void)snprintf(r->path + len, sizeof(r->path) - len, "%s%s", len ? "/" : "", name);
	if (r->depth == 1)
		r->root_seen = strcmp(r->path, r->root) == 0;
	buf_reset(&r->text);
}

/* It will be printed. */
static void copy_text(char *out, size_t cap, const char *text)
{
	(void)snprintf(out, cap, "%s", text);
	for (; *out; out++)
		if ((unsigned char)*out < ' ' || *out == 0x7f)
			*out = ' ';
}

static void take_error(struct s3_error *e, const char *path, const char *text)
{
	if (strcmp(path, "Error/Code") == 0)
		copy_text(e->code, sizeof(e->code), text);
	else if (strcmp(path, "Error/Message") == 0)
		copy_text(e->message, sizeof(e->message), text);
	else if (strcmp(path, "Error/RequestId") == 0)
		copy_text(e->request_id, sizeof(e->request_id), text);
	else if (strcmp(path, "Error/Region") == 0)
		copy_text(e->region, sizeof(e->region), text);
	else if (strcmp(path, "Error/ServerTime") == 0)
		copy_text(e->server_time, sizeof(e->server_time), text);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct reader *r = ctx;
	char *slash;

	if (r->refused)
		return;
	if (r->root_seen && r->on_close)
		r->on_close(r, r->path, buf_cstr(&r->text));
	else if (r->error)
		take_error(r->error, r->path, buf_cstr(&r->text));
	if (buf_error(&r->text) < 0)
		r->err = -ENOMEM;
	buf_reset(&r->text);
	slash = strrchr(r->path, '/');
	*(slash ? slash : r->path) = '\0';
	r->depth--;
	if (r->err < 0)
		refuse(r);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct reader *r = ctx;

	if (r->refused)
		return;
	if (r->text.len + (size_t)len > TEXT_MAX)
		refuse(r);
	else
		buf_add(&r->text, text, (size_t)len);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal_subset)
{
	refuse(ctx);
}

static int judge(struct reader *r, enum XML_Status status)
{
	if (r->err < 0)
		return r->err;
	if (r->refused)
		return err_note(-L3_SERVER, "the server's XML is not of a kind that S3 sends");
	if (status == XML_STATUS_ERROR)
		return err_note(-L3_SERVER, "the server's XML is not well-formed: %s at line %lu",
				XML_ErrorString(XML_GetErrorCode(r->parser)),
				(unsigned long)XML_GetCurrentLineNumber(r->parser));
	if (r->root_seen)
		return 0;
	if (r->error && r->error->code[0])
		return -L3_SERVER;
	return err_note(-L3_SERVER, "the server's answer is no %s", r->root);
}

static const XML_Memory_Handling_Suite wiping = { malloc, s3_wipe_realloc, s3_wipe_free };

/* Runs r, whose form, on_close, root and error are set. */
static int read_xml(struct reader *r, const void *xml, size_t len)
{
	const char *text = xml;
	enum XML_Status status;
	int err;

	if (r->error)
		*r->error = (struct s3_error){ 0 };
	/* Blanks sent to keep a connection alive while a long copy runs. */
	while (len > 0 && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t')) {
		text++;
		len--;
	}
	if (len > S3_XML_MAX)
		return err_note(-L3_SERVER, "the server's XML is too long (%zu bytes)", len);
	r->parser = XML_ParserCreate_MM(NULL, r->secret ? &wiping : NULL, NULL);
	if (!r->parser || (r->secret && buf_reserve(&r->text, TEXT_MAX) < 0)) {
		XML_ParserFree(r->parser);
		return -ENOMEM;
	}
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	status = XML_Parse(r->parser, text ? text : "", (int)len, XML_TRUE);
	err = judge(r, status);
	XML_ParserFree(r->parser);
	s3_wipe_buf(&r->text);
	return err;
}

/* ---- lists ---- */

struct list_form {
	struct store_list
		raw; /* keys as they came: whether they are encoded may be said after them */
	char *key;
	uint64_t size;
	int64_t mtime;
	int truncated; /* -1: not said */
	bool encoded;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. S3 writes a blank as '+', a plus sign as %2B. False if that makes no string. */
static bool percent_decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%' && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0) {
			int c = hex_digit(s[1]) << 4 | hex_digit(s[2]);

			if (c == 0)
				return false;
			*to++ = (char)c;
			s += 2;
		} else {
			*to++ = *s == '+' ? ' ' : *s;
		}
	}
	*to = '\0';
	return true;
}

static void add_object(struct reader *r, struct list_form *f)
{
	if (!f->key)
		r->err = err_note(-L3_SERVER, "the server lists an object without a key");
	else
		r->err = store_list_add(&f->raw, f->key, f->size, f->mtime);
	free(f->key);
	f->key = NULL;
	f->size = 0;
	f->mtime = 0;
}

/* An xsd:boolean. Who does not say it in a way that can be understood may mean either. */
static int read_truncated(const char *text, int *ret)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
		*ret = 1;
	else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
		*ret = 0;
	else
		return err_note(-L3_SERVER, "the server does not say whether a list is all");
	return 0;
}

static void on_list(struct reader *r, const char *path, const char *text)
{
	struct list_form *f = r->form;

	if (strcmp(path, "ListBucketResult/Contents/Key") == 0 && !f->key) {
		f->key = strdup(text);
		if (!f->key)
			r->err = -ENOMEM;
	} else if (strcmp(path, "ListBucketResult/Contents/Size") == 0) {
		if (parse_u64(text, &f->size) < 0)
			r->err = err_note(-L3_SERVER, "the server lists an object without a size");
	} else if (strcmp(path, "ListBucketResult/Contents/LastModified") == 0) {
		f->mtime = s3_parse_time(text);
	} else if (strcmp(path, "ListBucketResult/Contents") == 0) {
		add_object(r, f);
	} else if (strcmp(path, "ListBucketResult/IsTruncated") == 0) {
		r->err = read_truncated(text, &f->truncated);
	} else if (strcmp(path, "ListBucketResult/EncodingType") == 0) {
		f->encoded = strcmp(text, "url") == 0;
	}
}

/* Only what lies below the prefix and can be a key of ours; folder markers are not. */
static int add_ours(const struct store_entry *e, const char *strip, struct store_list *out)
{
	size_t n = strlen(strip), len = strlen(e->key);

	if (strncmp(e->key, strip, n) != 0 || len == n || len - n > STORE_KEY_MAX)
		return 0;
	return store_list_add(out, e->key + n, e->size_bytes, e->mtime_s);
}

static int take_keys(struct list_form *f, const char *strip, struct store_list *out,
		     char **ret_last)
{
	const char *before = NULL;
	int err = 0;

	for (size_t i = 0; err >= 0 && i < f->raw.count; i++) {
		char *key = f->raw.entries[i].key;

		if (f->encoded && !percent_decode(key))
			err = err_note(-L3_SERVER, "the server lists a key with a NUL in it");
		else if (before && strcmp(before, key) >= 0)
			err = err_note(-L3_SERVER, "the server does not list keys in order");
		else
			err = add_ours(&f->raw.entries[i], strip, out);
		before = key;
	}
	if (err >= 0 && before && !(*ret_last = strdup(before)))
		err = -ENOMEM;
	return err;
}

static void drop_from(struct store_list *l, size_t count)
{
	while (l->count > count)
		free(l->entries[--l->count].key);
}

int s3_xml_list(const void *xml, size_t len, const char *strip_prefix, struct store_list *out,
		char **ret_last)
{
	struct list_form f = { .raw = STORE_LIST_INIT, .truncated = -1 };
	struct reader r = { .form = &f, .on_close = on_list, .root = "ListBucketResult" };
	size_t before = out->count;
	int err = read_xml(&r, xml, len);

	*ret_last = NULL;
	if (err >= 0)
		err = take_keys(&f, strip_prefix, out, ret_last);
	if (err < 0)
		drop_from(out, before);
	else
		out->more = f.truncated < 0 ? f.raw.count > 0 : f.truncated > 0;
	free(f.key);
	store_list_release(&f.raw);
	return err;
}

/* ---- errors and small results ---- */

bool s3_xml_error(const void *xml, size_t len, struct s3_error *ret)
{
	struct reader r = { .root = "", .error = ret };

	(void)read_xml(&r, xml, len);
	return ret->code[0] != '\0';
}

int s3_xml_result(const void *xml, size_t len, const char *root, struct s3_error *ret)
{
	struct reader r = { .root = root, .error = ret };

	return read_xml(&r, xml, len);
}

static void on_upload_id(struct reader *r, const char *path, const char *text)
{
	char **id = r->form;

	if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0 || *id)
		return;
	*id = strdup(text);
	if (!*id)
		r->err = -ENOMEM;
}

int s3_xml_upload_id(const void *xml, size_t len, char **ret, struct s3_error *ret_error)
{
	char *id = NULL;
	struct reader r = { .root = "InitiateMultipartUploadResult",
			    .form = &id,
			    .on_close = on_upload_id,
			    .error = ret_error };
	int err = read_xml(&r, xml, len);

	if (err >= 0 && (!id || !*id))
		err = err_note(-L3_SERVER, "the server's answer has no UploadId");
	if (err < 0)
		free(id);
	else
		*ret = id;
	return err;
}

struct delete_form {
	struct s3_error *first;
	char *first_key;
	struct s3_error now;
	char now_key[S3_KEY_MAX + 1];
};

static void on_delete(struct reader *r, const char *path, const char *text)
{
	struct delete_form *f = r->form;

	if (strcmp(path, "DeleteResult/Error/Key") == 0) {
		copy_text(f->now_key, sizeof(f->now_key), text);
	} else if (strcmp(path, "DeleteResult/Error/Code") == 0) {
		copy_text(f->now.code, sizeof(f->now.code), text);
	} else if (strcmp(path, "DeleteResult/Error/Message") == 0) {
		copy_text(f->now.message, sizeof(f->now.message), text);
	} else if (strcmp(path, "DeleteResult/Error") == 0) {
		if (!f->now.code[0])
			copy_text(f->now.code, sizeof(f->now.code), "(no code)");
		/* Gone already is what was wanted. */
		if (!f->first->code[0] && strcmp(f->now.code, "NoSuchKey") != 0) {
			*f->first = f->now;
			memcpy(f->first_key, f->now_key, sizeof(f->now_key));
		}
		f->now = (struct s3_error){ 0 };
		f->now_key[0] = '\0';
	}
}

int s3_xml_delete(const void *xml, size_t len, struct s3_error *ret, char key[S3_KEY_MAX + 1])
{
	struct s3_error first = { 0 };
	struct delete_form f = { .first = &first, .first_key = key };
	struct reader r = {
		.root = "DeleteResult", .form = &f, .on_close = on_delete, .error = ret
	};
	int err;

	key[0] = '\0';
	err = read_xml(&r, xml, len);
	if (err >= 0 && first.code[0]) {
		*ret = first;
		err = -L3_SERVER;
	}
	return err;
}

/* ---- STS ---- */

struct credentials_form {
	char *access_key, *secret_key, *token, *expires;
};

static void on_credentials(struct reader *r, const char *path, const char *text)
{
	struct credentials_form *f = r->form;
	const char *last = strrchr(path, '/');
	char **to = NULL;

	if (!last || !strstr(path, "Result/Credentials/"))
		return;
	if (strcmp(last, "/AccessKeyId") == 0)
		to = &f->access_key;
	else if (strcmp(last, "/SecretAccessKey") == 0)
		to = &f->secret_key;
	else if (strcmp(last, "/SessionToken") == 0)
		to = &f->token;
	else if (strcmp(last, "/Expiration") == 0)
		to = &f->expires;
	if (!to || *to)
		return;
	*to = strdup(text);
	if (!*to)
		r->err = -ENOMEM;
}

/* Its texts are keys: what expat and we had of them is overwritten. */
int s3_xml_credentials(const void *xml, size_t len, const char *root, struct s3_cred *ret)
{
	struct credentials_form f = { 0 };
	struct reader r = { .form = &f, .on_close = on_credentials, .root = root, .secret = true };
	int err = read_xml(&r, xml, len);
	int64_t expires_s = f.expires ? s3_parse_time(f.expires) : 0;

	if (err >= 0 && (!f.access_key || !f.secret_key || !f.token || !*f.token || expires_s <= 0))
		err = err_note(-L3_SERVER,
			       "the answer has no keys with a session token and a time");
	if (err < 0) {
		s3_wipe(f.access_key);
		s3_wipe(f.secret_key);
		s3_wipe(f.token);
	} else {
		err = s3_cred_make(f.access_key, f.secret_key, f.token, expires_s, ret);
	}
	free(f.expires);
	if (err >= 0)
		ret->is_remote = true;
	return err;
}

bool s3_xml_escape(struct buf *out, const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' && !strchr("\t\n\r", *c))
			return false;
	for (; *text; text++) {
		if (strchr("&<>\"'\t\n\r", *text))
			buf_printf(out, "&#%d;", *text);
		else
			buf_add(out, text, 1);
	}
	return true;
}
