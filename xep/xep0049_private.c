/* XEP-0049 Private XML Storage 1.2: a row for each element name that a client stores. */
#include <string.h>
#include "server/module.h"

#define NS_PRIVATE "jabber:iq:private"

struct private_config {
	struct sterna_size max_size;
	unsigned max_elements;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct private_config, max_size, "64KiB", "1KiB..1MiB", "the largest element that is stored"),
	STERNA_OPT(struct private_config, max_elements, "100", "1..10000", "how many elements an account may store"),
	{ 0 }
};

static const struct db_stmt put = {
	.name = "private_put", .params = "tttt",
	.sql = "INSERT INTO private_xml (owner, ns, name, xml) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (owner, ns, name) DO UPDATE SET xml = excluded.xml",
};
static const struct db_stmt get = {
	.name = "private_get", .params = "ttt", .columns = "t",
	.sql = "SELECT xml FROM private_xml WHERE owner = $1 AND ns = $2 AND name = $3",
};
static const struct db_stmt count_others = {
	.name = "private_count", .params = "ttt", .columns = "i",
	.sql = "SELECT count(*) FROM private_xml WHERE owner = $1 AND NOT (ns = $2 AND name = $3)",
};
static const struct db_stmt forget = {
	.name = "private_forget", .params = "t",
	.sql = "DELETE FROM private_xml WHERE owner = $1",
};

/* §2.3: what is stored or asked for. NULL: nothing, or not of one namespace that is its own. */
static const struct sterna_elem *data_of(struct sterna_call *c)
{
	const struct sterna_elem *data = sterna_child(sterna_payload(c));

	if (data == NULL || strcmp(sterna_ns(data), NS_PRIVATE) == 0)
		return NULL;
	elem_foreach(e, sterna_payload(c))
		if (strcmp(sterna_ns(e), sterna_ns(data)) != 0)
			return NULL;
	return data;
}

static enum sterna_verdict on_count(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct private_config *cfg = sterna_config(c);
	int64_t count = 0;

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	elem_foreach(e, sterna_payload(c))
		count++;
	if (db_int(rows->db, 0, 0) + count > cfg->max_elements)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many elements are stored");
	elem_foreach(e, sterna_payload(c))
		sterna_write(c, &put, sterna_owner(c), sterna_ns(e), e->name, sterna_xml(e));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct private_config *cfg = sterna_config(c);
	const struct sterna_elem *data = data_of(c);

	if (data == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "what is stored has one namespace, its own"); /* §2.3 */
	elem_foreach(e, sterna_payload(c))
		if (strlen(sterna_xml(e)) > cfg->max_size.bytes)
			return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "the element is too large");
	return sterna_read(c, on_count, &count_others, sterna_owner(c), sterna_ns(data), data->name);
}

static enum sterna_verdict on_row(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	struct sterna_elem *query = sterna_elem(c, "query", NS_PRIVATE);

	if (rows->count > 0)
		sterna_add_xml(query, rows->text[0]);
	else
		sterna_add_copy(query, data_of(c)); /* nothing stored: what was asked for, empty */
	return sterna_reply(c, query);
}

static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct sterna_elem *data = data_of(c);

	if (sterna_child(sterna_payload(c)) == NULL || (data != NULL && elem_next(data) != NULL))
		return sterna_reject(c, STERNA_BAD_REQUEST, "name one element"); /* §3 */
	if (data == NULL)
		return sterna_reject(c, STERNA_NOT_ACCEPTABLE, "it has a namespace of its own");
	return sterna_read(c, on_row, &get, sterna_owner(c), sterna_ns(data), data->name);
}

/* §3: another's data are forbidden. Said on the asker's side, it tells nothing about the other. */
static enum sterna_verdict on_iq_out(struct sterna_call *c)
{
	const struct jid *to = sterna_to(c);
	const struct sterna_elem *payload = sterna_child(sterna_stanza(c));
	const char *type = sterna_type(c);

	if (payload == NULL || !elem_is(payload, "query", NS_PRIVATE) || to == NULL || jid_local(to) == NULL
		|| jid_resource(to) != NULL || (strcmp(type, "get") != 0 && strcmp(type, "set") != 0)
		|| strcmp(jid_domain(to), sterna_host(c)) != 0 || strcmp(jid_bare(to), sterna_owner(c)) == 0)
		return STERNA_NEXT;
	return sterna_reject(c, STERNA_FORBIDDEN, NULL);
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
}

STERNA_MODULE(private, .spec = "XEP-0049 1.2", .summary = "Private XML Storage",
	.options = options, .config_size = sizeof(struct private_config),
	.features = (const struct sterna_feature[]){ { NS_PRIVATE, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_OUT_POLICY, on_iq_out, NULL, STERNA_IQ }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_PRIVATE, "query", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_PRIVATE, "query", on_set }, { 0 } });
