/* The pages of the HTTP listener that people see: how to connect, what an invitation is good for, and a web client
 * (converse.js, where its files are). No page loads anything from another host. */
#include <stdlib.h>
#include "modules/web.h"
#include "xep/invite.h"

static const struct sterna_option options[] = {
	STERNA_OPT(struct web_config, name, NULL, NULL, "what the service is called on its pages; without one, its domain"),
	STERNA_OPT(struct web_config, about, NULL, NULL, "a sentence about it"),
	STERNA_OPT(struct web_config, links, NULL, NULL, "at the foot of each page: { Imprint: https://example.org/imprint }"),
	STERNA_OPT(struct web_config, client, "false", NULL, "offer the web client at " WEB_CHAT),
	STERNA_OPT(struct web_config, client_folder, STERNA_DATA_DIR "/converse", NULL,
		"where its files are, as `make web-client` brings them; taken at start"),
	{ 0 }
};

static enum sterna_result load(struct sterna_mod *m)
{
	const struct web_config *cfg = sterna_mod_config(m);
	struct web *w = xalloc(sizeof *w);

	w->invite = sterna_use(m, "invite", INVITE_VERSION);
	web_files_read(w, sterna_mod_file(m, cfg->client_folder));
	sterna_mod_set_data(m, w);
	if (cfg->client && !web_has_client(m))
		log_warning("web", "there is no web client in this folder; `make web-client` brings one", "folder", cfg->client_folder);
	return STERNA_OK;
}

static void unload(struct sterna_mod *m)
{
	struct web *w = sterna_mod_data(m);

	web_files_free(w);
	free(w);
}

STERNA_MODULE(web, .summary = "Pages for people: how to connect, invitations, a web client",
	.options = options, .config_size = sizeof(struct web_config), .load = load, .unload = unload,
	.http = (const struct sterna_route[]){
		{ "GET", "/", web_get_home, 0 },
		{ "GET", "/web/style.css", web_get_style, 0 },
		{ "GET", "/web/icon.svg", web_get_icon, 0 },
		{ "GET", "/invite/", web_get_invite, STERNA_HTTP_BELOW },
		{ "POST", "/invite/", web_post_invite, STERNA_HTTP_BELOW },
		{ "GET", WEB_CHAT, web_get_chat, 0 },
		{ "GET", WEB_CHAT "config.js", web_get_chat_config, 0 },
		{ "GET", WEB_CHAT_FILES, web_get_file, STERNA_HTTP_BELOW | STERNA_HTTP_STREAM }, { 0 } });
