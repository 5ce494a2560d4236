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

enum env_kind { ENV_OK, ENV_NOT_FOUND, ENV_CORRUPT, ENV_NOT_SUPPORTED, ENV_IO };
/* Which of LevelDB's kinds of status a code is; the text is env_text()'s. */
enum env_kind env_kind(int err);
const char *env_text(void);

/* Sequential reading: *ret_len bytes were copied to scratch; 0 at the end. */
int env_seq_open(struct env *env, const char *path, struct env_seq **ret);
int env_seq_read(struct env_seq *s, size_t n, char *scratch, size_t *ret_len);
void env_seq_skip(struct env_seq *s, uint64_t n);
void env_seq_close(struct env_seq *s);

/* Random reading, from many threads. Short only at the end of the file. */
int env_rand_open(struct env *env, const char *path, struct env_rand **ret);
int env_rand_read(struct env_rand *r, uint64_t offset, size_t n, char *scratch, size_t *ret_len);
void env_rand_close(struct env_rand *r);

/* Writing. Sync and Close of LevelDB's are both env_write_finish. */
int env_write_open(struct env *env, const char *path, struct env_write **ret);
int env_write_append(struct env_write *w, const char *data, size_t len);
int env_write_flush(struct env_write *w);
int env_write_finish(struct env_write *w);
void env_write_close(struct env_write *w);

bool env_exists(struct env *env, const char *path);
int env_size(struct env *env, const char *path, uint64_t *ret);
int env_children(struct env *env, void (*each)(void *ctx, const char *name), void *ctx);
int env_remove(struct env *env, const char *path);
int env_rename(struct env *env, const char *from, const char *to);
int env_lock(struct env *env);
void env_unlock(struct env *env);
void env_schedule(struct env *env, void (*fn)(void *arg), void *arg);
void env_log(struct env *env, const char *line);

#ifdef __cplusplus
}
#endif

#endif
