/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AWS tools' files: ~/.aws/credentials and ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE,
 * AWS_CONFIG_FILE), and what else is set in the environment. In the config file a profile other
 * than "default" is headed [profile NAME].
 *
 * Both files are read once for each look at them, so that what belongs together comes from one
 * reading: what rotates keys replaces them together.
 */
#include "store/s3_cred.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)
#define FILE_USUAL ((size_t)64 << 10)
#define PROFILE_MAX 200

const char *s3_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* ---- INI files ---- */

/* Blanks inside a name count as one. */
static bool is_section(const struct ini_line *line, const char *section)
{
	const char *name = line->name;
	size_t len = line->name_len;

	while (len > 0 && *section) {
		bool blank = isspace((unsigned char)*name);

		if (*section != (blank ? ' ' : *name))
			return false;
		do {
			name++;
			len--;
		} while (blank && len > 0 && isspace((unsigned char)*name));
		section++;
	}
	return len == 0 && !*section;
}

static bool is_setting(const struct ini_line *line, const char *key)
{
	return line->kind == INI_SETTING && line->value && line->name_len == strlen(key) &&
	       strncasecmp(line->name, key, line->name_len) == 0;
}

int s3_ini_get(const char *text, const char *section, const char *key, char **ret)
{
	struct ini ini = { text, 0 };
	struct ini_line line;
	bool inside = false;
	/* Of the section's settings: what is deeper belongs to the one above. */
	size_t indent = SIZE_MAX;

	while (ini_next(&ini, &line)) {
		if (line.kind == INI_SECTION || line.kind == INI_UNCLOSED) {
			inside = line.kind == INI_SECTION && is_section(&line, section);
			indent = SIZE_MAX;
			if (inside && !key)
				return 0;
		} else if (inside && line.indent <= indent) {
			indent = line.indent;
			if (is_setting(&line, key)) {
				*ret = strndup(line.value, line.value_len);
				return *ret ? 0 : -ENOMEM;
			}
		}
	}
	return -ENOENT;
}

/* ---- the shared files ---- */

static const char *const variables[] = {
	[S3_FILE_CREDENTIALS] = "AWS_SHARED_CREDENTIALS_FILE", [S3_FILE_CONFIG] = "AWS_CONFIG_FILE"
};
static const char *const names[] = {
	[S3_FILE_CREDENTIALS] = "credentials", [S3_FILE_CONFIG] = "config"
};

int s3_home_path(const char *name, char **ret)
{
	const char *dir = s3_env("HOME");
	struct passwd *pw = dir ? NULL : getpwuid(geteuid()); /* daemons at boot have no HOME */

	if (!dir)
		dir = pw ? pw->pw_dir : "/";
	if (asprintf(ret, "%s/.aws/%s", dir, name) < 0)
		*ret = NULL;
	return *ret ? 0 : -ENOMEM;
}

int s3_read_secret(const char *path, struct buf *text)
{
	int err = buf_reserve(text, FILE_USUAL); /* at once: growing would leave copies behind */

	if (err >= 0)
		err = file_read_all(path, FILE_MAX, text);
	if (err == -EACCES || err == -EPERM)
		return err_note(-L3_DENIED, "cannot read %s as user %d: %s", path, (int)geteuid(),
				err_text(err));
	if (err < 0 && err != -ENOMEM)
		return err_note(err, "cannot read %s: %s", path, err_text(err));
	return err;
}

