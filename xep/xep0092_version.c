/* XEP-0092 Software Version 1.1. The operating system is nobody's business unless the operator says so (§5). */
#include <sys/utsname.h>
#include "config.h"
#include "server/module.h"

#define NS_VERSION "jabber:iq:version"

struct version_config {
	const char *name;
	bool version;
	bool os;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct version_config, name, "Sterna", NULL, "the name of the software that is told to anyone who asks"),
	STERNA_OPT(struct version_config, version, "true", NULL, "tell the version of the software too"),
	STERNA_OPT(struct version_config, os, "false", NULL, "tell the operating system and its release too"),
	{ 0 }
};

static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct version_config *cfg = sterna_config(c);
	struct sterna_elem *q = sterna_elem(c, "query", NS_VERSION);
	struct utsname host;

	sterna_text(q, "name", cfg->name);
	sterna_text(q, "version", cfg->version ? PACKAGE_VERSION : ""); /* §4: a must, so it may be empty */
	if (cfg->os && uname(&host) == 0)
		sterna_text(q, "os", sterna_printf(c, "%s %s", host.sysname, host.release));
	return sterna_reply(c, q);
}

STERNA_MODULE(version, .spec = "XEP-0092 1.1", .summary = "Software Version",
	.options = options, .config_size = sizeof(struct version_config),
	.features = (const struct sterna_feature[]){ { NS_VERSION, STERNA_SERVER }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER, NS_VERSION, "query", on_get }, { 0 } });
