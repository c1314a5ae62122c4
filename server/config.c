/* config.c - the core's options, and what must hold between them. */
#include "server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/cidr.h"
#include "server/config_impl.h"
#include "server/jid.h"
#include "server/mem.h"

#define H struct config_host
static const struct sterna_option host_options[] = {
	STERNA_OPT(H, certificate, NULL, NULL, "file with the certificate and its chain, PEM"),
	STERNA_OPT(H, key, NULL, NULL, "file with the private key, PEM"),
	STERNA_OPT(H, anonymous, "false", NULL, "let anyone in under an address made up for the session (SASL ANONYMOUS)"),
	STERNA_OPT(H, registration, "false", NULL, "let clients make accounts themselves (XEP-0077); invites abuse"),
	STERNA_OPT(H, registration_approval, "false", NULL,
		"an account made so is disabled until an administrator enables it (user enable); not with an invitation"),
	STERNA_OPT(H, questions, NULL, NULL, "one of these is asked of who makes an account, and what are good answers (XEP-0158): "
		"{ 'What is the capital of Norway?': 'Oslo|Christiania' }; not with an invitation"),
	STERNA_OPT(H, invitations, "true", NULL, "let those make an account who were invited (XEP-0445)"),
	{ 0 }
};

#define L struct config_listen
static const struct sterna_option listen_options[] = {
	STERNA_OPT(L, kind, STERNA_REQUIRED, "c2s|s2s|http|component|bytestreams",
		"who connects: clients, servers, HTTP, components, clients that send each other files (XEP-0065)"),
	STERNA_OPT(L, address, "::", NULL, "IPv4 or IPv6 address; '::' is all of both"),
	STERNA_OPT(L, port, "0", "0..65535", "0: the standard one: 5222, 5223 (direct), 5269, 5270 (direct), 5280, 5281 (direct), 5282 (API), 5283 (console), 5347, 7777"),
	STERNA_OPT(L, tls, "auto", "auto|starttls|direct|none", "auto: starttls for clients and servers, none for others"),
	STERNA_OPT(L, serves, "auto", "auto|all|web|monitoring|api|console",
		"of HTTP: what clients want, metrics and health, or both; the REST API or the console alone; auto: web with TLS, else all"),
	STERNA_OPT(L, proxy_protocol, NULL, NULL, "networks (10.0.0.0/8) of proxies that must send a PROXY header"),
	STERNA_OPT(L, backlog, "1024", "1..65535", "connections that may wait to be accepted"),
	{ 0 }
};

#define S struct config_storage
static const struct sterna_option storage_options[] = {
	STERNA_OPT(S, driver, "sqlite", "sqlite|postgresql", "the database"),
	STERNA_OPT(S, path, "sterna.db", NULL, "sqlite: its file; ':memory:' forgets all at the end"),
	STERNA_OPT(S, conninfo, NULL, NULL, "postgresql: libpq's connection string, several hosts allowed, without password"),
	STERNA_OPT(S, password, NULL, NULL, "postgresql: better '!file path' or ${NAME} than the password itself"),
	STERNA_OPT(S, password_file, NULL, NULL, "postgresql: a file that holds the password"),
	STERNA_OPT(S, connections, "1", "1..32", "postgresql: connections for reads, per worker; one more is for writes"),
	STERNA_OPT(S, queue, "64MiB", "1MiB..16GiB", "writes that may wait while the database is away, per worker"),
	STERNA_OPT(S, read_wait, "5s", "100ms..5m", "how long a read waits for a database that is away"),
	STERNA_OPT(S, answer_wait, "10s", "1s..10m", "postgresql: silence after which a connection counts as lost, and another host is tried"),
	STERNA_OPT(S, sync, "full", "full|normal", "sqlite: full survives a loss of power, normal a crash of the process"),
	STERNA_OPT(S, sql_dir, STERNA_SQL_DIR, NULL, "folder of the migrations"),
	{ 0 }
};

#define V struct config_server
static const struct sterna_option server_options[] = {
	STERNA_OPT(V, workers, "0", "0..256", "owners of accounts, and the most threads that serve; 0: one for each processor"),
	STERNA_OPT(V, user, NULL, NULL, "run as this user, once the ports are open"),
	STERNA_OPT(V, group, NULL, NULL, "run as this group; default: the user's"),
	STERNA_OPT(V, pid_file, NULL, NULL, "file for the process id"),
	STERNA_OPT(V, control, "control.sock", NULL, "socket for sternactl"),
	STERNA_OPT(V, module_dir, STERNA_MODULE_DIR, NULL, "folder of the modules"),
	STERNA_OPT(V, region, NULL, NULL, "name of the region that this server is in, as eu-west"),
	STERNA_OPT(V, shutdown_wait, "10s", "0..5m", "how long a stop waits for commits and for streams to close"),
	{ 0 }
};

