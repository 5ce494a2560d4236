# Compiles a part of levels3fs without configuring it: a build that runs the same on every filesystem.
sources := $(wildcard src/util/*.c src/lease/*.c)
objects := $(sources:.c=.o)

all: util.a
util.a: $(objects)
	ar rcs $@ $^
%.o: %.c
	$(CC) -std=gnu11 -D_GNU_SOURCE -DPACKAGE_VERSION='""' -O1 -Isrc -c -o $@ $<
