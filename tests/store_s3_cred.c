/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys and settings from the environment and the shared files, and where buckets are. */
#include "store/s3_cred.h"
#include "tests/store_fixture.h"

#include <sys/stat.h>

static struct place dir; /* its folder is HOME */
static struct s3_cred cred;
static struct s3_profile profile;

static void setup(void)
{
	static const char *const variables[] = { "AWS_ACCESS_KEY_ID",
						 "AWS_SECRET_ACCESS_KEY",
						 "AWS_SESSION_TOKEN",
						 "AWS_PROFILE",
						 "AWS_REGION",
						 "AWS_DEFAULT_REGION",
						 "AWS_ENDPOINT_URL",
						 "AWS_ENDPOINT_URL_S3",
						 "AWS_SHARED_CREDENTIALS_FILE",
						 "AWS_CONFIG_FILE",
						 "AWS_CA_BUNDLE",
						 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
						 "AWS_CONTAINER_CREDENTIALS_FULL_URI",
						 "AWS_WEB_IDENTITY_TOKEN_FILE",
						 "AWS_ROLE_ARN" };
	char aws[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
	ck_assert_int_eq(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
	make_folder(&dir);
	ck_assert_int_eq(setenv("HOME", dir.folder, 1), 0);
	(void)snprintf(aws, sizeof(aws), "%s/.aws", dir.folder);
	ck_assert_int_eq(mkdir(aws, 0700), 0);
}

static void teardown(void)
{
	s3_cred_release(&cred);
	s3_profile_release(&profile);
	remove_folder(&dir);
}

static void write_file(const char *name, const char *text)
{
	char path[PATH_MAX + 32];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir.folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), 0600), 0);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void set(const char *name, const char *value)
{
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static int load(const char *name, struct s3_cred *ret)
{
	struct s3_chain chain = { .profile = name, .bucket = "bucket", .clock = &clock_system };

	return s3_chain_load(&chain, ret);
}

static void ck_cred(const char *name, const char *access_key, const char *secret_key,
		    const char *token)
{
	s3_cred_release(&cred);
	ck_ok(load(name, &cred));
	ck_assert_str_eq(cred.access_key, access_key);
	ck_assert_str_eq(cred.secret_key, secret_key);
	ck_assert_pstr_eq(cred.session_token, token);
}

/* ---- keys ---- */

START_TEST(the_environment_is_enough)
{
	set("AWS_ACCESS_KEY_ID", "AKENV");
	set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
	ck_cred(NULL, "AKENV", "s3cr3t", NULL);
	set("AWS_SESSION_TOKEN", "tok/en==");
	ck_cred(NULL, "AKENV", "s3cr3t", "tok/en==");
}
END_TEST

START_TEST(profiles_are_found_among_comments_blanks_and_windows_line_ends)
{
	write_file(".aws/credentials", "\xef\xbb\xbf# ours\r\n"
				       "; and this\n"
				       "\n"
				       "[default]\r\n"
				       "aws_access_key_id = AKDEFAULT\r\n"
				       "aws_secret_access_key=a/b+c==\r\n"
				       "  [ work ]  # the job\n"
				       "\tAWS_Access_Key_Id\t=\tAKWORK\t# old one\n"
				       "\taws_secret_access_key = with#and;inside\n"
				       "#aws_session_token = not this\n"
				       "\taws_session_token = token=with=equals \n"
				       "[worker]\n"
				       "aws_access_key_id = AKWORKER\n"
				       "aws_secret_access_key = last line without an end");
	ck_cred(NULL, "AKDEFAULT", "a/b+c==", NULL);
	ck_cred("work", "AKWORK", "with#and;inside", "token=with=equals");
	set("AWS_PROFILE", "work");
	ck_cred(NULL, "AKWORK", "with#and;inside", "token=with=equals");
	ck_assert_int_eq(load("worker", &cred), -L3_DENIED); /* blanks cannot be right */
}
END_TEST

START_TEST(a_profile_given_by_name_goes_before_the_environment_and_aws_profile_after_it)
{
	write_file(".aws/credentials", "[work]\naws_access_key_id=AKWORK\n"
				       "aws_secret_access_key=w\n");
	set("AWS_ACCESS_KEY_ID", "AKENV");
	set("AWS_SECRET_ACCESS_KEY", "e");
	set("AWS_PROFILE", "work");
	ck_cred(NULL, "AKENV", "e", NULL);
	ck_cred("work", "AKWORK", "w", NULL);
}
END_TEST

START_TEST(the_config_file_calls_its_sections_profiles)
{
	write_file(".aws/config",
		   "[default]\naws_access_key_id=AKD\naws_secret_access_key=d\n"
		   "region=eu-central-1\n"
		   "[work]\naws_access_key_id=AKWRONG\naws_secret_access_key=x\n"
		   "[profile  work]\naws_access_key_id=AKW\naws_secret_access_key=w\n");
	ck_cred(NULL, "AKD", "d", NULL);
	ck_cred("work", "AKW", "w", NULL);
}
END_TEST

START_TEST(all_of_a_key_comes_from_one_file)
{
	write_file(".aws/credentials",
		   "[default]\naws_access_key_id=AKC\naws_secret_access_key=c\n");
	write_file(".aws/config", "[default]\naws_access_key_id=AKD\naws_secret_access_key=d\n"
				  "aws_session_token=other\n");
	ck_cred(NULL, "AKC", "c", NULL);
	write_file(".aws/credentials", "[default]\naws_access_key_id=AKC\n");
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "aws_secret_access_key"));
}
END_TEST

