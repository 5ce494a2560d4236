/* SPDX-License-Identifier: BSD-3-Clause */
/* Whatever a server calls XML, or who gives keys JSON, and what people write into URLs and shared files. */
#include "store/s3_cred.h"
#include "tests/fuzz/fuzz.h"

static void as_list(const uint8_t *xml, size_t len)
{
	struct store_list list = { 0 };
	char *last = NULL;

	if (s3_xml_list(xml, len, "pre/", &list, &last) == 0) {
		for (size_t n = 0; n < list.count; n++)
			MUST(strlen(list.entries[n].key) <= STORE_KEY_MAX);
	}
	store_list_release(&list);
	free(last);
}

static void as_answers(const uint8_t *xml, size_t len)
{
	struct s3_error error;
	char key[S3_KEY_MAX + 1], *id = NULL;
	struct s3_cred cred = { 0 };

	(void)s3_xml_result(xml, len, "CopyObjectResult", &error);
	(void)s3_xml_upload_id(xml, len, &id, &error);
	free(id);
	(void)s3_xml_delete(xml, len, &error, key);
	if (s3_xml_credentials(xml, len, "AssumeRoleResponse", &cred) == 0)
		s3_cred_release(&cred);
	(void)s3_xml_error(xml, len, &error);
}

static void as_ini(const uint8_t *data, size_t len)
{
	char *text = fuzz_string(data, len), *value = NULL;

	(void)s3_ini_get(text, "default", NULL, &value);
	if (s3_ini_get(text, "default", "aws_access_key_id", &value) == 0)
		MUST(value != NULL);
	free(value);
	free(text);
}

static void as_url(const uint8_t *data, size_t len)
{
	char *text = fuzz_string(data, len), *endpoint = strchr(text, '\n');
	struct store_config config = { 0 };
	struct s3_profile profile = { 0 };
	struct s3_place place = { 0 };

	if (endpoint) {
		*endpoint++ = '\0';
		config.endpoint = endpoint;
		config.path_style = len % 2;
	}
	if (strncmp(text, "s3://", 5) == 0 && s3_place_parse(text, &config, &profile, &place) == 0)
		MUST(place.bucket && place.host && place.base);
	s3_place_release(&place);
	free(text);
}

static void as_header_text(const uint8_t *data, size_t len)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;
	char *text = fuzz_string(data, len);

	s3_encode(&out, text, true);
	(void)s3_xml_escape(&out, text);
	free(text);
}

static void as_json(const uint8_t *data, size_t len)
{
	static const struct s3_json_names outermost = { NULL, "AccessKeyId", "SecretAccessKey",
							"SessionToken", "Expiration" };
	static const struct s3_json_names inside = { "roleCredentials", "accessKeyId",
						     "secretAccessKey", "sessionToken",
						     "expiration" };
	struct buf json CLEANUP(buf_release) = BUF_INIT;
	struct s3_cred cred = { 0 };
	char *text = NULL;

	buf_add(&json, data, len);
	if (s3_json_cred(&json, "fuzz", len % 2 ? &outermost : &inside, &cred) == 0)
		s3_cred_release(&cred);
	if (s3_json_string(&json, "accessToken", &text) == 0)
		MUST(text != NULL);
	free(text);
	(void)s3_json_is_version_1(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *,
				     size_t) = { as_list, as_answers,	  as_ini,
						 as_url,  as_header_text, as_json };
	uint8_t *copy;

	if (size < 1)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	kinds[data[0] % ARRAY_LEN(kinds)](copy, size - 1);
	free(copy);
	return 0;
}
