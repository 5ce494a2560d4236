noinst_LTLIBRARIES += libdb.la
libdb_la_SOURCES = src/db/db.h src/db/internal.h src/db/db.c src/db/super.c \
	src/db/chain.h src/db/chain.c src/db/slot.h src/db/slot.c \
	src/db/load.h src/db/load.c src/db/history.h src/db/history.c \
	src/db/checkpoint.h src/db/checkpoint.c src/db/keeper.c src/db/trim.c src/db/verify.c src/db/rescue.h src/db/rescue.c \
	src/db/gc.h src/db/gc.c src/db/record.h src/db/record.c \
	src/db/env.h src/db/env.c src/db/cut.c src/db/table.c src/db/background.c \
	src/db/env_shim.h src/db/env_shim.cc \
	src/db/names.h src/db/names.c src/db/file.h src/db/file.c
