/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys that others give out: programs, containers, EC2, STS, SSO, each played by a real server on
 * loopback or a real program; and when the keys in use are replaced by newer ones.
 */
#include "store/s3_cred.h"
#include "tests/store_s3_server.h"

#include <sys/stat.h>
#include <time.h>

#define SECRET "topSecretValueOfThisTest"
#define TOKEN "sessionTokenOfThisTest"
#define START_S 1795248000 /* 2026-11-21T08:00:00Z */

static struct place here; /* its folder is HOME */
static struct server server;
static bool serving;
static struct s3_keyring *ring;
static struct s3_keys *keys;
static struct store *s3;

/* ---- time, owned by the test ---- */

static int64_t now_s;

static uint64_t mono_ns(struct clock *c)
{
	return (uint64_t)(__atomic_load_n(&now_s, __ATOMIC_RELAXED) - START_S + 1000) * 1000000000;
}

static int64_t real_ns(struct clock *c)
{
	return __atomic_load_n(&now_s, __ATOMIC_RELAXED) * 1000000000;
}

static struct clock our_clock = { .mono_ns = mono_ns, .real_ns = real_ns };

static void pass(int64_t seconds)
{
	__atomic_add_fetch(&now_s, seconds, __ATOMIC_RELAXED);
}

/* ---- setting up ---- */

extern char **environ;

