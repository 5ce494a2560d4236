/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * env_shim: the seam between LevelDB's C++ Env and our C. The shim (env_shim.cc) translates types
 * and decides nothing; everything declared here but env_shim_* is implemented in C (env.c,
 * table.c).
 *
 * Paths come as LevelDB makes them ("DIR/000005.log"); only the last component counts. Functions
 * return 0 or a negative code and leave a note (util/util.h).
 */
#ifndef LEVELS3_DB_ENV_SHIM_H
#define LEVELS3_DB_ENV_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <leveldb/c.h>

#ifdef __cplusplus
extern "C" {
#endif

struct env;
struct env_seq;
struct env_rand;
struct env_write;

/* For leveldb_options_set_env. NULL when out of memory. Freed after leveldb_close. */
leveldb_env_t *env_shim_new(struct env *env);
void env_shim_free(leveldb_env_t *shim);

enum db_env_kind { ENV_OK, ENV_NOT_FOUND, ENV_CORRUPT, ENV_NOT_SUPPORTED, ENV_IO };
/* Which of LevelDB's kinds of status a code is; the text is db_env_text()'s. */
enum db_env_kind db_env_kind(int err);
const char *db_env_text(void);

/* Sequential reading: *ret_len bytes were copied to scratch; 0 at the end. */
int db_env_seq_open(struct env *env, const char *path, struct env_seq **ret);
int db_env_seq_read(struct env_seq *s, size_t n, char *scratch, size_t *ret_len);
void db_env_seq_skip(struct env_seq *s, uint64_t n);
void db_env_seq_close(struct env_seq *s);

/* Random reading, from many threads. Short only at the end of the file. */
int db_env_rand_open(struct env *env, const char *path, struct env_rand **ret);
int db_env_rand_read(struct env_rand *r, uint64_t offset, size_t n, char *scratch, size_t *ret_len);
void db_env_rand_close(struct env_rand *r);

/* Writing. Sync and Close of LevelDB's are both db_env_write_finish. */
int db_env_write_open(struct env *env, const char *path, struct env_write **ret);
int db_env_write_append(struct env_write *w, const char *data, size_t len);
int db_env_write_flush(struct env_write *w);
int db_env_write_finish(struct env_write *w);
void db_env_write_close(struct env_write *w);

bool db_env_exists(struct env *env, const char *path);
int db_env_size(struct env *env, const char *path, uint64_t *ret);
int db_env_children(struct env *env, void (*each)(void *ctx, const char *name), void *ctx);
int db_env_remove(struct env *env, const char *path);
int db_env_rename(struct env *env, const char *from, const char *to);
int db_env_lock(struct env *env);
void db_env_unlock(struct env *env);
void db_env_schedule(struct env *env, void (*fn)(void *arg), void *arg);
void db_env_log(struct env *env, const char *line);

#ifdef __cplusplus
}
#endif

#endif