#define M struct config_limits
static const struct sterna_option limit_options[] = {
	STERNA_OPT(M, stanza_bytes_before_auth, "10000", "10000..1MiB", "of one element before authentication (RFC 6120 §13.12)"),
	STERNA_OPT(M, stanza_bytes, "256KiB", "10000..16MiB", "of one stanza from a client"),
	STERNA_OPT(M, stanza_bytes_s2s, "512KiB", "10000..16MiB", "of one stanza from a server"),
	STERNA_OPT(M, stanza_bytes_component, "1MiB", "10000..16MiB", "of one stanza from a component"),
	STERNA_OPT(M, depth, "64", "8..128", "of elements within a stanza"),
	STERNA_OPT(M, attributes, "64", "16..1024", "of one element"),
	STERNA_OPT(M, namespaces, "32", "8..256", "declared by one element"),
	STERNA_OPT(M, elements, "4096", "64..65536", "within a stanza"),
	STERNA_OPT(M, name_bytes, "1024", "256..4096", "of a name, prefix or namespace"),
	STERNA_OPT(M, bytes_before_auth, "64KiB/s", NULL, "read from a connection before authentication"),
	STERNA_OPT(M, bytes, "4MiB/s", NULL, "read from a client; above that it is read more slowly"),
	STERNA_OPT(M, stanzas, "2000/s", NULL, "read from a client; above that it is read more slowly"),
	STERNA_OPT(M, bytes_s2s, "16MiB/s", NULL, "read from a server's stream"),
	STERNA_OPT(M, stanzas_s2s, "10000/s", NULL, "read from a server's stream"),
	STERNA_OPT(M, tls_time, "10s", "1s..5m", "for a TLS handshake"),
	STERNA_OPT(M, auth_time, "30s", "5s..5m", "from the connection to the end of authentication"),
	STERNA_OPT(M, bind_time, "30s", "5s..5m", "from authentication to a bound resource"),
	STERNA_OPT(M, idle_time, "10m", "30s..1d", "silence after which a client is asked for a sign of life"),
	STERNA_OPT(M, ping_time, "60s", "5s..10m", "for the answer to that"),
	STERNA_OPT(M, write_time, "60s", "5s..10m", "without progress of the output, then the connection is closed"),
	STERNA_OPT(M, connections, "100000", "16..10000000", "of the whole process; more are closed at once"),
	STERNA_OPT(M, connections_per_address, "100", "1..1000000", "of one address (IPv6: /64) that have not authenticated"),
	STERNA_OPT(M, authenticated_per_address, "20000", "1..10000000", "connections of one address after authentication"),
	STERNA_OPT(M, connects_per_address, "0", NULL, "new connections of one address"),
	STERNA_OPT(M, logins_per_address, "100/s", NULL, "tries to authenticate from one address; above that they wait (those by token are refused)"),
	STERNA_OPT(M, logins_at_once, "64", "1..10000",
		"logins of one worker that ask the database; the others wait in the order of their coming"),
	STERNA_OPT(M, registrations_per_address, "10/h", NULL, "accounts made from one address (XEP-0077)"),
	STERNA_OPT(M, login_failures_per_account, "60/m", NULL, "failed logins to one account; above that they are refused"),
	STERNA_OPT(M, isolations, "10000", "1..1000000", "addresses, accounts and servers that are kept out or throttled by command"),
	STERNA_OPT(M, throttled_logins, "2/m", NULL, "logins of an address or account that is throttled by command"),
	STERNA_OPT(M, auth_tries, "5", "1..100", "failed tries on one stream"),
	STERNA_OPT(M, memory, "0", "0..16TiB", "of the process; above 85 % new connections are refused; 0: the control group's limit"),
	STERNA_OPT(M, output_high, "1MiB", "64KiB..64MiB", "unsent output above which a connection is not read"),
	STERNA_OPT(M, output_max, "4MiB", "128KiB..256MiB", "unsent output at which a connection is closed"),
	STERNA_OPT(M, sessions_per_account, "20", "1..1000", "bound or resumable"),
	STERNA_OPT(M, roster_items, "5000", "1..100000", "of one account"),
	STERNA_OPT(M, offline_messages, "1000", "0..1000000", "kept for one account; more are answered with an error"),
	STERNA_OPT(M, uncommitted_stanzas, "1000", "1..100000", "of one connection that wait for a commit; then it is not read"),
	STERNA_OPT(M, sm_queue_count, "5000", "10..1000000", "stanzas that a client has not acknowledged"),
	STERNA_OPT(M, sm_queue_bytes, "2MiB", "64KiB..256MiB", "bytes of them"),
	STERNA_OPT(M, burst_count, "20000", "10..2000000",
		"stanzas that a client has asked for at once (the occupants of rooms that it enters) and has not taken; they count "
		"neither for sm_queue_count nor for output_max"),
	STERNA_OPT(M, burst_bytes, "32MiB", "1MiB..1GiB", "bytes of them"),
	STERNA_OPT(M, sm_resume_time, "1h", "0..7d", "how long a lost stream may be resumed"),
	STERNA_OPT(M, sm_ack_time, "60s", "5s..10m", "for the answer to a request for acknowledgement"),
	STERNA_OPT(M, sm_request_after, "20", "1..1000", "stanzas after which an acknowledgement is asked for"),
	STERNA_OPT(M, mailbox_stanzas, "65536", "64..10000000", "that wait for a worker"),
	{ 0 }
};

