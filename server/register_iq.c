/* register_iq.c - jabber:iq:register after authentication: what is known of oneself, a new password, the end. */
#include "server/register_iq.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/register.h"
#include "server/registry.h"
#include "server/request.h"
#include "server/session.h"
#include "server/stream.h"
#include "server/user_impl.h"

struct register_config {
	bool change_password, remove;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct register_config, change_password, "true", NULL, "let users change their password"),
	STERNA_OPT(struct register_config, remove, "true", NULL, "let users remove their account"),
	{ 0 }
};

/* The asker's account, if it is one of this host that is connected here: the request comes from its session. */
static struct account *asker(struct sterna_call *c)
{
	const struct jid *from = sterna_from(c);
	struct account *a = c->account != NULL ? c->account : account_find(c->worker, jid_bare(from));

	if (a == NULL || a->state != ACCOUNT_READY || a->anonymous || jid_resource(from) == NULL
		|| !jid_bare_equal(a->jid, from) || account_session(a, jid_resource(from)) == NULL
		|| strcmp(jid_domain(a->jid), sterna_host(c)) != 0)
		return NULL;
	return a;
}

static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct account *a = asker(c);
	struct sterna_elem *query = sterna_elem(c, "query", NS_REGISTER);

	if (a == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	sterna_add(query, "registered", NULL);
	sterna_text(query, "username", jid_local(a->jid));
	sterna_add(query, "password", NULL);
	return sterna_reply(c, query);
}

/* --- a new password --- */

struct job {
	struct sterna_call *call;
	struct account *account;         /* held */
};

static void job_end(struct job *j, enum sterna_verdict v)
{
	struct sterna_call *c = j->call;

	account_release(j->account);
	free(j);
	call_resume(c, v);
}

static struct job *job_new(struct sterna_call *c, struct account *a)
{
	struct job *j = xalloc(sizeof *j);

	j->call = c;
	j->account = a;
	account_hold(a);
	return j;
}

static void on_keys(void *arg, enum sterna_result rc, const struct credential_set *keys)
{
	struct job *j = arg;
	struct sterna_call *c = j->call;

	if (rc != STERNA_OK) {
		job_end(j, sterna_reject(c, rc == STERNA_EUNAVAILABLE ? STERNA_RESOURCE_CONSTRAINT : STERNA_NOT_ACCEPTABLE,
			NULL));
		return;
	}
	user_add_password(call_batch(c), jid_full(j->account->jid), keys);
	log_notice("register", "password changed", "jid", jid_full(j->account->jid));
	job_end(j, sterna_reply(c, NULL));
}

static enum sterna_verdict change(struct sterna_call *c, struct account *a, const char *name, const char *password)
{
	const struct register_config *cfg = sterna_config(c);
	char prepared[PASSWORD_MAX + 1];
	struct jid *j = NULL;

	if (!cfg->change_password)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	if (name == NULL || password == NULL || *password == '\0')
		return sterna_reject(c, STERNA_BAD_REQUEST, "a name and a password are needed"); /* §3.3 */
	if (jid_make(name, jid_domain(a->jid), NULL, &j) != STERNA_OK || !jid_equal(j, a->jid)) {
		jid_unref(&j);
		return sterna_reject(c, STERNA_NOT_ALLOWED, "only your own password");
	}
	jid_unref(&j);
	if (user_password(password, prepared) != STERNA_OK)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the password cannot be used");
	struct job *job = job_new(c, a);
	const enum sterna_result rc = register_keys(c->worker, prepared, on_keys, job);

	OPENSSL_cleanse(prepared, sizeof prepared);
	if (rc == STERNA_OK)
		return STERNA_WAIT;
	account_release(a);
	free(job);
	return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too much to do; try later");
}

/* --- the end of an account --- */

static void on_removed(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct job *j = arg;
	struct sterna_call *c = j->call;
	struct account *a = j->account;

	(void)rows;
	a->state = ACCOUNT_READY;
	if (rc != STERNA_OK) {
		job_end(j, sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "the account could not be removed now"));
		return;
	}
	log_notice("register", "account removed", "jid", jid_full(a->jid));
	account_hold(a);
	job_end(j, sterna_reply(c, NULL)); /* leaves before the streams end */
	account_deleted(a);
	account_release(a);
}

static enum sterna_verdict remove_account(struct sterna_call *c, struct account *a)
{
	const struct register_config *cfg = sterna_config(c);

	if (!cfg->remove)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	struct db_batch *b;

	modules_event(c->worker, STERNA_ACCOUNT_DELETED, a, NULL, c);
	user_add_removal(call_batch(c), jid_full(a->jid));
	admin_account_gone(c->worker->server, jid_full(a->jid));
	b = c->batch;
	c->batch = NULL;
	a->state = ACCOUNT_ABSENT; /* nothing more is stored for it */
	db_batch_commit(&b, on_removed, job_new(c, a));
	return STERNA_WAIT;
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct sterna_elem *query = sterna_payload(c), *first = elem_first(query);
	struct account *a = asker(c);

	if (a == NULL)
		return sterna_reject(c, STERNA_NOT_ALLOWED, NULL);
	if (elem_child(query, "remove", NS_REGISTER) == NULL)
		return change(c, a, sterna_child_text(query, "username"), sterna_child_text(query, "password"));
	if (elem_next(first) != NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "nothing comes with remove"); /* §3.2 */
	return remove_account(c, a);
}

STERNA_MODULE(register, .spec = "XEP-0077 2.4", .summary = "In-Band Registration",
	.options = options, .config_size = sizeof(struct register_config),
	.features = (const struct sterna_feature[]){ { NS_REGISTER, STERNA_SERVER }, { NULL, 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT | STERNA_SERVER, NS_REGISTER, "query", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT | STERNA_SERVER, NS_REGISTER, "query", on_set },
		{ 0, 0, NULL, NULL, NULL } });
