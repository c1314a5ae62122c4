# Fuzz targets: each links the core; built with --enable-fuzz (clang).
if FUZZ
FUZZ_LDADD = server/libsterna.la
FUZZ_LINKFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

noinst_PROGRAMS += tests/fuzz/fuzz_base64
tests_fuzz_fuzz_base64_SOURCES = tests/fuzz/fuzz_base64.c
tests_fuzz_fuzz_base64_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_base64_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_datetime
tests_fuzz_fuzz_datetime_SOURCES = tests/fuzz/fuzz_datetime.c
tests_fuzz_fuzz_datetime_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_datetime_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_proxy
tests_fuzz_fuzz_proxy_SOURCES = tests/fuzz/fuzz_proxy.c
tests_fuzz_fuzz_proxy_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_proxy_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_xml
tests_fuzz_fuzz_xml_SOURCES = tests/fuzz/fuzz_xml.c
tests_fuzz_fuzz_xml_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_xml_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c
tests_fuzz_fuzz_config_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_jid
tests_fuzz_fuzz_jid_SOURCES = tests/fuzz/fuzz_jid.c
tests_fuzz_fuzz_jid_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_jid_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_sasl
tests_fuzz_fuzz_sasl_SOURCES = tests/fuzz/fuzz_sasl.c
tests_fuzz_fuzz_sasl_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_sasl_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_pie
tests_fuzz_fuzz_pie_SOURCES = tests/fuzz/fuzz_pie.c
tests_fuzz_fuzz_pie_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_pie_LDFLAGS = $(FUZZ_LINKFLAGS)
endif