static void setup(void)
{
	char aws[PATH_MAX];
	char *path = getenv("PATH"), *tmp = getenv("TMPDIR");

	path = strdup(path ? path : "/usr/bin:/bin");
	tmp = tmp ? strdup(tmp) : NULL;
	ck_assert_int_eq(clearenv(), 0);
	ck_assert_int_eq(setenv("PATH", path, 1), 0);
	if (tmp)
		ck_assert_int_eq(setenv("TMPDIR", tmp, 1), 0);
	free(path);
	free(tmp);
	here = (struct place){ .url = "" };
	make_folder(&here);
	ck_assert_int_eq(setenv("HOME", here.folder, 1), 0);
	ck_assert_int_eq(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
	/* Not for what is on this host: it must be passed by. */
	ck_assert_int_eq(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	(void)snprintf(aws, sizeof(aws), "%s/.aws", here.folder);
	ck_assert_int_eq(mkdir(aws, 0700), 0);
	now_s = START_S;
}

static void teardown(void)
{
	s3_keys_put(keys);
	keys = NULL;
	s3_keyring_free(ring);
	ring = NULL;
	store_unref(s3);
	s3 = NULL;
	if (serving)
		server_stop(&server);
	serving = false;
	remove_folder(&here);
}

static void set(const char *name, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void set(const char *name, const char *fmt, ...)
{
	char value[PATH_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static void write_file(const char *name, const char *text)
{
	char path[PATH_MAX + 64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", here.folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void read_file(const char *name, struct buf *text)
{
	char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", here.folder, name);
	ck_ok(file_read_all(path, MIB, text));
}

static void start_server(const struct reply *replies, size_t count)
{
	server_start(&server, replies, count);
	serving = true;
}

#define SERVE(...)                                                                                 \
	static const struct reply replies[] = { __VA_ARGS__ };                                     \
	start_server(replies, ARRAY_LEN(replies))

static int make_ring(const struct store_config *config)
{
	struct s3_place place = { .bucket = (char *)"bucket", .region = (char *)"eu-west-1" };

	return s3_keyring_new(config ? config : &(struct store_config){ 0 }, &place, &our_clock,
			      &ring);
}

static void ck_present(const char *access_key)
{
	s3_keys_put(keys);
	keys = s3_keyring_get(ring);
	ck_assert_str_eq(keys->cred.access_key, access_key);
}

static void ck_ring(const char *access_key, const char *token)
{
	ck_ok(make_ring(NULL));
	ck_present(access_key);
	ck_assert_str_eq(keys->cred.secret_key, SECRET);
	ck_assert_pstr_eq(keys->cred.session_token, token);
}

static void ck_refused(int err, const char *words)
{
	ck_assert_int_eq(make_ring(NULL), err);
	ck_assert_ptr_null(ring);
	ck_assert_msg(strstr(err_last_note(), words) != NULL, "%s: %s", words, err_last_note());
	ck_assert_ptr_null(strstr(err_last_note(), SECRET));
	ck_assert_ptr_null(strstr(err_last_note(), TOKEN));
}

static void ck_sent(size_t i, const char *words)
{
	ck_assert_msg(strcasestr(server_request(&server, i), words) != NULL, "%s: %s", words,
		      server_request(&server, i));
}

static void ck_not_sent(size_t i, const char *words)
{
	ck_assert_ptr_null(strcasestr(server_request(&server, i), words));
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: @\r\n\r\n"
#define REFUSED "HTTP/1.1 403 Forbidden\r\nContent-Length: @\r\n\r\n"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: @\r\n\r\n"
/* What ECS, EKS and EC2 answer. */
#define HOST_JSON(id, expires)                                                                     \
	OK_HEAD "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" SECRET   \
		"\",\"Token\":\"" TOKEN "\",\"Expiration\":\"" expires "\"}"
#define IN_AN_HOUR "2026-11-21T09:00:00Z"

/* ---- the chain ---- */

START_TEST(who_has_none_is_told_everybody_who_was_asked_and_why_he_had_none)
{
	static const char *const words[] = {
		"environment: AWS_ACCESS_KEY_ID is not set",
		"web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set",
		"profile: [default] with aws_access_key_id",
		"container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor",
		"EC2: AWS_EC2_METADATA_DISABLED is true",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		ck_refused(-L3_DENIED, words[i]);
}
END_TEST

START_TEST(a_profile_given_by_name_is_the_only_one_asked)
{
	struct store_config config = { .profile = "work" };

	set("AWS_ACCESS_KEY_ID", "AKENV");
	set("AWS_SECRET_ACCESS_KEY", "x");
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/");
	write_file(".aws/config", "[profile work]\nregion = eu-west-1\n");
	ck_assert_int_eq(make_ring(&config), -L3_DENIED);
	ck_assert_ptr_null(strstr(err_last_note(), "environment"));
	ck_assert_ptr_null(strstr(err_last_note(), "container"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "[work]"));
}
END_TEST

/* ---- passwd_file ---- */

START_TEST(a_file_of_ones_own_has_keys_for_each_bucket_and_for_all_others)
{
	char path[PATH_MAX + 16];
	struct store_config config = { .passwd_file = path };

	set("AWS_ACCESS_KEY_ID", "AKENV");
	set("AWS_SECRET_ACCESS_KEY", "x");
	(void)snprintf(path, sizeof(path), "%s/keys", here.folder);
	write_file("keys",
		   "# ours\n\nAKALL:" SECRET "\r\nother:AKOTHER:o\nbucket:AKBUCKET:" SECRET "\n");
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_ok(make_ring(&config));
	ck_present("AKBUCKET");
	ck_assert_str_eq(keys->cred.secret_key, SECRET);
	write_file("keys", "AKALL:" SECRET "\nother:AKOTHER:o");
	ck_assert_int_eq(chmod(path, 0640), 0);
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AKALL");
	ck_assert(!s3_keyring_renew(ring, keys));
}
END_TEST

START_TEST(a_file_of_ones_own_that_cannot_be_used_is_an_error_that_says_why)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *words;
	} cases[] = {
		{ "AK:" SECRET "\n", 0644, "chmod 600" },
		{ "AK " SECRET "\n", 0600, "line 1 is no [BUCKET:]ACCESS_KEY:SECRET_KEY" },
		{ "\na:b:c:" SECRET "\n", 0600, "line 2 is no" },
		{ "other:AK:" SECRET "\n", 0600, "no keys for bucket bucket" },
		{ "", 0600, "no keys for bucket bucket" },
		{ "AK:\n", 0600, "empty" },
	};
	char path[PATH_MAX + 16];
	struct store_config config = { .passwd_file = path };

	(void)snprintf(path, sizeof(path), "%s/keys", here.folder);
	ck_assert_int_eq(make_ring(&config), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "there is no such file"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_file("keys", cases[i].text);
		ck_assert_int_eq(chmod(path, cases[i].mode), 0);
		ck_assert_int_eq(make_ring(&config), -L3_DENIED);
		ck_assert_msg(strstr(err_last_note(), cases[i].words) != NULL, "%s: %s",
			      cases[i].words, err_last_note());
		ck_assert_ptr_null(strstr(err_last_note(), SECRET));
	}
}
END_TEST

/* ---- credential_process ---- */

#define PROCESS_JSON(id)                                                                           \
	"{\"Version\":1,\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" SECRET "\"}"

static void write_process(const char *script, const char *arguments)
{
	char text[PATH_MAX + 256];

	write_file("give keys", script);
	(void)snprintf(text, sizeof(text), "[default]\ncredential_process = \"%s/give keys\" %s\n",
		       here.folder, arguments);
	write_file(".aws/config", text);
}

START_TEST(a_program_gives_keys_and_gets_its_words_as_they_were_quoted)
{
	struct buf seen CLEANUP(buf_release) = BUF_INIT;

	write_process("#!/bin/sh\nprintf '<%s>' \"$@\" >\"$HOME/seen\"\necho oops >&2\n"
		      "echo '" PROCESS_JSON("AKPROC") "'\n",
		      "one 'two  words' \"it's\" a\\ b $HOME '' \"q\\\"q\" `id`");
	ck_ring("AKPROC", NULL);
	ck_assert_int_eq(keys->cred.expires_s, 0);
	read_file("seen", &seen);
	ck_assert_str_eq(buf_cstr(&seen), "<one><two  words><it's><a b><$HOME><><q\"q><`id`>");
}
END_TEST

START_TEST(a_program_inherits_no_descriptor_of_ours)
{
	struct buf seen CLEANUP(buf_release) = BUF_INIT;
	int fd = dup2(1, 99); /* not close-on-exec */

	ck_assert_int_eq(fd, 99);
	write_process("#!/bin/sh\nfor f in 3 4 5 6 7 8 9 99; do\n[ -e /proc/$$/fd/$f ] && "
		      "readlink /proc/$$/fd/$f >>\"$HOME/seen\"\ndone\n"
		      "echo '" PROCESS_JSON("AKPROC") "'\n",
		      "");
	/* The shell itself opens the script. */
	ck_ring("AKPROC", NULL);
	(void)close(fd);
	(void)snprintf(here.url, sizeof(here.url), "%s/seen", here.folder);
	if (access(here.url, F_OK) == 0)
		read_file("seen", &seen);
	ck_assert_ptr_null(strstr(buf_cstr(&seen), "socket:"));
	ck_assert_ptr_null(strstr(buf_cstr(&seen), "pipe:"));
	ck_assert_uint_le(strlen(buf_cstr(&seen)), strlen(here.folder) + 16);
}
END_TEST

START_TEST(a_program_that_fails_or_says_nonsense_is_an_error_that_says_so)
{
	static const struct {
		const char *script, *words;
	} cases[] = {
		{ "#!/bin/sh\necho " SECRET " >&2\nexit 3\n", "exit status 3" },
		{ "#!/bin/sh\nkill -9 $$\n", "signal 9" },
		{ "#!/bin/sh\necho " SECRET "\n", "no JSON object with \"Version\": 1" },
		{ "#!/bin/sh\necho '{\"Version\":2}'\n", "no JSON object with \"Version\": 1" },
		{ "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"a\"}'\n",
		  "has no SecretAccessKey" },
		{ "#!/bin/sh\necho "
		  "'{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"" SECRET
		  "\",\"Expiration\":\"soon\"}'\n",
		  "Expiration is no time" },
		{ "#!/bin/sh\nwhile :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n",
		  "prints too much" },
		{ "not a program\n", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_process(cases[i].script, "");
		ck_refused(-L3_DENIED - (i == 4 || i == 5 ? L3_SERVER - L3_DENIED : 0),
			   cases[i].words);
	}
	write_file(".aws/config", "[default]\ncredential_process = /nonexistent/program\n");
	ck_refused(-L3_DENIED, "cannot start /nonexistent/program");
	write_file(".aws/config", "[default]\ncredential_process = /bin/echo 'x\n");
	ck_refused(-L3_BAD_OPTION, "quote is not closed");
}
END_TEST

START_TEST(keys_of_a_program_that_have_expired_already_are_none)
{
	write_process("#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":"
		      "\"b\",\"Expiration\":\"2026-11-21T08:59:00+01:00\"}'\n",
		      "");
	ck_refused(-L3_DENIED, "expired already");
}
END_TEST

/* ---- containers ---- */

START_TEST(a_container_gets_keys_with_the_token_of_the_moment)
{
	SERVE({ .text = HOST_JSON("AKPOD", IN_AN_HOUR) },
	      { .text = HOST_JSON("AKPOD2", IN_AN_HOUR) });

	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/v1/credentials?a=b",
	    server.port);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "%s/token", here.folder);
	write_file("token", "first.token\n");
	ck_ring("AKPOD", TOKEN);
	ck_assert_int_eq(keys->cred.expires_s, START_S + 3600);
	ck_sent(0, "GET /v1/credentials?a=b HTTP/1.1\r\n");
	ck_sent(0, "\r\nauthorization: first.token\r\n");
	write_file("token", "second token");
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AKPOD2");
	ck_sent(1, "\r\nauthorization: second token\r\n");
}
END_TEST

START_TEST(a_container_s_token_may_be_in_the_environment_and_is_taken_from_there)
{
	SERVE({ .text = HOST_JSON("AKPOD", IN_AN_HOUR) });

	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:%d/creds", server.port);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer abc");
	ck_ok(store_take_keys());
	ck_assert_ptr_null(getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
	ck_ring("AKPOD", TOKEN);
	ck_sent(0, "\r\nauthorization: Bearer abc\r\n");
}
END_TEST

START_TEST(a_container_s_token_is_not_sent_over_the_network_in_the_clear)
{
	static const char *const uris[] = {
		"http://example.com/",	      "http://127.0.0.1.example.com/",
		"http://10.0.0.1/",	      "http://169.254.170.3/",
		"http://localhost@10.0.0.1/", "http://[::2]/",
		"http://2130706433/",	      "ftp://127.0.0.1/",
		"http://127.0.0.1\r\nx: y/",
	};

	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s", uris[i]);
		ck_refused(-L3_BAD_OPTION, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	}
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/");
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nx-evil: 1");
	ck_refused(-L3_DENIED, "control characters");
}
END_TEST

START_TEST(a_container_that_is_refused_asks_nobody_else)
{
	SERVE({ .text = REFUSED "{\"message\":\"no association\"}" });

	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
	ck_refused(-L3_DENIED, "HTTP 403: {\"message\":\"no association\"}");
}
END_TEST

/* ---- EC2 ---- */

static void be_an_instance(void)
{
	unsetenv("AWS_EC2_METADATA_DISABLED");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:%d/", server.port);
}

START_TEST(an_instance_asks_for_a_session_then_its_role_then_the_keys)
{
	SERVE({ .text = OK_HEAD "AQAsession==" }, { .text = OK_HEAD "my role\nother" },
	      { .text = HOST_JSON("AKEC2", IN_AN_HOUR) });

	be_an_instance();
	ck_ring("AKEC2", TOKEN);
	ck_assert_int_eq(keys->cred.expires_s, START_S + 3600);
	ck_sent(0, "PUT /latest/api/token HTTP/1.1\r\n");
	ck_sent(0, "\r\nx-aws-ec2-metadata-token-ttl-seconds: ");
	ck_sent(1, "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n");
	ck_sent(1, "\r\nx-aws-ec2-metadata-token: AQAsession==\r\n");
	ck_sent(2, "GET /latest/meta-data/iam/security-credentials/my%20role HTTP/1.1\r\n");
	ck_sent(2, "\r\nx-aws-ec2-metadata-token: AQAsession==\r\n");
}
END_TEST

START_TEST(an_instance_without_a_role_or_a_machine_that_is_none_has_no_keys)
{
	SERVE({ .text = OK_HEAD "AQAsession==" }, { .text = NOT_FOUND "<html/>" },
	      { .text = NOT_FOUND "what?" }, { .text = "", .then = HANG });

	be_an_instance();
	ck_refused(-L3_DENIED, "EC2: EC2 instance metadata: the instance has no role");
	ck_refused(-L3_DENIED, "EC2: EC2 instance metadata (");
	ck_refused(-L3_DENIED, "no byte, or hardly any, moved for 1.0 s");
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
	ck_refused(-L3_DENIED, "EC2: EC2 instance metadata (");
}
END_TEST

START_TEST(an_instance_s_keys_that_nobody_renewed_in_time_are_used_on)
{
	SERVE({ .text = OK_HEAD "AQAsession==" }, { .text = OK_HEAD "role" },
	      { .text = HOST_JSON("AKEC2", "2026-11-21T07:00:00Z") });

	be_an_instance();
	ck_ring("AKEC2", TOKEN);
	ck_assert_int_gt(keys->cred.expires_s, START_S);
}
END_TEST

START_TEST(an_instance_that_may_not_have_its_keys_says_so)
{
	SERVE({ .text = OK_HEAD "AQAsession==" }, { .text = OK_HEAD "role" },
	      { .text = OK_HEAD "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}" });

	be_an_instance();
	ck_refused(-L3_DENIED, "AssumeRoleUnauthorizedAccess");
}
END_TEST

/* ---- roles ---- */

#define ROLE_ARN "arn:aws:iam::123456789012:role/mounts"
#define STS_XML(action, id)                                                                        \
	OK_HEAD "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action \
		"Result><AssumedRoleUser><Arn>x</Arn></"                                           \
		"AssumedRoleUser><Credentials><AccessKeyId>" id                                    \
		"</AccessKeyId><SecretAccessKey>" SECRET "</SecretAccessKey><SessionToken>" TOKEN  \
		"</SessionToken><Expiration>" IN_AN_HOUR "</Expiration></Credentials></" action    \
		"Result></" action "Response>"

static void use_sts(void)
{
	unsetenv("http_proxy");
	set("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:%d", server.port);
}

START_TEST(a_profile_s_role_is_assumed_with_the_keys_of_its_source)
{
	SERVE({ .text = STS_XML("AssumeRole", "AKROLE") });

	use_sts();
	write_file(".aws/credentials", "[base]\naws_access_key_id=AKBASE\naws_secret_access_key="
				       "baseSecret\naws_session_token=baseToken\n");
	ck_assert_int_eq(system("chmod 600 \"$HOME/.aws/credentials\""), 0);
	write_file(".aws/config", "[default]\nrole_arn = " ROLE_ARN "\nsource_profile = base\n"
				  "external_id = 12 3/4\nrole_session_name = me@here\n"
				  "duration_seconds = 3600\n");
	ck_ring("AKROLE", TOKEN);
	ck_assert_int_eq(keys->cred.expires_s, START_S + 3600);
	ck_sent(0, "POST / HTTP/1.1\r\n");
	ck_sent(0, "\r\ncontent-type: application/x-www-form-urlencoded\r\n");
	ck_sent(0, "Credential=AKBASE/");
	ck_sent(0, "/eu-west-1/sts/aws4_request");
	ck_sent(0, "\r\nx-amz-security-token: baseToken\r\n");
	ck_sent(0, "\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
		   "123456789012%3Arole%2Fmounts&RoleSessionName=me%40here&ExternalId=12%203%2F4&"
		   "DurationSeconds=3600");
	ck_not_sent(0, "baseSecret");
}
END_TEST

START_TEST(roles_lead_to_roles_and_a_role_s_source_may_be_the_host)
{
	SERVE({ .text = HOST_JSON("AKPOD", IN_AN_HOUR) },
	      { .text = STS_XML("AssumeRole", "AKFIRST") },
	      { .text = STS_XML("AssumeRole", "AKSECOND") });

	use_sts();
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
	write_file(".aws/config", "[default]\nrole_arn = arn:2\nsource_profile = first\n"
				  "[profile first]\nrole_arn = arn:1\n"
				  "credential_source = EcsContainer\n");
	ck_ring("AKSECOND", TOKEN);
	ck_sent(1, "Credential=AKPOD/");
	ck_sent(1, "RoleArn=arn%3A1&RoleSessionName=levels3fs-1795248000-");
	ck_sent(2, "Credential=AKFIRST/");
	ck_sent(2, "RoleArn=arn%3A2&");
}
END_TEST

START_TEST(a_role_that_cannot_be_assumed_says_why)
{
	static const struct {
		const char *config;
		int err;
		const char *words;
	} cases[] = {
		{ "[default]\nrole_arn=a\n", L3_BAD_OPTION, "source_profile or credential_source" },
		{ "[default]\nrole_arn=a\nsource_profile=b\ncredential_source=Environment\n",
		  L3_BAD_OPTION, "one of them" },
		{ "[default]\nrole_arn=a\nsource_profile=nobody\n", L3_BAD_OPTION,
		  "profile nobody: in neither" },
		{ "[default]\nrole_arn=a\nsource_profile=b\n[profile b]\nrole_arn=c\n"
		  "source_profile=default\n",
		  L3_BAD_OPTION, "in a circle" },
		{ "[default]\nrole_arn=a\ncredential_source=Ecs\n", L3_BAD_OPTION,
		  "must be Environment, EcsContainer or Ec2InstanceMetadata" },
		{ "[default]\nrole_arn=a\ncredential_source=Environment\n", L3_DENIED,
		  "profile default: AWS_ACCESS_KEY_ID is not set" },
		{ "[default]\nrole_arn=a\nsource_profile=b\nmfa_serial=m\n", L3_DENIED,
		  "mfa_serial" },
		{ "[default]\nrole_arn=a\nsource_profile=b\nduration_seconds=60\n[profile b]\n"
		  "credential_process=echo '" PROCESS_JSON("AKP") "'\n",
		  L3_BAD_OPTION, "duration_seconds = 60: must be a number from 900 to 43200" },
		{ "[default]\nrole_arn=a\nsource_profile=b\n[profile b]\n"
		  "credential_process=echo '" PROCESS_JSON("AKP") "'\n",
		  L3_DENIED, "<Code>AccessDenied</Code>" },
	};

	SERVE({ .text = REFUSED "<ErrorResponse><Error><Code>AccessDenied</Code></Error>"
				"</ErrorResponse>" });
	use_sts();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_file(".aws/config", cases[i].config);
		ck_refused(-cases[i].err, cases[i].words);
	}
}
END_TEST

START_TEST(an_answer_of_sts_without_keys_is_refused)
{
	SERVE({ .text = OK_HEAD "<AssumeRoleResponse/>" }, { .text = OK_HEAD "<html/>" },
	      { .text = OK_HEAD "{}" });

	use_sts();
	write_file(".aws/config", "[default]\nrole_arn=a\nsource_profile=default\n"
				  "credential_process=echo '" PROCESS_JSON("AKP") "'\n");
	ck_refused(-L3_SERVER, "AssumeRole: the answer has no keys");
	ck_refused(-L3_SERVER, "AssumeRole: the server's answer is no AssumeRoleResponse");
	ck_refused(-L3_SERVER, "AssumeRole: the server's XML is not well-formed");
}
END_TEST

START_TEST(a_web_identity_s_token_is_shown_unsigned_and_read_anew_each_time)
{
	SERVE({ .text = STS_XML("AssumeRoleWithWebIdentity", "AKWEB") },
	      { .text = STS_XML("AssumeRoleWithWebIdentity", "AKWEB2") });

	use_sts();
	set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/token", here.folder);
	ck_refused(-L3_DENIED, "AWS_ROLE_ARN is not");
	set("AWS_ROLE_ARN", "%s", ROLE_ARN);
	ck_refused(-L3_DENIED, "web identity token: cannot read");
	set("AWS_ROLE_SESSION_NAME", "pod");
	write_file("token", "eyJ.first+/=\n");
	ck_ring("AKWEB", TOKEN);
	ck_sent(0, "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws"
		   "%3Aiam%3A%3A123456789012%3Arole%2Fmounts&RoleSessionName=pod&"
		   "WebIdentityToken=eyJ.first%2B%2F%3D");
	ck_not_sent(0, "\r\nauthorization:");
	write_file("token", "eyJ.second");
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AKWEB2");
	ck_sent(1, "&WebIdentityToken=eyJ.second");
}
END_TEST

START_TEST(a_profile_may_have_a_web_identity)
{
	char config[PATH_MAX + 256];

	SERVE({ .text = STS_XML("AssumeRoleWithWebIdentity", "AKWEB") });
	use_sts();
	write_file("token", "tok");
	(void)snprintf(config, sizeof(config),
		       "[default]\nrole_arn=arn:x\nweb_identity_token_file=%s/token\n",
		       here.folder);
	write_file(".aws/config", config);
	ck_ring("AKWEB", TOKEN);
	ck_sent(0, "&WebIdentityToken=tok");
}
END_TEST

/* ---- SSO ---- */

#define SSO_CONFIG                                                                                 \
	"[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = My Role\n"  \
	"[sso-session corp]\nsso_region = eu-central-1\n"                                          \
	"sso_start_url = https://corp.example/start\n"

static void write_login(const char *name, const char *expires)
{
	char text[256], file[PATH_MAX], command[256];

	/* Named as the AWS tools name it, by a tool that is not ours. */
	(void)snprintf(
		command, sizeof(command),
		"mkdir -p \"$HOME/.aws/sso/cache\" && printf %%s '%s' | sha1sum | cut -c1-40 "
		">\"$HOME/sum\"",
		name);
	ck_assert_int_eq(system(command), 0);
	{
		struct buf sum CLEANUP(buf_release) = BUF_INIT;

		read_file("sum", &sum);
		ck_assert_uint_eq(sum.len, 41);
		sum.len--;
		(void)snprintf(file, sizeof(file), ".aws/sso/cache/%s.json", buf_cstr(&sum));
	}
	(void)snprintf(text, sizeof(text),
		       "{\"startUrl\":\"u\",\"accessToken\":\"loginToken\",\"expiresAt\":\"%s\"}",
		       expires);
	write_file(file, text);
}

#define SSO_JSON                                                                                   \
	OK_HEAD "{\"roleCredentials\":{\"accessKeyId\":\"AKSSO\",\"secretAccessKey\":\"" SECRET    \
		"\",\"sessionToken\":\"" TOKEN "\",\"expiration\":1795251600000}}"

static void use_sso(void)
{
	unsetenv("http_proxy");
	set("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:%d", server.port);
}

START_TEST(a_login_gives_the_keys_of_a_role)
{
	SERVE({ .text = SSO_JSON }, { .text = SSO_JSON });

	use_sso();
	write_file(".aws/config", SSO_CONFIG);
	write_login("corp", "2026-11-21T08:00:01UTC");
	ck_ring("AKSSO", TOKEN);
	ck_assert_int_eq(keys->cred.expires_s, START_S + 3600);
	ck_sent(0, "GET /federation/credentials?role_name=My%20Role&account_id=123456789012 HTTP");
	ck_sent(0, "\r\nx-amz-sso_bearer_token: loginToken\r\n");
	ck_not_sent(0, "\r\nauthorization:");
	s3_keyring_free(ring);
	ring = NULL;
	/* The older kind, without a session. */
	write_file(".aws/config",
		   "[default]\nsso_start_url = https://old.example/start\n"
		   "sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = r\n");
	write_login("https://old.example/start", "2026-11-21T09:00:01Z");
	ck_ring("AKSSO", TOKEN);
	ck_sent(1, "?role_name=r&account_id=1 ");
}
END_TEST

START_TEST(who_must_log_in_again_is_told_how)
{
	SERVE({ .text = "HTTP/1.1 401 Unauthorized\r\nContent-Length: @\r\n\r\n{}" });

	use_sso();
	write_file(".aws/config", SSO_CONFIG);
	ck_refused(-L3_DENIED, "there is no login: run \"aws sso login --profile default\"");
	write_login("corp", "2026-11-21T07:59:59Z");
	ck_refused(-L3_DENIED, "the login has expired: run \"aws sso login --profile default\"");
	write_login("corp", "never");
	ck_refused(-L3_DENIED, "run \"aws sso login");
	write_login("corp", "2026-11-21T09:00:00Z");
	ck_refused(-L3_DENIED, "not accepted any more: run \"aws sso login");
}
END_TEST

START_TEST(settings_that_a_login_lacks_are_named)
{
	write_file(".aws/config", "[default]\nsso_session = corp\n");
	ck_refused(-L3_DENIED, "[sso-session corp] with sso_region is not in");
	write_file(".aws/config",
		   "[default]\nsso_session = corp\n[sso-session corp]\nsso_region=x\n");
	ck_refused(-L3_DENIED, "SSO needs sso_account_id");
}
END_TEST

/* ---- renewing ---- */

static void be_a_container(void)
{
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
}

/* Until the renewal that goes on in the background has come to its end. */
static void await_keys(const char *access_key)
{
	struct timespec pause = { 0, 1000000 };

	for (;;) {
		s3_keys_put(keys);
		keys = s3_keyring_get(ring);
		if (strcmp(keys->cred.access_key, access_key) == 0)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

START_TEST(keys_are_renewed_in_the_background_before_they_expire)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T09:50:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(44 * 60);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 1);
	pass(2 * 60);
	ck_present("AK1"); /* goes on with the old ones */
	await_keys("AK2");
	ck_assert_uint_eq(server.request_count, 2);
	pass(30 * 60);
	ck_present("AK2");
	ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

START_TEST(keys_about_to_expire_are_waited_for)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK2");
}
END_TEST

static void *get_keys(void *arg)
{
	struct s3_keys *k = s3_keyring_get(ring);

	ck_assert_str_eq(k->cred.access_key, "AK2");
	s3_keys_put(k);
	return NULL;
}

START_TEST(many_who_need_newer_keys_at_once_make_one_request)
{
	pthread_t threads[16];

	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") },
	      { .text = HOST_JSON("AK3", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(60 * 60 + 1);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_keys, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(server.request_count, 2);
}
END_TEST

START_TEST(keys_that_could_not_be_renewed_are_used_on_and_asked_for_later_and_later)
{
	struct buf trouble CLEANUP(buf_release) = BUF_INIT;

	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = "HTTP/1.1 500 Oh\r\nContent-Length: @\r\n\r\nno luck" },
	      { .text = "HTTP/1.1 500 Oh\r\nContent-Length: @\r\n\r\nno luck" },
	      { .text = HOST_JSON("AK2", "2026-11-21T10:00:00Z") });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK1");
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 2);
	s3_keyring_trouble(ring, &trouble);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&trouble), "HTTP 500: no luck"));
	pass(1);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
	pass(1);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
	pass(1);
	ck_present("AK2");
	buf_reset(&trouble);
	s3_keyring_trouble(ring, &trouble);
	ck_assert_uint_eq(trouble.len, 0);
}
END_TEST

START_TEST(a_provider_that_has_no_newer_keys_yet_is_not_asked_by_every_request)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = HOST_JSON("AK1", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK1", IN_AN_HOUR) });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(59 * 60 + 30);
	ck_present("AK1");
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 2);
	pass(6);
	ck_present("AK1");
	ck_assert_uint_eq(server.request_count, 3);
}
END_TEST

