/* motd.c - an example of a module that is built outside of Sterna's tree: a message of the day for each session that
 * becomes available for the first time.
 *
 *     modules: { motd: { text: "Maintenance on Friday at 18:00 UTC." } }
 */
#include <server/module.h>

struct motd_config { const char *text; };
static const struct sterna_option options[] = {
	STERNA_OPT(struct motd_config, text, STERNA_REQUIRED, NULL, "what everyone is told"),
	{ 0 }
};

enum { SENT };
static const struct sterna_metric metrics[] = {
	[SENT] = { "sterna_motd_sent_total", "Messages of the day that were sent.", METRIC_COUNTER },
	{ 0 }
};

struct motd_session { bool told; };  /* zeroed by the core, gone with the session */

static void on_available(struct sterna_call *c)
{
	const struct motd_config *cfg = sterna_config(c);
	struct motd_session *slot = sterna_session_slot(c);

	if (slot->told)
		return;
	slot->told = true;
	struct sterna_elem *m = sterna_elem(c, "message", "jabber:client");

	sterna_attr(m, "type", "headline");  /* RFC 6121 §5.2.2: not kept for later */
	sterna_attr(m, "from", sterna_host(c));
	sterna_text(m, "body", cfg->text);
	sterna_send_to(c, sterna_session(c), m);
	sterna_count(c, SENT, 1);
}

STERNA_MODULE(motd, .spec = "-", .summary = "Message of the day",
	.options = options, .config_size = sizeof(struct motd_config), .session_size = sizeof(struct motd_session),
	.metrics = metrics,
	.on = (const struct sterna_lifecycle[]){ { STERNA_SESSION_AVAILABLE, on_available }, { 0 } });
