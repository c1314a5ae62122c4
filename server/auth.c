/* auth.c - exchanges on streams. */
#include "server/auth.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/audit.h"
#include "server/base64.h"
#include "server/isolation.h"
#include "server/net.h"
#include "server/region.h"

const struct db_stmt credential_select = {
	.name = "credential_select", .params = "t", .columns = "tbibb",
	.sql = "SELECT mech, salt, iterations, stored_key, server_key FROM credential WHERE jid = $1",
};

/* An exchange under way. Answers from the database and from helpers find it through its stream, which may be
 * gone by then: they hold the ticket, not the stream. */
struct ticket {
	struct pass pass;           /* of the worker's logins, while they are awaited */
	unsigned refs;
	struct stream *stream;      /* NULL: gone */
};

struct auth {
	struct sasl *sasl;
	const struct auth_profile *profile;
	struct ticket *ticket;
	struct timer again;         /* too many logins from its address: it waits */
	enum sasl_event begun;      /* what comes then */
	char *output;               /* of the success, while the stream moves */
	size_t output_len;
	bool has_output;
};

static void ticket_unref(struct ticket *t)
{
	if (--t->refs > 0)
		return;
	gate_leave(&t->pass);
	free(t);
}

void auth_free(struct auth **auth)
{
	struct auth *a = *auth;

	*auth = NULL;
	if (a == NULL)
		return;
	timer_cancel(&a->again);
	sasl_free(&a->sasl);
	if (a->ticket != NULL) {
		a->ticket->stream = NULL;
		ticket_unref(a->ticket);
	}
	free(a->output);
	free(a);
}

/* --- what is offered --- */

static enum sterna_result binding(void *arg, const char *type, unsigned char *out, size_t size, size_t *len)
{
	struct stream *s = arg;

	return s->transport->ops->channel_binding(s->transport, type, out, size, len);
}

unsigned auth_bindings(struct stream *s)
{
	return sasl_bindings(binding, s);
}

enum sterna_result auth_binding(struct stream *s, const char *type, unsigned char *out, size_t size, size_t *len)
{
	return binding(s, type, out, size, len);
}

static const char *peer_addr(void *arg, size_t index)
{
	struct stream *s = arg;

	return s->transport->ops->peer_xmpp_addr(s->transport, index);
}

static unsigned configured(const struct config_auth *c)
{
	unsigned mask = 0;

	for (size_t i = 0; i < c->mechanisms.count; i++) {
		enum sasl_mech m;

		if (sasl_mech_from_name(c->mechanisms.item[i], &m))
			mask |= 1u << m;
	}
	return mask;
}

unsigned auth_offer(struct stream *s)
{
	const struct config_auth *c = &s->worker->server->config->auth;
	const bool anonymous = s->host->config->anonymous;
	const struct sasl_state st = {
		.secure = s->transport->secure || s->web,
		.bindings = sasl_bindings(binding, s),
		.hashes = 1u << SCRAM_SHA1 | 1u << SCRAM_SHA256 | 1u << SCRAM_SHA512,
		.plain = c->plain && (s->transport->secure || s->covered),
		.client_certificate = peer_addr(s, 0) != NULL,
		.anonymous = anonymous,
	};
	const unsigned always = 1u << SASL_PLAIN | (anonymous ? 1u << SASL_ANONYMOUS : 0);

	return sasl_offer(&st) & (configured(c) | always);
}

void auth_features(struct stream *s, struct arena *a, struct sterna_elem *features)
{
	const unsigned offer = auth_offer(s), bindings = sasl_bindings(binding, s);

	if (offer == 0)
		return;
	struct sterna_elem *list = elem_add(a, features, "mechanisms", NS_SASL);

	for (int m = 0; m < SASL_MECH_COUNT; m++)
		if ((offer & 1u << m) != 0)
			elem_add_text_elem(a, list, "mechanism", sasl_mech_name((enum sasl_mech)m));
	if (bindings == 0)
		return;
	struct sterna_elem *types = elem_add(a, features, "sasl-channel-binding", "urn:xmpp:sasl-cb:0");

	for (int b = 0; b < SASL_BINDING_COUNT; b++)
		if ((bindings & 1u << b) != 0)
			elem_set_attr(a, elem_add(a, types, "channel-binding", types->ns), "type",
				sasl_binding_name((enum sasl_binding)b));
}

/* --- the end of an exchange --- */

