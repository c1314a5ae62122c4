/* register.c - XEP-0077 before authentication, and keys for new passwords. */
#include "server/register.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "server/audit.h"
#include "server/captcha.h"
#include "server/invite.h"
#include "server/net.h"
#include "server/region.h"
#include "server/user_impl.h"

/* --- keys --- */

struct keys_work {
	struct work work;
	register_keys_fn *fn;
	void *arg;
	char password[PASSWORD_MAX + 1];
	uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN];
	uint32_t iterations;
	enum sterna_result rc;
	struct credential_set keys;
};

static void keys_run(struct work *w)
{
	struct keys_work *k = (struct keys_work *)w;

	k->rc = credential_set_derive(k->password, strlen(k->password), (const uint8_t (*)[SCRAM_SALT_LEN])k->salts,
		k->iterations, &k->keys);
}

static void keys_free(struct keys_work *k)
{
	OPENSSL_cleanse(k->password, sizeof k->password);
	credential_set_clear(&k->keys);
	free(k);
}

static void keys_done(struct work *w)
{
	struct keys_work *k = (struct keys_work *)w;
	const enum sterna_result rc = w->cancelled ? STERNA_EUNAVAILABLE : k->rc;

	k->fn(k->arg, rc, rc == STERNA_OK ? &k->keys : NULL);
	keys_free(k);
}

enum sterna_result register_keys(struct worker *w, const char *prepared, register_keys_fn *fn, void *arg)
{
	struct keys_work *k = xalloc(sizeof *k);

	k->fn = fn;
	k->arg = arg;
	snprintf(k->password, sizeof k->password, "%s", prepared);
	loop_random(w->loop, k->salts, sizeof k->salts);
	k->iterations = w->server->config->auth.iterations;
	work_init(&k->work, w->loop, keys_run, keys_done);
	const enum sterna_result rc = work_submit(w->server->pool, &k->work);

	if (rc != STERNA_OK)
		keys_free(k);
	return rc;
}

/* --- a registration --- */

struct registration {
	struct stream *stream;           /* NULL: gone, or never there */
	struct worker *worker;
	struct host *host;
	struct stanza *request;          /* of a stream */
	register_done_fn *done;          /* without a stream */
	void *arg;
	char *name;                      /* as it was wished, until the invitation is known */
	struct ip ip;
	bool has_ip;
	char peer[64];
	struct jid *jid;
	struct invite *invite;           /* NULL: nobody was invited; or what is to be looked up */
	char *token;
	char password[PASSWORD_MAX + 1];
};

static void registration_free(struct registration *r)
{
	if (r->stream != NULL)
		r->stream->registration = NULL;
	stanza_unref(&r->request);
	jid_unref(&r->jid);
	invite_free(&r->invite);
	free(r->token);
	free(r->name);
	OPENSSL_cleanse(r->password, sizeof r->password);
	free(r);
}

void register_cancel(struct stream *s)
{
	if (s->registration != NULL)
		s->registration->stream = NULL;
	s->registration = NULL;
	captcha_free(&s->captcha);
	invite_free(&s->invite);
	free(s->invite_token);
	s->invite_token = NULL;
}

static void refuse(struct stream *s, const struct stanza *st, enum sterna_condition condition, const char *text)
{
	struct stanza *e = stanza_error(st, condition, text, NULL, NULL);

	if (e != NULL)
		stream_send(s, e, NULL);
	stanza_unref(&e);
}

/* The end of one: an error, or (0) the empty result. */
static void end(struct registration *r, enum sterna_condition condition, const char *text)
{
	struct stream *s = r->stream;

	if (r->done != NULL) {
		r->done(r->arg, condition, text, r->jid);
	} else if (s != NULL && condition != 0) {
		refuse(s, r->request, condition, text);
	} else if (s != NULL) {
		struct stanza *result = stanza_result(r->request);

		stream_send(s, result, NULL);
		stanza_unref(&result);
	}
	registration_free(r);
	if (s != NULL)
		stream_release(s, HOLD_WORK);
}

