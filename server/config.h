/* config.h - sterna.yaml: the core's part as structs, the rest as nodes for whoever knows it.
 *
 *     hosts:                    # our domains
 *       example.org: { certificate: tls/example.org.crt, key: tls/example.org.key }
 *     listen:
 *       - { kind: c2s }                                            # port 5222, STARTTLS
 *       - { kind: c2s, tls: direct }                               # port 5223
 *       - { kind: s2s }                                            # port 5269
 *       - { kind: http, address: 127.0.0.1, port: 5280 }
 *       - { kind: component, address: 127.0.0.1 }                  # port 5347
 *       - { kind: bytestreams }                                    # port 7777
 *     storage: { driver: sqlite, path: sterna.db }
 *     server: { workers: 0, control: control.sock }
 *     limits: { sessions_per_account: 20, offline_messages: 1000 }
 *     tls: { minimum: "1.2" }
 *     auth: { mechanisms: [SCRAM-SHA-256-PLUS, SCRAM-SHA-256] }
 *     s2s: { enabled: true }
 *     routes: { other.example: { address: 192.0.2.1, tls: direct } }
 *     http: { origins: ["https://chat.example.org"] }
 *     log: { level: info, components: { tls: debug } }
 *     components: { gateway.example.org: { secret: !file gateway.secret } }
 *     modules: { time: { utc_only: true }, last: off, motd: {} }   # the usual ones, but for last, and motd
 *
 * The tables in config.c have every key with its default and meaning; `sternactl manual` prints them. How values
 * are written is in option.h, what a value may refer to in config_node.h. Relative paths begin at the folder of
 * the file; here they are already joined with it.
 * Threads: a config does not change; it lives until the last config_unref(). */
#ifndef STERNA_CONFIG_H
#define STERNA_CONFIG_H

/* A file in this folder that asks for "config.h" gets this one: give it autoconf's too. */
#include <config.h>

#include "server/config_node.h"
#include "server/log.h"
#include "server/option.h"
#include "server/xml.h"

struct config_host {
	const char *domain;
	const char *certificate, *key;          /* PEM files; NULL: none of its own, tls.certificate is used */
	bool anonymous;                         /* SASL ANONYMOUS */
	bool invitations;                       /* with a token of an invitation (XEP-0445) */
	bool registration_approval;             /* … which an administrator has to approve */
	struct sterna_pairs questions;          /* asked then, and good answers with | between them */
	bool registration;                      /* in-band registration of accounts (XEP-0077) */
};

enum config_listen_kind { CONFIG_C2S, CONFIG_S2S, CONFIG_HTTP, CONFIG_COMPONENT, CONFIG_BYTESTREAMS };
enum config_serves { CONFIG_SERVES_AUTO, CONFIG_SERVES_ALL, CONFIG_SERVES_WEB, CONFIG_SERVES_MONITORING,
	CONFIG_SERVES_API, CONFIG_SERVES_CONSOLE }; /* auto: never after loading */
enum config_tls_mode { CONFIG_TLS_AUTO, CONFIG_TLS_STARTTLS, CONFIG_TLS_DIRECT, CONFIG_TLS_NONE }; /* auto: never after loading */
struct config_listen {
	unsigned kind;                          /* enum config_listen_kind */
	const char *address;
	unsigned port;                          /* never 0 after loading */
	unsigned tls;                           /* enum config_tls_mode */
	unsigned serves;                        /* enum config_serves, of HTTP */
	struct sterna_list proxy_protocol;      /* CIDRs of proxies whose PROXY header is believed */
	unsigned backlog;
};

enum config_driver { CONFIG_SQLITE, CONFIG_POSTGRESQL };
struct config_storage {
	unsigned driver;                        /* enum config_driver */
	const char *path;
	const char *conninfo, *password, *password_file; /* password_file is already read into password */
	unsigned connections;
	struct sterna_size queue;
	struct sterna_duration read_wait, answer_wait;
	const char *sync;
	const char *sql_dir;
};

struct config_server {
	unsigned workers;                       /* 0: as many as processors */
	const char *user, *group;
	const char *pid_file, *control;
	const char *module_dir;
	const char *region;                     /* its name; NULL: there are no regions */
	struct sterna_duration shutdown_wait;
};