/* subject: whose name was given, be there such an account or not; none was given: the host. */
static void note_failure(struct stream *s, const char *condition, const char *reason)
{
	const struct sasl *sasl = s->auth != NULL ? s->auth->sasl : NULL;
	const char *name = s->tried != NULL ? s->tried : sasl != NULL ? sasl_username(sasl) : NULL;
	const struct sterna_datum data[] = { STERNA_DATUM("condition", condition), STERNA_DATUM("reason", reason),
		STERNA_PERSONAL("address", s->transport->peer), { 0 } };
	struct jid *j = NULL;

	if (s->jid != NULL)
		j = jid_ref(s->jid);
	else if (name != NULL && jid_make(name, jid_full(s->host->jid), NULL, &j) != STERNA_OK)
		j = NULL;
	audit_note(s->worker, s->host, "sterna.login.failed.v1", j != NULL ? jid_bare(j) : NULL, data);
	jid_unref(&j);
}

static void note_login(struct stream *s)
{
	const struct sterna_datum data[] = { STERNA_DATUM("mechanism", s->authenticated_by),
		STERNA_PERSONAL("address", s->transport->peer), STERNA_DATUM("tls", s->transport->ops->tls_version(s->transport)),
		STERNA_DATUM("client", s->client), { 0 } };

	audit_note(s->worker, s->host, "sterna.login.accepted.v1", jid_bare(s->jid), data);
}

void auth_failed(struct stream *s, const struct auth_profile *p, const char *condition, const char *reason)
{
	const struct config_limits *l = &s->worker->server->config->limits;

	log_notice("auth", "login failed", "condition", condition, "reason", reason, "peer", s->transport->peer,
		"host", jid_full(s->host->jid), "stream_id", s->id);
	metric_add(s->worker->server->metric_set, s->worker->index, METRIC_LOGIN_FAILURES, 0, 1);
	note_failure(s, condition, reason);
	jid_unref(&s->jid); /* proven, but not let in: the next try may be someone else's */
	p->failure(s, condition);
	if (++s->tries >= l->auth_tries) /* RFC 6120 §6.4.5 */
		stream_error(s, "policy-violation", "too many failed logins");
	stream_release(s, HOLD_WORK);
}

static void fail(struct stream *s, const char *condition, const char *reason)
{
	const struct auth_profile *p = s->auth->profile;
	const struct sasl *sasl = s->auth->sasl;

	gate_leave(&s->auth->ticket->pass);
	if (sasl != NULL && sasl_username(sasl) != NULL && strcmp(condition, "not-authorized") == 0)
		net_login_failed(s, sasl_username(sasl));
	s->tried = sasl != NULL && sasl_username(sasl) != NULL ? xstrdup(sasl_username(sasl)) : NULL;
	auth_free(&s->auth);
	auth_failed(s, p, condition, reason);
	free(s->tried);
	s->tried = NULL;
}

/* On the owner: the account is known. */
static void account_ready(struct sterna_call *c)
{
	struct ticket *t = c->data;
	struct stream *s = t->stream;
	struct account *acc = c->account;

	gate_leave(&t->pass);
	ticket_unref(t);
	if (s != NULL && s->auth != NULL) {
		struct auth *a = s->auth;
		const bool isolated = isolation_has_account(s->worker->server, jid_full(acc->jid));
		char elsewhere[REGION_TEXT];

		if (acc->state == ACCOUNT_FAILED) {
			fail(s, "temporary-auth-failure", "the account could not be loaded");
		} else if (!net_authenticated(s)) {
			fail(s, "temporary-auth-failure", "too many sessions from this address");
		} else if (region_refuses(s->worker->server->config, acc->jid, elsewhere)) {
			fail(s, "not-authorized", elsewhere);
		} else if (acc->state != ACCOUNT_READY || acc->disabled || isolated) {
			/* Proven, so that this tells a stranger nothing. */
			fail(s, acc->disabled || isolated ? "account-disabled" : "not-authorized", isolated ? "the account is suspended" : "no such account, or disabled");
		} else {
			timer_cancel(&s->deadline);
			timer_set(&s->deadline, (uint64_t)s->worker->server->config->limits.bind_time.us);
			metric_add(s->worker->server->metric_set, s->worker->index, METRIC_LOGINS, 0, 1);
			log_info("auth", "logged in", "jid", jid_full(s->jid), "mechanism", s->authenticated_by, "peer",
				s->transport->peer, "tls", s->transport->ops->tls_version(s->transport), "stream_id", s->id);
			stream_hold_account(s, acc);
			note_login(s);
			s->auth = NULL; /* so that the profile may begin what it likes */
			a->profile->success(s, acc, a->has_output ? a->output : NULL, a->output_len);
			auth_free(&a);
		}
		stream_release(s, HOLD_BUSY);
		stream_release(s, HOLD_WORK);
	}
	call_finish(c);
}