/* Who was invited is approved already. */
static bool awaits_approval(const struct registration *r)
{
	return r->invite == NULL && r->host->config->registration_approval;
}

static void note_made(const struct registration *r)
{
	const struct sterna_datum data[] = { STERNA_PERSONAL("address", r->peer[0] != '\0' ? r->peer : NULL), { 0 } };
	char id[17];

	audit_note(r->worker, r->host, "sterna.account.created.v1", jid_full(r->jid), data);
	if (r->invite == NULL)
		return;
	snprintf(id, sizeof id, "%.16s", r->invite->hash);
	audit_note(r->worker, r->host, "sterna.invitation.used.v1",
		*r->invite->inviter != '\0' ? r->invite->inviter : NULL, (const struct sterna_datum[]){
		STERNA_DATUM("invitation", id), STERNA_PERSONAL("by", jid_full(r->jid)), STERNA_DATUM("kind", "account"), { 0 } });
}

static void on_made(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct registration *r = arg;

	(void)rows;
	if (rc == STERNA_OK) {
		note_made(r);
		log_notice("register", "account made", "jid", jid_full(r->jid), "invited_by",
			r->invite != NULL ? r->invite->inviter : NULL, "waits", awaits_approval(r) ? "for approval" : NULL, "peer", r->peer);
		if (r->invite != NULL)
			invite_befriend(r->worker, r->invite, r->jid, r->token);
		end(r, 0, NULL);
	} else if (rc == STERNA_EEXISTS) {
		end(r, STERNA_CONFLICT, r->invite != NULL ? "the name is taken, or the invitation was used" : NULL);
	} else {
		end(r, STERNA_RESOURCE_CONSTRAINT, "the account could not be stored now");
	}
}

static void on_keys(void *arg, enum sterna_result rc, const struct credential_set *keys)
{
	struct registration *r = arg;

	if (rc != STERNA_OK) {
		end(r, rc == STERNA_EUNAVAILABLE ? STERNA_RESOURCE_CONSTRAINT : STERNA_NOT_ACCEPTABLE, NULL);
		return;
	}
	struct db_batch *b = db_batch_new(r->worker->db);
	const int64_t now = loop_wall_us(r->worker->loop);

	user_add_account(b, jid_full(r->jid), now, keys);
	if (awaits_approval(r))
		user_add_disabled(b, jid_full(r->jid), "waits for approval");
	if (r->invite != NULL)
		db_batch_add(b, &invite_use, (const struct db_value[]){ db_text(r->invite->hash), db_text(jid_full(r->jid)),
			DB_INT(now) });
	db_batch_commit(&b, on_made, r);
}

/* A name that is kept for somebody who was invited is as good as taken. */
static void on_reserved(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct registration *r = arg;

	if (rc != STERNA_OK)
		end(r, STERNA_RESOURCE_CONSTRAINT, "the invitations cannot be read now");
	else if (db_rows_count(rows) > 0)
		end(r, STERNA_CONFLICT, NULL);
	else if (r->stream == NULL && r->done == NULL) /* nobody would know it: before the slow work */
		end(r, 0, NULL);
	else if (!net_may_register(r->worker->server, r->has_ip ? &r->ip : NULL, loop_now_us(r->worker->loop)))
		end(r, STERNA_RESOURCE_CONSTRAINT, "too many accounts were made from your address; try later");
	else if (register_keys(r->worker, r->password, on_keys, r) != STERNA_OK)
		end(r, STERNA_RESOURCE_CONSTRAINT, "too much to do; try later");
}

static void on_exists(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct registration *r = arg;

	if (rc != STERNA_OK)
		end(r, STERNA_RESOURCE_CONSTRAINT, "the accounts cannot be read now");
	else if (db_rows_count(rows) > 0)
		end(r, STERNA_CONFLICT, NULL);
	else
		db_read(r->worker->db, &invite_reserved, (const struct db_value[]){ db_text(jid_domain(r->jid)),
			db_text(jid_local(r->jid)), db_text(r->invite != NULL ? r->invite->hash : ""),
			DB_INT(loop_wall_us(r->worker->loop)) }, on_reserved, r);
}

