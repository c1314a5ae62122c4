/* ctl_audit.c - what sternactl does without a running server is recorded too; and sternactl audit verify: is the chain of the audit whole, in the database or in what was read from the topic? */
#include "server/ctl.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include <time.h>
#include "modules/audit_chain.h"
#include "server/datetime.h"
#include "server/map.h"
#include "server/user_impl.h"

enum { PAGE = 1000, LINE_MAX_BYTES = 4 << 20 };

/* --- records without a server --- */

static const struct config_node *audit_node(const struct ctl *c)
{
	const struct config_node *n = config_child(c->config->modules, "audit");
	bool on = true;

	return n == NULL || (n->kind == CONFIG_SCALAR && option_parse_bool(n->text, &on) && !on) ? NULL : n;
}

static bool redacts_personal(const struct config_node *audit)
{
	const struct config_node *list = config_child(audit, "redact");

	if (list != NULL && list->kind == CONFIG_SCALAR)
		return strcmp(list->text, "personal") == 0;
	for (const struct config_node *n = list != NULL ? list->first : NULL; n != NULL; n = n->next)
		if (n->kind == CONFIG_SCALAR && strcmp(n->text, "personal") == 0)
			return true;
	return false;
}

/* The time as in all ids, and below it the highest of the numbers of workers. */
static int64_t new_id(int64_t now_us)
{
	uint16_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof random);
	return now_us / 1000 * 1048576 + (63 << 14) + (random & 0x3ffe);
}

enum ctl_exit ctl_audit_put(struct ctl *c, const char *type, const char *subject, json_t *data)
{
	static const struct db_stmt put = {
		.name = "ctl_audit_put", .params = "ittt",
		.sql = "INSERT INTO audit_event (id, key, type, event) VALUES ($1, $2, $3, $4)",
	};
	const struct config_node *audit = audit_node(c);
	const char *host = config_hosts(c->config)[0].domain, *name = type + strlen("sterna."), *version = strrchr(name, '.');
	struct timespec now;
	char id[24], stamp[DATETIME_SIZE], source[300], schema[128];
	json_t *event;
	char *text;

	if (audit == NULL) {
		json_decref(data);
		return CTL_OK;
	}
	if (redacts_personal(audit) && json_object_get(data, "args") != NULL)
		json_object_set_new(data, "args", json_string("(redacted)"));
	clock_gettime(CLOCK_REALTIME, &now);
	const int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, number = new_id(us);

	snprintf(id, sizeof id, "%016" PRIx64, (uint64_t)number);
	snprintf(source, sizeof source, "xmpp:%s", host);
	snprintf(schema, sizeof schema, "urn:sterna:audit:%.*s:%s", (int)(version - name), name, version + 2);
	event = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "data", data, "datacontenttype",
		"application/json", "dataschema", schema, "id", id, "partitionkey", subject, "source", source, "specversion", "1.0",
		"subject", subject, "time", datetime_format_us(us, stamp), "type", type);
	text = event != NULL ? audit_canonical(event) : NULL;
	json_decref(event);
	if (text == NULL)
		return ctl_fail(CTL_FAILED, "this cannot be recorded in the audit");
	struct db_batch *b = users_batch(c->users);

	db_batch_add(b, &put, (const struct db_value[]){ DB_INT(number), db_text(subject), db_text(type), db_text(text) });
	const enum sterna_result rc = users_commit(c->users, &b);

	free(text);
	return rc != STERNA_OK ? ctl_fail_result(rc, "the audit") : CTL_OK;
}

static void show(const json_t *r)
{
	const char *broken = json_string_value(json_object_get(r, "broken"));

	printf("records  %" JSON_INTEGER_FORMAT " (%" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT ")\n",
		json_integer_value(json_object_get(r, "records")), json_integer_value(json_object_get(r, "first")),
		json_integer_value(json_object_get(r, "last")));
	printf("seals    %" JSON_INTEGER_FORMAT "%s", json_integer_value(json_object_get(r, "seals")),
		json_is_true(json_object_get(r, "signatures_checked")) ? "" : ", signatures not checked: --key FILE\n");
	if (json_is_true(json_object_get(r, "signatures_checked")))
		printf(", signed up to %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(r, "sealed")));
	puts(broken != NULL ? broken : "the chain is whole");
}

static enum ctl_exit end(struct ctl *c, const struct audit_check *check)
{
	ctl_print(c, json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:s?}", "records", (json_int_t)check->records, "first",
		(json_int_t)check->first, "last", (json_int_t)check->last, "seals", (json_int_t)check->seals, "sealed",
		(json_int_t)check->sealed, "signatures_checked", check->key != NULL, "broken",
		check->broken[0] != '\0' ? check->broken : NULL), show);
	return check->broken[0] != '\0' ? CTL_FAILED : CTL_OK;
}

