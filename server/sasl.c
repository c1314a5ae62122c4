/* sasl.c - the exchange: a table of mechanisms, three functions for each family, one door to the end. */
#include "server/sasl.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "server/base64.h"
#include "server/buf.h"
#include "server/jid.h"
#include "server/mem.h"
#include "server/scram.h"

enum state { NEW, INITIAL, FINAL, CREDENTIALS, WORK, OVER };

enum { NONCE_BYTES = 24 }; /* 192 bits, and no padding in base64 */

typedef enum sasl_event message_fn(struct sasl *s, const char *msg, size_t len);
typedef enum sasl_event credentials_fn(struct sasl *s, const struct credential *c, bool known);

struct family {
	message_fn *first, *final;      /* the peer's messages */
	credentials_fn *credentials;    /* NULL: none are asked for */
};

struct sasl {
	struct sasl_config config;
	enum state state;
	enum sasl_mech mech;
	const struct sasl_mech_info *info;
	const struct family *family;
	char username[SASL_USERNAME_MAX + 1];
	struct scram *scram;
	struct sasl_work *work;
	struct buf out;
	bool has_output;
	enum sasl_condition condition;
	const char *reason;
};

struct sasl_work {
	struct credential cred;
	bool known, ran, matches;
	size_t password_len;
	char password[PASSWORD_MAX + 1];
};

static message_fn scram_on_first, scram_on_final, plain_on_first, external_on_first, anonymous_on_first;
static credentials_fn scram_on_credentials, plain_on_credentials;

static const struct family scram = { scram_on_first, scram_on_final, scram_on_credentials };
static const struct family plain = { plain_on_first, NULL, plain_on_credentials };
static const struct family external = { external_on_first, NULL, NULL };
static const struct family anonymous = { anonymous_on_first, NULL, NULL };

static const struct family *const families[] = {
	[SASL_KIND_EXTERNAL] = &external,
	[SASL_KIND_SCRAM] = &scram,
	[SASL_KIND_PLAIN] = &plain,
	[SASL_KIND_ANONYMOUS] = &anonymous,
};

static const char *const conditions[] = {
	[SASL_ABORTED] = "aborted",
	[SASL_ACCOUNT_DISABLED] = "account-disabled",
	[SASL_CREDENTIALS_EXPIRED] = "credentials-expired",
	[SASL_ENCRYPTION_REQUIRED] = "encryption-required",
	[SASL_INCORRECT_ENCODING] = "incorrect-encoding",
	[SASL_INVALID_AUTHZID] = "invalid-authzid",
	[SASL_INVALID_MECHANISM] = "invalid-mechanism",
	[SASL_MALFORMED_REQUEST] = "malformed-request",
	[SASL_MECHANISM_TOO_WEAK] = "mechanism-too-weak",
	[SASL_NOT_AUTHORIZED] = "not-authorized",
	[SASL_TEMPORARY_AUTH_FAILURE] = "temporary-auth-failure",
};

const char *sasl_condition_name(enum sasl_condition c)
{
	return conditions[c];
}

/* --- the ends --- */

static enum sasl_event fail(struct sasl *s, enum sasl_condition c, const char *reason)
{
	buf_release(&s->out);
	s->has_output = false;
	s->state = OVER;
	s->condition = c;
	s->reason = reason;
	return SASL_FAILURE;
}

static enum sasl_event succeed(struct sasl *s)
{
	s->state = OVER;
	/* Should anyone go on calling, let it be told no. */
	s->condition = SASL_MALFORMED_REQUEST;
	s->reason = "the exchange is over";
	return SASL_SUCCESS;
}

static enum sasl_event wait_for(struct sasl *s, enum state state, enum sasl_event event)
{
	s->state = state;
	return event;
}

/* The simple user name (RFC 6120 §6.3.8). A name that no account can have tells nothing about accounts. */
static bool set_username(struct sasl *s, const char *name, size_t len)
{
	return precis_username(name, len, s->username, sizeof s->username) == STERNA_OK && s->username[0] != '\0';
}

/* RFC 6120 §6.3.8, §6.5.6: nobody acts for another; the only identity is the user's own bare JID. XEP-0388 §2.3: and it
 * is the one that the stream's header names, if it names one. */
static bool is_own_authzid(const struct sasl *s, const char *authzid, size_t len)
{
	struct jid *j;
	bool own;

	if (jid_parse(authzid, len, &j) != STERNA_OK)
		return false;
	own = jid_resource(j) == NULL && jid_local(j) != NULL && strcmp(jid_local(j), s->username) == 0 &&
	      strcmp(jid_domain(j), s->config.host) == 0 &&
	      (s->config.from == NULL || strcmp(jid_full(j), s->config.from) == 0);
	jid_unref(&j);
	return own;
}