/* --- the wire --- */

static bool is_invited(const struct stream *s)
{
	return s->invite != NULL && s->invite->account;
}

static bool is_open(const struct stream *s)
{
	return (s->host->config->registration || is_invited(s)) && !s->host->config->anonymous;
}

static bool takes_invitations(const struct stream *s)
{
	return s->host->config->invitations && !s->host->config->anonymous;
}

void register_features(struct stream *s, struct arena *a, struct sterna_elem *features)
{
	if (takes_invitations(s))
		elem_add(a, features, "register", NS_INVITE_FEATURE);
	if (is_open(s))
		elem_add(a, features, "register", "http://jabber.org/features/iq-register");
}

static bool is_asked(const struct stream *s)
{
	return s->host->config->questions.count > 0 && !is_invited(s);
}

/* XEP-0158 §5: for clients that do not read forms the rest of the answer says what to do. */
static void add_question(struct stream *s, const struct stanza *st, struct sterna_elem *query)
{
	struct sterna_elem *form = sterna_form(query, "form", NS_REGISTER), *f;

	captcha_ask(&s->captcha, s->worker->loop, s->host->config, stanza_id(st), form);
	f = sterna_form_field(form, "username", "text-single", NULL);
	elem_set_attr(f->arena, f, "label", "Name");
	elem_add(f->arena, f, "required", "jabber:x:data");
	f = sterna_form_field(form, "password", "text-private", NULL);
	elem_set_attr(f->arena, f, "label", "Password");
	elem_add(f->arena, f, "required", "jabber:x:data");
}

static void send_form(struct stream *s, const struct stanza *st)
{
	struct stanza *r = stanza_result(st);
	struct sterna_elem *query = elem_add(r->arena, r->elem, "query", NS_REGISTER);

	elem_add_text_elem(r->arena, query, "instructions", s->host->config->registration_approval && !is_invited(s)
		? "Choose a name and a password for your account. You can use it when an administrator has approved it."
		: "Choose a name and a password for your account.");
	if (is_invited(s) && *s->invite->username != '\0')
		elem_add_text_elem(r->arena, query, "username", s->invite->username);
	else
		elem_add(r->arena, query, "username", NS_REGISTER);
	elem_add(r->arena, query, "password", NS_REGISTER);
	if (is_asked(s))
		add_question(s, st, query);
	stream_send(s, r, NULL);
	stanza_unref(&r);
}

static struct registration *begin(struct stream *s, struct stanza *st)
{
	struct registration *r = xalloc(sizeof *r);

	r->stream = s;
	r->worker = s->worker;
	r->host = s->host;
	r->request = stanza_ref(st);
	r->ip = s->ip;
	r->has_ip = s->has_ip;
	snprintf(r->peer, sizeof r->peer, "%s", s->transport->peer);
	s->registration = r;
	stream_hold(s, HOLD_WORK);
	return r;
}

static void on_invite(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct registration *r = arg;
	struct stream *s = r->stream;
	struct invite *i = rc == STERNA_OK ? invite_of(r->invite->hash, rows) : NULL;

	if (rc != STERNA_OK) {
		end(r, STERNA_RESOURCE_CONSTRAINT, "the invitations cannot be read now");
	} else if (i == NULL || !i->account) {
		end(r, STERNA_ITEM_NOT_FOUND, "the token is not known, was used, or is too old");
		if (s != NULL && ++s->tries >= s->worker->server->config->limits.auth_tries)
			stream_error(s, "policy-violation", "too many failed attempts");
	} else {
		if (s != NULL) {
			invite_free(&s->invite);
			free(s->invite_token);
			s->invite = i;
			s->invite_token = r->token;
			r->token = NULL;
			i = NULL;
		}
		end(r, 0, NULL);
	}
	invite_free(&i);
}

