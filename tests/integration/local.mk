# Integration tests: run by ./check against the built daemon.
EXTRA_DIST += \
	tests/integration/README.md \
	tests/integration/match.py \
	tests/integration/nameserver.py \
	tests/integration/requirements.txt \
	tests/integration/run.py \
	tests/integration/s2s.py \
	tests/integration/script.py \
	tests/integration/scripts \
	tests/integration/slixmpp_chat.py \
	tests/integration/slixmpp_omemo_chat.py \
	tests/integration/sterna.py \
	tests/integration/suite.py \
	tests/integration/test_component.py \
	tests/integration/test_control.py \
	tests/integration/test_dns.py \
	tests/integration/test_external.py \
	tests/integration/test_hosts.py \
	tests/integration/test_http.py \
	tests/integration/test_limits.py \
	tests/integration/test_manual.py \
	tests/integration/test_out_of_tree.py \
	tests/integration/test_pubsub.py \
	tests/integration/test_register.py \
	tests/integration/test_reload.py \
	tests/integration/test_rfc6121_delivery.py \
	tests/integration/test_rfc6121_states.py \
	tests/integration/test_s2s.py \
	tests/integration/test_sasl.py \
	tests/integration/test_sasl2.py \
	tests/integration/test_slixmpp.py \
	tests/integration/test_sm_early.py \
	tests/integration/test_start.py \
	tests/integration/test_storage.py \
	tests/integration/test_streams.py \
	tests/integration/test_xep0114.py \
	tests/integration/xmpp.py