#define T struct config_tls
static const struct sterna_option tls_options[] = {
	STERNA_OPT(T, certificate, NULL, NULL, "for hosts that have none of their own, PEM with its chain"),
	STERNA_OPT(T, key, NULL, NULL, "its private key, PEM"),
	STERNA_OPT(T, minimum, "1.2", "1.2|1.3", "lowest version of TLS"),
	STERNA_OPT(T, ciphers, NULL, NULL, "OpenSSL's list for TLS 1.2; default: ECDHE with AEAD only"),
	STERNA_OPT(T, ciphersuites, NULL, NULL, "OpenSSL's list for TLS 1.3"),
	STERNA_OPT(T, groups, NULL, NULL, "OpenSSL's list of key exchange groups"),
	STERNA_OPT(T, authorities, NULL, NULL, "file of authorities trusted for servers and client certificates"),
	{ 0 }
};

#define MECHANISMS "SCRAM-SHA-512-PLUS|SCRAM-SHA-256-PLUS|SCRAM-SHA-1-PLUS|SCRAM-SHA-512|SCRAM-SHA-256|SCRAM-SHA-1|EXTERNAL"
#define A struct config_auth
static const struct sterna_option auth_options[] = {
	STERNA_OPT(A, mechanisms, "SCRAM-SHA-512-PLUS SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 "
		"SCRAM-SHA-1 EXTERNAL", MECHANISMS, "offered, best first"),
	STERNA_OPT(A, plain, "false", NULL, "offer PLAIN too: over TLS, the server sees the password"),
	STERNA_OPT(A, iterations, "10000", "4096..1000000", "of SCRAM, for passwords set from now on (RFC 7677 §4)"),
	STERNA_OPT(A, token_time, "21d", "10s..365d", "how long a token for quick logins lives (XEP-0484)"),
	STERNA_OPT(A, resource_conflict, "replace", "replace|rename|refuse", "a resource that is bound already (RFC 6120 §7.7.2.2)"),
	{ 0 }
};

#define CONFIG_TRUST_NAMES "none|dialback|pkix|dane|pinned"
#define R struct config_s2s
static const struct sterna_option s2s_options[] = {
	STERNA_OPT(R, enabled, "true", NULL, "talk to other servers"),
	STERNA_OPT(R, trust, "pkix", CONFIG_TRUST_NAMES, "what a server must show: dialback, whatever its certificate; a "
		"certificate that holds; one that DANE proves; one that a route pins; none: we do not talk to it"),
	STERNA_OPT(R, trust_of, NULL, CONFIG_TRUST_NAMES, "the same for single domains ('*.example': all below example)"),
	STERNA_OPT(R, connect_time, "30s", "1s..5m", "for one attempt to connect and authenticate"),
	STERNA_OPT(R, try_time, "4s", "500ms..1m", "for a connection to one address"),
	STERNA_OPT(R, idle_time, "10m", "10s..7d", "silence after which a stream is closed"),
	STERNA_OPT(R, stall_time, "10s", "2s..10m", "for the peer's system to confirm what was sent, else we connect anew"),
	STERNA_OPT(R, queue_time, "5m", "10s..7d", "how long a stanza waits for its server, then it bounces"),
	STERNA_OPT(R, resume_time, "5m", "0s..1h", "how long a stream of another server may be resumed after a cut; 0s: not at all"),
	STERNA_OPT(R, retry_time, "1m", "1s..1h", "longest pause between attempts"),
	STERNA_OPT(R, queue_bytes, "4MiB", "64KiB..1GiB", "that wait for one domain"),
	STERNA_OPT(R, queue_stanzas, "5000", "10..1000000", "that wait for one domain"),
	STERNA_OPT(R, connections, "5000", "1..100000", "to and from other servers"),
	STERNA_OPT(R, verifications, "32", "1..1000", "dialback keys that wait to be verified by one domain"),
	STERNA_OPT(R, allow, NULL, NULL, "talk to these domains only ('*.example': all below example)"),
	STERNA_OPT(R, deny, NULL, NULL, "never talk to these domains"),
	STERNA_OPT(R, peer_stanzas, "20000/s", NULL, "that one domain may send us, over all its streams; then they are held back"),
	STERNA_OPT(R, peer_bytes, "32MiB/s", NULL, "the same for bytes"),
	STERNA_OPT(R, peer_presence, "10000/s", NULL, "the same for presence"),
	STERNA_OPT(R, peer_joins, "3000/m", NULL, "the same for entries to rooms"),
	STERNA_OPT(R, peer_subscriptions, "600/m", NULL, "requests for subscriptions; more are refused"),
	STERNA_OPT(R, peer_factor, NULL, NULL, "domain ('*.example': all below example) and by how much its rates are larger; 0: no limit"),
	STERNA_OPT(R, isolate_after, "1000", "0..1000000", "offences of one domain, then nothing is taken from it or sent to it; 0: never"),
	STERNA_OPT(R, isolate_within, "10m", "10s..1d", "the time within which they count"),
	STERNA_OPT(R, isolate_time, "1h", "10s..365d", "how long it is isolated then"),
	STERNA_OPT(R, private_addresses, "false", NULL, "connect also to addresses that are not public"),
	{ 0 }
};

#define D struct config_dns
static const struct sterna_option dns_options[] = {
	STERNA_OPT(D, servers, NULL, NULL, "resolvers to ask, '192.0.2.53' or '192.0.2.53@5353'; none: those of /etc/resolv.conf"),
	STERNA_OPT(D, trust_anchor, NULL, NULL, "file with the root's DNSSEC key (Debian: /usr/share/dns/root.key); none: no DNSSEC"),
	STERNA_OPT(D, cache_time, "1h", "0s..7d", "longest time that an answer is kept"),
	STERNA_OPT(D, negative_time, "1m", "0s..1h", "longest time that it is kept that there is none"),
	{ 0 }
};

