/* rtbl_set.c - sets of hashes, and their rows in the database. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "modules/rtbl.h"

static const struct db_stmt rows = {
	.name = "rtbl_rows", .params = "t", .columns = "t", .sql = "SELECT hash FROM rtbl_item WHERE list = $1",
};
static const struct db_stmt put = {
	.name = "rtbl_put", .params = "tt",
	.sql = "INSERT INTO rtbl_item (list, hash) VALUES ($1, $2) ON CONFLICT (list, hash) DO NOTHING",
};
static const struct db_stmt drop = {
	.name = "rtbl_drop", .params = "tt", .sql = "DELETE FROM rtbl_item WHERE list = $1 AND hash = $2",
};

void rtbl_hash(const char *text, char *out)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(text, strlen(text), digest, &len, EVP_sha256(), NULL) != 1)
		len = 0;
	for (unsigned i = 0; i < len; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[2 * len] = '\0';
}

bool rtbl_read_hash(const char *text, char out[RTBL_HASH_LEN])
{
	if (text == NULL || strlen(text) != RTBL_HASH_LEN - 1 || strspn(text, "0123456789abcdefABCDEF") != RTBL_HASH_LEN - 1)
		return false;
	for (size_t i = 0; i < RTBL_HASH_LEN; i++)
		out[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] - 'A' + 'a' : text[i]);
	return true;
}

bool rtbl_set_add(struct map *set, const char *hash, size_t max)
{
	char *own;

	if (set->count >= max || map_get(set, hash) != NULL || (own = strdup(hash)) == NULL)
		return false;
	map_put(set, own, own);
	return true;
}

bool rtbl_set_remove(struct map *set, const char *hash)
{
	char *own = map_remove(set, hash);

	free(own);
	return own != NULL;
}

void rtbl_set_clear(struct map *set)
{
	struct map_entry *e;

	for (size_t at = 0; (e = map_next(set, &at)) != NULL;)
		rtbl_set_remove(set, e->key);
}

struct loading {
	struct map *set;
	size_t max;
};

static void on_rows(void *arg, const struct db_rows *found)
{
	const struct loading *g = arg;

	for (size_t i = 0; i < db_rows_count(found); i++)
		(void)rtbl_set_add(g->set, db_str(found, i, 0, NULL), g->max);
}

void rtbl_load_rows(struct sterna_mod *m, struct rtbl *r, size_t max)
{
	struct sterna_storage *s = sterna_storage_open(m);

	for (size_t i = 0; s != NULL && i < r->count; i++) {
		struct rtbl_list *l = &r->list[i];
		struct loading g = { &l->items, max };
		const struct db_value name = db_text(l->name);

		if (sterna_storage_read(s, &rows, &name, on_rows, &g) != STERNA_OK)
			log_warning("rtbl", "the stored copy of a list could not be read; it is fetched anew", "list", l->name);
		atomic_fetch_add(&r->total, l->items.count);
	}
	sterna_storage_close(&s);
}

void rtbl_put_row(struct sterna_call *c, const struct rtbl_list *l, const char *hash)
{
	sterna_write(c, &put, l->name, hash);
}

void rtbl_drop_row(struct sterna_call *c, const struct rtbl_list *l, const char *hash)
{
	sterna_write(c, &drop, l->name, hash);
}