START_TEST(keys_that_a_server_refuses_are_asked_for_anew_once_a_minute_at_most)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = HOST_JSON("AK2", IN_AN_HOUR) },
	      { .text = HOST_JSON("AK3", IN_AN_HOUR) });

	be_a_container();
	ck_ring("AK1", TOKEN);
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AK2");
	ck_assert(!s3_keyring_renew(ring, keys));
	ck_assert_uint_eq(server.request_count, 2);
	pass(61);
	ck_assert(s3_keyring_renew(ring, keys));
	ck_present("AK3");
}
END_TEST

START_TEST(a_request_refused_for_expired_keys_is_sent_again_with_newer_ones)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint };

	SERVE({ .text = HOST_JSON("AK1", "2099-11-21T09:00:00Z") },
	      { .text = "HTTP/1.1 400 Bad Request\r\nContent-Length: @\r\n\r\n<Error><Code>"
			"ExpiredToken</Code><Message>m</Message></Error>" },
	      { .text = HOST_JSON("AK2", "2099-11-21T09:00:00Z") },
	      { .text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello" });

	be_a_container();
	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_ok(store_get(s3, "k", 0, STORE_TO_END, &got, NULL));
	ck_assert_str_eq(buf_cstr(&got), "hello");
	ck_sent(1, "Credential=AK1/");
	ck_sent(3, "Credential=AK2/");
	ck_not_sent(3, SECRET);
	ck_sent(3, "\r\nx-amz-security-token: " TOKEN "\r\n");
}
END_TEST

START_TEST(a_request_refused_for_good_says_why_no_newer_keys_came)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint };

	SERVE({ .text = HOST_JSON("AK1", "2099-11-21T09:00:00Z") },
	      { .text = REFUSED "<Error><Code>InvalidAccessKeyId</Code></Error>" },
	      { .text = REFUSED "not any more" });

	be_a_container();
	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_assert_int_eq(store_get(s3, "k", 0, STORE_TO_END, &got, NULL), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "InvalidAccessKeyId"));
	ck_assert_ptr_nonnull(strstr(err_last_note(), "HTTP 403: not any more"));
}
END_TEST