#define O struct config_route
static const struct sterna_option route_options[] = {
	STERNA_OPT(O, address, STERNA_REQUIRED, NULL, "IP address of its server; through a proxy also a name that the proxy knows"),
	STERNA_OPT(O, port, "0", "0..65535", "0: the standard one: 5269, 5270 (direct)"),
	STERNA_OPT(O, tls, "starttls", "starttls|direct", "how TLS begins"),
	STERNA_OPT(O, authorities, NULL, NULL, "file of authorities, PEM: only a certificate from these is taken"),
	STERNA_OPT(O, fingerprints, NULL, NULL, "SHA-256 of certificates, hexadecimal: only these are taken"),
	STERNA_OPT(O, bind, NULL, NULL, "IP address of ours to connect from"),
	STERNA_OPT(O, region, NULL, NULL, "name of the region that it leads to, of the same organisation"),
	STERNA_OPT(O, socks5, NULL, NULL, "IP address of a SOCKS5 proxy to go through"),
	STERNA_OPT(O, socks5_port, "1080", "1..65535", "its port"),
	STERNA_OPT(O, socks5_user, NULL, NULL, "what the proxy knows us by"),
	STERNA_OPT(O, socks5_password, NULL, NULL, "for that; better '!file path' than the secret itself"),
	{ 0 }
};

#define W struct config_http
static const struct sterna_option http_options[] = {
	STERNA_OPT(W, header_bytes, "16KiB", "1KiB..1MiB", "request line and headers together"),
	STERNA_OPT(W, body_bytes, "1MiB", "0..64MiB", "body of a request (uploads have a limit of their own)"),
	STERNA_OPT(W, request_time, "30s", "1s..10m", "for a request, from connection or previous answer to its end"),
	STERNA_OPT(W, connections, "1000", "1..1000000", "open at once and no WebSocket; more wait to be accepted"),
	STERNA_OPT(W, websocket, "/xmpp-websocket", NULL, "path of WebSocket (RFC 7395); '' to not offer it"),
	STERNA_OPT(W, bosh, "/http-bind", NULL, "path of BOSH (XEP-0206); '' to not offer it"),
	STERNA_OPT(W, url, NULL, NULL, "how clients reach the listener through a proxy, as https://{host}; {host}: the domain"),
	STERNA_OPT(W, origins, "*", NULL, "web pages that may connect (https://chat.example.org); '*': all"),
	STERNA_OPT(W, proxies, NULL, NULL, "networks (10.0.0.0/8) of proxies that say for whom they ask"),
	STERNA_OPT(W, forwarded, "x-forwarded", "x-forwarded|forwarded", "in which headers they do: X-Forwarded-For, or Forwarded"),
	STERNA_OPT(W, plain, "false", NULL, "let clients log in without TLS; without this only from this machine"),
	STERNA_OPT(W, bosh_wait, "60s", "1s..10m", "how long a BOSH request may wait for something to say"),
	STERNA_OPT(W, bosh_inactivity, "60s", "5s..10m", "without a request, then the connection counts as lost"),
	STERNA_OPT(W, bosh_polling, "5s", "1s..1m", "shortest pause between requests that ask for nothing"),
	STERNA_OPT(W, bosh_sessions, "20000", "1..1000000", "of the whole process"),
	{ 0 }
};

#define B struct config_bytestreams
static const struct sterna_option bytestream_options[] = {
	STERNA_OPT(B, connections, "2000", "2..1000000", "open at once, joined or not; more are closed"),
	STERNA_OPT(B, streams, "500", "1..500000", "joined at once"),
	STERNA_OPT(B, streams_per_account, "10", "1..10000", "of them, those that one account has joined"),
	STERNA_OPT(B, bytes, "4MiB/s", NULL, "in each direction of one stream; above that it is read more slowly"),
	STERNA_OPT(B, wait_time, "60s", "1s..10m", "for the other side, and to be joined"),
	STERNA_OPT(B, idle_time, "5m", "1s..1d", "without a byte either way, then it ends"),
	STERNA_OPT(B, time, "6h", "1s..30d", "that a stream may take"),
	{ 0 }
};

#define I struct config_api
static const struct sterna_option api_options[] = {
	STERNA_OPT(I, body_bytes, "64KiB", "1KiB..16MiB", "body of a request"),
	STERNA_OPT(I, token_time, "90d", "1h..3650d", "the longest time that a token is good for"),
	STERNA_OPT(I, page, "100", "1..10000", "rows of a long result that are given at once, if the asker does not say"),
	STERNA_OPT(I, authorities, NULL, NULL, "file of authorities, PEM: only clients with a certificate from these may ask"),
	{ 0 }
};

#define Y struct config_approval
static const struct sterna_option approval_options[] = {
	STERNA_OPT(Y, commands, NULL, NULL, "names of commands (user delete) that run when a second administrator has approved them"),
	STERNA_OPT(Y, time, "1d", "1m..30d", "how long they wait for that"),
	STERNA_OPT(Y, pending, "100", "1..10000", "that may wait at once"),
	{ 0 }
};