START_TEST(other_files_can_be_named)
{
	char path[PATH_MAX + 16];

	write_file("keys", "[default]\naws_access_key_id=AKO\naws_secret_access_key=o\n");
	(void)snprintf(path, sizeof(path), "%s/keys", dir.folder);
	set("AWS_SHARED_CREDENTIALS_FILE", path);
	ck_cred(NULL, "AKO", "o", NULL);
}
END_TEST

START_TEST(without_credentials_the_note_names_what_was_looked_for)
{
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "AWS_ACCESS_KEY_ID"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "[default]"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), dir.folder));
	set("AWS_ACCESS_KEY_ID", "AKENV");
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "AWS_SECRET_ACCESS_KEY"));
}
END_TEST

START_TEST(a_profile_that_is_nowhere_is_a_bad_option)
{
	write_file(".aws/config", "[profile empty]\nregion=x\n");
	ck_assert_int_eq(load("wrok", &cred), -L3_BAD_OPTION);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "wrok"));
	set("AWS_PROFILE", "wrok");
	ck_assert_int_eq(load(NULL, &cred), -L3_BAD_OPTION);
	ck_assert_int_eq(load("empty", &cred), -L3_DENIED);
}
END_TEST

START_TEST(a_file_that_may_not_be_read_is_named)
{
	char path[PATH_MAX + 32];

	write_file(".aws/credentials",
		   "[default]\naws_access_key_id=AK\naws_secret_access_key=s\n");
	(void)snprintf(path, sizeof(path), "%s/.aws/credentials", dir.folder);
	ck_assert_int_eq(chmod(path, 0), 0);
	if (access(path, R_OK) == 0)
		return; /* root may read everything */
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), path));
}
END_TEST

