/* api_token.c - the table api_token, as the API's door reads it. */
#include "server/api_token.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { NOTED_EVERY_US = 60000000 };

static const struct db_stmt find = {
	.name = "api_token_find", .params = "ti", .columns = "tttii",
	.sql = "SELECT t.hash, t.owner, t.scopes, t.expires, t.used FROM api_token t JOIN account a ON a.jid = t.owner "
	       "WHERE t.id = $1 AND t.expires > $2 AND a.state = 0",
};
static const struct db_stmt note_use = {
	.name = "api_token_use", .params = "ti", .sql = "UPDATE api_token SET used = $2 WHERE id = $1 AND used < $2",
};

static bool is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

bool api_token_id(const char *token, char *id)
{
	const size_t prefix = strlen(API_TOKEN_PREFIX);

	if (strlen(token) != API_TOKEN_LEN || strncmp(token, API_TOKEN_PREFIX, prefix) != 0 || !is_hex(token + prefix, API_TOKEN_ID)
		|| token[prefix + API_TOKEN_ID] != '_' || !is_hex(token + prefix + API_TOKEN_ID + 1, API_TOKEN_SECRET))
		return false;
	memcpy(id, token + prefix, API_TOKEN_ID);
	id[API_TOKEN_ID] = '\0';
	return true;
}

void api_token_hash(const char *token, char *hash)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(token, strlen(token), sum, &len, EVP_sha256(), NULL) != 1)
		abort(); /* OpenSSL without SHA-256 */
	for (unsigned i = 0; i < len; i++)
		snprintf(hash + 2 * i, 3, "%02x", sum[i]);
}

/* --- scopes --- */

static bool is_word(const char *scope, size_t len, const char *word)
{
	return strlen(word) == len && strncmp(scope, word, len) == 0;
}

bool api_scope_names(const char *scope, size_t len, const struct sterna_command *c)
{
	return len > 0 && strncmp(c->name, scope, len) == 0 && (c->name[len] == '\0' || c->name[len] == ' ');
}

/* What could give the token's holder more than the token: not by the way. */
static bool is_power(const struct sterna_command *c)
{
	static const char *const names[] = { "api token create", "role edit", "role grant" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], c->name) == 0)
			return true;
	return false;
}

bool api_scopes_allow(const char *scopes, const struct sterna_command *c)
{
	for (const char *p = scopes; *p != '\0';) {
		const size_t n = strcspn(p, ",");

		if (is_word(p, n, "all") || (is_word(p, n, "read") && (c->flags & STERNA_COMMAND_READ) != 0)
			|| (is_power(c) ? is_word(p, n, c->name) : api_scope_names(p, n, c)))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

/* --- a token that is shown --- */

struct check {
	struct worker *worker;
	api_token_fn *fn;
	void *arg;
	int64_t now_us;
	char id[API_TOKEN_ID + 1], hash[API_TOKEN_HASH + 1];
};

static void on_rows(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct check *k = arg;
	struct api_token t = { .rc = rc };
	const char *hash = rc == STERNA_OK && db_rows_count(rows) == 1 ? db_str(rows, 0, 0, NULL) : NULL;

	if (hash != NULL && strlen(hash) == API_TOKEN_HASH && CRYPTO_memcmp(hash, k->hash, API_TOKEN_HASH) == 0) {
		t.owner = db_str(rows, 0, 1, NULL);
		t.scopes = db_str(rows, 0, 2, NULL);
		t.expires_us = db_int(rows, 0, 3);
		if (k->now_us - db_int(rows, 0, 4) > NOTED_EVERY_US) {
			struct db_batch *b = db_batch_new(k->worker->db);

			db_batch_add(b, &note_use, (const struct db_value[]){ db_text(k->id), DB_INT(k->now_us) });
			db_batch_commit(&b, NULL, NULL);
		}
	}
	k->fn(k->arg, &t);
	free(k);
}

void api_token_check(struct worker *w, const char *token, api_token_fn *fn, void *arg)
{
	struct check *k = xalloc(sizeof *k);

	k->worker = w;
	k->fn = fn;
	k->arg = arg;
	k->now_us = loop_wall_us(w->loop);
	if (!api_token_id(token, k->id))
		k->id[0] = '\0'; /* no row has that: the same way, in the same time */
	api_token_hash(token, k->hash);
	db_read(w->db, &find, (const struct db_value[]){ db_text(k->id), DB_INT(k->now_us) }, on_rows, k);
}