#define X struct config_console
static const struct sterna_option console_options[] = {
	STERNA_OPT(X, folder, STERNA_DATA_DIR "/console", NULL, "where the page's files lie"),
	{ 0 }
};

#define G struct config_log
static const struct sterna_option log_options[] = {
	STERNA_OPT(G, level, "info", LOG_LEVELS, "the least important that is written"),
	STERNA_OPT(G, format, "auto", LOG_FORMATS, "auto: text on a terminal, else JSON lines"),
	STERNA_OPT(G, file, NULL, NULL, "path, 'stderr' or 'stdout'; default stderr; opened anew on SIGHUP"),
	STERNA_OPT(G, components, NULL, LOG_LEVELS, "levels of single components"),
	{ 0 }
};

#define C struct config_component
static const struct sterna_option component_options[] = {
	STERNA_OPT(C, secret, STERNA_REQUIRED, NULL, "shared with the component; better '!file path' than the secret itself"),
	STERNA_OPT(C, any_sender, "false", NULL, "let it send from addresses of our hosts"),
	{ 0 }
};

#define Q struct config_admin
static const struct sterna_option admin_options[] = {
	STERNA_OPT(Q, role, STERNA_REQUIRED, "owner|admin|operator|auditor|support", "what they may do: docs/administration.md"),
	STERNA_OPT(Q, hosts, NULL, NULL, "on these of our domains; default: on all"),
	{ 0 }
};

#define K struct config
const struct sterna_option config_options[] = {
	STERNA_OPT_MAP(K, hosts, struct config_host, domain, host_options, "our domains"),
	STERNA_OPT_LIST(K, listen, struct config_listen, listen_options, "where connections come in"),
	STERNA_OPT_SECTION(K, storage, storage_options, "the database"),
	STERNA_OPT_SECTION(K, server, server_options, "the process"),
	STERNA_OPT_SECTION(K, limits, limit_options, "what is too much"),
	STERNA_OPT_SECTION(K, tls, tls_options, "TLS for all hosts"),
	STERNA_OPT_SECTION(K, auth, auth_options, "how clients authenticate"),
	STERNA_OPT_SECTION(K, s2s, s2s_options, "other servers"),
	STERNA_OPT_SECTION(K, dns, dns_options, "how other servers are looked up"),
	STERNA_OPT_MAP(K, routes, struct config_route, domain, route_options, "fixed ways to other servers"),
	STERNA_OPT(K, residency, NULL, NULL, "address, domain or '*.example' (all below example), and the region that its data stay in"),
	STERNA_OPT_SECTION(K, http, http_options, "HTTP: WebSocket, BOSH and what modules serve"),
	STERNA_OPT_SECTION(K, bytestreams, bytestream_options, "the relay for files between clients, on listeners of that kind"),
	STERNA_OPT_SECTION(K, api, api_options, "the REST API, on listeners that serve it"),
	STERNA_OPT_SECTION(K, approval, approval_options, "commands that want a second administrator"),
	STERNA_OPT_SECTION(K, console, console_options, "the administrators' page, on listeners that serve it"),
	STERNA_OPT_SECTION(K, log, log_options, "the log"),
	STERNA_OPT_MAP(K, components, struct config_component, domain, component_options, "external components (XEP-0114)"),
	STERNA_OPT_MAP(K, admins, struct config_admin, jid, admin_options, "who may administer, from a client"),
	STERNA_OPT(K, modules, NULL, NULL, "options of modules; names more than the usual ones, 'NAME: off' leaves one out, 'usual: off' all that are not named"),
	{ 0 }
};

const struct config_node *config_nth(const struct config_node *list, size_t index)
{
	const struct config_node *n = list != NULL ? list->first : NULL;

	while (n != NULL && index-- > 0)
		n = n->next;
	return n;
}

/* The node of a key if it is there, else of its section. */
const struct config_node *config_blame(const struct config_node *section, const char *key)
{
	const struct config_node *n = config_child(section, key);

	return n != NULL ? n : section;
}

/* Shape only (RFC 7622 §3.2); what IDNA says is found when the host starts. Domains come in lower case. */
static bool domain_is_plausible(const char *s)
{
	const size_t len = strlen(s);

	if (len == 0 || len > 255 || s[0] == '.' || s[len - 1] == '.' || strstr(s, "..") != NULL)
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("@/'\"&<>:\\", *s) != NULL || (*s >= 'A' && *s <= 'Z'))
			return false;
	return true;
}

enum sterna_result config_check_domains(const struct config_node *map, struct config_error *err)
{
	for (const struct config_node *n = map != NULL ? map->first : NULL; n != NULL; n = n->next)
		if (!domain_is_plausible(n->key))
			return config_fail(err, n, true, "'%.80s' is no domain; write it as 'example.org', in lower case", n->key);
	return STERNA_OK;
}

static enum sterna_result check_hosts(struct config *c, struct config_error *err)
{
	const struct config_node *map = config_child(c->root, "hosts"), *n;
	struct config_host *hosts = c->hosts.item;

