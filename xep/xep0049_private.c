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

/* §3: a namespace of its own. */
static const struct sterna_elem *data_of(struct sterna_call *c)
{
	const struct sterna_elem *data = sterna_child(sterna_payload(c));

	return data != NULL && elem_next(data) == NULL && strcmp(sterna_ns(data), NS_PRIVATE) != 0 ? data : NULL;
}

static enum sterna_verdict on_count(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	const struct private_config *cfg = sterna_config(c);
	const struct sterna_elem *data = data_of(c);

	if (rc != STERNA_OK)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, NULL);
	if (db_int(rows->db, 0, 0) >= cfg->max_elements)
		return sterna_reject(c, STERNA_RESOURCE_CONSTRAINT, "too many elements are stored");
	sterna_write(c, &put, sterna_owner(c), sterna_ns(data), data->name, sterna_xml(data));
	return sterna_reply(c, NULL);
}

static enum sterna_verdict on_set(struct sterna_call *c)
{
	const struct private_config *cfg = sterna_config(c);
	const struct sterna_elem *data = data_of(c);

	if (data == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "one element with a namespace of its own is stored at a time");
	if (strlen(sterna_xml(data)) > cfg->max_size.bytes)
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

	if (data == NULL)
		return sterna_reject(c, STERNA_BAD_REQUEST, "name one element with a namespace of its own");
	return sterna_read(c, on_row, &get, sterna_owner(c), sterna_ns(data), data->name);
}

static void on_deleted(struct sterna_call *c)
{
	sterna_write(c, &forget, sterna_owner(c));
}

STERNA_MODULE(private, .spec = "XEP-0049 1.2", .summary = "Private XML Storage",
	.options = options, .config_size = sizeof(struct private_config),
	.features = (const struct sterna_feature[]){ { NS_PRIVATE, STERNA_SERVER | STERNA_OWN_ACCOUNT }, { 0 } },
	.on = (const struct sterna_lifecycle[]){ { STERNA_ACCOUNT_DELETED, on_deleted }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_OWN_ACCOUNT, NS_PRIVATE, "query", on_get },
		{ STERNA_SET, STERNA_OWN_ACCOUNT, NS_PRIVATE, "query", on_set }, { 0 } });
