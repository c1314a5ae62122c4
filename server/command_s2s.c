/* command_s2s.c - commands about other servers: which links there are, why one fails, and a try at one. */
#include <stdlib.h>
#include <string.h>
#include "server/request.h"
#include "server/s2s_impl.h"

enum { LIST_MAX = 10000 };

static uint64_t now_us(const struct s2s_link *l)
{
	return loop_now_us(l->worker->loop);
}

static const char *state_of(const struct s2s_link *l)
{
	if (l->stream != NULL)
		return "connected";
	if (l->attempt != NULL)
		return "connecting";
	return l->waiting.count > 0 ? "waiting" : l->condition != 0 ? "failed" : "idle";
}

static json_t *stream_json(struct stream *s)
{
	const struct s2s *x = s->s2s;
	json_t *hosts = json_array();

	for (size_t i = 0; i < x->local_count; i++)
		json_array_append_new(hosts, json_string(jid_full(x->locals[i]->jid)));
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:s?, s:b, s:b, s:b, s:o}", "id", s->id, "direction",
		x->out ? "out" : "in", "address", s->transport->peer, "tls", s->transport->ops->tls_version(s->transport),
		"cipher", s->transport->ops->tls_cipher(s->transport), "certificate", x->proof_text, "proof",
		tls_proof_name(x->proof), "by", s->authenticated_by, "authenticated", s->state == STREAM_BOUND,
		"bidirectional", (int)x->bidi, "stream_management", (int)(x->sm_out || x->sm != NULL), "may_write_to", hosts);
}

json_t *s2s_link_json(const struct s2s_link *l)
{
	const struct s2s_item *first = l->sent.first != NULL ? l->sent.first : l->waiting.first;

	return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:i, s:s?, s:s?, s:I, s:I, s:f, s:f}", "domain",
		jid_full(l->remote), "host", jid_full(l->host->jid), "state", state_of(l), "worker", (int)l->worker->index,
		"waiting", (json_int_t)l->waiting.count, "unconfirmed", (json_int_t)l->sent.count, "bytes", (json_int_t)l->bytes,
		"sent", (json_int_t)l->sent_count, "received", (json_int_t)l->received, "failures", (int)l->failures,
		"condition", l->condition != 0 ? condition_name(l->condition) : NULL, "why", *l->why != '\0' ? l->why : NULL,
		"last_up_us", (json_int_t)l->last_up_wall_us, "retry_in_ms", timer_is_set(&l->retry) && l->retry.due_us > now_us(l)
			? (json_int_t)((l->retry.due_us - now_us(l)) / 1000) : 0, "latency_ms", (double)l->latency_us / 1000,
		"oldest_ms", first != NULL ? (double)(now_us(l) - first->since_us) / 1000 : 0.0);
}

static json_t *trail_json(const struct trail *t)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < t->count; i++)
		json_array_append_new(steps, json_pack("{s:f, s:s, s:b, s:s}", "ms", (double)t->step[i].at_us / 1000, "what",
			t->step[i].what, "ok", (int)t->step[i].ok, "text", t->step[i].text));
	return json_pack("{s:I, s:o}", "began_us", (json_int_t)t->began_wall_us, "steps", steps);
}

/* --- list --- */

static json_t *list_part(struct worker *w, struct request_part *p)
{
	json_t *list = json_array();
	const struct map_entry *e;

	(void)p;
	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL && json_array_size(list) < LIST_MAX;) {
		const struct s2s_link *l = e->value;
		json_t *o = s2s_link_json(l);

		if (l->stream != NULL)
			json_object_set_new(o, "stream", stream_json(l->stream));
		json_array_append_new(list, o);
	}
	return list;
}

static void listed(struct request *r)
{
	request_answer(r, request_joined(r));
}

static void s2s_list_command(struct request *r)
{
	request_gather(r, NULL, list_part, listed);
}

/* --- one domain --- */

static json_t *explain_part(struct worker *w, struct request_part *p)
{
	const char *domain = jid_full(request_of(p)->data);
	json_t *links = json_array(), *streams = json_array();
	const struct map_entry *e;

	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;) {
		const struct s2s_link *l = e->value;
		json_t *o;

		if (strcmp(jid_full(l->remote), domain) != 0)
			continue;
		o = s2s_link_json(l);
		if (l->stream != NULL)
			json_object_set_new(o, "stream", stream_json(l->stream));
		if (l->attempt != NULL)
			json_object_set_new(o, "attempt", trail_json(&l->attempt->trail));
		if (l->trail.count > 0)
			json_object_set_new(o, "last_attempt", trail_json(&l->trail));
		json_array_append_new(links, o);
	}
	for (struct stream *s = w->streams; s != NULL; s = s->next)
		if (s->s2s != NULL && !s->s2s->out && s->s2s->remote != NULL && strcmp(jid_full(s->s2s->remote), domain) == 0)
			json_array_append_new(streams, stream_json(s));
	return json_pack("{s:s, s:s, s:b, s:o, s:o}", "domain", domain, "trust",
		config_trust_name(s2s_trust_of(w->server, domain)), "route", config_route(w->server->config, domain) != NULL,
		"links", links, "incoming", streams);
}

