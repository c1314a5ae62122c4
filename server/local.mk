# The core is a library that sternad, the unit tests, the fuzz targets and the simulation link.
noinst_LTLIBRARIES += server/libsterna.la
server_libsterna_la_SOURCES = \
	server/account.c server/account.h \
	server/ack.c server/ack.h \
	server/api_token.c server/api_token.h \
	server/approval.c server/approval.h \
	server/archive.c server/archive.h \
	server/audit.c server/audit.h \
	server/auth.c server/auth.h \
	server/base64.c server/base64.h \
	server/bind2.c server/bind2.h \
	server/bosh.c server/bosh.h \
	server/bosh_body.c server/bosh_body.h \
	server/bosh_pipe.c server/bosh_pipe.h \
	server/buf.c server/buf.h \
	server/bytestream.c server/bytestream.h \
	server/bytestream_conn.c server/bytestream_impl.h \
	server/c2s.c server/c2s.h \
	server/call.c server/call.h \
	server/captcha.c server/captcha.h \
	server/cidr.c server/cidr.h \
	server/client_iq.c server/client_iq.h \
	server/component.c server/component.h \
	server/command_api.c \
	server/command_client.c \
	server/command_core.c \
	server/command_invite.c \
	server/command_isolation.c \
	server/command_list.c \
	server/command_region.c \
	server/command_report.c \
	server/command_s2s.c \
	server/command_s2s_peer.c \
	server/command_service.c \
	server/command_session.c server/command_session.h \
	server/command_user.c \
	server/config.c server/config.h \
	server/config_impl.h \
	server/config_node.c server/config_node.h \
	server/config_region.c \
	server/config_s2s.c \
	server/conn.c server/conn.h server/conn_impl.h \
	server/console.c server/console.h \
	server/conn_ops.c \
	server/control.c server/control.h \
	server/credential.c server/credential.h \
	server/crew.c server/crew.h \
	server/daemon.c server/daemon.h \
	server/datetime.c server/datetime.h \
	server/db.c server/db.h server/db_driver.h \
	server/db_migrate.c \
	server/db_pg.c server/db_pg.h \
	server/db_pg_conn.c \
	server/db_pg_fence.c \
	server/db_pg_group.c \
	server/db_sqlite.c \
	server/deliver.c server/deliver.h \
	server/dial.c server/dial.h server/dial_impl.h \
	server/dial_find.c \
	server/dial_socks.c server/dial_socks.h \
	server/dialback.c server/dialback.h \
	server/dns.c server/dns.h \
	server/dns_record.c \
	server/elem.c server/elem.h \
	server/elem_write.c \
	server/farewell.c server/farewell.h \
	server/fast.c server/fast.h \
	server/fetch.c server/fetch.h \
	server/fold.c server/fold.h \
	server/gate.c server/gate.h \
	server/http.c server/http.h \
	server/http_api.c \
	server/http_conn.c server/http_conn.h \
	server/http_form.c server/http_form.h \
	server/http_register.c \
	server/http_file.c server/http_file.h \
	server/http_object.c server/http_object.h \
	server/http_forwarded.c server/http_forwarded.h \
	server/http_head.c server/http_head.h \
	server/idna.c \
	server/ids.c server/ids.h \
	server/isolation.c server/isolation.h \
	server/invite.c server/invite.h \
	server/invite_iq.c server/invite_iq.h \
	server/jid.c server/jid.h \
	server/lane.c server/lane.h \
	server/listener.c server/listener.h \
	server/log.c server/log.h \
	server/loop.c server/loop.h server/loop_impl.h \
	server/loop_epoll.c \
	server/many.c \
	server/map.c server/map.h \
	server/mem.c server/mem.h \
	server/memory.c server/memory.h \
	server/metric.c server/metric.h \
	server/module.h \
	server/module_api.c \
	server/module_elem.c \
	server/module_load.c server/module_load.h \
	server/module_server.c \
	server/modules.c server/modules.h \
	server/net.c server/net.h \
	server/option.c server/option.h \
	server/option_manual.c \
	server/option_value.c server/option_value.h \
	server/openapi.c server/openapi.h \
	server/origin.c server/origin.h \
	server/pie.h \
	server/pie_export.c \
	server/pie_import.c \
	server/pie_nodes.c \
	server/pie_nodes.h \
	server/pie_read.c \
	server/precis.c server/precis.h \
	server/precis_class.c \
	server/presence.c server/presence.h server/presence_impl.h \
	server/presence_show.c \
	server/proxy_protocol.c server/proxy_protocol.h \
	server/purge.c server/purge.h \
	server/ratelimit.c server/ratelimit.h \
	server/region.c server/region.h \
	server/register.c server/register.h \
	server/register_iq.c server/register_iq.h \
	server/registry.c server/registry.h \
	server/request.c server/request.h \
	server/request_check.c server/request_check.h \
	server/request_run.c \
	server/rest.c server/rest.h \
	server/rest_answer.c server/rest_answer.h \
	server/result.c server/result.h \
	server/role.c \
	server/retire.c server/retire.h \
	server/roster.c server/roster.h \
	server/roster_iq.c server/roster_iq.h \
	server/route.c server/route.h \
	server/s2s.c server/s2s.h server/s2s_impl.h \
	server/s2s_check.c \
	server/s2s_in.c \
	server/s2s_lookup.c \
	server/s2s_out.c \
	server/s2s_peer.c \
	server/s2s_queue.c \
	server/s2s_resume.c \
	server/s2s_seen.c \
	server/s2s_sm.c \
	server/s2s_store.c \
	server/s2s_stream.c \
	server/sasl.c server/sasl.h \
	server/sasl2.c server/sasl2.h \
	server/sasl_mech.c server/sasl_mech.h \
	server/scram.c server/scram.h \
	server/server.c server/server.h \
	server/server_metric.c server/server_metric.h \
	server/session.c server/session.h \
	server/s3.c server/s3.h \
	server/socks.c server/socks.h \
	server/sm.c server/sm.h server/sm_impl.h \
	server/sm_store.c \
	server/stanza.c server/stanza.h \
	server/stream.c server/stream.h \
	server/stream_late.c server/stream_late.h \
	server/subscription.c server/subscription.h \
	server/tls.c server/tls.h \
	server/tls_dane.c server/tls_dane.h \
	server/tls_peer.c \
	server/tls_trust.c server/tls_trust.h \
	server/tls_ticket.c server/tls_ticket.h \
	server/token.c server/token.h \
	server/trail.c server/trail.h \
	server/transport.h \
	server/upgrade.c server/upgrade.h \
	server/user.c server/user.h server/user_impl.h \
	server/utf.h \
	server/user_bulk.c \
	server/websocket.c server/websocket.h \
	server/work.c server/work.h \
	server/ws_frame.c server/ws_frame.h \
	server/xml.c server/xml.h server/xml_impl.h \
	server/xml_scan.c server/xml_scan.h \
	server/xml_tree.c \
	server/xml_whole.c
