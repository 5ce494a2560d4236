/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LevelDB's Env over the C functions of env_shim.h, because LevelDB's C API has no custom Env.
 * Types are translated here, nothing is decided.
 */
#include "db/env_shim.h"

#include <leveldb/env.h>
#include <leveldb/slice.h>
#include <leveldb/status.h>

#include <cstdarg>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

/* As in LevelDB's c.cc, in every release; configure checks it with a run. */
extern "C" struct leveldb_env_t {
	leveldb::Env *rep;
	bool is_default;
};

namespace
{

using leveldb::Slice;
using leveldb::Status;

Status to_status(const std::string &path, int err)
{
	switch (db_env_kind(err)) {
	case ENV_OK:
		return Status::OK();
	case ENV_NOT_FOUND:
		return Status::NotFound(path, db_env_text());
	case ENV_CORRUPT:
		return Status::Corruption(path, db_env_text());
	case ENV_NOT_SUPPORTED:
		return Status::NotSupported(path, db_env_text());
	case ENV_IO:
		break;
	}
	return Status::IOError(path, db_env_text());
}

class SequentialFile final : public leveldb::SequentialFile
{
      public:
	SequentialFile(const std::string &path, env_seq *file) : path_(path), file_(file)
	{
	}
	~SequentialFile() override
	{
		db_env_seq_close(file_);
	}
	Status Read(size_t n, Slice *result, char *scratch) override
	{
		size_t len = 0;
		int err = db_env_seq_read(file_, n, scratch, &len);

		*result = Slice(scratch, len);
		return to_status(path_, err);
	}
	Status Skip(uint64_t n) override
	{
		db_env_seq_skip(file_, n);
		return Status::OK();
	}

      private:
	std::string path_;
	env_seq *file_;
};

class RandomAccessFile final : public leveldb::RandomAccessFile
{
      public:
	RandomAccessFile(const std::string &path, env_rand *file) : path_(path), file_(file)
	{
	}
	~RandomAccessFile() override
	{
		db_env_rand_close(file_);
	}
	Status Read(uint64_t offset, size_t n, Slice *result, char *scratch) const override
	{
		size_t len = 0;
		int err = db_env_rand_read(file_, offset, n, scratch, &len);

		*result = Slice(scratch, len);
		return to_status(path_, err);
	}

      private:
	std::string path_;
	env_rand *file_;
};

class WritableFile final : public leveldb::WritableFile
{
      public:
	WritableFile(const std::string &path, env_write *file) : path_(path), file_(file)
	{
	}
	~WritableFile() override
	{
		db_env_write_close(file_);
	}
	Status Append(const Slice &data) override
	{
		return to_status(path_, db_env_write_append(file_, data.data(), data.size()));
	}
	Status Close() override
	{
		return to_status(path_, db_env_write_finish(file_));
	}
	Status Flush() override
	{
		return to_status(path_, db_env_write_flush(file_));
	}
	Status Sync() override
	{
		return to_status(path_, db_env_write_finish(file_));
	}

      private:
	std::string path_;
	env_write *file_;
};

class FileLock final : public leveldb::FileLock
{
};

class Logger final : public leveldb::Logger
{
      public:
	explicit Logger(env *e) : env_(e)
	{
	}
	void Logv(const char *format, std::va_list ap) override
	{
		char line[512];

		vsnprintf(line, sizeof(line), format, ap);
		db_env_log(env_, line);
	}

      private:
	env *env_;
};

class ShimEnv final : public leveldb::EnvWrapper
{
      public:
	explicit ShimEnv(env *e) : EnvWrapper(leveldb::Env::Default()), env_(e)
	{
	}
	Status NewSequentialFile(const std::string &path, leveldb::SequentialFile **result) override
	{
		env_seq *file = nullptr;
		int err = db_env_seq_open(env_, path.c_str(), &file);

		*result = err ? nullptr : new SequentialFile(path, file);
		return to_status(path, err);
	}
	Status NewRandomAccessFile(const std::string &path,
				   leveldb::RandomAccessFile **result) override
	{
		env_rand *file = nullptr;
		int err = db_env_rand_open(env_, path.c_str(), &file);

		*result = err ? nullptr : new RandomAccessFile(path, file);
		return to_status(path, err);
	}
	Status NewWritableFile(const std::string &path, leveldb::WritableFile **result) override
	{
		env_write *file = nullptr;
		int err = db_env_write_open(env_, path.c_str(), &file);

		*result = err ? nullptr : new WritableFile(path, file);
		return to_status(path, err);
	}
	Status NewAppendableFile(const std::string &path, leveldb::WritableFile **result) override
	{
		*result = nullptr;
		return Status::NotSupported(path, "no appending to an old file");
	}
	bool FileExists(const std::string &path) override
	{
		return db_env_exists(env_, path.c_str());
	}
	Status GetChildren(const std::string &dir, std::vector<std::string> *result) override
	{
		result->clear();
		return to_status(dir, db_env_children(env_, add_child, result));
	}
	Status RemoveFile(const std::string &path) override
	{
		return to_status(path, db_env_remove(env_, path.c_str()));
	}
	Status CreateDir(const std::string &) override
	{
		return Status::OK();
	}
	Status RemoveDir(const std::string &) override
	{
		return Status::OK();
	}
	Status GetFileSize(const std::string &path, uint64_t *size) override
	{
		*size = 0;
		return to_status(path, db_env_size(env_, path.c_str(), size));
	}
	Status RenameFile(const std::string &from, const std::string &to) override
	{
		return to_status(from, db_env_rename(env_, from.c_str(), to.c_str()));
	}
	Status LockFile(const std::string &path, leveldb::FileLock **lock) override
	{
		int err = db_env_lock(env_);

		*lock = err ? nullptr : new FileLock();
		return to_status(path, err);
	}
	Status UnlockFile(leveldb::FileLock *lock) override
	{
		delete lock;
		db_env_unlock(env_);
		return Status::OK();
	}
	void Schedule(void (*fn)(void *), void *arg) override
	{
		db_env_schedule(env_, fn, arg);
	}
	Status NewLogger(const std::string &, leveldb::Logger **result) override
	{
		*result = new Logger(env_);
		return Status::OK();
	}

      private:
	static void add_child(void *ctx, const char *name)
	{
		static_cast<std::vector<std::string> *>(ctx)->push_back(name);
	}

	env *env_;
};

} // namespace

leveldb_env_t *env_shim_new(struct env *env)
{
	leveldb_env_t *shim = new (std::nothrow) leveldb_env_t;

	if (!shim)
		return nullptr;
	shim->is_default = false;
	shim->rep = new (std::nothrow) ShimEnv(env);
	if (!shim->rep) {
		delete shim;
		return nullptr;
	}
	return shim;
}

void env_shim_free(leveldb_env_t *shim)
{
	if (!shim)
		return;
	delete shim->rep;
	delete shim;
}
