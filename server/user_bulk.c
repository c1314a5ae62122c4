/* user_bulk.c - many accounts at once: read and check all lines, then derive keys on helper threads while
 * finished ones are written in batches. */
#include "server/user.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/user_impl.h"
#include "server/work.h"

enum { BATCH = 200, LINE_BYTES = 8192, LINES_MAX = 2000000, AHEAD = 64, READS = 256 };

struct entry {
	struct jid *jid;
	unsigned line;
	bool exists;
	char password[];             /* prepared */
};

struct bulk {
	struct users *u;
	const struct user_bulk *o;
	struct user_bulk_result *result;
	struct entry **entries;
	size_t count, size;
	/* checking */
	unsigned reads;
	/* making */
	struct work_pool *pool;
	size_t next;                 /* entry to be derived */
	struct job *ready[BATCH];    /* derived, not written yet */
	size_t ready_count;
	unsigned jobs, commits;      /* under way */
	unsigned pending;            /* the sum */
	enum sterna_result rc;
};

/* One account whose keys are derived. */
struct job {
	struct work work;
	struct bulk *bulk;
	struct entry *entry;
	uint32_t iterations;
	uint8_t salts[SCRAM_HASH_COUNT][SCRAM_SALT_LEN];
	struct credential_set keys;
	enum sterna_result rc;
};

struct commit {
	struct bulk *bulk;
	size_t count;
};

static void wrong(struct bulk *b, unsigned line, const char *what)
{
	b->result->wrong++;
	if (b->o->wrong != NULL)
		b->o->wrong(b->o->arg, line, what);
}

/* --- reading --- */

static void add_entry(struct bulk *b, unsigned line, struct jid *j, const char *password)
{
	struct entry *e = xalloc(sizeof *e + strlen(password) + 1);

	e->jid = j;
	e->line = line;
	memcpy(e->password, password, strlen(password) + 1);
	if (b->count == b->size) {
		b->size = b->size == 0 ? 256 : b->size * 2;
		b->entries = xrealloc(b->entries, b->size * sizeof *b->entries);
	}
	b->entries[b->count++] = e;
	b->result->lines++;
}

/* text: a line without its end. */
static void read_line(struct bulk *b, unsigned line, char *text)
{
	char password[PASSWORD_MAX + 1];
	const char *why = NULL;
	struct jid *j = NULL;

	text += strspn(text, " \t");
	if (*text == '\0' || *text == '#')
		return;
	char *rest = text + strcspn(text, " \t");

	if (*rest != '\0')
		*rest++ = '\0';
	rest += strspn(rest, " \t");
	if (user_address(b->u, text, &j, &why) != STERNA_OK)
		wrong(b, line, why);
	else if (*rest == '\0')
		wrong(b, line, "there is no password after the address");
	else if (user_password(rest, password) != STERNA_OK)
		wrong(b, line, "the password is too long, or has characters that are not allowed (RFC 8265)");
	else
		add_entry(b, line, jid_ref(j), password);
	jid_unref(&j);
	OPENSSL_cleanse(password, sizeof password);
}

static enum sterna_result read_lines(struct bulk *b, FILE *in)
{
	char *text = xalloc(LINE_BYTES);
	enum sterna_result rc = STERNA_OK;

	for (unsigned line = 1; rc == STERNA_OK && fgets(text, LINE_BYTES, in) != NULL; line++) {
		const size_t len = strcspn(text, "\r\n");

		if (text[len] == '\0' && !feof(in)) {
			wrong(b, line, "the line is too long, or holds a NUL");
			rc = STERNA_EINVAL;
		} else if (b->count == LINES_MAX) {
			wrong(b, line, "too many accounts in one file");
			rc = STERNA_ELIMIT;
		} else {
			text[len] = '\0';
			read_line(b, line, text);
		}
	}
	OPENSSL_cleanse(text, LINE_BYTES);
	free(text);
	return rc == STERNA_OK && ferror(in) ? STERNA_EIO : rc;
}

/* --- checking --- */