/* --- SCRAM --- */

static enum sasl_event scram_fail(struct sasl *s, enum scram_status st)
{
	return fail(s, st == SCRAM_MALFORMED ? SASL_MALFORMED_REQUEST : SASL_NOT_AUTHORIZED, scram_status_text(st));
}

/* What was announced; and tls-unique, which is not, where the connection has it: a client that insists on it is
 * bound to this connection no less. */
static bool takes_binding(const struct sasl *s, const char *name)
{
	unsigned char data[SASL_BINDING_MAX];
	enum sasl_binding b;
	size_t len;

	if (sasl_binding_from_name(name, &b))
		return (s->config.bindings & 1u << b) != 0;
	return strcmp(name, "tls-unique") == 0 && s->config.binding != NULL
		&& s->config.binding(s->config.arg, name, data, sizeof data, &len) == STERNA_OK;
}

static enum sasl_event scram_on_first(struct sasl *s, const char *msg, size_t len)
{
	const enum scram_hash hash = s->info->hash;
	const char *authzid, *name;
	enum scram_status st;
	bool plus_offered = false;

	for (int m = 0; m < SASL_MECH_COUNT; m++) {
		const struct sasl_mech_info *i = sasl_mech_info((enum sasl_mech)m);

		if (i->plus && i->hash == hash && (s->config.offered & 1u << m) != 0)
			plus_offered = true;
	}
	s->scram = scram_new(hash, s->info->plus, plus_offered);
	st = scram_first(s->scram, msg, len);
	if (st != SCRAM_OK)
		return scram_fail(s, st);
	name = scram_binding(s->scram);
	if (name != NULL && !takes_binding(s, name))
		return fail(s, SASL_NOT_AUTHORIZED, "channel binding type is not offered");
	name = scram_username(s->scram);
	if (!set_username(s, name, strlen(name)))
		return fail(s, SASL_NOT_AUTHORIZED, "no valid user name");
	authzid = scram_authzid(s->scram);
	if (authzid != NULL && !is_own_authzid(s, authzid, strlen(authzid)))
		return fail(s, SASL_INVALID_AUTHZID, "authorization identity is not the user's own");
	return wait_for(s, CREDENTIALS, SASL_NEED_CREDENTIALS);
}

/* XEP-0474: over what this stream offered, as it is in the configuration of the exchange. */
static void offer_hash(const struct sasl *s, enum scram_hash hash, struct buf *out)
{
	const char *names[SASL_MECH_COUNT + 1], *types[SASL_BINDING_COUNT + 1];
	size_t n = 0, k = 0;

	for (int m = 0; m < SASL_MECH_COUNT; m++)
		if ((s->config.offered & 1u << m) != 0)
			names[n++] = sasl_mech_name((enum sasl_mech)m);
	for (int b = 0; b < SASL_BINDING_COUNT; b++)
		if ((s->config.bindings & 1u << b) != 0)
			types[k++] = sasl_binding_name((enum sasl_binding)b);
	names[n] = types[k] = NULL;
	scram_offer_hash(hash, names, k > 0 ? types : NULL, out);
}

static enum sasl_event scram_on_credentials(struct sasl *s, const struct credential *c, bool known)
{
	struct buf hash = BUF_INIT;
	char nonce[BASE64_TEXT_LEN(NONCE_BYTES) + 1];

	if (base64_encode(s->config.random, NONCE_BYTES, nonce, sizeof nonce) != STERNA_OK)
		return fail(s, SASL_TEMPORARY_AUTH_FAILURE, "no nonce");
	if (s->config.downgrade_protection)
		offer_hash(s, s->info->hash, &hash);
	scram_challenge(s->scram, c, known, nonce, s->config.downgrade_protection ? buf_str(&hash) : NULL, &s->out);
	buf_release(&hash);
	s->has_output = true;
	return wait_for(s, FINAL, SASL_CONTINUE);
}

static enum sasl_event scram_on_final(struct sasl *s, const char *msg, size_t len)
{
	const char *type = scram_binding(s->scram);
	unsigned char data[SASL_BINDING_MAX];
	size_t data_len = 0;
	enum scram_status st;

	if (type != NULL && (s->config.binding == NULL ||
				    s->config.binding(s->config.arg, type, data, sizeof data, &data_len) != STERNA_OK))
		return fail(s, SASL_TEMPORARY_AUTH_FAILURE, "channel binding data has gone");
	st = scram_final(s->scram, msg, len, data, data_len, &s->out);
	OPENSSL_cleanse(data, sizeof data);
	if (st != SCRAM_OK)
		return scram_fail(s, st);
	s->has_output = true;
	return succeed(s);
}