	if (c->hosts.count == 0)
		return config_fail(err, map != NULL ? map : c->root, true, "hosts needs at least one domain");
	for (size_t i = 0; i < c->hosts.count; i++) {
		n = config_nth(map, i);
		if ((hosts[i].certificate == NULL) != (hosts[i].key == NULL))
			return config_fail(err, n, true, "hosts.%s needs both 'certificate' and 'key', or neither", hosts[i].domain);
		hosts[i].certificate = config_file(c, c->arena, hosts[i].certificate);
		hosts[i].key = config_file(c, c->arena, hosts[i].key);
	}
	return config_check_domains(map, err);
}

static enum sterna_result check_listener(struct config_listen *l, const struct config_node *n, struct config_error *err)
{
	static const unsigned ports[][2] = { { 5222, 5223 }, { 5269, 5270 }, { 5280, 5281 }, { 5347, 5347 },
		{ 7777, 7777 } };
	const bool xmpp = l->kind == CONFIG_C2S || l->kind == CONFIG_S2S;
	struct ip ip;
	struct cidr network;

	if (l->tls == CONFIG_TLS_AUTO)
		l->tls = xmpp ? CONFIG_TLS_STARTTLS : CONFIG_TLS_NONE;
	if (xmpp && l->tls == CONFIG_TLS_NONE)
		return config_fail(err, config_blame(n, "tls"), false, "clients and servers need TLS; write 'starttls' or 'direct'");
	if (!xmpp && l->tls == CONFIG_TLS_STARTTLS)
		return config_fail(err, config_blame(n, "tls"), false, "there is no STARTTLS here; write 'direct' or 'none'");
	if (l->kind == CONFIG_COMPONENT && l->tls != CONFIG_TLS_NONE)
		return config_fail(err, config_blame(n, "tls"), false, "components connect without TLS (XEP-0114); write 'none'");
	if (l->kind == CONFIG_BYTESTREAMS && l->tls != CONFIG_TLS_NONE)
		return config_fail(err, config_blame(n, "tls"), false, "bytestreams have no TLS (XEP-0065); write 'none'");
	if (l->serves == CONFIG_SERVES_AUTO)
		l->serves = l->tls == CONFIG_TLS_DIRECT ? CONFIG_SERVES_WEB : CONFIG_SERVES_ALL;
	if (l->port == 0)
		l->port = l->serves == CONFIG_SERVES_API ? 5282 : l->serves == CONFIG_SERVES_CONSOLE ? 5283 : ports[l->kind][l->tls == CONFIG_TLS_DIRECT];
	if (l->address == NULL || ip_parse(l->address, &ip) != STERNA_OK)
		return config_fail(err, config_blame(n, "address"), false, "'%.80s' is no IP address; write 127.0.0.1 or \"::1\"",
			l->address != NULL ? l->address : "");
	for (size_t i = 0; i < l->proxy_protocol.count; i++)
		if (cidr_parse(l->proxy_protocol.item[i], &network) != STERNA_OK)
			return config_fail(err, config_blame(n, "proxy_protocol"), false,
				"'%.80s' is no network; write it as 10.0.0.0/8, with zeros behind the prefix",
				l->proxy_protocol.item[i]);
	return STERNA_OK;
}

static enum sterna_result check_listen(struct config *c, struct config_error *err)
{
	const struct config_node *list = config_child(c->root, "listen");
	struct config_listen *l = c->listen.item;
	enum sterna_result rc = STERNA_OK;

	for (size_t i = 0; rc == STERNA_OK && i < c->listen.count; i++) {
		rc = check_listener(&l[i], config_nth(list, i), err);
		for (size_t j = 0; rc == STERNA_OK && j < i; j++)
			if (l[j].port == l[i].port && strcmp(l[j].address, l[i].address) == 0)
				rc = config_fail(err, config_nth(list, i), false, "listen[%zu] has the same address and port", j);
	}
	return rc;
}

/* password_file: read like a value with !file, with the same limits and messages. */
static enum sterna_result read_password(struct config *c, const struct config_node *n, struct config_error *err)
{
	struct config_storage *s = &c->storage;
	struct config_error inner;
	struct config_node *tree;
	char *text, *quoted = xalloc(2 * strlen(s->password_file) + 1), *q = quoted;
	enum sterna_result rc;

	for (const char *p = s->password_file; *p != '\0'; p++) {
		*q++ = *p;
		if (*p == '\'')
			*q++ = '\'';
	}
	text = xasprintf("!file '%s'", quoted);
	rc = config_read_text(c->arena, text, strlen(text), c->path, c->dir, &tree, &inner);
	if (rc == STERNA_OK)
		s->password = tree->text;
	else
		rc = config_fail(err, n, false, "%s", inner.message);
	free(text);
	free(quoted);
	return rc;
}

static enum sterna_result check_storage(struct config *c, struct config_error *err)
{
	const struct config_node *n = config_child(c->root, "storage");
	struct config_storage *s = &c->storage;

	if (s->driver == CONFIG_POSTGRESQL && s->conninfo == NULL)
		return config_fail(err, n, true, "storage needs 'conninfo' for postgresql, as 'host=db.example dbname=sterna user=sterna'");
	if (s->conninfo != NULL && strstr(s->conninfo, "password") != NULL)
		return config_fail(err, config_blame(n, "conninfo"), false, "conninfo must not hold the password; use 'password: !file path'");
	if (s->password != NULL && s->password_file != NULL)
		return config_fail(err, config_blame(n, "password_file"), true, "'password' and 'password_file' exclude each other");
	if (s->path == NULL)
		return config_fail(err, config_blame(n, "path"), true, "storage needs 'path'");
	if (strcmp(s->path, ":memory:") != 0)
		s->path = config_file(c, c->arena, s->path);
	s->sql_dir = config_file(c, c->arena, s->sql_dir);
	return s->password_file != NULL ? read_password(c, config_blame(n, "password_file"), err) : STERNA_OK;
}