/* The file's text, "" if there is none. */
static int read_shared(struct s3_files *f, enum s3_file which)
{
	const char *named = s3_env(variables[which]);
	int err;

	if (named)
		f->path[which] = strdup(named);
	else
		(void)s3_home_path(names[which], &f->path[which]);
	if (!f->path[which])
		return -ENOMEM;
	if (access(f->path[which], F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		err = 0;
	else
		err = s3_read_secret(f->path[which], &f->text[which]);
	if (err == -ENOENT)
		err = 0;
	(void)buf_cstr(&f->text[which]);
	return err < 0 ? err : buf_error(&f->text[which]);
}

int s3_files_read(struct s3_files *f)
{
	int err = 0;

	*f = (struct s3_files){ 0 };
	for (int i = 0; i < S3_FILE_COUNT; i++) {
		int one = read_shared(f, (enum s3_file)i);

		err = one < 0 ? one : err;
	}
	return err;
}

void s3_files_release(struct s3_files *f)
{
	for (int i = 0; i < S3_FILE_COUNT; i++) {
		s3_wipe_buf(&f->text[i]);
		free(f->path[i]);
		f->path[i] = NULL;
	}
}

int s3_files_get_from(struct s3_files *f, enum s3_file which, const char *profile, const char *key,
		      char **ret)
{
	char section[PROFILE_MAX + 16];
	const char *text = buf_cstr(&f->text[which]);
	int err;

	if (which != S3_FILE_CONFIG)
		return s3_ini_get(text, profile, key, ret);
	(void)snprintf(section, sizeof(section), "profile %s", profile);
	err = s3_ini_get(text, section, key, ret);
	if (err == -ENOENT && strcmp(profile, "default") == 0)
		err = s3_ini_get(text, profile, key, ret);
	return err;
}

int s3_files_get(struct s3_files *f, const char *profile, const char *key, char **ret)
{
	int err = -ENOENT;

	for (int i = 0; err == -ENOENT && i < S3_FILE_COUNT; i++)
		err = s3_files_get_from(f, (enum s3_file)i, profile, key, ret);
	return err;
}

bool s3_files_have(struct s3_files *f, const char *profile)
{
	return s3_files_get(f, profile, NULL, NULL) >= 0;
}

/* What holds keys is for its owner, and a group at most. */
int s3_check_private(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0; /* replaced in this moment: what was read was read */
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_note(-L3_DENIED, "%s holds keys, but belongs to user %u", path,
				(unsigned)st.st_uid);
	if (st.st_mode & 027)
		return err_note(
			-L3_DENIED,
			"%s holds keys, but others have access to it (mode %04o): chmod 600 %s",
			path, (unsigned)st.st_mode & 07777, path);
	return 0;
}

/* ---- settings that are no keys ---- */

int s3_profile_name(const char *profile, const char **ret)
{
	const char *name = profile ? profile : s3_env("AWS_PROFILE");

	*ret = name ? name : "default";
	if (strlen(*ret) > PROFILE_MAX)
		return err_note(-L3_BAD_OPTION, "the profile's name is too long");
	return 0;
}

void s3_profile_release(struct s3_profile *p)
{
	free(p->region);
	free(p->endpoint);
	free(p->ca_file);
	*p = (struct s3_profile){ 0 };
}

/* The first variable that is set, else the profile's setting, else NULL. */
static int setting(struct s3_files *f, const char *profile, const char *variable,
		   const char *variable2, const char *key, char **ret)
{
	const char *value = s3_env(variable) ? s3_env(variable)
			    : variable2	     ? s3_env(variable2)
					     : NULL;
	int err;

	if (value) {
		*ret = strdup(value);
		return *ret ? 0 : -ENOMEM;
	}
	err = s3_files_get(f, profile, key, ret);
	return err == -ENOENT ? 0 : err;
}

int s3_profile_load(const char *profile, struct s3_profile *ret)
{
	struct s3_files f CLEANUP(s3_files_release);
	struct s3_profile p = { 0 };
	const char *name = NULL;
	int err = s3_files_read(&f);

	if (err == -L3_DENIED) /* keys are missed elsewhere */
		err = 0;
	if (err >= 0)
		err = s3_profile_name(profile, &name);
	if (err >= 0)
		err = setting(&f, name, "AWS_REGION", "AWS_DEFAULT_REGION", "region", &p.region);
	if (err >= 0)
		err = setting(&f, name, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "endpoint_url",
			      &p.endpoint);
	if (err >= 0)
		err = setting(&f, name, "AWS_CA_BUNDLE", NULL, "ca_bundle", &p.ca_file);
	if (err < 0)
		s3_profile_release(&p);
	else
		*ret = p;
	return err;
}