struct config_limits {
	/* a stream's input */
	struct sterna_size stanza_bytes_before_auth, stanza_bytes, stanza_bytes_s2s, stanza_bytes_component;
	unsigned depth, attributes, namespaces, elements, name_bytes;
	struct sterna_rate bytes_before_auth, bytes, stanzas, bytes_s2s, stanzas_s2s;
	/* time */
	struct sterna_duration tls_time, auth_time, bind_time, idle_time, ping_time, write_time;
	/* connections */
	unsigned connections, connections_per_address, authenticated_per_address;
	struct sterna_rate connects_per_address, logins_per_address, login_failures_per_account;
	struct sterna_rate registrations_per_address;
	struct sterna_rate throttled_logins;
	unsigned isolations;
	unsigned auth_tries;
	/* output */
	struct sterna_size output_high, output_max, memory;
	/* an account */
	unsigned logins_at_once, sessions_per_account, roster_items, offline_messages;
	unsigned uncommitted_stanzas;
	/* stream management (XEP-0198) */
	unsigned sm_queue_count, burst_count;
	struct sterna_size sm_queue_bytes, burst_bytes;
	struct sterna_duration sm_resume_time, sm_ack_time;
	unsigned sm_request_after;
	/* between workers */
	unsigned mailbox_stanzas;
};

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };
struct config_tls {
	const char *certificate, *key;
	unsigned minimum;                       /* enum config_tls_version */
	const char *ciphers, *ciphersuites, *groups;
	const char *authorities;                /* file of CA certificates; NULL: the system's */
};

struct config_auth {
	struct sterna_list mechanisms;
	bool plain;
	unsigned iterations;
	struct sterna_duration token_time;
	const char *resource_conflict;          /* "replace", "rename", "refuse" */
};

/** What a peer must show (S2S_TRUST_NAMES in this order). */
enum config_trust { CONFIG_TRUST_NONE, CONFIG_TRUST_DIALBACK, CONFIG_TRUST_PKIX, CONFIG_TRUST_DANE, CONFIG_TRUST_PINNED };
/** What another domain may send us: budgets, as indices. */
enum config_budget { CONFIG_BUDGET_STANZAS, CONFIG_BUDGET_BYTES, CONFIG_BUDGET_PRESENCE, CONFIG_BUDGET_SUBSCRIPTIONS,
	CONFIG_BUDGET_JOINS };

struct config_s2s {
	bool enabled;
	unsigned trust;                         /* enum config_trust */
	struct sterna_pairs trust_of;           /* domain ("*.example": all below), level */
	struct sterna_duration connect_time, try_time, idle_time, stall_time, queue_time, retry_time, resume_time;
	struct sterna_size queue_bytes;
	unsigned queue_stanzas, connections, verifications;
	struct sterna_rate peer_stanzas, peer_bytes, peer_presence, peer_subscriptions, peer_joins;
	struct sterna_pairs peer_factor;        /* domain, whole number: times the rates above; 0: no limit */
	unsigned isolate_after;                 /* offences; 0: never */
	struct sterna_duration isolate_within, isolate_time;
	struct sterna_list allow, deny;         /* domains; "*.example" for all below */
	bool private_addresses;
};

struct config_dns {
	struct sterna_list servers;             /* "192.0.2.53" or "192.0.2.53@5353"; none: /etc/resolv.conf */
	const char *trust_anchor;               /* file; NULL: no DNSSEC */
	struct sterna_duration cache_time, negative_time;
};

/** A static route to a domain: no look-up, a peer that is pinned if 'authorities' or 'fingerprints' are given. */
enum config_route_tls { CONFIG_ROUTE_STARTTLS, CONFIG_ROUTE_DIRECT };
struct config_route {
	const char *domain;
	const char *address;                    /* IP address */
	unsigned port;                          /* never 0 after loading */
	unsigned tls;                           /* enum config_route_tls */
	const char *authorities;                /* file of CA certificates that its chain must lead to */
	struct sterna_list fingerprints;        /* SHA-256 of its certificate, hexadecimal, colons allowed */
	const char *bind;                       /* our address to connect from; NULL: any */
	const char *region;                     /* that it leads to; NULL: none */
	const char *socks5;                     /* IP address of a proxy; NULL: none, and address is one too */
	unsigned socks5_port;
	const char *socks5_user, *socks5_password; /* NULL: none */
};

enum config_forwarded { CONFIG_X_FORWARDED, CONFIG_FORWARDED };
struct config_http {
	struct sterna_size header_bytes, body_bytes;
	struct sterna_duration request_time;
	unsigned connections;
	const char *websocket, *bosh;           /* paths; "": not offered */
	const char *url;                        /* how clients reach the listener; NULL: as it listens */
	struct sterna_list origins;             /* "*": any */
	struct sterna_list proxies;             /* CIDRs whose headers are believed */
	unsigned forwarded;                     /* enum config_forwarded */
	bool plain;
	struct sterna_duration bosh_wait, bosh_inactivity, bosh_polling;
	unsigned bosh_sessions;
};

/** Listeners of kind bytestreams (bytestream.h). */
struct config_bytestreams {
	unsigned connections, streams, streams_per_account;
	struct sterna_rate bytes;
	struct sterna_duration wait_time, idle_time, time;
};