START_TEST(keys_that_others_could_read_or_change_are_refused)
{
	static const struct {
		const char *name;
		mode_t mode;
		bool fine;
	} cases[] = { { ".aws/credentials", 0600, true },  { ".aws/credentials", 0640, true },
		      { ".aws/credentials", 0400, true },  { ".aws/credentials", 0644, false },
		      { ".aws/credentials", 0604, false }, { ".aws/credentials", 0620, false },
		      { ".aws/config", 0644, false },	   { ".aws/config", 0600, true } };
	char path[PATH_MAX + 32], words[64];

	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		write_file(".aws/credentials", "");
		write_file(cases[n].name, "[default]\naws_access_key_id=AK\n"
					  "aws_secret_access_key=topsecretvalue\n");
		(void)snprintf(path, sizeof(path), "%s/%s", dir.folder, cases[n].name);
		ck_assert_int_eq(chmod(path, cases[n].mode), 0);
		ck_assert_int_eq(load(NULL, &cred), cases[n].fine ? 0 : -L3_DENIED);
		if (cases[n].fine) {
			s3_cred_release(&cred);
			continue;
		}
		(void)snprintf(words, sizeof(words), "mode %04o): chmod 600 ",
			       (unsigned)cases[n].mode);
		ck_assert_ptr_nonnull(strstr(err_last_note(), words));
		ck_assert_ptr_nonnull(strstr(err_last_note(), path));
		ck_assert_ptr_null(strstr(err_last_note(), "topsecretvalue"));
	}
	/* Settings are no secrets. */
	write_file(".aws/config", "[default]\nregion = eu-west-9\n");
	(void)snprintf(path, sizeof(path), "%s/.aws/config", dir.folder);
	ck_assert_int_eq(chmod(path, 0644), 0);
	write_file(".aws/credentials",
		   "[default]\naws_access_key_id=AK\naws_secret_access_key=s\n");
	ck_assert_int_eq(load(NULL, &cred), 0);
}
END_TEST

START_TEST(keys_taken_from_the_environment_are_gone_from_it_and_still_known)
{
	char *seen;

	set("AWS_ACCESS_KEY_ID", "AKTAKEN");
	set("AWS_SECRET_ACCESS_KEY", "takensecret");
	set("AWS_SESSION_TOKEN", "takentoken");
	seen = getenv("AWS_SECRET_ACCESS_KEY");
	ck_assert_int_eq(store_take_keys(), 0);
	ck_assert_ptr_null(getenv("AWS_SECRET_ACCESS_KEY"));
	ck_assert_ptr_null(getenv("AWS_SESSION_TOKEN"));
	ck_assert_int_eq(seen[0], 0);
	ck_assert_int_eq(load(NULL, &cred), 0);
	ck_assert_str_eq(cred.access_key, "AKTAKEN");
	ck_assert_str_eq(cred.secret_key, "takensecret");
	ck_assert_str_eq(cred.session_token, "takentoken");
}
END_TEST

START_TEST(what_could_break_a_header_is_no_credential)
{
	set("AWS_ACCESS_KEY_ID", "AK\r\nx-evil: 1");
	set("AWS_SECRET_ACCESS_KEY", "topsecretvalue");
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
	ck_assert_ptr_null(strstr(err_last_note(), "topsecretvalue"));
	write_file(".aws/credentials", "[default]\naws_access_key_id=\naws_secret_access_key=\n");
	unsetenv("AWS_ACCESS_KEY_ID");
	ck_assert_int_eq(load(NULL, &cred), -L3_DENIED);
}
END_TEST

START_TEST(keys_are_compared_whole)
{
	struct s3_cred a = { .access_key = (char *)"a", .secret_key = (char *)"s" }, b = a;

	ck_assert(s3_cred_same(&a, &b));
	b.session_token = (char *)"t";
	ck_assert(!s3_cred_same(&a, &b));
	ck_assert(!s3_cred_same(&b, &a));
	b = a;
	b.secret_key = (char *)"S";
	ck_assert(!s3_cred_same(&a, &b));
}
END_TEST

/* ---- settings ---- */

START_TEST(settings_come_from_the_environment_or_the_profile)
{
	write_file(".aws/config", "[default]\nregion = eu-west-3\n"
				  "s3 =\n"
				  "  endpoint_url = https://nested.example\n"
				  "  region = nested\n"
				  "ca_bundle = /etc/ca.pem\n"
				  "[profile own]\nendpoint_url = https://s3.example:9000\n");
	ck_ok(s3_profile_load(NULL, &profile));
	ck_assert_str_eq(profile.region, "eu-west-3");
	ck_assert_ptr_null(profile.endpoint);
	ck_assert_str_eq(profile.ca_file, "/etc/ca.pem");
	s3_profile_release(&profile);
	ck_ok(s3_profile_load("own", &profile));
	ck_assert_str_eq(profile.endpoint, "https://s3.example:9000");
	ck_assert_ptr_null(profile.region);
	s3_profile_release(&profile);
	set("AWS_DEFAULT_REGION", "r2");
	set("AWS_REGION", "r1");
	set("AWS_ENDPOINT_URL", "http://e");
	ck_ok(s3_profile_load("own", &profile));
	ck_assert_str_eq(profile.region, "r1");
	ck_assert_str_eq(profile.endpoint, "http://e");
}
END_TEST