static void load_account(struct pass *p)
{
	struct ticket *t = (struct ticket *)p;
	struct stream *s = t->stream;
	struct worker *w;

	if (s == NULL || s->auth == NULL) {
		ticket_unref(t);
		return;
	}
	w = s->worker;
	struct account *acc = s->host->config->anonymous ? account_make_anonymous(w, s->jid) : account_get(w, s->jid);
	struct stanza *none = stanza_make("iq", "set", NULL, NULL, NULL);
	struct sterna_call *c = call_new(w, &none);

	c->data = t;
	call_set_account(c, acc);
	c->impatient = true; /* the client may try again, or elsewhere */
	if (!account_when(acc, c, account_ready)) {
		ticket_unref(t);
		call_finish(c);
		fail(s, "temporary-auth-failure", "too much waits for this account");
		stream_release(s, HOLD_BUSY);
	}
}

static void at_owner(struct stream *s)
{
	s->auth->ticket->refs++;
	gate_enter(&s->worker->logins, &s->auth->ticket->pass, load_account);
}

static void proven(struct stream *s, const char *local, const char *mechanism)
{
	struct auth *a = s->auth;

	if (jid_make(local, jid_full(s->host->jid), NULL, &s->jid) != STERNA_OK) {
		fail(s, "not-authorized", "the name is no JID");
		return;
	}
	free(s->authenticated_by);
	s->tries = 0;
	s->authenticated_by = xstrdup(mechanism);
	stream_hold(s, HOLD_WORK);
	gate_leave(&a->ticket->pass);
	stream_move(s, server_owner(s->worker->server, s->jid), at_owner);
}

static void keep_output(struct auth *a, const char *data, size_t len)
{
	a->has_output = data != NULL;
	if (data == NULL)
		return;
	a->output = xstrndup(data, len);
	a->output_len = len;
}

/* --- steps --- */

static void step(struct stream *s, enum sasl_event e);

bool credential_from_row(const struct db_rows *rows, size_t row, struct credential *out)
{
	size_t salt = 0, stored = 0, server = 0;
	const char *name = db_str(rows, row, 0, NULL), *salt_p = db_str(rows, row, 1, &salt);
	const char *stored_p = db_str(rows, row, 3, &stored), *server_p = db_str(rows, row, 4, &server);

	memset(out, 0, sizeof *out);
	if (name == NULL || !scram_hash_from_name(name, &out->hash) || salt > SCRAM_SALT_MAX || salt_p == NULL
		|| stored != scram_hash_size(out->hash) || server != stored)
		return false;
	out->iterations = (uint32_t)db_int(rows, row, 2);
	out->salt_len = salt;
	memcpy(out->salt, salt_p, salt);
	memcpy(out->stored_key, stored_p, stored);
	memcpy(out->server_key, server_p, server);
	return credential_is_valid(out);
}

static void on_credentials(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct ticket *t = arg;
	struct stream *s = t->stream;
	struct credential c, any;
	bool found = false, has_any = false;

	ticket_unref(t);
	if (s == NULL || s->auth == NULL)
		return;
	for (size_t i = 0; rc == STERNA_OK && !found && i < db_rows_count(rows); i++) {
		if (!credential_from_row(rows, i, &c))
			continue;
		found = c.hash == sasl_hash(s->auth->sasl);
		if (!found && sasl_mechanism(s->auth->sasl) == SASL_PLAIN) {
			any = c;
			has_any = true;
		}
	}
	if (!found && has_any) {
		c = any;
		found = true;
	}
	step(s, sasl_credentials(s->auth->sasl, rc != STERNA_OK ? rc : found ? STERNA_OK : STERNA_ENOTFOUND,
		found ? &c : NULL));
	OPENSSL_cleanse(&c, sizeof c);
	OPENSSL_cleanse(&any, sizeof any);
}

static void fetch_now(struct pass *p)
{
	struct ticket *t = (struct ticket *)p;
	struct stream *s = t->stream;
	struct jid *j = NULL;

	if (s == NULL || s->auth == NULL) {
		ticket_unref(t);
		return;
	}
	if (jid_make(sasl_username(s->auth->sasl), jid_full(s->host->jid), NULL, &j) != STERNA_OK) {
		ticket_unref(t);
		step(s, sasl_credentials(s->auth->sasl, STERNA_ENOTFOUND, NULL));
		return;
	}
	if (!net_may_try(s, sasl_username(s->auth->sasl))) {
		jid_unref(&j);
		ticket_unref(t);
		fail(s, "temporary-auth-failure", "too many failed logins to this account");
		return;
	}
	const struct db_value owner = db_text(jid_full(j));

	db_read(s->worker->db, &credential_select, &owner, on_credentials, t);
	jid_unref(&j);
}