/* --- the database --- */

struct page {
	struct audit_check *check;
	int64_t after;
	size_t count;
};

static void on_page(void *arg, const struct db_rows *rows)
{
	struct page *p = arg;
	char id[24];

	p->count = db_rows_count(rows);
	for (size_t i = 0; i < p->count && p->check->broken[0] == '\0'; i++) {
		snprintf(id, sizeof id, "%016" PRIx64, (uint64_t)db_int(rows, i, 1));
		p->after = db_int(rows, i, 0);
		(void)audit_check_next(p->check, &(struct audit_record){ .event = db_str(rows, i, 3, NULL), .id = id,
			.seq = p->after, .hash = db_str(rows, i, 2, NULL) });
	}
}

static void on_pruned(void *arg, const struct db_rows *rows)
{
	struct audit_check *check = arg;

	/* What came before is gone, but its last hash was kept: the next record follows it. */
	if (db_rows_count(rows) > 0 && audit_unhex(db_str(rows, 0, 1, NULL), check->hash)) {
		check->last = db_int(rows, 0, 0);
		check->records = 1;
	}
}

static enum ctl_exit verify_database(struct ctl *c, struct audit_check *check)
{
	static const struct db_stmt pruned = {
		.name = "ctl_audit_pruned", .params = "", .columns = "it",
		.sql = "SELECT seq, hash FROM audit_mark WHERE name = 'pruned'",
	};
	static const struct db_stmt next = {
		.name = "ctl_audit_page", .params = "ii", .columns = "iitt",
		.sql = "SELECT seq, id, hash, event FROM audit_event WHERE seq > $1 ORDER BY seq LIMIT $2",
	};
	struct page p = { check, 0, PAGE };
	enum ctl_exit code = ctl_need_storage(c);
	enum sterna_result rc;

	if (code != CTL_OK)
		return code;
	rc = users_read(c->users, &pruned, NULL, on_pruned, check);
	const bool began_later = check->records == 1;

	check->first = began_later ? check->last + 1 : 1;
	while (rc == STERNA_OK && p.count == PAGE && check->broken[0] == '\0')
		rc = users_read(c->users, &next, (const struct db_value[]){ DB_INT(p.after), DB_INT(PAGE) }, on_page, &p);
	if (rc != STERNA_OK)
		return ctl_fail_result(rc, "audit verify");
	check->records -= began_later;
	/* A chain begins with 1, unless something was removed in order. */
	return end(c, check);
}

/* --- what was read from the topic: a record a line --- */

struct line {
	json_t *event;
	size_t number;
	int64_t seq;
	bool again;                      /* a line before it has the same record */
};
struct lines {
	struct line *line;
	size_t count;
};

static int by_seq(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->seq != y->seq ? (x->seq < y->seq ? -1 : 1) : (x->number < y->number ? -1 : 1);
}

static enum ctl_exit read_lines(FILE *in, const char *file, struct lines *l)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t len;

	for (size_t n = 1; (len = getline(&text, &size, in)) > 0; n++) {
		json_t *event = len > LINE_MAX_BYTES ? NULL : json_loadb(text, (size_t)len, 0, NULL);

		if (!json_is_integer(json_object_get(event, "chainseq"))) {
			json_decref(event);
			free(text);
			return ctl_fail(CTL_FAILED, "%s:%zu: this is no record of the audit", file, n);
		}
		if ((l->count & (l->count - 1)) == 0)
			l->line = xrealloc(l->line, (l->count > 0 ? l->count * 2 : 1) * sizeof *l->line);
		l->line[l->count++] = (struct line){ event, n, json_integer_value(json_object_get(event, "chainseq")), false };
	}
	free(text);
	return CTL_OK;
}