/* ---- where buckets are ---- */

struct where {
	const char *url, *endpoint, *region;
	bool path_style;
	const char *base, *path, *prefix;
	bool dualstack, fips;
};

static const struct where wheres[] = {
	{ "s3://bucket", NULL, NULL, false, "https://bucket.s3.us-east-1.amazonaws.com", "", "",
	  false, false },
	{ "s3://bucket/", NULL, "eu-west-1", false, "https://bucket.s3.eu-west-1.amazonaws.com", "",
	  "", false, false },
	{ "s3://bucket/a/b", NULL, "cn-north-1", false,
	  "https://bucket.s3.cn-north-1.amazonaws.com.cn", "", "a/b/", false, false },
	{ "s3://bucket/a/", NULL, NULL, true, "https://s3.us-east-1.amazonaws.com", "/bucket", "a/",
	  false, false },
	{ "s3://dotted.bucket", NULL, NULL, false, "https://s3.us-east-1.amazonaws.com",
	  "/dotted.bucket", "", false, false },
	{ "s3://Old_Bucket", NULL, NULL, false, "https://s3.us-east-1.amazonaws.com", "/Old_Bucket",
	  "", false, false },
	{ "s3://bucket", "http://127.0.0.1:9000", NULL, false, "http://127.0.0.1:9000", "/bucket",
	  "", false, false },
	{ "s3://bucket", "http://[::1]:9000/", NULL, false, "http://[::1]:9000", "/bucket", "",
	  false, false },
	{ "s3://bucket", "localhost:9000", NULL, false, "https://localhost:9000", "/bucket", "",
	  false, false },
	{ "s3://bucket", "https://minio.example", NULL, false, "https://minio.example", "/bucket",
	  "", false, false },
	{ "s3://minio", "https://minio.example", NULL, false, "https://minio.example", "/minio", "",
	  false, false },
	{ "s3://bucket", "https://oss-cn-beijing.aliyuncs.com", NULL, false,
	  "https://bucket.oss-cn-beijing.aliyuncs.com", "", "", false, false },
	{ "s3://bucket", "https://bucket.oss-cn-beijing.aliyuncs.com", NULL, false,
	  "https://bucket.oss-cn-beijing.aliyuncs.com", "", "", false, false },
	{ "s3://bucket", NULL, "eu-west-1", false,
	  "https://bucket.s3.dualstack.eu-west-1.amazonaws.com", "", "", true, false },
	{ "s3://bucket", NULL, "us-gov-west-1", false,
	  "https://bucket.s3-fips.us-gov-west-1.amazonaws.com", "", "", false, true },
	{ "s3://bucket", NULL, "us-east-2", true,
	  "https://s3-fips.dualstack.us-east-2.amazonaws.com", "/bucket", "", true, true },
	{ "s3://bucket/caf\xc3\xa9/a b", NULL, NULL, false,
	  "https://bucket.s3.us-east-1.amazonaws.com", "", "caf\xc3\xa9/a b/", false, false },
};

START_TEST(a_bucket_is_found_in_the_way_its_server_wants)
{
	const struct where *w = &wheres[_i];
	struct store_config config = { .endpoint = w->endpoint,
				       .region = w->region,
				       .path_style = w->path_style,
				       .dualstack = w->dualstack,
				       .fips = w->fips };
	struct s3_place p;

	ck_ok(s3_place_parse(w->url, &config, &profile, &p));
	ck_assert_str_eq(p.base, w->base);
	ck_assert_str_eq(p.path, w->path);
	ck_assert_str_eq(p.prefix, w->prefix);
	ck_assert_str_eq(strstr(p.base, "://") + 3, p.host);
	s3_place_release(&p);
}
END_TEST

