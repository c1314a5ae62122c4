/* rest.c - see rest.h. The token is looked up by the connection's worker, the command runs by way of the main thread;
 * a connection that ends meanwhile leaves its request behind, whose answer then goes nowhere. */
#include "server/rest.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "server/api_token.h"
#include "server/audit.h"
#include "server/http_conn.h"
#include "server/request.h"
#include "server/rest_answer.h"

#define ROOT "/v1/"
#define PROBLEM "application/problem+json"
enum { WORDS_MAX = 8, PAGE_MAX = 10000 };

struct asking {
	struct mail mail;
	struct worker *worker;
	struct http_conn *conn;          /* NULL: it has gone */
	char id[API_TOKEN_ID + 1];
	char *who, *scopes, *host, *path;
	int64_t expires_us;
	bool get;
	json_t *args;
	struct rest_page page;
	/* the outcome */
	const char *allow;
	bool failed;
	char code[16], *field, *text;
	json_t *result;
};

/* --- answers --- */

static void put_problem(struct sterna_http_request *r, unsigned status, const char *code, const char *field, const char *text)
{
	struct buf out = BUF_INIT;

	rest_problem(&out, status, code, field, text);
	sterna_http_reply(r, status, PROBLEM, buf_data(&out), buf_len(&out));
	buf_release(&out);
}

void rest_say(struct sterna_http_request *r, unsigned status, const char *text)
{
	char line[128];

	snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
	put_problem(r, status, status >= 500 ? "unavailable" : "usage", NULL, line);
}

static void refuse(struct http_conn *c, unsigned status, const char *code, const char *field, const char *text)
{
	put_problem(&c->request, status, code, field, text);
	http_conn_answer(c);
}

static void asking_free(struct asking *a)
{
	free(a->who);
	free(a->scopes);
	free(a->host);
	free(a->path);
	free(a->field);
	free(a->text);
	json_decref(a->args);
	json_decref(a->result);
	free(a);
}

static void answer(struct http_conn *c, const struct asking *a)
{
	json_t *all;
	char *text;

	if (a->failed) {
		if (a->allow != NULL)
			snprintf(c->request.allow, sizeof c->request.allow, "%s", a->allow);
		refuse(c, rest_status(a->code, a->field != NULL), a->code, a->field, a->text != NULL ? a->text : a->code);
		return;
	}
	/* A description is what it is, and not a result with parts. */
	all = strcmp(a->path, "openapi") == 0 ? json_incref(a->result) : rest_result(a->result, &a->page);
	text = json_dumps(all, JSON_COMPACT);
	sterna_http_reply(&c->request, json_is_string(json_object_get(a->result, "pending")) ? 202 : 200, "application/json", text, text != NULL ? strlen(text) : 0);
	free(text);
	json_decref(all);
	http_conn_answer(c);
}

static void on_home(struct worker *w, void *arg)
{
	struct asking *a = arg;

	(void)w;
	if (a->conn != NULL)
		answer(a->conn, a);
	asking_free(a);
}

static void on_gone(void *arg, struct http_conn *c)
{
	struct asking *a = arg;

	(void)c;
	a->conn = NULL;
}

/* --- on the main thread --- */

static void on_outcome(void *arg, const struct sterna_outcome *o)
{
	struct asking *a = arg;

	a->failed = o->code != NULL;
	snprintf(a->code, sizeof a->code, "%s", o->code != NULL ? o->code : "");
	a->field = o->field != NULL ? xstrdup(o->field) : NULL;
	a->text = o->text != NULL ? xstrdup(o->text) : NULL;
	a->result = o->result != NULL ? json_deep_copy(o->result) : NULL; /* its counts are another thread's */
	worker_post(a->worker, on_home, a);
}

static int split(char *path, const char *word[WORDS_MAX])
{
	int n = 0;
	char *save = NULL;

	for (char *w = strtok_r(path, "/", &save); w != NULL; w = strtok_r(NULL, "/", &save)) {
		if (n == WORDS_MAX)
			return 0;
		word[n++] = w;
	}
	return n;
}

static void on_ask(struct mail *m, struct loop *l)
{
	struct asking *a = (struct asking *)m;
	struct server *s = a->worker->server;
	const char *word[WORDS_MAX];
	char *path = xstrdup(a->path);
	const int count = split(path, word);
	struct found_command f = { NULL };
	int used = 0;
	struct sterna_outcome wrong = { NULL };
	char text[300];

	(void)l;
	const bool found = count > 0 && command_by_words(s, word, count, &f, &used) && used == count;

	if (!found) {
		snprintf(text, sizeof text, "there is no command '%.200s'", a->path);
		wrong = (struct sterna_outcome){ .code = "unknown", .text = text };
	} else if (((f.c->flags & STERNA_COMMAND_READ) != 0) != a->get) {
		a->allow = a->get ? "POST" : "GET, HEAD";
		wrong = (struct sterna_outcome){ .code = "method", .text = a->get ? "this command changes something: POST"
			: "this command changes nothing: GET" };
	} else if (a->host != NULL && config_host(s->config, a->host) == NULL) {
		wrong = (struct sterna_outcome){ .code = "usage", .field = "Sterna-Host", .text = "that is none of the hosts" };
	}
	if (wrong.code != NULL) {
		on_outcome(a, &wrong);
	} else {
		const struct ask ask = { .kind = REQUEST_RUN, .door = "rest", .who = a->who, .host = a->host, .word = word,
			.count = count, .token = a->id, .scopes = a->scopes, .token_expires_us = a->expires_us, .args = a->args,
			.done = on_outcome, .arg = a };

		a->args = NULL;
		admin_ask(s->admin, &ask);
	}
	free(path);
}

