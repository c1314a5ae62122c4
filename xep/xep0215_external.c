/* XEP-0215 External Service Discovery 1.0.0: STUN and TURN servers, and what else stands beside this one, for its own
 * users. For TURN the credentials are made at each question, for a time (the scheme of "TURN REST", which coturn calls
 * use-auth-secret): the relay shares a secret with us and needs no accounts. The user's name there is a pseudonym that
 * stays the same for an account, so that the relay can keep quotas and never learns who calls. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/module.h"

#define NS_EXTDISCO "urn:xmpp:extdisco:2"

struct service {
	const char *type, *host, *transport, *name, *username, *password, *secret;
	unsigned port;
};
struct external_config {
	struct sterna_array services;
	const char *secret;
	struct sterna_duration lifetime;
};

static const struct sterna_option service_options[] = {
	STERNA_OPT(struct service, type, STERNA_REQUIRED, NULL, "stun, stuns, turn, turns, or another registered type"),
	STERNA_OPT(struct service, host, STERNA_REQUIRED, NULL, "its name or address"),
	STERNA_OPT(struct service, port, "0", "0..65535", "its port; 0: that of the type, which is not told"),
	STERNA_OPT(struct service, transport, NULL, "udp|tcp", "over which protocol; not told without"),
	STERNA_OPT(struct service, name, NULL, NULL, "what people read"),
	STERNA_OPT(struct service, secret, NULL, NULL, "shared with this relay, in place of the one for all"),
	STERNA_OPT(struct service, username, NULL, NULL, "a name that is the same for everybody; with a password"),
	STERNA_OPT(struct service, password, NULL, NULL, "better '!file path' or ${NAME} than the password itself"),
	{ 0 }
};

static const struct sterna_option options[] = {
	STERNA_OPT_LIST(struct external_config, services, struct service, service_options, "what there is, the preferred first"),
	STERNA_OPT(struct external_config, secret, NULL, NULL,
		"shared with the TURN servers (coturn: static-auth-secret); better '!file path' than the secret itself"),
	STERNA_OPT(struct external_config, lifetime, "12h", "1m..7d", "how long credentials are good"),
	{ 0 }
};

enum { M_CREDENTIALS };
static const struct sterna_metric metrics[] = {
	[M_CREDENTIALS] = { "sterna_external_credentials_total", "Credentials given for external services.", METRIC_COUNTER },
	{ 0 }
};

static bool is_turn(const struct service *s)
{
	return strcmp(s->type, "turn") == 0 || strcmp(s->type, "turns") == 0;
}

static const char *secret_of(const struct external_config *cfg, const struct service *s)
{
	return s->secret != NULL ? s->secret : is_turn(s) ? cfg->secret : NULL;
}

/* --- credentials --- */

/* The same for an account at all times, and of no use to find out which: 64 bits of HMAC-SHA-256. */
static char *pseudonym(struct sterna_call *c, const char *secret, const char *account)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)account, strlen(account), digest, &n) == NULL)
		return NULL;
	return sterna_printf(c, "%02x%02x%02x%02x%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3], digest[4],
		digest[5], digest[6], digest[7]);
}

/* username: "expiry:user", password: base64(HMAC-SHA-1(secret, username)). */
static bool add_made(struct sterna_call *c, const struct external_config *cfg, const char *secret, struct sterna_elem *e)
{
	const time_t expires = sterna_now(c) + (time_t)(cfg->lifetime.us / 1000000);
	const char *user = pseudonym(c, secret, jid_bare(sterna_from(c)));
	unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
	char stamp[STERNA_STAMP_LEN];
	unsigned n = 0;

	if (user == NULL)
		return false;
	const char *name = sterna_printf(c, "%lld:%s", (long long)expires, user);

	if (HMAC(EVP_sha1(), secret, (int)strlen(secret), (const unsigned char *)name, strlen(name), digest, &n) == NULL)
		return false;
	EVP_EncodeBlock(text, digest, (int)n);
	sterna_attr(e, "username", name);
	sterna_attr(e, "password", (const char *)text);
	sterna_attr(e, "expires", sterna_stamp(expires, stamp));
	sterna_count(c, M_CREDENTIALS, 1);
	return true;
}

static bool add_credentials(struct sterna_call *c, const struct service *s, struct sterna_elem *e)
{
	const struct external_config *cfg = sterna_config(c);
	const char *secret = secret_of(cfg, s);

	if (secret != NULL)
		return add_made(c, cfg, secret, e);
	if (s->username == NULL)
		return false;
	sterna_attr(e, "username", s->username);
	sterna_attr(e, "password", s->password);
	return true;
}