START_TEST(an_anonymous_request_is_not_signed_and_needs_no_keys)
{
	struct buf got CLEANUP(buf_release) = BUF_INIT;
	char endpoint[64];
	struct store_config config = { .endpoint = endpoint, .anonymous = true };

	SERVE({ .text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello" },
	      { .text = REFUSED "<Error><Code>AccessDenied</Code></Error>" });

	unsetenv("http_proxy");
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", server.port);
	ck_ok(store_open("s3://bucket/pre", &config, &s3));
	ck_ok(store_get(s3, "k", 0, STORE_TO_END, &got, NULL));
	ck_sent(0, "GET /bucket/pre/k HTTP/1.1\r\n");
	ck_not_sent(0, "\r\nauthorization:");
	ck_not_sent(0, "\r\nx-amz-");
	ck_assert_int_eq(store_get(s3, "k", 0, STORE_TO_END, &got, NULL), -L3_DENIED);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "option anonymous"));
}
END_TEST

START_TEST(who_waits_for_keys_is_released_when_all_is_cancelled)
{
	SERVE({ .text = HOST_JSON("AK1", IN_AN_HOUR) }, { .text = "", .then = HANG });

	be_a_container();
	ck_ring("AK1", TOKEN);
	pass(50 * 60);
	ck_present("AK1");
	server_await(&server, 2);
	s3_keyring_stop(ring); /* teardown would hang otherwise */
}
END_TEST

