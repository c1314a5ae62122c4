/* Metrics in Prometheus' text format, and what an orchestrator asks: is the process alive, may it get clients? */
#include "server/module.h"
#include <string.h>

#define TEXT "text/plain; charset=utf-8"

static void get_metrics(struct sterna_mod *m, struct sterna_http_request *r)
{
	struct buf out = BUF_INIT;

	sterna_metrics_write(m, &out);
	sterna_http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_data(&out), buf_len(&out));
	buf_release(&out);
}

static void answer(struct sterna_http_request *r, enum sterna_result rc, const char *why)
{
	char text[64];
	size_t n = strlen(why);

	n = n < sizeof text - 1 ? n : sizeof text - 1;
	memcpy(text, why, n);
	text[n++] = '\n';
	sterna_http_reply(r, rc == STERNA_OK ? 200 : 503, TEXT, text, n);
}

/* No: restart it. That the database is away is no reason: sessions stay, and messages flow. */
static void get_healthz(struct sterna_mod *m, struct sterna_http_request *r)
{
	const char *why;
	const enum sterna_result rc = sterna_alive(m, &why);

	answer(r, rc, why);
}

/* No: send new clients elsewhere. */
static void get_readyz(struct sterna_mod *m, struct sterna_http_request *r)
{
	const char *why;
	const enum sterna_result rc = sterna_ready(m, &why);

	answer(r, rc, why);
}

STERNA_MODULE(metrics, .summary = "Prometheus metrics, liveness and readiness over HTTP",
	.http = (const struct sterna_route[]){
		{ "GET", "/metrics", get_metrics, STERNA_HTTP_MONITORING },
		{ "GET", "/healthz", get_healthz, STERNA_HTTP_MONITORING },
		{ "GET", "/readyz", get_readyz, STERNA_HTTP_MONITORING }, { 0 } });
