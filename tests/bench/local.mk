# bench_xml: built with the rest, run by hand.
noinst_PROGRAMS += tests/bench/bench_xml
tests_bench_bench_xml_SOURCES = tests/bench/bench_xml.c
tests_bench_bench_xml_LDADD = server/libsterna.la

# The load generator and what it is compared with: `make bench`, never part of all or check.
EXTRA_PROGRAMS += tests/bench/load tests/bench/floor tests/bench/floordb
BENCH_CFLAGS = $(AM_CFLAGS) -O2

tests_bench_load_SOURCES = \
	server/buf.c \
	server/mem.c \
	tests/bench/bench.h \
	tests/bench/hist.c \
	tests/bench/hist.h \
	tests/bench/load.c \
	tests/bench/login.c \
	tests/bench/loop.c \
	tests/bench/report.c \
	tests/bench/run_archive.c \
	tests/bench/run_chat.c \
	tests/bench/run_login.c \
	tests/bench/run_presence.c \
	tests/bench/run_room.c \
	tests/bench/scan.c \
	tests/bench/scan.h \
	tests/bench/scram.c \
	tests/bench/scram.h \
	tests/bench/usage.c \
	tests/bench/usage.h \
	tests/bench/ws.c
tests_bench_load_CFLAGS = $(BENCH_CFLAGS)
tests_bench_load_LDADD = $(OPENSSL_LIBS) -lm

tests_bench_floor_SOURCES = server/buf.c server/mem.c tests/bench/floor.c
tests_bench_floor_CFLAGS = $(BENCH_CFLAGS)
tests_bench_floor_LDADD = $(OPENSSL_LIBS)

tests_bench_floordb_SOURCES = tests/bench/floordb.c tests/bench/usage.c tests/bench/usage.h server/buf.c server/mem.c
tests_bench_floordb_CFLAGS = $(BENCH_CFLAGS)
tests_bench_floordb_LDADD = $(PQ_LIBS)

bench: tests/bench/load tests/bench/floor tests/bench/floordb
.PHONY: bench
CLEANFILES += tests/bench/load tests/bench/floor tests/bench/floordb
EXTRA_DIST += tests/bench/audit tests/bench/compare tests/bench/peers.py tests/bench/workloads.py tests/bench/s2s.py