server_libsterna_la_LIBADD = $(EXPAT_LIBS) $(OPENSSL_LIBS) $(PQ_LIBS) $(SQLITE_LIBS) \
	$(ICU_LIBS) $(IDN2_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(CURL_LIBS) $(UNBOUND_LIBS) $(SYSTEMD_LIBS) -lpthread -ldl -lm

sbin_PROGRAMS += server/sternad
server_sternad_SOURCES = server/sternad.c
# All of the core is in the daemon: modules find their API in it, and nothing else (module.sym).
server_sternad_LDADD = server/libsterna.la
server_sternad_DEPENDENCIES = server/libsterna.la server/module.sym
server_sternad_LDFLAGS = $(AM_LDFLAGS) -Wl,--dynamic-list=$(srcdir)/server/module.sym \
	-Wl,--whole-archive,server/.libs/libsterna.a,--no-whole-archive
EXTRA_DIST += server/module.sym

# The tool is its table of commands; it links the whole core, so that modules can be asked for their options.
bin_PROGRAMS += server/sternactl
server_sternactl_SOURCES = \
	modules/audit_chain.c modules/audit_chain.h \
	server/ctl.c server/ctl.h \
	server/ctl_audit.c \
	server/ctl_client.c \
	server/ctl_config.c \
	server/ctl_pie.c \
	server/ctl_report.c \
	server/ctl_s2s.c \
	server/ctl_server.c \
	server/ctl_user.c \
	server/sternactl.c
server_sternactl_LDADD = server/libsterna.la $(JANSSON_LIBS) $(OPENSSL_LIBS)
server_sternactl_DEPENDENCIES = server/libsterna.la server/module.sym
server_sternactl_LDFLAGS = $(AM_LDFLAGS) -Wl,--dynamic-list=$(srcdir)/server/module.sym \
	-Wl,--whole-archive,server/.libs/libsterna.a,--no-whole-archive
