# A unit test: three lines (check_PROGRAMS and TESTS, _SOURCES, _LDADD).

check_PROGRAMS += tests/unit/test_loop
TESTS += tests/unit/test_loop
tests_unit_test_loop_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_loop_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_crew
TESTS += tests/unit/test_crew
tests_unit_test_crew_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_crew_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_log_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_elem
TESTS += tests/unit/test_elem
tests_unit_test_elem_SOURCES = tests/unit/test_elem.c
tests_unit_test_elem_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_elem_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_metric
TESTS += tests/unit/test_metric
tests_unit_test_metric_SOURCES = tests/unit/test_metric.c
tests_unit_test_metric_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_metric_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_base64
TESTS += tests/unit/test_base64
tests_unit_test_base64_SOURCES = tests/unit/test_base64.c
tests_unit_test_base64_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_base64_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_datetime
TESTS += tests/unit/test_datetime
tests_unit_test_datetime_SOURCES = tests/unit/test_datetime.c
tests_unit_test_datetime_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_datetime_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_db
TESTS += tests/unit/test_db
tests_unit_test_db_SOURCES = tests/unit/test_db.c
tests_unit_test_db_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_db_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_work
TESTS += tests/unit/test_work
tests_unit_test_work_SOURCES = tests/unit/test_work.c
tests_unit_test_work_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_work_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_xml
TESTS += tests/unit/test_xml
tests_unit_test_xml_SOURCES = tests/unit/test_xml.c
tests_unit_test_xml_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_xml_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_cidr
TESTS += tests/unit/test_cidr
tests_unit_test_cidr_SOURCES = tests/unit/test_cidr.c
tests_unit_test_cidr_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cidr_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_conn
TESTS += tests/unit/test_conn
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/peer.c tests/unit/peer.h
tests_unit_test_conn_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_conn_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_listener
TESTS += tests/unit/test_listener
tests_unit_test_listener_SOURCES = tests/unit/test_listener.c tests/unit/peer.c tests/unit/peer.h
tests_unit_test_listener_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_listener_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_dialback
TESTS += tests/unit/test_dialback
tests_unit_test_dialback_SOURCES = tests/unit/test_dialback.c
tests_unit_test_dialback_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_dialback_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_dns
TESTS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_dns_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_trail
TESTS += tests/unit/test_trail
tests_unit_test_trail_SOURCES = tests/unit/test_trail.c
tests_unit_test_trail_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_trail_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_tls
TESTS += tests/unit/test_tls
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/peer.c tests/unit/peer.h
tests_unit_test_tls_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_tls_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_proxy
TESTS += tests/unit/test_proxy
tests_unit_test_proxy_SOURCES = tests/unit/test_proxy.c
tests_unit_test_proxy_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_proxy_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_socks
TESTS += tests/unit/test_socks
tests_unit_test_socks_SOURCES = tests/unit/test_socks.c
tests_unit_test_socks_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_socks_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_s3
TESTS += tests/unit/test_s3
tests_unit_test_s3_SOURCES = tests/unit/test_s3.c
tests_unit_test_s3_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_s3_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_credential
TESTS += tests/unit/test_credential
tests_unit_test_credential_SOURCES = tests/unit/test_credential.c
tests_unit_test_credential_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_credential_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_scram
TESTS += tests/unit/test_scram
tests_unit_test_scram_SOURCES = tests/unit/test_scram.c tests/unit/scram_client.h
tests_unit_test_scram_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_scram_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_config
TESTS += tests/unit/test_config
tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_config_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_option
TESTS += tests/unit/test_option
tests_unit_test_option_SOURCES = tests/unit/test_option.c
tests_unit_test_option_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_option_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_jid
TESTS += tests/unit/test_jid
tests_unit_test_jid_SOURCES = tests/unit/test_jid.c
tests_unit_test_jid_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jid_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_precis
TESTS += tests/unit/test_precis
tests_unit_test_precis_SOURCES = tests/unit/test_precis.c
tests_unit_test_precis_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_precis_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_sasl
TESTS += tests/unit/test_sasl
tests_unit_test_sasl_SOURCES = tests/unit/test_sasl.c tests/unit/scram_client.h
tests_unit_test_sasl_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_sasl_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_sasl2
TESTS += tests/unit/test_sasl2
tests_unit_test_sasl2_SOURCES = tests/unit/test_sasl2.c
tests_unit_test_sasl2_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_sasl2_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_fold
TESTS += tests/unit/test_fold
tests_unit_test_fold_SOURCES = tests/unit/test_fold.c
tests_unit_test_fold_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fold_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_fast
TESTS += tests/unit/test_fast
tests_unit_test_fast_SOURCES = tests/unit/test_fast.c
tests_unit_test_fast_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fast_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_ratelimit
TESTS += tests/unit/test_ratelimit
tests_unit_test_ratelimit_SOURCES = tests/unit/test_ratelimit.c
tests_unit_test_ratelimit_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_ratelimit_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_bench
TESTS += tests/unit/test_bench
tests_unit_test_bench_SOURCES = tests/unit/test_bench.c tests/bench/hist.c tests/bench/scan.c tests/bench/scram.c
tests_unit_test_bench_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_bench_LDADD = $(CHECK_LIBS) $(OPENSSL_LIBS) -lm