static void s2s_explain_command(struct request *r)
{
	struct worker *w = s2s_command_owner(r);

	if (w != NULL)
		request_gather(r, w, explain_part, s2s_command_answer);
}

static json_t *reset_part(struct worker *w, struct request_part *p)
{
	const char *domain = jid_full(request_of(p)->data);
	const struct map_entry *e;
	json_int_t streams = 0;

	for (struct stream *s = w->streams, *next; s != NULL; s = next) {
		next = s->next;
		if (s->s2s == NULL || s->s2s->remote == NULL || s->s2s->attempt != NULL
			|| strcmp(jid_full(s->s2s->remote), domain) != 0)
			continue;
		stream_close(s);
		streams++;
	}
	for (size_t at = 0; (e = map_next(&w->links, &at)) != NULL;)
		if (strcmp(jid_full(((struct s2s_link *)e->value)->remote), domain) == 0)
			s2s_link_hurry(e->value);
	return json_pack("{s:I}", "closed", streams);
}

static void s2s_reset_command(struct request *r)
{
	struct worker *w = s2s_command_owner(r);

	if (w != NULL)
		request_gather(r, w, reset_part, s2s_command_answer);
}

/* --- a try --- */

static void tested(void *arg, const struct s2s_attempt *a, bool ok)
{
	json_t *o = trail_json(&a->trail);

	json_object_set_new(o, "ok", json_boolean(ok));
	json_object_set_new(o, "domain", json_string(jid_full(a->link->remote)));
	json_object_set_new(o, "host", json_string(jid_full(a->link->host->jid)));
	request_part_done(arg, o);
}

static json_t *test_part(struct worker *w, struct request_part *p)
{
	const struct request *r = request_of(p);
	const char *host = request_arg(r, "host");
	struct host *h = NULL;

	for (size_t i = 0; h == NULL && i < w->server->host_count; i++)
		if (host != NULL ? strcmp(jid_full(w->server->host_list[i]->jid), host) == 0
				     : w->server->host_list[i]->kind == HOST_USERS)
			h = w->server->host_list[i];
	if (h == NULL)
		return json_pack("{s:s}", "error", "that is no domain of ours");
	if (s2s_trust_of(w->server, jid_full(r->data)) == CONFIG_TRUST_NONE)
		return json_pack("{s:s}", "error", "the configuration does not let us talk to that domain, or it is isolated");
	struct s2s_link *l = s2s_link(w, h, r->data);

	if (l == NULL || l->test != NULL || w->stopping)
		return json_pack("{s:s}", "error", l == NULL ? "there are too many links" : "another test is under way");
	request_part_wait(p);
	s2s_attempt_test(l, tested, p);
	return NULL;
}

static void test_done(struct request *r)
{
	struct jid *j = r->data;
	const char *error = json_string_value(json_object_get(r->parts[0], "error"));

	r->data = NULL;
	jid_unref(&j);
	if (error != NULL)
		request_refuse(r, "failed", NULL, "%s", error);
	else
		request_answer(r, json_incref(r->parts[0]));
}

static void s2s_test_command(struct request *r)
{
	struct worker *w = s2s_command_owner(r);

	if (w != NULL)
		request_gather(r, w, test_part, test_done);
}

static const struct sterna_field none[] = { { 0 } };
static const struct sterna_field domain_fields[] = {
	{ "domain", STERNA_FIELD_JID, true, "domain of the other server", NULL }, { 0 } };
static const struct sterna_field test_fields[] = {
	{ "domain", STERNA_FIELD_JID, true, "domain of the other server", NULL },
	{ "host", STERNA_FIELD_TEXT, false, "the domain of ours to try from", NULL }, { 0 } };

enum { MAY = STERNA_ADMIN | STERNA_OPERATOR, SERVER = STERNA_COMMAND_SERVER };

#define COMMAND(name_, flags_, fields_, summary_, fn_) \
	{ .c = { .name = name_, .roles = MAY, .flags = flags_, .fields = fields_, .summary = summary_ }, .fn = fn_ }

const struct command s2s_commands[] = {
	COMMAND("s2s explain", SERVER | STERNA_COMMAND_READ, domain_fields, "one other server, and how the last attempt went",
		s2s_explain_command),
	COMMAND("s2s list", SERVER | STERNA_COMMAND_READ, none, "links to other servers", s2s_list_command),
	COMMAND("s2s reset", SERVER, domain_fields, "close the streams to another server, and try anew", s2s_reset_command),
	COMMAND("s2s test", SERVER, test_fields, "try to connect to another server, step by step", s2s_test_command),
	{ .fn = NULL }
};