static enum sterna_result check_limits(struct config *c, struct config_error *err)
{
	const struct config_node *n = config_child(c->root, "limits");
	const struct config_limits *l = &c->limits;

	if (l->stanza_bytes_before_auth.bytes > l->stanza_bytes.bytes)
		return config_fail(err, config_blame(n, "stanza_bytes_before_auth"), false,
			"stanza_bytes_before_auth must not be larger than stanza_bytes");
	if (l->output_high.bytes > l->output_max.bytes)
		return config_fail(err, config_blame(n, "output_high"), false, "output_high must not be larger than output_max");
	if (l->stanza_bytes.bytes > l->output_max.bytes)
		return config_fail(err, config_blame(n, "stanza_bytes"), false, "stanza_bytes must not be larger than output_max");
	if (l->connections_per_address > l->connections)
		return config_fail(err, config_blame(n, "connections_per_address"), false,
			"connections_per_address must not be larger than connections");
	return STERNA_OK;
}

/* To try things out: browsers trust their own machine without TLS. */
static bool is_here(const char *url)
{
	return strncmp(url, "http://localhost:", 17) == 0 || strncmp(url, "http://127.0.0.1:", 17) == 0;
}

static enum sterna_result check_http(struct config *c, struct config_error *err)
{
	const struct config_node *n = config_child(c->root, "http");
	const struct config_http *h = &c->http;
	struct cidr network;

	for (size_t i = 0; i < h->proxies.count; i++)
		if (cidr_parse(h->proxies.item[i], &network) != STERNA_OK)
			return config_fail(err, config_blame(n, "proxies"), false,
				"'%.80s' is no network; write it as 10.0.0.0/8, with zeros behind the prefix", h->proxies.item[i]);
	if (*h->websocket != '\0' && *h->websocket != '/')
		return config_fail(err, config_blame(n, "websocket"), false, "a path begins with '/'");
	if (*h->bosh != '\0' && *h->bosh != '/')
		return config_fail(err, config_blame(n, "bosh"), false, "a path begins with '/'");
	if (*h->bosh != '\0' && strcmp(h->bosh, h->websocket) == 0)
		return config_fail(err, config_blame(n, "bosh"), false, "websocket has this path");
	if (h->url != NULL && strncmp(h->url, "https://", 8) != 0 && !is_here(h->url))
		return config_fail(err, config_blame(n, "url"), false, "clients come over TLS; write it as https://{host}");
	return STERNA_OK;
}

static enum sterna_result check_rest(struct config *c, struct config_error *err)
{
	const struct config_node *tls = config_child(c->root, "tls"), *auth = config_child(c->root, "auth");
	const struct config_component *components = c->components.item;
	struct config_log *log = &c->log;

	if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
		return config_fail(err, tls, true, "tls needs both 'certificate' and 'key', or neither");
	if (c->auth.mechanisms.count == 0 && !c->auth.plain)
		return config_fail(err, config_blame(auth, "mechanisms"), true, "auth needs at least one mechanism");
	for (size_t i = 0; i < c->components.count; i++)
		if (components[i].secret == NULL || *components[i].secret == '\0')
			return config_fail(err, config_nth(config_child(c->root, "components"), i), true,
				"components.%s needs a secret that is not empty", components[i].domain);
	c->tls.certificate = config_file(c, c->arena, c->tls.certificate);
	c->tls.key = config_file(c, c->arena, c->tls.key);
	c->tls.authorities = config_file(c, c->arena, c->tls.authorities);
	c->api.authorities = config_file(c, c->arena, c->api.authorities);
	c->console.folder = config_file(c, c->arena, c->console.folder);
	c->server.pid_file = config_file(c, c->arena, c->server.pid_file);
	c->server.control = config_file(c, c->arena, c->server.control);
	c->server.module_dir = config_file(c, c->arena, c->server.module_dir);
	if (log->file != NULL && strcmp(log->file, "stderr") != 0 && strcmp(log->file, "stdout") != 0)
		log->file = config_file(c, c->arena, log->file);
	return config_check_domains(config_child(c->root, "components"), err);
}

/* A name that is compared as it stands must be in normal form, and ours: nobody else has proven who they are. */
static enum sterna_result check_admins(struct config *c, struct config_error *err)
{
	const struct config_node *map = config_child(c->root, "admins");

	for (size_t i = 0; i < c->admins.count; i++) {
		const struct config_admin *a = &config_admins(c)[i];
		struct jid *j = NULL;
		const bool ok = jid_parse(a->jid, strlen(a->jid), &j) == STERNA_OK && jid_local(j) != NULL
			&& jid_resource(j) == NULL && strcmp(jid_full(j), a->jid) == 0 && config_host(c, jid_domain(j)) != NULL;

		jid_unref(&j);
		if (!ok)
			return config_fail(err, config_nth(map, i), true, "admins: '%.80s' is no account of a host of ours; write it as "
				"'juliet@example.org', in lower case", a->jid);
		for (size_t k = 0; k < a->hosts.count; k++)
			if (config_host(c, a->hosts.item[k]) == NULL)
				return config_fail(err, config_nth(map, i), true, "admins.%.80s: '%.80s' is none of the hosts", a->jid,
					a->hosts.item[k]);
	}
	return STERNA_OK;
}