/* XEP-0445 §4: from here on the token's age does not matter to this stream. */
static void on_preauth(struct stream *s, struct stanza *st, const struct sterna_elem *preauth)
{
	const char *token = elem_attr(preauth, "token");

	if (token == NULL || *token == '\0') {
		refuse(s, st, STERNA_BAD_REQUEST, "which token?");
		return;
	}
	struct registration *r = begin(s, st);

	r->token = xstrdup(token);
	r->invite = xalloc(sizeof *r->invite);
	invite_hash(token, r->invite->hash);
	db_read(s->worker->db, &invite_get, (const struct db_value[]){ db_text(r->invite->hash), db_text(jid_full(s->host->jid)),
		DB_INT(loop_wall_us(s->worker->loop)) }, on_invite, r);
}

/* A wrong answer counts as an account that was made: so many from one address, whichever streams they come by.
 * @return false: it was refused */
static bool is_answered(struct stream *s, struct stanza *st, const struct sterna_elem *form)
{
	const enum captcha_verdict v = captcha_take(&s->captcha, form);
	const bool may = v != CAPTCHA_WRONG
		|| net_may_register(s->worker->server, s->has_ip ? &s->ip : NULL, loop_now_us(s->worker->loop));

	if (v == CAPTCHA_RIGHT)
		return true;
	if (v == CAPTCHA_UNKNOWN)
		refuse(s, st, STERNA_NOT_ACCEPTABLE, "there is a question to be answered: ask for the form, and fill it in");
	else
		refuse(s, st, may ? STERNA_NOT_ACCEPTABLE : STERNA_RESOURCE_CONSTRAINT, may
			? "this is not the answer; ask for the form again" : "too many wrong answers came from your address; try later");
	if (++s->tries >= s->worker->server->config->limits.auth_tries)
		stream_error(s, "policy-violation", "too many failed attempts");
	return false;
}

static unsigned wrong(char why[REGION_TEXT], const char *text, enum sterna_condition condition)
{
	snprintf(why, REGION_TEXT, "%s", text);
	return condition;
}

/* A name and a password that somebody wishes. i: the invitation, or NULL. @return 0, or the condition of a refusal */
static unsigned check_wish(const struct config *c, const struct host *h, const struct invite *i, const char *name,
	const char *password, char prepared[PASSWORD_MAX + 1], struct jid **out, char why[REGION_TEXT])
{
	if (name == NULL || *name == '\0' || password == NULL || *password == '\0')
		return wrong(why, "a name and a password are needed", STERNA_NOT_ACCEPTABLE); /* §3.1 */
	if (jid_make(name, jid_full(h->jid), NULL, out) != STERNA_OK)
		return wrong(why, "the name cannot be used", STERNA_NOT_ACCEPTABLE);
	if (region_refuses(c, *out, why))
		return STERNA_NOT_ALLOWED;
	if (user_password(password, prepared) != STERNA_OK)
		return wrong(why, "the password cannot be used", STERNA_NOT_ACCEPTABLE);
	if (i != NULL && *i->username != '\0' && strcmp(i->username, jid_local(*out)) != 0)
		return wrong(why, "the invitation is for another name", STERNA_NOT_ALLOWED);
	return 0;
}

static void look_whether_taken(struct registration *r)
{
	db_read(r->worker->db, &user_exists_stmt, (const struct db_value[]){ db_text(jid_full(r->jid)) }, on_exists, r);
}

static void on_set(struct stream *s, struct stanza *st, const struct sterna_elem *query)
{
	const struct sterna_elem *form = elem_child(query, "x", "jabber:x:data");
	const char *name = form != NULL ? sterna_form_value(form, "username") : elem_child_text(st->arena, query, "username");
	const char *password = form != NULL ? sterna_form_value(form, "password") : elem_child_text(st->arena, query, "password");
	char prepared[PASSWORD_MAX + 1];
	char why[REGION_TEXT];
	struct jid *j = NULL;
	unsigned condition;

	if (elem_child(query, "remove", NS_REGISTER) != NULL) {
		refuse(s, st, STERNA_UNEXPECTED_REQUEST, "log in first");
	} else if ((condition = check_wish(s->worker->server->config, s->host, is_invited(s) ? s->invite : NULL, name, password,
			prepared, &j, why)) != 0) {
		refuse(s, st, condition, why);
	} else if (!is_asked(s) || is_answered(s, st, form)) {
		struct registration *r = begin(s, st);

		r->jid = jid_ref(j);
		memcpy(r->password, prepared, sizeof r->password);
		if (is_invited(s)) {
			r->invite = invite_copy(s->invite);
			r->token = xstrdup(s->invite_token);
		}
		look_whether_taken(r);
	}
	OPENSSL_cleanse(prepared, sizeof prepared);
	jid_unref(&j);
}

