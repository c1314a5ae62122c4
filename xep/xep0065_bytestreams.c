/* XEP-0065 SOCKS5 Bytestreams 1.8.2: the proxy for two clients that cannot reach each other. What they send goes through
 * server/bytestream.h; here is who may have them joined, and where clients find it. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

#define NS_BYTESTREAMS "http://jabber.org/protocol/bytestreams"
#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"

enum { SID_MAX = 512, HASH_LEN = 40 };

struct bytestreams_config {
	struct sterna_list domains;
	const char *host;
	unsigned port;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct bytestreams_config, domains, NULL, NULL,
		"domains of the service; without any, proxy.HOST for each host; taken at start"),
	STERNA_OPT(struct bytestreams_config, host, NULL, NULL,
		"name or address at which clients reach the listener; default: the domain whose service it is"),
	STERNA_OPT(struct bytestreams_config, port, "0", "0..65535", "its port there; 0: the listener's"),
	{ 0 }
};

enum { M_JOINED, M_REFUSED };
static const struct sterna_metric metrics[] = {
	[M_JOINED] = { "sterna_bytestreams_joined_total", "Bytestreams that were joined.", METRIC_COUNTER },
	[M_REFUSED] = { "sterna_bytestreams_refused_total", "Requests to join a bytestream that were refused.", METRIC_COUNTER },
	{ 0 }
};

static bool is_ours(struct sterna_call *c)
{
	return sterna_has_host(sterna_mod(c), jid_domain(sterna_from(c)));
}

static enum sterna_verdict refuse(struct sterna_call *c, enum sterna_condition condition, const char *text)
{
	sterna_count(c, M_REFUSED, 1);
	return sterna_reject(c, condition, text);
}

/* "proxy.example.org" is reached at example.org: that name has an address in any case. */
static const char *default_host(struct sterna_call *c)
{
	const char *domain = jid_domain(sterna_to(c)), *dot = strchr(domain, '.');

	return dot != NULL && sterna_has_host(sterna_mod(c), dot + 1) ? dot + 1 : domain;
}

/* §4.4: where the proxy is. */
static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct bytestreams_config *cfg = sterna_config(c);
	struct sterna_elem *q = sterna_elem(c, "query", NS_BYTESTREAMS), *s;
	const unsigned port = cfg->port != 0 ? cfg->port : sterna_port(sterna_mod(c), STERNA_PORT_BYTESTREAMS);

	if (!is_ours(c))
		return refuse(c, STERNA_FORBIDDEN, "the proxy is for accounts of this server");
	s = sterna_add(q, "streamhost", NULL);
	sterna_attr(s, "jid", jid_full(sterna_to(c)));
	sterna_attr(s, "host", cfg->host != NULL ? cfg->host : default_host(c));
	sterna_attr(s, "port", sterna_printf(c, "%u", port));
	return sterna_reply(c, q);
}

/* §5.3.2: SHA-1 of stream id, requester and target, in hexadecimal. */
static bool hash_of(struct sterna_call *c, const char *sid, const struct jid *target, char out[HASH_LEN + 1])
{
	const char *text = sterna_printf(c, "%s%s%s", sid, jid_full(sterna_from(c)), jid_full(target));
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL) != 1)
		return false;
	for (unsigned i = 0; i < HASH_LEN / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return true;
}

static enum sterna_verdict join(struct sterna_call *c, const char *hash, const struct jid *target)
{
	switch (sterna_bytestream_join(sterna_mod(c), hash, jid_bare(sterna_from(c)))) {
	case STERNA_OK:
		sterna_count(c, M_JOINED, 1);
		sterna_audit(c, "sterna.bytestream.joined.v1", jid_bare(sterna_from(c)), (const struct sterna_datum[]){
			STERNA_PERSONAL("with", jid_bare(target)), { 0 } });
		return sterna_reply(c, NULL);
	case STERNA_ENOTFOUND:
		return refuse(c, STERNA_ITEM_NOT_FOUND, "nobody is connected for this stream");
	case STERNA_EUNAVAILABLE:
		return refuse(c, STERNA_NOT_ALLOWED, "only one side is connected");
	case STERNA_EEXISTS:
		return refuse(c, STERNA_CONFLICT, "it is active already");
	case STERNA_ELIMIT:
		return refuse(c, STERNA_RESOURCE_CONSTRAINT, "there are too many streams");
	default:
		return refuse(c, STERNA_INTERNAL_SERVER_ERROR, NULL);
	}
}

