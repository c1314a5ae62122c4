/* role.c - who may administer what: admins in the configuration, and what owners have granted by command. */
#include <stdlib.h>
#include <string.h>
#include "server/request.h"

static const struct {
	const char *word;
	unsigned role;
} words[] = { { "owner", STERNA_OWNER }, { "admin", STERNA_ADMIN }, { "operator", STERNA_OPERATOR },
	{ "auditor", STERNA_AUDITOR }, { "support", STERNA_SUPPORT } };

enum { WORDS = sizeof words / sizeof *words };

struct grant {
	char *jid, *host;            /* host "": all */
	unsigned role;
};

/* Threads: the main one. */
struct roles {
	struct daemon *daemon;
	struct grant *grants;
	size_t count;
};

unsigned roles_parse(const char *word)
{
	for (size_t i = 0; i < WORDS; i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].role;
	return 0;
}

const char *roles_word(unsigned role)
{
	for (size_t i = 0; i < WORDS; i++)
		if ((role & words[i].role) != 0)
			return words[i].word;
	return "none";
}

unsigned roles_rank(unsigned roles)
{
	static const unsigned ranks[] = { 5, 4, 3, 3, 2 };

	for (size_t i = 0; i < WORDS; i++)
		if ((roles & words[i].role) != 0)
			return ranks[i];
	return 0;
}

/* --- the configuration's --- */

static bool names_host(const struct config_admin *a, const char *host)
{
	if (a->hosts.count == 0)
		return true;
	for (size_t i = 0; host != NULL && i < a->hosts.count; i++)
		if (strcmp(a->hosts.item[i], host) == 0)
			return true;
	return false;
}

static unsigned configured(const struct config *c, const char *jid, const char *host)
{
	unsigned all = 0;

	for (size_t i = 0; i < c->admins.count; i++) {
		const struct config_admin *a = &config_admins(c)[i];

		if (strcmp(a->jid, jid) == 0 && names_host(a, host))
			all |= roles_parse(a->role);
	}
	return all;
}

unsigned roles_of(struct roles *r, const char *jid, const char *host)
{
	unsigned all = configured(r->daemon->config, jid, host);

	for (size_t i = 0; i < r->count; i++) {
		const struct grant *g = &r->grants[i];

		if (strcmp(g->jid, jid) == 0 && (*g->host == '\0' || (host != NULL && strcmp(g->host, host) == 0)))
			all |= g->role;
	}
	return all;
}

static void remove_at(struct roles *r, size_t i)
{
	free(r->grants[i].jid);
	free(r->grants[i].host);
	r->grants[i] = r->grants[--r->count];
}

struct comparing {
	struct roles *r;
	const char *target, *who;
	bool above;
};

static void compare(void *arg, const char *jid, const char *host, unsigned role, bool fixed)
{
	struct comparing *c = arg;

	(void)fixed;
	if (strcmp(jid, c->target) == 0
		&& roles_rank(role) > roles_rank(roles_of(c->r, c->who, *host != '\0' ? host : NULL)))
		c->above = true;
}

bool roles_above(struct roles *r, const char *target, const char *who)
{
	struct comparing c = { r, target, who, false };

	roles_each(r, compare, &c);
	return c.above;
}

void roles_forget(struct roles *r, const char *jid)
{
	for (size_t i = r->count; i-- > 0;)
		if (strcmp(r->grants[i].jid, jid) == 0)
			remove_at(r, i);
}

bool roles_any(struct roles *r, const char *jid)
{
	const struct config *c = r->daemon->config;

	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->grants[i].jid, jid) == 0)
			return true;
	for (size_t i = 0; i < c->admins.count; i++)
		if (strcmp(config_admins(c)[i].jid, jid) == 0)
			return true;
	return false;
}

void roles_each(struct roles *r, void (*fn)(void *arg, const char *jid, const char *host, unsigned role, bool fixed),
	void *arg)
{
	const struct config *c = r->daemon->config;

	for (size_t i = 0; i < c->admins.count; i++) {
		const struct config_admin *a = &config_admins(c)[i];

		for (size_t k = 0; k < a->hosts.count; k++)
			fn(arg, a->jid, a->hosts.item[k], roles_parse(a->role), true);
		if (a->hosts.count == 0)
			fn(arg, a->jid, "", roles_parse(a->role), true);
	}
	for (size_t i = 0; i < r->count; i++)
		fn(arg, r->grants[i].jid, r->grants[i].host, r->grants[i].role, false);
}

/* --- granted --- */

void roles_set(struct roles *r, const char *jid, const char *host, unsigned role)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->grants[i].jid, jid) == 0 && strcmp(r->grants[i].host, host) == 0) {
			remove_at(r, i);
			break;
		}
	if (role == 0)
		return;
	r->grants = xrealloc(r->grants, (r->count + 1) * sizeof *r->grants);
	r->grants[r->count++] = (struct grant){ xstrdup(jid), xstrdup(host), role };
}

static void on_rows(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct roles *r = arg;

	for (size_t i = 0; rc == STERNA_OK && i < db_rows_count(rows); i++) {
		const unsigned role = roles_parse(db_str(rows, i, 2, NULL));

		if (role != 0)
			roles_set(r, db_str(rows, i, 0, NULL), db_str(rows, i, 1, NULL), role);
	}
}

enum sterna_result roles_new(struct daemon *d, struct roles **out)
{
	static const struct db_stmt all = {
		.name = "role_all", .params = "", .columns = "ttt", .sql = "SELECT jid, host, role FROM admin_role",
	};
	struct roles *r = xalloc(sizeof *r);

	r->daemon = d;
	const enum sterna_result rc = db_exec_now(d->db, &all, NULL, on_rows, r);

	if (rc != STERNA_OK) {
		roles_free(&r);
		return rc;
	}
	*out = r;
	return STERNA_OK;
}

void roles_free(struct roles **roles)
{
	struct roles *r = *roles;

	*roles = NULL;
	while (r != NULL && r->count > 0)
		remove_at(r, r->count - 1);
	if (r != NULL)
		free(r->grants);
	free(r);
}