static void mark_repeated(const struct lines *l)
{
	struct line *sorted = xalloc((l->count + 1) * sizeof *sorted);

	if (l->count > 0)
		memcpy(sorted, l->line, l->count * sizeof *sorted);
	qsort(sorted, l->count, sizeof *sorted, by_seq);
	for (size_t i = 1; i < l->count; i++)
		l->line[sorted[i].number - 1].again = sorted[i].seq == sorted[i - 1].seq;
	free(sorted);
}

/* What comes once more is no mistake; but of what comes first, one key's records are in their order. */
static void check_order(const struct lines *l, struct audit_check *check)
{
	struct map newest;

	mark_repeated(l);
	map_init(&newest, 1, 2);
	for (size_t i = 0; i < l->count && check->broken[0] == '\0'; i++) {
		const char *key = json_string_value(json_object_get(l->line[i].event, "partitionkey"));
		const struct line *before = key != NULL ? map_get(&newest, key) : NULL;

		if (l->line[i].again || key == NULL)
			continue;
		if (before != NULL && l->line[i].seq < before->seq)
			snprintf(check->broken, sizeof check->broken, "record %" PRId64 " comes behind %" PRId64 " of the same key",
				l->line[i].seq, before->seq);
		map_put(&newest, key, &l->line[i]);
	}
	map_clear(&newest);
}

static bool check_line(struct audit_check *check, const struct line *line)
{
	json_t *event = json_copy(line->event);
	const char *hash = json_string_value(json_object_get(line->event, "chainhash"));
	const char *id = json_string_value(json_object_get(line->event, "id"));
	char *text;
	bool ok;

	json_object_del(event, "chainhash");
	json_object_del(event, "chainseq");
	text = audit_canonical(event);
	ok = audit_check_next(check, &(struct audit_record){ .event = text != NULL ? text : "", .id = id != NULL ? id : "?",
		.seq = line->seq, .hash = hash });
	free(text);
	json_decref(event);
	return ok;
}

static enum ctl_exit verify_file(struct ctl *c, const char *file, struct audit_check *check)
{
	FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	struct lines l = { NULL, 0 };
	enum ctl_exit code;

	if (in == NULL)
		return ctl_fail(CTL_FAILED, "cannot read '%s': %s", file, strerror(errno));
	code = read_lines(in, file, &l);
	if (in != stdin)
		fclose(in);
	if (code == CTL_OK) {
		check_order(&l, check);
		if (l.count > 0)
			qsort(l.line, l.count, sizeof *l.line, by_seq);
		for (size_t i = 0; i < l.count && check->broken[0] == '\0'; i++)
			if (i > 0 && l.line[i].seq == l.line[i - 1].seq) {
				if (!json_equal(l.line[i].event, l.line[i - 1].event))
					snprintf(check->broken, sizeof check->broken, "record %" PRId64 " is there twice, and not the same",
						l.line[i].seq);
			} else {
				(void)check_line(check, &l.line[i]);
			}
		code = end(c, check);
	}
	for (size_t i = 0; i < l.count; i++)
		json_decref(l.line[i].event);
	free(l.line);
	return code;
}

static enum ctl_exit verify(struct ctl *c)
{
	const char *file = ctl_option(c, "file"), *key = ctl_option(c, "key");
	struct audit_check check = { .records = 0 };
	struct audit_key *k = NULL;
	char why[256];
	enum ctl_exit code;

	if (key != NULL) {
		k = audit_key_open(key, false, why);
		if (k == NULL)
			return ctl_fail(CTL_FAILED, "%s: %s", key, why);
	}
	check.key = k;
	code = file != NULL ? verify_file(c, file, &check) : verify_database(c, &check);
	audit_key_free(&k);
	return code;
}

static const struct ctl_option verify_options[] = {
	{ "file", "FILE", "records as they were read from the topic, one a line; '-' is the standard input" },
	{ "key", "FILE", "the public key (or certificate, or pkcs11: URI) of the seals: signatures are checked too" },
	{ 0 }
};

const struct ctl_command ctl_audit_commands[] = {
	{ "audit verify", "[--file FILE] [--key FILE]", "is the audit's chain whole; the first record that is not, is named",
		verify_options, 0, 0, verify },
	{ 0 }
};