static struct config *config_new(const char *path, const char *dir)
{
	struct config *c = xalloc(sizeof *c);

	c->refs = 1;
	c->arena = arena_new(16384);
	c->path = arena_strndup(c->arena, path, strlen(path));
	c->dir = arena_strndup(c->arena, dir, strlen(dir));
	return c;
}

static enum sterna_result finish(struct config *c, enum sterna_result rc, struct config_node *root, struct config **out,
	struct config_error *err)
{
	if (rc == STERNA_OK) {
		rc = options_apply(config_options, root, c->arena, c, err);
		c->root = root;
	}
	rc = rc == STERNA_OK ? check_hosts(c, err) : rc;
	rc = rc == STERNA_OK ? check_listen(c, err) : rc;
	rc = rc == STERNA_OK ? check_storage(c, err) : rc;
	rc = rc == STERNA_OK ? check_limits(c, err) : rc;
	rc = rc == STERNA_OK ? config_check_s2s(c, err) : rc;
	rc = rc == STERNA_OK ? config_check_regions(c, err) : rc;
	rc = rc == STERNA_OK ? check_admins(c, err) : rc;
	rc = rc == STERNA_OK ? check_http(c, err) : rc;
	rc = rc == STERNA_OK ? check_rest(c, err) : rc;
	if (rc == STERNA_OK)
		*out = c;
	else
		config_unref(&c);
	return rc;
}

enum sterna_result config_load_text(const char *text, size_t len, const char *name, const char *dir, struct config **out,
	struct config_error *err)
{
	struct config *c = config_new(name, dir);
	struct config_node *root = NULL;
	const enum sterna_result rc = config_read_text(c->arena, text, len, name, dir, &root, err);

	return finish(c, rc, root, out, err);
}

enum sterna_result config_load(const char *path, struct config **out, struct config_error *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	struct config *c = config_new(path, dir);
	struct config_node *root = NULL;
	const enum sterna_result rc = config_read(c->arena, path, &root, err);

	free(dir);
	return finish(c, rc, root, out, err);
}

struct config *config_ref(struct config *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void config_unref(struct config **c)
{
	if (*c != NULL && __atomic_sub_fetch(&(*c)->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		arena_free(&(*c)->arena);
		free(*c);
	}
	*c = NULL;
}

char *config_error_text(const struct config_error *err, char *out, size_t size)
{
	if (err->line == 0)
		snprintf(out, size, "%s: %s", err->file, err->message);
	else
		snprintf(out, size, "%s:%u:%u: %s", err->file, err->line, err->column, err->message);
	return out;
}

const struct config_node *config_section(const struct config *c, const char *part, const char *name)
{
	const struct config_node *n = config_child(c->root, part);
	bool on;

	if (name == NULL)
		return n;
	n = config_child(n, name);
	/* `time: on`: as it comes */
	return n != NULL && n->kind == CONFIG_SCALAR && n->plain && option_parse_bool(n->text, &on) && on ? NULL : n;
}

const struct config_host *config_host(const struct config *c, const char *domain)
{
	const struct config_host *hosts = config_hosts(c);

	for (size_t i = 0; i < c->hosts.count; i++)
		if (strcmp(hosts[i].domain, domain) == 0)
			return &hosts[i];
	return NULL;
}

const char *config_file(const struct config *c, struct arena *a, const char *path)
{
	size_t dir = strlen(c->dir), len;
	char *full;

	if (path == NULL || *path == '/')
		return path;
	len = strlen(path);
	full = arena_alloc(a, dir + 1 + len + 1);
	memcpy(full, c->dir, dir);
	full[dir] = '/';
	memcpy(full + dir + 1, path, len + 1);
	return full;
}

void config_diff(const struct config *before, const struct config *after, void (*fn)(void *arg, const char *path),
	void *arg)
{
	config_node_diff(before->root, after->root, fn, arg);
}

struct xml_limits config_xml_limits(const struct config_limits *l, struct sterna_size stanza_bytes)
{
	return (struct xml_limits){ .stanza_bytes = stanza_bytes.bytes, .depth = l->depth, .attributes = l->attributes,
		.namespaces = l->namespaces, .elements = l->elements, .name_bytes = l->name_bytes };
}

enum sterna_result config_apply_log(const struct config_log *l)
{
	const struct log_options o = { (enum log_level)l->level, (enum log_format)l->format, l->file };
	enum log_level level = LOG_LEVEL_INFO;

	if (log_open(&o) != STERNA_OK)
		return STERNA_EIO;
	log_clear_level(NULL);
	for (size_t i = 0; i < l->components.count; i++)
		if (log_level_parse(l->components.value[i], &level) && log_set_level(l->components.key[i], level) != STERNA_OK)
			log_warning("log", "no level for this component: too many, or its name is too long", "name",
				l->components.key[i]);
	return STERNA_OK;
}