static void add_providers(TCase *t)
{
	tcase_add_test(t, who_has_none_is_told_everybody_who_was_asked_and_why_he_had_none);
	tcase_add_test(t, a_profile_given_by_name_is_the_only_one_asked);
	tcase_add_test(t, a_file_of_ones_own_has_keys_for_each_bucket_and_for_all_others);
	tcase_add_test(t, a_file_of_ones_own_that_cannot_be_used_is_an_error_that_says_why);
	tcase_add_test(t, a_program_gives_keys_and_gets_its_words_as_they_were_quoted);
	tcase_add_test(t, a_program_inherits_no_descriptor_of_ours);
	tcase_add_test(t, a_program_that_fails_or_says_nonsense_is_an_error_that_says_so);
	tcase_add_test(t, keys_of_a_program_that_have_expired_already_are_none);
	tcase_add_test(t, a_container_gets_keys_with_the_token_of_the_moment);
	tcase_add_test(t, a_container_s_token_may_be_in_the_environment_and_is_taken_from_there);
	tcase_add_test(t, a_container_s_token_is_not_sent_over_the_network_in_the_clear);
	tcase_add_test(t, a_container_that_is_refused_asks_nobody_else);
	tcase_add_test(t, an_instance_asks_for_a_session_then_its_role_then_the_keys);
	tcase_add_test(t, an_instance_without_a_role_or_a_machine_that_is_none_has_no_keys);
	tcase_add_test(t, an_instance_s_keys_that_nobody_renewed_in_time_are_used_on);
	tcase_add_test(t, an_instance_that_may_not_have_its_keys_says_so);
}