/** Listeners that serve the API (rest.h). */
struct config_api {
	struct sterna_size body_bytes;
	struct sterna_duration token_time;      /* the longest that a token is good for */
	unsigned page;                          /* rows of a result, where the asker does not say how many */
	const char *authorities;                /* file of those that sign clients' certificates; NULL: none is asked for */
};

/** The page of listeners that serve the console (console.h). */
struct config_console {
	const char *folder;
};

/** Commands that want a second administrator (approval.h). */
struct config_approval {
	struct sterna_list commands;            /* their names */
	struct sterna_duration time;
	unsigned pending;
};

struct config_log {
	unsigned level;                         /* enum log_level */
	unsigned format;                        /* enum log_format */
	const char *file;
	struct sterna_pairs components;
};

struct config_component {
	const char *domain;
	const char *secret;
	bool any_sender;                        /* may send from any address below its own domain and our hosts */
};

struct config_admin {
	const char *jid;                        /* bare, in normal form */
	const char *role;                       /* "owner", "admin", "operator", "auditor", "support" */
	struct sterna_list hosts;               /* none: all */
};

struct config {
	struct sterna_array hosts;              /* of struct config_host */
	struct sterna_array listen;             /* of struct config_listen */
	struct config_storage storage;
	struct config_server server;
	struct config_limits limits;
	struct config_tls tls;
	struct config_auth auth;
	struct config_s2s s2s;
	struct config_dns dns;
	struct sterna_array routes;             /* of struct config_route */
	struct sterna_pairs residency;          /* address, domain or "*.example", and the region that its data stay in */
	struct config_http http;
	struct config_bytestreams bytestreams;
	struct config_api api;
	struct config_approval approval;
	struct config_console console;
	struct config_log log;
	struct sterna_array components;         /* of struct config_component */
	struct sterna_array admins;             /* of struct config_admin */
	const struct config_node *modules;      /* a map, or NULL */
	/* below: config.c's own */
	const struct config_node *root;
	struct arena *arena;
	const char *path, *dir;
	unsigned refs;                          /* atomic */
};

/** The table of the whole, for the manual. */
extern const struct sterna_option config_options[];

/** Read, check and complete a configuration.
 *  @param[out] out  new on STERNA_OK, give it back with config_unref()
 *  @return STERNA_EIO the file cannot be read; STERNA_EINVAL something in it is wrong; err has the details */
enum sterna_result config_load(const char *path, struct config **out, struct config_error *err) STERNA_CHECKED;
enum sterna_result config_load_text(const char *text, size_t len, const char *name, const char *dir,
	struct config **out, struct config_error *err) STERNA_CHECKED;
struct config *config_ref(struct config *c);
void config_unref(struct config **c);

/** "file:line:column: message" into out; returns out. */
char *config_error_text(const struct config_error *err, char *out, size_t size);

/** A part as nodes: config_section(c, "modules", "time"); name NULL: the whole part. NULL if it is not given. */
const struct config_node *config_section(const struct config *c, const char *part, const char *name);
static inline const struct config_host *config_hosts(const struct config *c)
{
	return c->hosts.item;
}
static inline const struct config_listen *config_listens(const struct config *c)
{
	return c->listen.item;
}
static inline const struct config_component *config_components(const struct config *c)
{
	return c->components.item;
}
static inline const struct config_route *config_routes(const struct config *c)
{
	return c->routes.item;
}
/** The route to that domain (as written: prepared or A-labels), or NULL. */
/** The rate of one of its budgets; count 0: no limit. */
struct sterna_rate config_budget(const struct config *c, enum config_budget b, const char *domain);
const struct config_route *config_route(const struct config *c, const char *domain);
/** What that peer must show: routes with pins, trust_of, trust; allow and deny. */
const char *config_trust_name(enum config_trust t);
enum config_trust config_trust_of(const struct config *c, const char *domain);
/** 64 hexadecimal digits, in pairs with colons between them or not. */
bool config_fingerprint(const char *text, unsigned char out[32]);
static inline const struct config_admin *config_admins(const struct config *c)
{
	return c->admins.item;
}
/** The host of that (prepared) domain, or NULL. */
const struct config_host *config_host(const struct config *c, const char *domain);
/** A path as the configuration means it, in that arena if it is not as it was given; NULL stays NULL. */
const char *config_file(const struct config *c, struct arena *a, const char *path);

/** What changed: fn gets "limits.depth", "listen[1].port", "modules.mam" (added or removed as a whole). */
void config_diff(const struct config *before, const struct config *after, void (*fn)(void *arg, const char *path),
	void *arg);

/** The limits as the XML parser takes them. */
struct xml_limits config_xml_limits(const struct config_limits *l, struct sterna_size stanza_bytes);
/** Levels, format and file of the log put to use. @return STERNA_EIO the file cannot be opened; the old one stays */
enum sterna_result config_apply_log(const struct config_log *l) STERNA_CHECKED;

#endif
