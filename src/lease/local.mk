noinst_LTLIBRARIES += liblease.la
liblease_la_SOURCES = src/lease/lease.h src/lease/record.h src/lease/record.c src/lease/lease.c \
	src/lease/probe.c