check_PROGRAMS += tests/unit/test_user
TESTS += tests/unit/test_user
tests_unit_test_user_SOURCES = tests/unit/test_user.c
tests_unit_test_user_CPPFLAGS = $(UNIT_CPPFLAGS) -DTEST_SQL_DIR='"$(abs_top_srcdir)/sql"'
tests_unit_test_user_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_pie
TESTS += tests/unit/test_pie
tests_unit_test_pie_SOURCES = tests/unit/test_pie.c
tests_unit_test_pie_CPPFLAGS = $(UNIT_CPPFLAGS) -DTEST_SQL_DIR='"$(abs_top_srcdir)/sql"'
tests_unit_test_pie_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_caps
TESTS += tests/unit/test_caps
tests_unit_test_caps_SOURCES = tests/unit/test_caps.c xep/caps_cache.c xep/disco_info.c
tests_unit_test_caps_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_caps_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_pubsub
TESTS += tests/unit/test_pubsub
tests_unit_test_pubsub_SOURCES = tests/unit/test_pubsub.c xep/pubsub_circle.c xep/pubsub_config.c xep/pubsub_node.c
tests_unit_test_pubsub_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_pubsub_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_jid_list
TESTS += tests/unit/test_jid_list
tests_unit_test_jid_list_SOURCES = tests/unit/test_jid_list.c xep/jid_list.c
tests_unit_test_jid_list_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jid_list_LDADD = $(UNIT_LDADD)

# Tests that speak with a whole server (harness.h); the modules concerned are linked in.
HARNESS = tests/unit/harness.c tests/unit/harness.h
HARNESS_LDADD = tests/sim/libsim.la $(CHECK_LIBS)

check_PROGRAMS += tests/unit/test_time
TESTS += tests/unit/test_time
tests_unit_test_time_SOURCES = tests/unit/test_time.c $(HARNESS) xep/xep0202_time.c
tests_unit_test_time_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_time_LDADD = $(HARNESS_LDADD)

check_PROGRAMS += tests/unit/test_module
TESTS += tests/unit/test_module
tests_unit_test_module_SOURCES = tests/unit/test_module.c $(HARNESS)
tests_unit_test_module_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_module_LDADD = $(HARNESS_LDADD)

check_PROGRAMS += tests/unit/test_route
TESTS += tests/unit/test_route
tests_unit_test_route_SOURCES = tests/unit/test_route.c $(HARNESS)
tests_unit_test_route_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_route_LDADD = $(HARNESS_LDADD)

check_PROGRAMS += tests/unit/test_roster
TESTS += tests/unit/test_roster
tests_unit_test_roster_SOURCES = tests/unit/test_roster.c
tests_unit_test_roster_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_roster_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_stanza
TESTS += tests/unit/test_stanza
tests_unit_test_stanza_SOURCES = tests/unit/test_stanza.c
tests_unit_test_stanza_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_stanza_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_map
TESTS += tests/unit/test_map
tests_unit_test_map_SOURCES = tests/unit/test_map.c
tests_unit_test_map_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_map_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_gate
TESTS += tests/unit/test_gate
tests_unit_test_gate_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_gate_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_http
TESTS += tests/unit/test_http
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_http_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_rest
TESTS += tests/unit/test_rest
tests_unit_test_rest_SOURCES = tests/unit/test_rest.c
tests_unit_test_rest_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_rest_LDADD = $(UNIT_LDADD)

check_PROGRAMS += tests/unit/test_threat
TESTS += tests/unit/test_threat
tests_unit_test_threat_SOURCES = tests/unit/test_threat.c $(HARNESS) modules/threat.c modules/threat.h modules/threat_count.c \
	modules/threat_geo.c modules/threat_rule.c
tests_unit_test_threat_CPPFLAGS = $(UNIT_CPPFLAGS) $(MAXMINDDB_CFLAGS)
tests_unit_test_threat_LDADD = $(HARNESS_LDADD) $(MAXMINDDB_LIBS) $(JANSSON_LIBS) -lm
