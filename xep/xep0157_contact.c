/* XEP-0157 Contact Addresses for XMPP Services 1.1.1: whom to write to, in the server's disco#info (XEP-0128). */
#include "server/module.h"

#define NS_SERVERINFO "http://jabber.org/network/serverinfo"

struct contact_config {
	struct sterna_list abuse, admin, feedback, sales, security, status, support;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct contact_config, abuse, NULL, NULL, "where abuse is reported to: URIs such as mailto:abuse@example.net"),
	STERNA_OPT(struct contact_config, admin, NULL, NULL, "the administrators' URIs"),
	STERNA_OPT(struct contact_config, feedback, NULL, NULL, "URIs for feedback"),
	STERNA_OPT(struct contact_config, sales, NULL, NULL, "URIs of sales"),
	STERNA_OPT(struct contact_config, security, NULL, NULL, "where security problems are reported to"),
	STERNA_OPT(struct contact_config, status, NULL, NULL, "URIs that tell the state of the service"),
	STERNA_OPT(struct contact_config, support, NULL, NULL, "URIs of support"),
	{ 0 }
};

/* The registered field names (§4), in alphabetical order. */
static void add_form(struct sterna_call *c, struct sterna_elem *query)
{
	const struct contact_config *cfg = sterna_config(c);
	const struct {
		const char *var;
		const struct sterna_list *list;
	} fields[] = {
		{ "abuse-addresses", &cfg->abuse }, { "admin-addresses", &cfg->admin },
		{ "feedback-addresses", &cfg->feedback }, { "sales-addresses", &cfg->sales },
		{ "security-addresses", &cfg->security }, { "status-addresses", &cfg->status },
		{ "support-addresses", &cfg->support },
	};
	struct sterna_elem *form = NULL;

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const struct sterna_list *list = fields[i].list;

		if (list->count == 0)
			continue;
		if (form == NULL)
			form = sterna_form(query, "result", NS_SERVERINFO);
		struct sterna_elem *field = sterna_form_field(form, fields[i].var, "list-multi", list->item[0]);

		for (size_t n = 1; n < list->count; n++)
			sterna_text(field, "value", list->item[n]);
	}
}

STERNA_MODULE(contact, .spec = "XEP-0157 1.1.1", .summary = "Contact Addresses for XMPP Services",
	.options = options, .config_size = sizeof(struct contact_config),
	.disco = (const struct sterna_disco[]){ { STERNA_SERVER, add_form }, { 0 } });