/* --- PLAIN (RFC 4616) --- */

static enum sasl_event plain_on_first(struct sasl *s, const char *msg, size_t len)
{
	const char *end = msg + len, *name = memchr(msg, '\0', len);
	const char *password = name != NULL ? memchr(name + 1, '\0', (size_t)(end - name - 1)) : NULL;
	size_t name_len, password_len;

	if (password == NULL)
		return fail(s, SASL_MALFORMED_REQUEST, "PLAIN needs two NUL");
	name_len = (size_t)(password - name - 1);
	password_len = (size_t)(end - password - 1);
	if (name_len == 0 || password_len == 0 || memchr(password + 1, '\0', password_len) != NULL)
		return fail(s, SASL_MALFORMED_REQUEST, "empty part, or NUL, in PLAIN");
	if (password_len > PASSWORD_MAX)
		return fail(s, SASL_MALFORMED_REQUEST, "password is too long");
	if (!set_username(s, name + 1, name_len))
		return fail(s, SASL_NOT_AUTHORIZED, "no valid user name");
	if (name > msg && !is_own_authzid(s, msg, (size_t)(name - msg)))
		return fail(s, SASL_INVALID_AUTHZID, "authorization identity is not the user's own");
	s->work = xalloc(sizeof *s->work);
	if (precis_opaque(password + 1, password_len, s->work->password, sizeof s->work->password) != STERNA_OK)
		return fail(s, SASL_NOT_AUTHORIZED, "no valid password");
	s->work->password_len = strlen(s->work->password);
	return wait_for(s, CREDENTIALS, SASL_NEED_CREDENTIALS);
}

static enum sasl_event plain_on_credentials(struct sasl *s, const struct credential *c, bool known)
{
	s->work->cred = *c;
	s->work->known = known;
	return wait_for(s, WORK, SASL_NEED_WORK);
}

struct sasl_work *sasl_take_work(struct sasl *s)
{
	struct sasl_work *w = s->work;

	s->work = NULL;
	return w;
}

void sasl_work_run(struct sasl_work *w)
{
	w->matches = credential_matches(&w->cred, w->password, w->password_len) && w->known;
	w->ran = true;
	OPENSSL_cleanse(w->password, sizeof w->password);
}

enum sasl_event sasl_work_done(struct sasl *s, struct sasl_work **w)
{
	const bool ran = (*w)->ran, matches = (*w)->matches, known = (*w)->known;

	sasl_work_free(w);
	if (s->state != WORK)
		return SASL_FAILURE;
	if (!ran)
		return fail(s, SASL_TEMPORARY_AUTH_FAILURE, "too many passwords to check");
	if (!matches)
		return fail(s, SASL_NOT_AUTHORIZED, known ? "wrong password" : "no such user");
	return succeed(s);
}

void sasl_work_free(struct sasl_work **w)
{
	if (*w == NULL)
		return;
	OPENSSL_cleanse(*w, sizeof **w);
	free(*w);
	*w = NULL;
}

/* --- EXTERNAL (RFC 4422 app. A, XEP-0178 §2) --- */

/* The user of an address in the certificate; false if it is none of this host. */
static bool user_of_addr(const struct sasl *s, const char *addr, char *out, size_t size)
{
	struct jid *j;
	bool ours;

	if (jid_parse(addr, strlen(addr), &j) != STERNA_OK)
		return false;
	ours = jid_resource(j) == NULL && jid_local(j) != NULL && strcmp(jid_domain(j), s->config.host) == 0 &&
	       strlen(jid_local(j)) < size;
	if (ours)
		memcpy(out, jid_local(j), strlen(jid_local(j)) + 1);
	jid_unref(&j);
	return ours;
}

static enum sasl_event external_on_first(struct sasl *s, const char *msg, size_t len)
{
	char user[SASL_USERNAME_MAX + 1];
	const char *addr;
	size_t users = 0;

	for (size_t i = 0; s->config.peer_addr != NULL && (addr = s->config.peer_addr(s->config.arg, i)) != NULL; i++) {
		if (!user_of_addr(s, addr, user, sizeof user))
			continue;
		if (users > 0 && strcmp(user, s->username) == 0)
			continue;
		users++;
		memcpy(s->username, user, sizeof user);
		if (len > 0 && is_own_authzid(s, msg, len))
			return succeed(s);
	}
	if (users == 0)
		return fail(s, SASL_NOT_AUTHORIZED, "the certificate names nobody of this host");
	if (len > 0)
		return fail(s, SASL_INVALID_AUTHZID, "authorization identity is not in the certificate");
	if (users > 1) /* XEP-0178 §2: the peer has to say which */
		return fail(s, SASL_INVALID_AUTHZID, "the certificate names several users");
	return succeed(s);
}