/* §6.3.5: <activate/>. The hash proves that the asker is the requester whom both sides have agreed with. */
static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct sterna_elem *q = sterna_payload(c);
	const char *sid = elem_attr(q, "sid"), *text = sterna_child_text(q, "activate");
	char hash[HASH_LEN + 1];
	struct jid *target = NULL;
	enum sterna_verdict v;

	if (!is_ours(c))
		return refuse(c, STERNA_FORBIDDEN, "the proxy is for accounts of this server");
	if (sid == NULL || *sid == '\0' || strlen(sid) > SID_MAX || text == NULL)
		return refuse(c, STERNA_BAD_REQUEST, "which stream, and with whom?");
	if (jid_parse(text, strlen(text), &target) != STERNA_OK)
		return refuse(c, STERNA_JID_MALFORMED, NULL);
	v = hash_of(c, sid, target, hash) ? join(c, hash, target) : refuse(c, STERNA_INTERNAL_SERVER_ERROR, NULL);
	jid_unref(&target);
	return v;
}

static enum sterna_verdict on_info(struct sterna_call *c)
{
	struct sterna_elem *q = sterna_elem(c, "query", NS_DISCO_INFO), *e = sterna_add(q, "identity", NULL);

	if (elem_attr(sterna_payload(c), "node") != NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, NULL);
	sterna_attr(e, "category", "proxy");
	sterna_attr(e, "type", "bytestreams");
	sterna_attr(e, "name", "SOCKS5 Bytestreams");
	sterna_attr(sterna_add(q, "feature", NULL), "var", NS_DISCO_INFO);
	sterna_attr(sterna_add(q, "feature", NULL), "var", NS_BYTESTREAMS);
	return sterna_reply(c, q);
}

static enum sterna_verdict on_items(struct sterna_call *c)
{
	return sterna_reply(c, sterna_elem(c, "query", NS_DISCO_ITEMS));
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct bytestreams_config *cfg = sterna_mod_config(m);
	enum sterna_result rc = STERNA_OK;
	const char *host;

	if (sterna_port(m, STERNA_PORT_BYTESTREAMS) == 0) {
		log_notice("bytestreams", "no listener of kind bytestreams: no proxy is offered");
		return STERNA_OK;
	}
	for (size_t i = 0; rc == STERNA_OK && i < cfg->domains.count; i++)
		rc = sterna_serve(m, cfg->domains.item[i], "proxy", "bytestreams", "SOCKS5 Bytestreams");
	for (size_t i = 0; rc == STERNA_OK && cfg->domains.count == 0 && (host = sterna_mod_host(m, i)) != NULL; i++) {
		char *domain = xasprintf("proxy.%s", host);

		rc = sterna_serve(m, domain, "proxy", "bytestreams", "SOCKS5 Bytestreams");
		free(domain);
	}
	return rc;
}

STERNA_MODULE(bytestreams, .spec = "XEP-0065 1.8.2", .summary = "SOCKS5 Bytestreams",
	.needs = (const char *const[]){ "disco", NULL },
	.options = options, .config_size = sizeof(struct bytestreams_config), .metrics = metrics, .load = load,
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVICE, NS_BYTESTREAMS, "query", on_get },
		{ STERNA_SET, STERNA_SERVICE, NS_BYTESTREAMS, "query", on_set },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_INFO, "query", on_info },
		{ STERNA_GET, STERNA_SERVICE, NS_DISCO_ITEMS, "query", on_items }, { 0 } });
