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

noinst_PROGRAMS += tests/fuzz/fuzz_socks
tests_fuzz_fuzz_socks_SOURCES = tests/fuzz/fuzz_socks.c
tests_fuzz_fuzz_socks_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_socks_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_dial_socks
tests_fuzz_fuzz_dial_socks_SOURCES = tests/fuzz/fuzz_dial_socks.c
tests_fuzz_fuzz_dial_socks_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_dial_socks_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_form
tests_fuzz_fuzz_form_SOURCES = tests/fuzz/fuzz_form.c
tests_fuzz_fuzz_form_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_form_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_http
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c
tests_fuzz_fuzz_http_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_http_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_rest
tests_fuzz_fuzz_rest_SOURCES = tests/fuzz/fuzz_rest.c
tests_fuzz_fuzz_rest_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_rest_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_ws
tests_fuzz_fuzz_ws_SOURCES = tests/fuzz/fuzz_ws.c
tests_fuzz_fuzz_ws_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_ws_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_xml
tests_fuzz_fuzz_xml_SOURCES = tests/fuzz/fuzz_xml.c
tests_fuzz_fuzz_xml_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_xml_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_whole
tests_fuzz_fuzz_whole_SOURCES = tests/fuzz/fuzz_whole.c
tests_fuzz_fuzz_whole_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_whole_LDFLAGS = $(FUZZ_LINKFLAGS)

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

noinst_PROGRAMS += tests/fuzz/fuzz_mam
tests_fuzz_fuzz_mam_SOURCES = tests/fuzz/fuzz_mam.c xep/xep0313_parse.c
tests_fuzz_fuzz_mam_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_mam_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_pubsub
tests_fuzz_fuzz_pubsub_SOURCES = tests/fuzz/fuzz_pubsub.c xep/pubsub_config.c
tests_fuzz_fuzz_pubsub_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_pubsub_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_caps
tests_fuzz_fuzz_caps_SOURCES = tests/fuzz/fuzz_caps.c xep/disco_info.c
tests_fuzz_fuzz_caps_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_caps_LDFLAGS = $(FUZZ_LINKFLAGS)

# Whole servers: the simulation's, with the modules linked in.
FUZZ_SIM = \
	tests/fuzz/sim_fuzz.c \
	tests/fuzz/sim_fuzz.h \
	xep/caps.h \
	xep/caps_cache.c \
	xep/caps_cache.h \
	xep/disco_info.c \
	xep/disco_info.h \
	xep/jid_list.c \
	xep/jid_list.h \
	xep/pubsub.h \
	xep/pubsub_affiliate.c \
	xep/pubsub_approve.c \
	xep/pubsub_circle.c \
	xep/pubsub_config.c \
	xep/pubsub_disco.c \
	xep/pubsub_items.c \
	xep/pubsub_node.c \
	xep/pubsub_owner.c \
	xep/pubsub_publish.c \
	xep/pubsub_subscribe.c \
	xep/text.h \
	xep/xep0012_last.c \
	xep/xep0030_disco.c \
	xep/xep0049_private.c \
	xep/xep0054_vcard.c \
	xep/xep0092_version.c \
	xep/xep0115_caps.c \
	xep/xep0157_contact.c \
	xep/xep0160_offline.c \
	xep/xep0163_notify.c \
	xep/xep0163_peers.c \
	xep/xep0163_pep.c \
	xep/xep0163_pep.h \
	xep/xep0191_blocking.c \
	xep/xep0199_ping.c \
	xep/xep0202_time.c \
	xep/xep0280_carbons.c \
	xep/xep0313_mam.c \
	xep/xep0313_mam.h \
	xep/xep0313_parse.c \
	xep/xep0313_query.c \
	xep/xep0313_query.h \
	xep/xep0334_hints.c \
	xep/xep0352_csi.c \
	xep/xep0359_stanza_id.c \
	xep/xep0377_reports.c \
	xep/xep0398_avatar.c \
	xep/xep0441_prefs.c

noinst_PROGRAMS += tests/fuzz/fuzz_stream
tests_fuzz_fuzz_stream_SOURCES = tests/fuzz/fuzz_stream.c $(FUZZ_SIM)
tests_fuzz_fuzz_stream_LDADD = tests/sim/libsim.la
tests_fuzz_fuzz_stream_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_s2s
tests_fuzz_fuzz_s2s_SOURCES = tests/fuzz/fuzz_s2s.c $(FUZZ_SIM)
tests_fuzz_fuzz_s2s_LDADD = tests/sim/libsim.la
tests_fuzz_fuzz_s2s_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_dns
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c
tests_fuzz_fuzz_dns_LDADD = $(FUZZ_LDADD)
tests_fuzz_fuzz_dns_LDFLAGS = $(FUZZ_LINKFLAGS)

noinst_PROGRAMS += tests/fuzz/fuzz_sm_tags
tests_fuzz_fuzz_sm_tags_SOURCES = tests/fuzz/fuzz_sm_tags.c $(FUZZ_SIM)
tests_fuzz_fuzz_sm_tags_LDADD = tests/sim/libsim.la
tests_fuzz_fuzz_sm_tags_LDFLAGS = $(FUZZ_LINKFLAGS)
endif
EXTRA_DIST += tests/fuzz/corpus