/* --- ANONYMOUS (RFC 4505, XEP-0175) --- */

static enum sasl_event anonymous_on_first(struct sasl *s, const char *msg, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	(void)msg;
	if (len > 255 * 4) /* trace information: at most 255 characters, and nothing that we use */
		return fail(s, SASL_MALFORMED_REQUEST, "trace is too long");
	for (size_t i = 0; i < SASL_RANDOM_LEN / 2; i++) {
		s->username[2 * i] = hex[s->config.random[i] >> 4];
		s->username[2 * i + 1] = hex[s->config.random[i] & 15];
	}
	return succeed(s);
}

/* --- driven by the stream --- */

struct sasl *sasl_new(const struct sasl_config *config)
{
	struct sasl *s = xalloc(sizeof *s);

	s->config = *config;
	s->mech = SASL_MECH_COUNT;
	return s;
}

void sasl_free(struct sasl **sp)
{
	struct sasl *s = *sp;

	if (s == NULL)
		return;
	scram_free(&s->scram);
	sasl_work_free(&s->work);
	buf_release(&s->out);
	free(s);
	*sp = NULL;
}

/* A message when none is expected. What ended stays as it ended. */
static enum sasl_event out_of_turn(struct sasl *s)
{
	return s->state == OVER ? SASL_FAILURE : fail(s, SASL_MALFORMED_REQUEST, "message out of turn");
}

enum sasl_event sasl_start(struct sasl *s, const char *mechanism, const void *initial, size_t len)
{
	enum sasl_mech m;

	if (s->state != NEW)
		return out_of_turn(s);
	if (!sasl_mech_from_name(mechanism, &m) || (s->config.offered & 1u << m) == 0)
		return fail(s, SASL_INVALID_MECHANISM, "mechanism is not offered");
	s->mech = m;
	s->info = sasl_mech_info(m);
	s->family = families[s->info->kind];
	if (initial != NULL)
		return s->family->first(s, initial, len);
	if (s->info->kind == SASL_KIND_ANONYMOUS)       /* its only message is optional (XEP-0175 §2) */
		return s->family->first(s, "", 0);
	/* All of ours let the peer speak first; without an initial response it is asked to (RFC 4422 §3). */
	s->has_output = true;
	return wait_for(s, INITIAL, SASL_CONTINUE);
}

enum sasl_event sasl_response(struct sasl *s, const void *data, size_t len)
{
	const char *msg = data != NULL ? data : "";

	buf_release(&s->out);
	s->has_output = false;
	if (s->state == INITIAL)
		return s->family->first(s, msg, len);
	if (s->state == FINAL)
		return s->family->final(s, msg, len);
	return out_of_turn(s);
}

enum sasl_event sasl_abort(struct sasl *s)
{
	return s->state == OVER ? SASL_FAILURE : fail(s, SASL_ABORTED, "the client gave up");
}

enum sasl_event sasl_credentials(struct sasl *s, enum sterna_result rc, const struct credential *c)
{
	const struct sasl_config *cfg = &s->config;
	struct credential fake;
	enum sasl_event event;
	bool known;

	if (s->state != CREDENTIALS)
		return out_of_turn(s);
	if (rc != STERNA_OK && rc != STERNA_ENOTFOUND)
		return fail(s, SASL_TEMPORARY_AUTH_FAILURE, "accounts cannot be read now");
	known = rc == STERNA_OK && c != NULL && credential_is_valid(c) &&
		(s->family != &scram || c->hash == s->info->hash);
	/* Made for known users too, so that they wait no less. */
	credential_fake(cfg->secret, cfg->secret_len, s->info->hash, s->username, cfg->iterations, &fake);
	event = s->family->credentials(s, known ? c : &fake, known);
	credential_clear(&fake);
	return event;
}

/* --- what the last event is about --- */

const char *sasl_output(const struct sasl *s, size_t *len)
{
	*len = buf_len(&s->out);
	if (!s->has_output)
		return NULL;
	return *len > 0 ? buf_data(&s->out) : "";
}

const char *sasl_username(const struct sasl *s)
{
	return s->username[0] != '\0' ? s->username : NULL;
}

enum scram_hash sasl_hash(const struct sasl *s)
{
	return s->info->hash;
}

enum sasl_mech sasl_mechanism(const struct sasl *s)
{
	return s->mech;
}

enum sasl_condition sasl_condition(const struct sasl *s)
{
	return s->condition;
}

const char *sasl_reason(const struct sasl *s)
{
	return s->reason;
}
