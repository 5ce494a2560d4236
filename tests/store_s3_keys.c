/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keys that others give out: programs, containers, EC2, STS, SSO, each played by a real server on
 * loopback or a real program. When they are replaced by newer ones: store_s3_renewal.c.
 */
#include "tests/store_s3_keys.h"

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

int main(void)
{
	Suite *s = suite_create("store: where S3's keys come from");
	TCase *t = tcase_create("providers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_providers(t);
	add_roles(t);
	suite_add_tcase(s, t);
	return run_suite(s);
}
