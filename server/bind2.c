/* bind2.c - resources made of a tag and of the user agent; carbons, client state, stream management inline. */
#include "server/bind2.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/credential.h"
#include "server/registry.h"
#include "server/session.h"
#include "server/sm.h"

#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_CSI "urn:xmpp:csi:0"

enum { TAG_MAX = 256 }; /* bytes; longer ones are not shown to everyone who sees the resource */

static bool has_module(const struct worker *w, const char *name)
{
	for (size_t i = 0; i < w->registry->module_count; i++)
		if (strcmp(w->registry->modules[i]->m->name, name) == 0)
			return true;
	return false;
}

bool bind2_has_archive(const struct worker *w)
{
	return has_module(w, "mam");
}

void bind2_features(struct stream *s, struct arena *a, struct sterna_elem *inline_)
{
	struct sterna_elem *list = elem_add(a, elem_add(a, inline_, "bind", NS_BIND2), "inline", NS_BIND2);

	if (has_module(s->worker, "carbons"))
		elem_set_attr(a, elem_add(a, list, "feature", NS_BIND2), "var", NS_CARBONS);
	if (has_module(s->worker, "csi"))
		elem_set_attr(a, elem_add(a, list, "feature", NS_BIND2), "var", NS_CSI);
	elem_set_attr(a, elem_add(a, list, "feature", NS_BIND2), "var", NS_SM);
}

void bind2_stable(const void *secret, size_t secret_len, const char *bare, const char *agent_id,
	char out[BIND2_STABLE_SIZE])
{
	uint8_t inner[SCRAM_KEY_MAX], mac[SCRAM_KEY_MAX];

	/* A MAC of a MAC: neither text can be read as a part of the other. */
	scram_hmac(SCRAM_SHA256, secret, secret_len, bare, strlen(bare), inner);
	scram_hmac(SCRAM_SHA256, inner, scram_hash_size(SCRAM_SHA256), agent_id, strlen(agent_id), mac);
	for (int i = 0; i < (BIND2_STABLE_SIZE - 1) / 2; i++)
		snprintf(out + i * 2, 3, "%02x", mac[i]);
}

/* §3.2: the client has come back; what it left behind ends. */
static void end_earlier(struct account *acc, const char *stable)
{
	const size_t n = strlen(stable);

	for (struct sterna_session *s = acc->sessions, *next; s != NULL; s = next) {
		const char *resource = jid_resource(s->jid);
		const size_t len = strlen(resource);

		next = s->next;
		if (len < n || strcmp(resource + len - n, stable) != 0 || (len > n && resource[len - n - 1] != '/'))
			continue;
		session_kick(s, "conflict", "the same client has logged in again");
		next = acc->sessions; /* its end may have ended others */
	}
}

/* §3.2.1: [tag]/[stable or random]. A tag that cannot be in a resource is left out. */
static enum sterna_result bind_tagged(struct stream *s, struct account *acc, const char *tag, const char *id,
	struct sterna_session **out)
{
	char resource[TAG_MAX + BIND2_STABLE_SIZE + 1];
	enum sterna_result rc = STERNA_EINVAL;

	if (tag != NULL && *tag != '\0' && strlen(tag) <= TAG_MAX) {
		snprintf(resource, sizeof resource, "%s/%s", tag, id);
		rc = session_bind(acc, s, resource, out);
	}
	return rc == STERNA_EINVAL || rc == STERNA_EEXISTS ? session_bind(acc, s, id, out) : rc;
}

static void set_up(struct worker *w, struct sterna_session *session, const struct sterna_elem *bind)
{
	if (elem_child(bind, "enable", NS_CARBONS) != NULL && has_module(w, "carbons"))
		sterna_keep(NULL, session, "carbons", "1");
	if (elem_child(bind, "inactive", NS_CSI) != NULL && has_module(w, "csi"))
		sterna_keep(NULL, session, "csi", "inactive");
	/* What waits now it reads from the archive; what comes from here on is sent. */
	if (bind2_has_archive(w))
		session->read_up_to = worker_next_id(w);
}

enum sterna_result bind2(struct stream *s, struct account *acc, struct arena *a, const struct sterna_elem *bind,
	struct sterna_elem **out)
{
	const struct server *server = s->worker->server;
	struct sterna_session *session = NULL;
	char id[33];

	if (s->agent_id != NULL) {
		bind2_stable(server->secret, sizeof server->secret, jid_bare(s->jid), s->agent_id, id);
		end_earlier(acc, id);
	} else {
		worker_token(s->worker, id);
		id[BIND2_STABLE_SIZE - 1] = '\0';
	}
	const enum sterna_result rc = bind_tagged(s, acc, elem_child_text(a, bind, "tag"), id, &session);

	if (rc != STERNA_OK)
		return rc;
	set_up(s->worker, session, bind);
	s->session = session_ref(session);
	*out = elem_new(a, "bound", NS_BIND2);
	return STERNA_OK;
}