START_TEST(the_region_is_in_the_name_of_a_server_that_is_known)
{
	static const struct {
		const char *endpoint, *region;
	} known[] = {
		{ "https://s3.eu-central-1.amazonaws.com", "eu-central-1" },
		{ "https://s3.dualstack.eu-west-3.amazonaws.com", "eu-west-3" },
		{ "https://s3-eu-west-1.amazonaws.com:443", "eu-west-1" },
		{ "https://bucket.s3.us-west-2.amazonaws.com", "us-west-2" },
		{ "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1" },
		{ "https://s3.amazonaws.com", "us-east-1" },
		{ "https://s3-accelerate.amazonaws.com", "us-east-1" },
		{ "https://abc123.r2.cloudflarestorage.com", "auto" },
		{ "https://storage.googleapis.com", "auto" },
		{ "https://s3.us-west-004.backblazeb2.com", "us-west-004" },
		{ "https://S3.EU-Central-1.WasabiSys.com", "eu-central-1" },
		{ "https://s3.wasabisys.com", "us-east-1" },
		{ "https://notwasabisys.com", "us-east-1" },
		{ "https://mystorage.googleapis.com.example", "us-east-1" },
		{ "http://s3.eu-central-1.example", "us-east-1" },
		{ "http://127.0.0.1:9000", "us-east-1" },
	};
	struct s3_place p;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct store_config config = { .endpoint = known[i].endpoint };

		ck_ok(s3_place_parse("s3://bucket", &config, &profile, &p));
		ck_assert_msg(strcmp(p.region, known[i].region) == 0, "%s: %s", known[i].endpoint,
			      p.region);
		s3_place_release(&p);
		config.region = "mine";
		ck_ok(s3_place_parse("s3://bucket", &config, &profile, &p));
		ck_assert_str_eq(p.region, "mine");
		s3_place_release(&p);
	}
}
END_TEST

START_TEST(a_server_is_known_by_its_name_or_by_what_it_calls_itself)
{
	ck_assert_str_eq(s3_known_host("s3.eu-central-1.wasabisys.com")->name, "Wasabi");
	ck_assert_str_eq(s3_known_host("storage.googleapis.com:443")->name, "Google Cloud Storage");
	ck_assert_ptr_null(s3_known_host("storage.googleapis.com.example"));
	ck_assert_ptr_null(s3_known_host(""));
	ck_assert_str_eq(s3_known_words("MinIO")->name, "MinIO");
	ck_assert_str_eq(s3_known_words("Ceph Object Gateway (reef)")->name, "Ceph RADOS Gateway");
	ck_assert_ptr_null(s3_known_words("nginx"));
	ck_assert_ptr_null(s3_known_words(""));
}
END_TEST