static int by_jid(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	const int order = strcmp(jid_bare(x->jid), jid_bare(y->jid));

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int by_line(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return (x->line > y->line) - (x->line < y->line);
}

static void check_twice(struct bulk *b)
{
	if (b->count == 0)
		return;
	qsort(b->entries, b->count, sizeof *b->entries, by_jid);
	for (size_t i = 1; i < b->count; i++)
		if (jid_equal(b->entries[i - 1]->jid, b->entries[i]->jid)) {
			char text[64];

			snprintf(text, sizeof text, "the same account as in line %u", b->entries[i - 1]->line);
			wrong(b, b->entries[i]->line, text);
		}
	qsort(b->entries, b->count, sizeof *b->entries, by_line);
}

struct lookup {
	struct bulk *bulk;
	struct entry *entry;
};

static void on_found(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct lookup *l = arg;
	struct bulk *b = l->bulk;

	if (rc != STERNA_OK)
		b->rc = rc;
	else
		l->entry->exists = db_rows_count(rows) > 0;
	if (--b->reads == 0)
		loop_stop(b->u->loop);
	free(l);
}

/* Which are there already; many questions in one go. */
static enum sterna_result check_existing(struct bulk *b)
{
	for (size_t i = 0; i < b->count && b->rc == STERNA_OK;) {
		for (; i < b->count && b->reads < READS; i++) {
			struct lookup *l = xalloc(sizeof *l);

			*l = (struct lookup){ b, b->entries[i] };
			b->reads++;
			db_read(b->u->client, &user_exists_stmt,
				(const struct db_value[]){ db_text(jid_bare(l->entry->jid)) }, on_found, l);
		}
		users_wait(b->u, &b->reads);
	}
	for (size_t i = 0; i < b->count && b->rc == STERNA_OK; i++)
		if (b->entries[i]->exists) {
			if (b->o->skip_existing)
				b->result->skipped++;
			else
				wrong(b, b->entries[i]->line, "the account is there already");
		}
	return b->rc;
}

/* --- making --- */

static void fill(struct bulk *b);

/* Something has ended: more can begin, or all is done. */
static void step(struct bulk *b)
{
	fill(b);
	b->pending = b->jobs + b->commits;
	if (b->o->progress != NULL)
		b->o->progress(b->o->arg, b->result->created + b->result->skipped, b->count);
	loop_stop(b->u->loop); /* users_wait() looks, and is patient again */
}

static void on_committed(void *arg, enum sterna_result rc, const struct db_rows *rows)
{
	struct commit *c = arg;
	struct bulk *b = c->bulk;

	(void)rows;
	b->commits--;
	if (rc == STERNA_OK)
		b->result->created += c->count;
	else if (b->rc == STERNA_OK)
		b->rc = rc;
	free(c);
	step(b);
}

static void job_free(struct job *j)
{
	credential_set_clear(&j->keys);
	free(j);
}

/* What is ready goes out in one transaction, or is dropped after a failure. */
static void flush(struct bulk *b)
{
	const size_t count = b->ready_count;
	struct db_batch *batch = b->rc == STERNA_OK && count > 0 ? users_batch(b->u) : NULL;

	b->ready_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (batch != NULL)
			user_add_account(batch, jid_bare(b->ready[i]->entry->jid), loop_wall_us(b->u->loop),
				&b->ready[i]->keys);
		job_free(b->ready[i]);
	}
	if (batch == NULL)
		return;
	struct commit *c = xalloc(sizeof *c);

	*c = (struct commit){ b, count };
	b->commits++;
	db_batch_commit(&batch, on_committed, c);
}

static void on_derive(struct work *w)
{
	struct job *j = (struct job *)w;

	j->rc = credential_set_derive(j->entry->password, strlen(j->entry->password),
		(const uint8_t (*)[SCRAM_SALT_LEN])j->salts, j->iterations, &j->keys);
}

static void on_derived(struct work *w)
{
	struct job *j = (struct job *)w;
	struct bulk *b = j->bulk;

	b->jobs--;
	if (b->rc == STERNA_OK)
		b->rc = w->cancelled ? STERNA_ECLOSED : j->rc;
	if (b->rc == STERNA_OK)
		b->ready[b->ready_count++] = j;
	else
		job_free(j);
	if (b->ready_count == BATCH)
		flush(b);
	step(b);
}

static void fill(struct bulk *b)
{
	while (b->rc == STERNA_OK && b->jobs < AHEAD && b->next < b->count) {
		struct entry *e = b->entries[b->next++];

		if (e->exists)
			continue;
		struct job *j = xalloc(sizeof *j);

		j->bulk = b;
		j->entry = e;
		j->iterations = b->u->config->auth.iterations;
		loop_random(b->u->loop, j->salts, sizeof j->salts);
		work_init(&j->work, b->u->loop, on_derive, on_derived);
		b->jobs++;
		b->rc = work_submit(b->pool, &j->work);
		if (b->rc != STERNA_OK) {
			b->jobs--;
			free(j);
		}
	}
	if (b->jobs == 0)
		flush(b);
}

static enum sterna_result make_all(struct bulk *b)
{
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned threads = b->o->threads != 0 ? b->o->threads : processors > 0 ? (unsigned)processors : 1;

	b->rc = work_pool_new(threads, AHEAD, &b->pool);
	if (b->rc != STERNA_OK)
		return b->rc;
	fill(b);
	b->pending = b->jobs + b->commits;
	users_wait(b->u, &b->pending);
	work_pool_free(&b->pool);
	return b->rc;
}

enum sterna_result user_create_many(struct users *u, FILE *in, const struct user_bulk *o, struct user_bulk_result *out)
{
	struct bulk b = { .u = u, .o = o, .result = out };
	enum sterna_result rc;

	*out = (struct user_bulk_result){ 0 };
	rc = read_lines(&b, in);
	if (rc == STERNA_OK) {
		check_twice(&b);
		rc = check_existing(&b);
	}
	if (rc == STERNA_OK && out->wrong > 0)
		rc = STERNA_EINVAL;
	if (rc == STERNA_OK && out->lines > out->skipped)
		rc = make_all(&b);
	for (size_t i = 0; i < b.count; i++) {
		jid_unref(&b.entries[i]->jid);
		OPENSSL_cleanse(b.entries[i]->password, strlen(b.entries[i]->password));
		free(b.entries[i]);
	}
	free(b.entries);
	return rc;
}