static struct sterna_elem *add_service(struct sterna_call *c, struct sterna_elem *parent, const struct service *s)
{
	struct sterna_elem *e = sterna_add(parent, "service", NULL);

	sterna_attr(e, "type", s->type);
	sterna_attr(e, "host", s->host);
	if (s->port != 0)
		sterna_attr(e, "port", sterna_printf(c, "%u", s->port));
	if (s->transport != NULL)
		sterna_attr(e, "transport", s->transport);
	if (s->name != NULL)
		sterna_attr(e, "name", s->name);
	return e;
}

/* --- who asks, and for what --- */

/* Relays cost money: they are for the host's own users. */
static bool is_user_of_host(struct sterna_call *c)
{
	return jid_local(sterna_from(c)) != NULL && strcmp(jid_domain(sterna_from(c)), sterna_host(c)) == 0;
}

/* §3: all services, or those of one type. */
static enum sterna_verdict on_services(struct sterna_call *c)
{
	const struct external_config *cfg = sterna_config(c);
	const struct service *s = cfg->services.item;
	const char *type = elem_attr(sterna_payload(c), "type");
	struct sterna_elem *list;

	if (!is_user_of_host(c))
		return sterna_reject(c, STERNA_FORBIDDEN, "for users of this server");
	list = sterna_elem(c, "services", NS_EXTDISCO);
	if (type != NULL)
		sterna_attr(list, "type", type);
	for (size_t i = 0; i < cfg->services.count; i++)
		if (type == NULL || strcmp(s[i].type, type) == 0) {
			struct sterna_elem *e = add_service(c, list, &s[i]);

			if (add_credentials(c, &s[i], e))
				sterna_attr(e, "restricted", "true");
		}
	return sterna_reply(c, list);
}

static bool is_asked(const struct service *s, const struct sterna_elem *asked)
{
	const char *host = elem_attr(asked, "host"), *type = elem_attr(asked, "type"), *port = elem_attr(asked, "port");

	return strcmp(s->host, host) == 0 && strcmp(s->type, type) == 0
		&& (port == NULL || strtoul(port, NULL, 10) == s->port);
}

/* §4: credentials for one service; host and type are required. */
static enum sterna_verdict on_credentials(struct sterna_call *c)
{
	const struct external_config *cfg = sterna_config(c);
	const struct service *s = cfg->services.item;
	const struct sterna_elem *asked = elem_child(sterna_payload(c), "service", NULL);
	struct sterna_elem *answer;

	if (!is_user_of_host(c))
		return sterna_reject(c, STERNA_FORBIDDEN, "for users of this server");
	if (asked == NULL || elem_attr(asked, "host") == NULL || elem_attr(asked, "type") == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "which service? host and type are missing");
	answer = sterna_elem(c, "credentials", NS_EXTDISCO);
	for (size_t i = 0; i < cfg->services.count; i++) {
		if (!is_asked(&s[i], asked))
			continue;
		struct sterna_elem *e = add_service(c, answer, &s[i]);

		if (!add_credentials(c, &s[i], e))
			elem_remove(e);
	}
	if (sterna_child(answer) == NULL)
		return sterna_reject(c, STERNA_ITEM_NOT_FOUND, "no such service that wants credentials");
	return sterna_reply(c, answer);
}

/* §5. Where there is nothing to tell of, nobody needs to ask. */
static void add_feature(struct sterna_call *c, struct sterna_elem *query)
{
	const struct external_config *cfg = sterna_config(c);

	if (cfg->services.count > 0)
		sterna_attr(sterna_add(query, "feature", NULL), "var", NS_EXTDISCO);
}

static enum sterna_result load(struct sterna_mod *m)
{
	const struct external_config *cfg = sterna_mod_config(m);
	const struct service *s = cfg->services.item;

	for (size_t i = 0; i < cfg->services.count; i++) {
		if ((s[i].username == NULL) != (s[i].password == NULL)) {
			log_error("external", "a username and a password go together", "service", s[i].host);
			return STERNA_EINVAL;
		}
		if (is_turn(&s[i]) && secret_of(cfg, &s[i]) == NULL && s[i].username == NULL) {
			log_error("external", "a relay needs 'secret', or 'username' and 'password'", "service", s[i].host);
			return STERNA_EINVAL;
		}
	}
	return STERNA_OK;
}

STERNA_MODULE(external, .spec = "XEP-0215 1.0.0", .summary = "External Service Discovery",
	.options = options, .config_size = sizeof(struct external_config), .metrics = metrics, .load = load,
	.disco = (const struct sterna_disco[]){ { STERNA_SERVER, add_feature }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER, NS_EXTDISCO, "services", on_services },
		{ STERNA_GET, STERNA_SERVER, NS_EXTDISCO, "credentials", on_credentials }, { 0 } });