START_TEST(urls_endpoints_and_regions_that_cannot_be_used_are_refused_by_name)
{
	static const struct {
		const char *url, *endpoint, *region, *named;
	} bad[] = {
		{ "s3://", NULL, NULL, "s3://BUCKET/PREFIX" },
		{ "s3:///prefix", NULL, NULL, "s3://BUCKET/PREFIX" },
		{ "s3://b", NULL, NULL, "s3://b" },
		{ "s3://buck et", NULL, NULL, "letters" },
		{ "s3://buck%65t", NULL, NULL, "letters" },
		{ "s3://key:secret@bucket", NULL, NULL, "no keys in a URL" },
		{ "s3://host:9000/prefix", NULL, NULL, "endpoint=" },
		{ "s3://bucket/a?b=c", NULL, NULL, "after -o" },
		{ "s3://bucket/a#b", NULL, NULL, "after -o" },
		{ "s3://bucket/a//b", NULL, NULL, "component" },
		{ "s3://bucket//", NULL, NULL, "component" },
		{ "s3://bucket/../b", NULL, NULL, "component" },
		{ "s3://bucket/./b", NULL, NULL, "component" },
		{ "s3://bucket/a\nb", NULL, NULL, "control" },
		{ "s3://bucket", "ftp://host", NULL, "ftp://host" },
		{ "s3://bucket", "https://", NULL, "https://" },
		{ "s3://bucket", "https://host/path", NULL, "https://host/path" },
		{ "s3://bucket", "https://ho st", NULL, "ho st" },
		{ "s3://bucket", "", NULL, "endpoint" },
		{ "s3://bucket", "http://host:0", NULL, "port" },
		{ "s3://bucket", "http://host:65536", NULL, "port" },
		{ "s3://bucket", "http://host:", NULL, "port" },
		{ "s3://bucket", "http://host:http", NULL, "port" },
		{ "s3://bucket", "http://[::1]9", NULL, "port" },
		{ "s3://bucket", NULL, "eu west", "region=eu west" },
		{ "s3://bucket", NULL, "", "region" },
		{ "s3://bucket", NULL, "evil.example/", "region" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct store_config config = { .endpoint = bad[i].endpoint,
					       .region = bad[i].region };
		struct s3_place p;

		ck_assert_int_eq(s3_place_parse(bad[i].url, &config, &profile, &p), -L3_BAD_OPTION);
		ck_assert_msg(strstr(err_last_note(), bad[i].named) != NULL, "%s: %s", bad[i].url,
			      err_last_note());
	}
}
END_TEST

START_TEST(a_password_in_an_endpoint_is_refused_and_not_repeated)
{
	struct store_config config = { .endpoint = "https://me:hunter2@host" };
	struct s3_place p;

	ck_assert_int_eq(s3_place_parse("s3://bucket", &config, &profile, &p), -L3_BAD_OPTION);
	ck_assert_ptr_null(strstr(err_last_note(), "hunter2"));
}
END_TEST

START_TEST(opening_needs_credentials_but_no_server)
{
	struct store_config config = { .endpoint = "http://127.0.0.1:1" };
	struct store *s = NULL;

	ck_assert_int_eq(store_open("s3://bucket/x", &config, &s), -L3_DENIED);
	ck_assert_ptr_null(s);
	set("AWS_ACCESS_KEY_ID", "AK");
	set("AWS_SECRET_ACCESS_KEY", "s");
	ck_ok(store_open("s3://bucket/x", &config, &s));
	store_unref(s);
	ck_assert_int_eq(store_open("s3://b", &config, &s), -L3_BAD_OPTION);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: S3's credentials, settings and addresses");
	TCase *t = tcase_create("credentials");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_environment_is_enough);
	tcase_add_test(t, profiles_are_found_among_comments_blanks_and_windows_line_ends);
	tcase_add_test(
		t, a_profile_given_by_name_goes_before_the_environment_and_aws_profile_after_it);
	tcase_add_test(t, the_config_file_calls_its_sections_profiles);
	tcase_add_test(t, all_of_a_key_comes_from_one_file);
	tcase_add_test(t, other_files_can_be_named);
	tcase_add_test(t, without_credentials_the_note_names_what_was_looked_for);
	tcase_add_test(t, a_profile_that_is_nowhere_is_a_bad_option);
	tcase_add_test(t, a_file_that_may_not_be_read_is_named);
	tcase_add_test(t, keys_that_others_could_read_or_change_are_refused);
	tcase_add_test(t, keys_taken_from_the_environment_are_gone_from_it_and_still_known);
	tcase_add_test(t, what_could_break_a_header_is_no_credential);
	tcase_add_test(t, keys_are_compared_whole);
	tcase_add_test(t, settings_come_from_the_environment_or_the_profile);
	tcase_add_loop_test(t, a_bucket_is_found_in_the_way_its_server_wants, 0,
			    (int)ARRAY_LEN(wheres));
	tcase_add_test(t, the_region_is_in_the_name_of_a_server_that_is_known);
	tcase_add_test(t, a_server_is_known_by_its_name_or_by_what_it_calls_itself);
	tcase_add_test(t, urls_endpoints_and_regions_that_cannot_be_used_are_refused_by_name);
	tcase_add_test(t, a_password_in_an_endpoint_is_refused_and_not_repeated);
	tcase_add_test(t, opening_needs_credentials_but_no_server);
	suite_add_tcase(s, t);
	return run_suite(s);
}
