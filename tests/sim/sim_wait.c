/* sim_wait.c - a module whose hooks ask the database now and then, so that stanzas wait on their way. */
#include "server/module.h"

static const struct db_stmt nothing = {
	.name = "sim_wait", .params = "", .columns = "i", .sql = "SELECT CAST(1 AS bigint)",
};

static enum sterna_verdict on_read(struct sterna_call *c, enum sterna_result rc, const struct sterna_rows *rows)
{
	(void)c, (void)rc, (void)rows;
	return STERNA_NEXT;
}

static enum sterna_verdict on_message(struct sterna_call *c)
{
	unsigned char n;

	sterna_random(c, &n, 1);
	return n % 3 == 0 ? sterna_read(c, on_read, &nothing) : STERNA_NEXT;
}

STERNA_MODULE(sim_wait, .spec = "none", .summary = "Waits",
	.hooks = (const struct sterna_hook[]){
		{ STERNA_OUT_POLICY, on_message, NULL, STERNA_MESSAGE },
		{ STERNA_IN_POLICY, on_message, NULL, STERNA_MESSAGE },
		{ STERNA_OFFLINE, on_message, NULL, STERNA_MESSAGE }, { 0 } });