static void fetch(struct stream *s)
{
	s->auth->ticket->refs++;
	stream_hold(s, HOLD_WORK);
	gate_enter(&s->worker->logins, &s->auth->ticket->pass, fetch_now);
}

struct slow {
	struct work work;
	struct sasl_work *sasl;
	struct ticket *ticket;
};

static void slow_run(struct work *w)
{
	sasl_work_run(((struct slow *)w)->sasl);
}

static void slow_done(struct work *w)
{
	struct slow *v = (struct slow *)w;
	struct stream *s = v->ticket->stream;

	ticket_unref(v->ticket);
	if (s != NULL && s->auth != NULL)
		step(s, sasl_work_done(s->auth->sasl, &v->sasl));
	sasl_work_free(&v->sasl);
	free(v);
}

static void hash_elsewhere(struct stream *s)
{
	struct slow *v = xalloc(sizeof *v);

	v->sasl = sasl_take_work(s->auth->sasl);
	v->ticket = s->auth->ticket;
	v->ticket->refs++;
	stream_hold(s, HOLD_WORK);
	work_init(&v->work, s->worker->loop, slow_run, slow_done);
	if (work_submit(s->worker->server->pool, &v->work) == STERNA_OK)
		return;
	ticket_unref(v->ticket);
	sasl_work_free(&v->sasl);
	free(v);
	fail(s, "temporary-auth-failure", "too many logins at once");
}

static void step(struct stream *s, enum sasl_event e)
{
	struct auth *a = s->auth;
	size_t len = 0;
	const char *out;

	switch (e) {
	case SASL_CONTINUE:
		gate_leave(&a->ticket->pass);
		out = sasl_output(a->sasl, &len);
		a->profile->challenge(s, out, len);
		stream_release(s, HOLD_WORK);
		break;
	case SASL_NEED_CREDENTIALS:
		fetch(s);
		break;
	case SASL_NEED_WORK:
		hash_elsewhere(s);
		break;
	case SASL_SUCCESS:
		out = sasl_output(a->sasl, &len);
		keep_output(a, out, len);
		proven(s, sasl_username(a->sasl), sasl_mech_name(sasl_mechanism(a->sasl)));
		break;
	case SASL_FAILURE:
		fail(s, sasl_condition_name(sasl_condition(a->sasl)), sasl_reason(a->sasl));
		break;
	}
}

/* Those who come from one address at the same time (a building after its power cut) have their turn, one by one. */
static void begin_in_turn(struct stream *s)
{
	const uint64_t wait = net_login_wait_us(s);

	if (wait == 0) {
		step(s, s->auth->begun);
		return;
	}
	stream_hold(s, HOLD_WORK);
	timer_set(&s->auth->again, wait);
}

static void on_again(struct timer *t, void *arg)
{
	(void)t;
	begin_in_turn(arg);
}

static struct auth *auth_make(struct stream *s, const struct auth_profile *p)
{
	struct auth *a = xalloc(sizeof *a);

	auth_free(&s->auth);
	a->profile = p;
	a->ticket = xalloc(sizeof *a->ticket);
	a->ticket->refs = 1;
	a->ticket->stream = s;
	timer_init(&a->again, s->worker->loop, on_again, s);
	s->auth = a;
	return a;
}

void auth_begin(struct stream *s, const struct auth_profile *p, const char *mechanism, const char *initial, size_t len)
{
	struct auth *a = auth_make(s, p);
	const struct server *server = s->worker->server;
	struct sasl_config c = {
		.host = jid_full(s->host->jid),
		.from = s->claimed != NULL ? jid_full(s->claimed) : NULL,
		.offered = auth_offer(s),
		.bindings = sasl_bindings(binding, s),
		.binding = binding,
		.peer_addr = peer_addr,
		.arg = s,
		.secret = server->secret,
		.secret_len = sizeof server->secret,
		.iterations = server->config->auth.iterations,
		.downgrade_protection = true,
	};

	loop_random(s->worker->loop, c.random, sizeof c.random);
	a->sasl = sasl_new(&c);
	a->begun = sasl_start(a->sasl, mechanism, initial, len);
	begin_in_turn(s);
}