static void add_roles(TCase *t)
{
	tcase_add_test(t, a_profile_s_role_is_assumed_with_the_keys_of_its_source);
	tcase_add_test(t, roles_lead_to_roles_and_a_role_s_source_may_be_the_host);
	tcase_add_test(t, a_role_that_cannot_be_assumed_says_why);
	tcase_add_test(t, an_answer_of_sts_without_keys_is_refused);
	tcase_add_test(t, a_web_identity_s_token_is_shown_unsigned_and_read_anew_each_time);
	tcase_add_test(t, a_profile_may_have_a_web_identity);
	tcase_add_test(t, a_login_gives_the_keys_of_a_role);
	tcase_add_test(t, who_must_log_in_again_is_told_how);
	tcase_add_test(t, settings_that_a_login_lacks_are_named);
}

static void add_renewals(TCase *t)
{
	tcase_add_test(t, keys_are_renewed_in_the_background_before_they_expire);
	tcase_add_test(t, keys_about_to_expire_are_waited_for);
	tcase_add_test(t, many_who_need_newer_keys_at_once_make_one_request);
	tcase_add_test(t, keys_that_could_not_be_renewed_are_used_on_and_asked_for_later_and_later);
	tcase_add_test(t, a_provider_that_has_no_newer_keys_yet_is_not_asked_by_every_request);
	tcase_add_test(t, keys_that_a_server_refuses_are_asked_for_anew_once_a_minute_at_most);
	tcase_add_test(t, a_request_refused_for_expired_keys_is_sent_again_with_newer_ones);
	tcase_add_test(t, a_request_refused_for_good_says_why_no_newer_keys_came);
	tcase_add_test(t, an_anonymous_request_is_not_signed_and_needs_no_keys);
	tcase_add_test(t, who_waits_for_keys_is_released_when_all_is_cancelled);
}

int main(void)
{
	Suite *s = suite_create("store: where S3's keys come from, and how they are renewed");
	TCase *providers = tcase_create("providers"), *renewals = tcase_create("renewals");

	tcase_add_checked_fixture(providers, setup, teardown);
	tcase_add_checked_fixture(renewals, setup, teardown);
	tcase_set_timeout(providers, 60);
	tcase_set_timeout(renewals, 60);
	add_providers(providers);
	add_roles(providers);
	add_renewals(renewals);
	suite_add_tcase(s, providers);
	suite_add_tcase(s, renewals);
	return run_suite(s);
}
