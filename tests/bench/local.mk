# Benchmarks: built with the rest, run by hand.
noinst_PROGRAMS += tests/bench/bench_xml
tests_bench_bench_xml_SOURCES = tests/bench/bench_xml.c
tests_bench_bench_xml_LDADD = server/libsterna.la