/* --- without a stream --- */

static void on_shown(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct registration *r = arg;
	struct invite *i = rc == STERNA_OK ? invite_of(r->invite->hash, rows) : NULL;
	char prepared[PASSWORD_MAX + 1];
	char why[REGION_TEXT];
	unsigned condition;

	if (rc != STERNA_OK || i == NULL || !i->account) {
		invite_free(&i);
		end(r, rc != STERNA_OK ? STERNA_RESOURCE_CONSTRAINT : STERNA_ITEM_NOT_FOUND, NULL);
		return;
	}
	invite_free(&r->invite);
	r->invite = i;
	condition = check_wish(r->worker->server->config, r->host, i, r->name, r->password, prepared, &r->jid, why);
	if (condition != 0) {
		end(r, condition, why);
	} else {
		memcpy(r->password, prepared, sizeof r->password);
		look_whether_taken(r);
	}
	OPENSSL_cleanse(prepared, sizeof prepared);
}

void register_begin(struct worker *w, const struct register_wish *wish, register_done_fn *done, void *arg)
{
	struct registration *r = xalloc(sizeof *r);

	r->worker = w;
	r->host = wish->host;
	r->done = done;
	r->arg = arg;
	r->name = xstrdup(wish->name);
	r->token = xstrdup(wish->token);
	r->ip = *wish->ip;
	r->has_ip = true;
	snprintf(r->peer, sizeof r->peer, "%s", wish->peer);
	/* One that is too long is none that can be used: cut, it could be. */
	if (strlen(wish->password) < sizeof r->password)
		memcpy(r->password, wish->password, strlen(wish->password) + 1);
	r->invite = xalloc(sizeof *r->invite);
	invite_hash(wish->token, r->invite->hash);
	db_read(w->db, &invite_get, (const struct db_value[]){ db_text(r->invite->hash), db_text(jid_full(wish->host->jid)),
		DB_INT(loop_wall_us(w->loop)) }, on_shown, r);
}

void register_on_iq(struct stream *s, struct arena **a, struct sterna_elem *e)
{
	const struct sterna_elem *query = elem_first(e);
	const bool preauth = elem_is(query, "preauth", NS_INVITE_PREAUTH);
	struct stanza *st = NULL;

	/* RFC 6120 §4.9.3.12: nothing else comes before authentication. */
	if ((!elem_is(query, "query", NS_REGISTER) && !preauth) || s->auth != NULL || s->sasl2 != NULL || stanza_new(a, e, &st) != STERNA_OK) {
		stream_error(s, "not-authorized", NULL);
		return;
	}
	if (stanza_id(st) == NULL || (st->type != IQ_GET && st->type != IQ_SET))
		stream_error(s, "not-authorized", NULL);
	else if (st->to != NULL && strcmp(jid_full(st->to), jid_full(s->host->jid)) != 0)
		refuse(s, st, STERNA_NOT_ALLOWED, "only with this host");
	else if (preauth && st->type == IQ_SET && takes_invitations(s))
		on_preauth(s, st, query);
	else if (preauth || !is_open(s))
		refuse(s, st, STERNA_SERVICE_UNAVAILABLE, takes_invitations(s)
			? "an invitation is needed here" : "accounts are made by the administrator here");
	else if (st->type == IQ_GET)
		send_form(s, st);
	else
		on_set(s, st, query);
	stanza_unref(&st);
}