void auth_continue(struct stream *s, const char *data, size_t len)
{
	step(s, sasl_response(s->auth->sasl, data, len));
}

void auth_cancel(struct stream *s)
{
	step(s, sasl_abort(s->auth->sasl));
}

bool auth_is(const struct stream *s, const struct auth_profile *p)
{
	return s->auth != NULL && s->auth->profile == p;
}

void auth_proven(struct stream *s, const struct auth_profile *p, const char *local, const char *mechanism,
	const char *data, size_t len)
{
	keep_output(auth_make(s, p), data, len);
	proven(s, local, mechanism);
}

/* --- SASL1 on the wire --- */

static void send_encoded(struct stream *s, const char *name, const char *data, size_t len, bool has)
{
	struct arena *a = arena_new(512 + len * 2);
	struct sterna_elem *e = elem_new(a, name, NS_SASL);

	if (has && len == 0) {
		elem_add_text(a, e, "=", 1);
	} else if (has) {
		const size_t size = BASE64_TEXT_LEN(len) + 1;
		char *text = arena_alloc(a, size);

		if (base64_encode(data, len, text, size) == STERNA_OK)
			elem_add_text(a, e, text, strlen(text));
	}
	stream_send_elem(s, e);
	arena_free(&a);
}

static void sasl1_challenge(struct stream *s, const char *data, size_t len)
{
	send_encoded(s, "challenge", data, len, len > 0);
}

static void sasl1_success(struct stream *s, struct account *acc, const char *data, size_t len)
{
	(void)acc;
	stream_enter(s, STREAM_AUTHED);
	send_encoded(s, "success", data, len, data != NULL);
	stream_restart(s); /* RFC 6120 §6.4.6 */
}

void auth_send_failure(struct stream *s, const char *ns, const char *condition)
{
	struct arena *a = arena_new(512);
	struct sterna_elem *e = elem_new(a, "failure", ns);

	elem_add(a, e, condition, NS_SASL);
	stream_send_elem(s, e);
	arena_free(&a);
}

static void sasl1_failure(struct stream *s, const char *condition)
{
	auth_send_failure(s, NS_SASL, condition);
}

static const struct auth_profile sasl1 = {
	.challenge = sasl1_challenge, .success = sasl1_success, .failure = sasl1_failure,
};

/* §6.4.2: nothing: no data; "=": empty data. */
static bool decode(struct arena *a, const struct sterna_elem *e, char **out, size_t *len)
{
	const char *text = elem_text(a, e);
	const size_t n = strlen(text);

	*len = 0;
	*out = NULL;
	if (n == 0)
		return true;
	*out = arena_zalloc(a, n + 1);
	if (n == 1 && *text == '=')
		return true;
	return base64_decode(text, n, *out, n, len) == STERNA_OK;
}

/* XEP-0388 §2.4: within an exchange nothing else comes. */
static bool is_foreign(const struct stream *s)
{
	return s->auth != NULL && !auth_is(s, &sasl1);
}

void auth_on_auth(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const char *mechanism = elem_attr(e, "mechanism");
	char *data;
	size_t len;

	if (is_foreign(s)) {
		stream_error(s, "policy-violation", "another exchange is under way");
	} else if (s->auth != NULL) {
		auth_free(&s->auth);
		auth_failed(s, &sasl1, "malformed-request", "a second <auth/> within an exchange");
	} else if (!decode(*a, e, &data, &len)) {
		auth_failed(s, &sasl1, "incorrect-encoding", "no base64");
	} else {
		auth_begin(s, &sasl1, mechanism != NULL ? mechanism : "", data, len);
	}
}

void auth_on_response(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	char *data;
	size_t len;

	if (is_foreign(s)) {
		stream_error(s, "policy-violation", "another exchange is under way");
	} else if (s->auth == NULL) {
		auth_failed(s, &sasl1, "malformed-request", "no exchange");
	} else if (!decode(*a, e, &data, &len)) {
		auth_free(&s->auth);
		auth_failed(s, &sasl1, "incorrect-encoding", "no base64");
	} else {
		auth_continue(s, data != NULL ? data : "", len);
	}
}

void auth_on_abort(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	(void)a;
	(void)e;
	if (is_foreign(s))
		stream_error(s, "policy-violation", "another exchange is under way");
	else if (s->auth != NULL)
		auth_cancel(s);
	else
		auth_failed(s, &sasl1, "aborted", "no exchange");
}
