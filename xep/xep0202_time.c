/* XEP-0202 Entity Time 2.0: the server says what time it is. */
#include <stdio.h>
#include <time.h>
#include "server/module.h"

#define NS_TIME "urn:xmpp:time"

struct time_config {
	bool utc_only;
};

static const struct sterna_option options[] = {
	STERNA_OPT(struct time_config, utc_only, "false", NULL,
		"answer +00:00 instead of the host's offset from UTC"),
	{ 0 }
};

/* §2: <tzo/> as +hh:mm, <utc/> in the profile of XEP-0082. */
static enum sterna_verdict on_get(struct sterna_call *c)
{
	const struct time_config *cfg = sterna_config(c);
	const time_t now = sterna_now(c);
	char stamp[STERNA_STAMP_LEN], zone[8] = "+0000", tzo[8];
	struct tm local;

	if (!cfg->utc_only && localtime_r(&now, &local) != NULL)
		strftime(zone, sizeof zone, "%z", &local);
	snprintf(tzo, sizeof tzo, "%.3s:%.2s", zone, zone + 3);

	struct sterna_elem *t = sterna_elem(c, "time", NS_TIME);

	sterna_text(t, "tzo", tzo);
	sterna_text(t, "utc", sterna_stamp(now, stamp));
	return sterna_reply(c, t);
}

STERNA_MODULE(time, .spec = "XEP-0202 2.0", .summary = "Entity Time",
	.options = options, .config_size = sizeof(struct time_config),
	.features = (const struct sterna_feature[]){ { NS_TIME, STERNA_SERVER }, { 0 } },
	.iq = (const struct sterna_iq[]){
		{ STERNA_GET, STERNA_SERVER, NS_TIME, "time", on_get }, { 0 } });
