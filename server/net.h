/* net.h - the server's listeners: sockets, TLS contexts, who may connect how often. Real networks only: the
 * simulation makes its streams itself. Threads: opened and closed from the main thread; the rest on workers. */
#ifndef STERNA_NET_H
#define STERNA_NET_H

#include "server/cidr.h"
#include "server/server.h"

struct net;
struct stream;
struct tls_context;
struct tls_pin;

/** Contexts and sockets for all that the configuration listens on; nothing is accepted before net_start().
 *  @return STERNA_EIO a port or a certificate cannot be used (logged) */
enum sterna_result net_open(struct server *s, struct net **out) STERNA_CHECKED;
/** On each worker's thread: its listeners begin. @return STERNA_EIO (logged) */
enum sterna_result net_start(struct net *n, struct worker *w) STERNA_CHECKED;
void net_stop(struct net *n, struct worker *w);   /**< on the worker's thread: no new connections */
void net_free(struct net **n);                     /**< after the server's streams; perhaps after the server */
/** Can the certificates and keys of a configuration be used? Nothing is kept. @return STERNA_EINVAL (logged) */
enum sterna_result net_check_tls(const struct config *c) STERNA_CHECKED;
/** New certificates: read anew; live connections keep theirs. @return STERNA_EINVAL (logged): the old ones stay */
enum sterna_result net_reload_tls(struct net *n, const struct config *c) STERNA_CHECKED;
/** For other servers: our certificates, authorities for theirs. New reference. */
struct tls_context *net_s2s_tls(struct net *n);
/** What a route pins for that domain: new reference, or NULL; n may be NULL. */
struct tls_pin *net_pin(struct net *n, const char *domain);
/** Days until the first certificate ends. */
int net_certificate_days(const struct net *n);

/** A login is to be tried from this stream's address (limits.logins_per_address).
 *  @return 0: now; else there were too many: ask again after so many microseconds */
uint64_t net_login_wait_us(struct stream *s);
/** Too many logins to that account have failed of late (limits.login_failures_per_account), from wherever: false. The
 *  name is as claimed: one that nobody has is counted like any other. */
bool net_may_try(struct stream *s, const char *local);
void net_login_failed(struct stream *s, const char *local);
/** An account is to be made from there: false: too many were (limits.registrations_per_address). */
bool net_may_register(struct server *s, const struct ip *peer, uint64_t now_us);
/** The stream is authenticated: it counts with those. @return false: too many of them from this address */
bool net_authenticated(struct stream *s);
void net_gone(struct stream *s);

/** For HTTP: one connection more from an address; false: too many, or too often. Each hold has one release, which is
 *  a stream's net_gone() once the stream has the address. */
bool net_hold(struct server *s, const struct ip *peer, uint64_t now_us);
void net_release(struct server *s, const struct ip *peer, uint64_t now_us);
const struct cidr_set *net_http_proxies(const struct server *s);  /**< http.proxies */
/** On its worker's thread: connections of HTTP are counted; at http.connections the listeners wait. */
void net_http_opened(struct worker *w);
void net_http_closed(struct worker *w);

#endif
