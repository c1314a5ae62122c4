# Modules that are no XEP; the loader finds NAME.so in the modules' folder.
module_LTLIBRARIES += modules/e2e_policy.la
modules_e2e_policy_la_SOURCES = modules/e2e_policy.c modules/e2e_policy.h
modules_e2e_policy_la_CFLAGS = $(MODULE_CFLAGS)
modules_e2e_policy_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += modules/metrics.la
modules_metrics_la_SOURCES = modules/metrics.c
modules_metrics_la_CFLAGS = $(MODULE_CFLAGS)
modules_metrics_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += modules/trace.la
modules_trace_la_SOURCES = modules/trace.c
modules_trace_la_CFLAGS = $(MODULE_CFLAGS)
modules_trace_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_trace_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += modules/access.la
modules_access_la_SOURCES = modules/access.c xep/jid_list.c xep/jid_list.h
modules_access_la_CFLAGS = $(MODULE_CFLAGS)
modules_access_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_access_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += modules/announce.la
modules_announce_la_SOURCES = modules/announce.c
modules_announce_la_CFLAGS = $(MODULE_CFLAGS)
modules_announce_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_announce_la_LIBADD = $(JANSSON_LIBS)

module_LTLIBRARIES += modules/audit.la
modules_audit_la_SOURCES = \
	modules/audit.c \
	modules/audit.h \
	modules/audit_chain.c \
	modules/audit_chain.h \
	modules/audit_event.c \
	modules/audit_kafka.c \
	modules/audit_relay.c \
	modules/audit_search.c
modules_audit_la_CFLAGS = $(MODULE_CFLAGS) $(RDKAFKA_CFLAGS)
modules_audit_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_audit_la_LIBADD = $(RDKAFKA_LIBS) $(OPENSSL_LIBS) $(JANSSON_LIBS)

module_LTLIBRARIES += modules/web.la
modules_web_la_SOURCES = \
	modules/web.c \
	modules/web.h \
	modules/web_chat.c \
	modules/web_files.c \
	modules/web_home.c \
	modules/web_join.c \
	modules/web_join.h \
	modules/web_lang.c \
	modules/web_lang.h \
	modules/web_html.c \
	modules/web_invite.c \
	modules/web_qr.c \
	xep/invite.h
modules_web_la_CFLAGS = $(MODULE_CFLAGS) $(QRENCODE_CFLAGS)
modules_web_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_web_la_LIBADD = $(QRENCODE_LIBS)

module_LTLIBRARIES += modules/threat.la
modules_threat_la_SOURCES = \
	modules/threat.c \
	modules/threat.h \
	modules/threat_count.c \
	modules/threat_geo.c \
	modules/threat_rule.c
modules_threat_la_CFLAGS = $(MODULE_CFLAGS) $(MAXMINDDB_CFLAGS)
modules_threat_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_threat_la_LIBADD = $(MAXMINDDB_LIBS) $(JANSSON_LIBS) -lm

module_LTLIBRARIES += modules/strangers.la
modules_strangers_la_SOURCES = modules/strangers.c
modules_strangers_la_CFLAGS = $(MODULE_CFLAGS)
modules_strangers_la_LDFLAGS = $(MODULE_LDFLAGS)

module_LTLIBRARIES += modules/rtbl.la
modules_rtbl_la_SOURCES = \
	modules/rtbl.c \
	modules/rtbl.h \
	modules/rtbl_feed.c \
	modules/rtbl_set.c
modules_rtbl_la_CFLAGS = $(MODULE_CFLAGS)
modules_rtbl_la_LDFLAGS = $(MODULE_LDFLAGS)
modules_rtbl_la_LIBADD = $(JANSSON_LIBS)