/* --- on the worker --- */

/* Without a token that is good: the connection ends, so that who guesses has to come again and again. */
static void unauthorized(struct http_conn *c, const char *text, const char *error)
{
	const struct sterna_datum data[] = { STERNA_DATUM("condition", "not-authorized"), STERNA_DATUM("reason", text),
		STERNA_PERSONAL("address", c->transport->peer), { 0 } };

	log_notice("api", "refused", "why", text, "peer", c->transport->peer);
	metric_add(c->worker->server->metric_set, c->worker->index, METRIC_LOGIN_FAILURES, 0, 1);
	audit_note(c->worker, c->worker->server->host_list[0], "sterna.login.failed.v1", NULL, data);
	c->keep_alive = false;
	sterna_http_add_header(&c->request, "WWW-Authenticate", error);
	refuse(c, 401, "unauthorized", NULL, text);
}

/* @return false: refused */
static bool take_fields(struct http_conn *c, struct asking *a)
{
	const struct sterna_http_request *r = &c->request;
	const char *type = sterna_http_header(r, "Content-Type"), *why = "query";
	json_t *none = NULL;
	char field[128];

	a->page.size = ((const struct config *)c->worker->server->config)->api.page;
	if (rest_query(r->query, PAGE_MAX, &a->page, a->get ? &a->args : &none, &why) != STERNA_OK) {
		refuse(c, 400, "usage", why, "the query cannot be read, or a value in it");
		return false;
	}
	if (a->get)
		return true;
	const bool extra = json_object_size(none) > 0;

	json_decref(none);
	if (extra) {
		refuse(c, 400, "usage", "query", "the fields of a command that changes something are in the body");
		return false;
	}
	if (r->body_len > 0 && (type == NULL || strncmp(type, "application/json", 16) != 0)) {
		refuse(c, 415, "usage", "Content-Type", "the body is application/json");
		return false;
	}
	if (rest_body(r->body, r->body_len, &a->args, field, sizeof field) != STERNA_OK) {
		refuse(c, 400, "usage", field, "the body is an object of JSON; its values are texts, numbers, true or false, or arrays of "
			"these");
		return false;
	}
	return true;
}

static void on_token(void *arg, const struct api_token *t)
{
	struct asking *a = arg;
	struct http_conn *c = a->conn;
	struct admin *admin = a->worker->server->admin;

	if (c == NULL) {
		asking_free(a);
		return;
	}
	c->gone = NULL;
	if (t->rc != STERNA_OK) {
		refuse(c, 503, "unavailable", NULL, "the database cannot be reached");
	} else if (t->owner == NULL) {
		unauthorized(c, "the token is good for nothing", "Bearer error=\"invalid_token\"");
	} else if (take_fields(c, a)) {
		a->who = xstrdup(t->owner);
		a->scopes = xstrdup(t->scopes);
		a->expires_us = t->expires_us;
		a->mail.run = on_ask;
		http_conn_wait(c, on_gone, a);
		if (admin != NULL && admin_post(admin, &a->mail))
			return;
		refuse(c, 503, "unavailable", NULL, "the server ends");
	}
	asking_free(a);
}

static const char *bearer(const struct http_conn *c)
{
	const char *value = http_head_get(&c->head, "Authorization");

	return value != NULL && strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 + strspn(value + 7, " ") : NULL;
}

static bool may_ask(struct http_conn *c)
{
	const struct config *config = c->worker->server->config;
	const struct sterna_http_request *r = &c->request;

	if (!http_conn_may_login(c))
		refuse(c, 403, "forbidden", NULL, "over TLS only");
	else if (config->api.authorities != NULL && !c->transport->ops->peer_verified(c->transport))
		refuse(c, 403, "forbidden", NULL, "with a client's certificate only");
	else if (strncmp(r->path, ROOT, strlen(ROOT)) != 0)
		refuse(c, 404, "unknown", NULL, "there is nothing here; see /v1/openapi");
	else if (bearer(c) == NULL)
		unauthorized(c, "there is no token", "Bearer");
	else
		return true;
	return false;
}

void rest_request(struct http_conn *c)
{
	const struct sterna_http_request *r = &c->request;
	const char *host = http_head_get(&c->head, "Sterna-Host");
	const bool get = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	struct asking *a;

	if (!may_ask(c))
		return;
	if (!get && strcmp(r->method, "POST") != 0) {
		snprintf(c->request.allow, sizeof c->request.allow, "GET, HEAD, POST");
		refuse(c, 405, "method", NULL, "there are GET and POST");
		return;
	}
	a = xalloc(sizeof *a);
	a->worker = c->worker;
	a->conn = c;
	a->get = get;
	a->path = xstrdup(r->path + strlen(ROOT));
	a->host = host != NULL ? xstrdup(host) : NULL;
	(void)!api_token_id(bearer(c), a->id);
	http_conn_wait(c, on_gone, a);
	api_token_check(c->worker, bearer(c), on_token, a);
}
