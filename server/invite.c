/* invite.c - tokens and their rows. */
#include "server/invite.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/route.h"
#include "server/server.h"

const struct db_stmt invite_insert = {
	.name = "invite_insert", .params = "ttttiiii",
	.sql = "INSERT INTO invite (token, host, inviter, username, contact, account, created, expires)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
};
const struct db_stmt invite_get = {
	.name = "invite_get", .params = "tti", .columns = "ttiii",
	.sql = "SELECT inviter, username, contact, account, expires FROM invite i WHERE token = $1 AND host = $2"
		" AND expires > $3 AND NOT EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token)",
};
const struct db_stmt invite_use = {
	.name = "invite_use", .params = "tti",
	.sql = "INSERT INTO invite_use (token, account, used) VALUES ($1, $2, $3)",
};
const struct db_stmt invite_use_once = {
	.name = "invite_use_once", .params = "tti",
	.sql = "INSERT INTO invite_use (token, account, used) VALUES ($1, $2, $3) ON CONFLICT (token) DO NOTHING",
};
const struct db_stmt invite_reserved = {
	.name = "invite_reserved", .params = "ttti", .columns = "i",
	.sql = "SELECT 1 FROM invite i WHERE host = $1 AND username = $2 AND token <> $3 AND expires > $4"
		" AND NOT EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token)",
};
const struct db_stmt invite_count = {
	.name = "invite_count", .params = "it", .columns = "i",
	.sql = "SELECT count(*) FROM invite i WHERE expires > $1 AND inviter = $2"
		" AND NOT EXISTS (SELECT 1 FROM invite_use u WHERE u.token = i.token)",
};
const struct db_stmt invite_purge = {
	.name = "invite_purge", .params = "i", .sql = "DELETE FROM invite WHERE expires <= $1",
};
const struct db_stmt invite_purge_uses = {
	.name = "invite_purge_uses", .params = "i",
	.sql = "DELETE FROM invite_use WHERE token IN (SELECT token FROM invite WHERE expires <= $1)",
};

struct invite *invite_copy(const struct invite *i)
{
	struct invite *copy = xalloc(sizeof *copy);

	*copy = *i;
	copy->inviter = xstrdup(i->inviter);
	copy->username = xstrdup(i->username);
	return copy;
}

void invite_free(struct invite **i)
{
	if (*i == NULL)
		return;
	free((*i)->inviter);
	free((*i)->username);
	free(*i);
	*i = NULL;
}

/* 24 letters and digits that are not taken for each other, of 5 bits each. */
void invite_token(struct loop *l, char token[INVITE_TOKEN_SIZE], char hash[INVITE_HASH_SIZE])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char bytes[INVITE_TOKEN_SIZE - 1];

	loop_random(l, bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		token[i] = letters[bytes[i] & 31];
	token[sizeof bytes] = '\0';
	invite_hash(token, hash);
}

void invite_hash(const char *token, char hash[INVITE_HASH_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	unsigned n = 0;

	EVP_Digest(token, strlen(token), digest, &n, EVP_sha256(), NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(hash + 2 * (size_t)i, 3, "%02x", digest[i]);
}

void invite_address(struct buf *out, const char *local, const char *domain)
{
	buf_lit(out, "xmpp:");
	if (*local != '\0') {
		buf_percent(out, local);
		buf_putc(out, '@');
	}
	buf_percent(out, domain);
}

struct invite *invite_of(const char *hash, const struct db_rows *rows)
{
	struct invite *i;

	if (rows == NULL || db_rows_count(rows) == 0)
		return NULL;
	i = xalloc(sizeof *i);
	snprintf(i->hash, sizeof i->hash, "%s", hash);
	i->inviter = xstrdup(db_str(rows, 0, 0, NULL));
	i->username = xstrdup(db_str(rows, 0, 1, NULL));
	i->contact = db_int(rows, 0, 2) != 0;
	i->account = db_int(rows, 0, 3) != 0;
	i->expires_us = db_int(rows, 0, 4);
	return i;
}

/* The new account approves first what the inviter will ask for, then asks, with the token that the inviter's side
 * knows: so both end with a subscription both ways, and roster pushes. */
void invite_befriend(struct worker *w, const struct invite *i, const struct jid *account, const char *token)
{
	struct jid *inviter = NULL;
	struct stanza *st;

	if (!i->contact || *i->inviter == '\0' || jid_parse(i->inviter, strlen(i->inviter), &inviter) != STERNA_OK)
		return;
	st = stanza_make("presence", "subscribed", account, inviter, NULL);
	route_subscription(w, &st);
	st = stanza_make("presence", "subscribe", account, inviter, NULL);
	elem_set_attr(st->arena, elem_add(st->arena, st->elem, "preauth", NS_INVITE_PREAUTH), "token", token);
	route_subscription(w, &st);
	jid_unref(&inviter);
}
