# The core is a library that sternad, the unit tests, the fuzz targets and the simulation link.
noinst_LTLIBRARIES += server/libsterna.la
server_libsterna_la_SOURCES = \
	server/base64.c server/base64.h \
	server/buf.c server/buf.h \
	server/cidr.c server/cidr.h \
	server/config.c server/config.h \
	server/config_node.c server/config_node.h \
	server/conn.c server/conn.h \
	server/credential.c server/credential.h \
	server/datetime.c server/datetime.h \
	server/db.c server/db.h server/db_driver.h \
	server/db_migrate.c \
	server/db_pg.c server/db_pg.h \
	server/db_pg_conn.c \
	server/db_pg_group.c \
	server/db_sqlite.c \
	server/elem.c server/elem.h \
	server/elem_write.c \
	server/fast.c server/fast.h \
	server/idna.c \
	server/jid.c server/jid.h \
	server/listener.c server/listener.h \
	server/log.c server/log.h \
	server/loop.c server/loop.h server/loop_impl.h \
	server/loop_event.c \
	server/mem.c server/mem.h \
	server/metric.c server/metric.h \
	server/option.c server/option.h \
	server/option_manual.c \
	server/option_value.c server/option_value.h \
	server/precis.c server/precis.h \
	server/precis_class.c \
	server/proxy_protocol.c server/proxy_protocol.h \
	server/ratelimit.c server/ratelimit.h \
	server/result.c server/result.h \
	server/sasl.c server/sasl.h \
	server/sasl_mech.c server/sasl_mech.h \
	server/scram.c server/scram.h \
	server/tls.c server/tls.h \
	server/tls_peer.c \
	server/tls_ticket.c server/tls_ticket.h \
	server/work.c server/work.h \
	server/xml.c server/xml.h server/xml_impl.h \
	server/xml_scan.c server/xml_scan.h \
	server/xml_tree.c
server_libsterna_la_LIBADD = $(EVENT_LIBS) $(EXPAT_LIBS) $(OPENSSL_LIBS) $(PQ_LIBS) $(SQLITE_LIBS) \
	$(ICU_LIBS) $(IDN2_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS) -lpthread -ldl -lm

sbin_PROGRAMS += server/sternad
server_sternad_SOURCES = server/sternad.c
server_sternad_LDADD = server/libsterna.la
server_sternad_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
