/* server_metric.c - the core's own metrics: their table, and those that are known elsewhere. */
#include "server/server_metric.h"
#include "server/bytestream.h"
#include "server/crew.h"
#include "server/net.h"

/* In the order of enum log_level, from the first that is written. */
static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };

static const char *const directions[] = { "in", "out", NULL };
static const char *const s2s_failures[] = { "dns", "connect", "tls", "certificate", "sasl", "dialback", "stream", "time", NULL };
/* In the order of enum config_budget. */
static const char *const s2s_budgets[] = { "stanzas", "bytes", "presence", "subscriptions", "joins", NULL };
static const char *const s2s_states[] = { "connected", "other", NULL };
static const char *const http_classes[] = { "2xx", "3xx", "4xx", "5xx", NULL };

const struct sterna_metric server_metric_table[] = {
	[METRIC_STANZAS_IN] = { "sterna_stanzas_received_total", "Stanzas received from clients.", METRIC_COUNTER },
	[METRIC_STANZAS_OUT] = { "sterna_stanzas_sent_total", "Stanzas written to streams.", METRIC_COUNTER },
	[METRIC_STANZAS_REFUSED] = { "sterna_stanzas_refused_total", "Stanzas answered with an error.", METRIC_COUNTER },
	[METRIC_STREAM_ERRORS] = { "sterna_stream_errors_total", "Streams ended with an error.", METRIC_COUNTER },
	[METRIC_LOGINS] = { "sterna_logins_total", "Successful logins.", METRIC_COUNTER },
	[METRIC_LOGIN_FAILURES] = { "sterna_login_failures_total", "Failed logins.", METRIC_COUNTER },
	[METRIC_SESSIONS] = { "sterna_sessions", "Sessions, bound or resumable.", METRIC_GAUGE },
	[METRIC_STREAMS] = { "sterna_streams", "Open streams.", METRIC_GAUGE },
	[METRIC_ACCOUNTS] = { "sterna_accounts_loaded", "Accounts in memory.", METRIC_GAUGE },
	[METRIC_MAILBOX_DEPTH] = { "sterna_mailbox_depth", "Mails that wait for a worker.", METRIC_GAUGE },
	[METRIC_LONGEST_TURN] = { "sterna_loop_longest_turn_seconds",
		"Longest turn of a worker's loop in the last minute.", METRIC_GAUGE_MAX, .scale = 1e-6 },
	[METRIC_DB_QUEUE_BYTES] = { "sterna_db_queue_bytes", "Writes that wait for the database.", METRIC_GAUGE },
	[METRIC_DB_UP] = { "sterna_db_up_workers", "Workers whose database is up.", METRIC_GAUGE },
	[METRIC_OFFLINE_STORED] = { "sterna_offline_stored_total", "Messages stored for later.", METRIC_COUNTER },
	[METRIC_SM_RESUMED] = { "sterna_sm_resumed_total", "Sessions resumed.", METRIC_COUNTER },
	[METRIC_S2S_STANZAS] = { "sterna_s2s_stanzas_total", "Stanzas from and to other servers.", METRIC_COUNTER,
		.labels = { { "direction", directions } } },
	[METRIC_S2S_BOUNCED] = { "sterna_s2s_bounced_total", "Stanzas that their server could not be given.", METRIC_COUNTER },
	[METRIC_S2S_FAILURES] = { "sterna_s2s_failures_total", "Streams with other servers that did not come about.",
		METRIC_COUNTER, .labels = { { "cause", s2s_failures } } },
	[METRIC_S2S_HELD] = { "sterna_s2s_over_budget_total",
		"Stanzas of other servers that were beyond their domain's budget: held back, or refused (subscription).", METRIC_COUNTER,
		.labels = { { "budget", s2s_budgets } } },
	[METRIC_S2S_ISOLATIONS] = { "sterna_s2s_isolations_total", "Domains that were isolated.", METRIC_COUNTER },
	[METRIC_S2S_RESUMED] = { "sterna_s2s_resumed_total", "Streams with other servers that went on after a cut.", METRIC_COUNTER },
	[METRIC_S2S_LATENCY] = { "sterna_s2s_confirmation_seconds",
		"Time until another server has confirmed what it was sent.", METRIC_HISTOGRAM, .bounds = metric_bounds_us,
		.scale = 1e-6 },
	[METRIC_S2S_LINKS] = { "sterna_s2s_links", "Links to other servers.", METRIC_GAUGE,
		.labels = { { "state", s2s_states } } },
	[METRIC_S2S_WAITING] = { "sterna_s2s_waiting", "Stanzas that wait for other servers.", METRIC_GAUGE },
	[METRIC_S2S_UNCONFIRMED] = { "sterna_s2s_unconfirmed", "Stanzas that other servers have not confirmed yet.", METRIC_GAUGE },
	[METRIC_S2S_OLDEST] = { "sterna_s2s_longest_wait_seconds", "How long the first stanza of the slowest link has waited.",
		METRIC_GAUGE_MAX, .scale = 1e-6 },
	[METRIC_WORKERS] = { "sterna_workers", "Workers.", METRIC_GAUGE },
	[METRIC_WORKER_THREADS] = { "sterna_worker_threads", "Threads that run the workers now: as many as the load needs.",
		METRIC_GAUGE },
	[METRIC_LOGINS_WAITING] = { "sterna_logins_waiting",
		"Logins that wait for others to be served by the database.", METRIC_GAUGE },
	[METRIC_LATE] = { "sterna_connections_late",
		"Connections of strangers whose input waits for that of others.", METRIC_GAUGE },
	[METRIC_CERTIFICATE_DAYS] = { "sterna_certificate_days_left", "Days until the first certificate ends.",
		METRIC_GAUGE },
	[METRIC_LOG_LINES] = { "sterna_log_lines_total", "Lines of the log.", METRIC_COUNTER,
		.labels = { { "level", log_levels } } },
	[METRIC_LOG_DROPPED] = { "sterna_log_dropped_total", "Lines of the log that could not be written.",
		METRIC_COUNTER },
	[METRIC_STARTED] = { "sterna_start_time_seconds", "Unix time of the start.", METRIC_GAUGE, .scale = 1e-6 },
	[METRIC_HTTP_REQUESTS] = { "sterna_http_requests_total", "HTTP requests answered.", METRIC_COUNTER,
		.labels = { { "class", http_classes } } },
	[METRIC_HTTP_CONNECTIONS] = { "sterna_http_connections", "Open HTTP connections.", METRIC_GAUGE },
	[METRIC_HTTP_FULL] = { "sterna_http_connections_full_total",
		"Times that new HTTP connections had to wait for others to end.", METRIC_COUNTER },
	[METRIC_BOSH_SESSIONS] = { "sterna_bosh_sessions", "Sessions of BOSH.", METRIC_GAUGE },
	[METRIC_BYTESTREAMS] = { "sterna_bytestreams", "Bytestreams that are relayed now (XEP-0065).", METRIC_GAUGE },
	[METRIC_BYTESTREAM_BYTES] = { "sterna_bytestream_bytes_total", "Bytes relayed.", METRIC_COUNTER },
	{ 0 }
};

/* The last two windows, so that a scrape every half minute misses nothing. */
enum { TURN_WINDOW_US = 30000000 };

void worker_measure(struct worker *w)
{
	const struct metric_set *set = w->server->metric_set;
	const uint64_t now = loop_now_us(w->loop), turn = loop_longest_turn_us(w->loop);

	if (now - w->turn_window_us >= TURN_WINDOW_US) {
		w->turn_window_us = now;
		w->turn_us[1] = w->turn_us[0];
		w->turn_us[0] = 0;
	}
	if (turn > w->turn_us[0])
		w->turn_us[0] = turn;
	metric_store(set, w->index, METRIC_LONGEST_TURN, 0,
		(int64_t)(w->turn_us[0] > w->turn_us[1] ? w->turn_us[0] : w->turn_us[1]));
	metric_store(set, w->index, METRIC_ACCOUNTS, 0, (int64_t)w->accounts.count);
	metric_store(set, w->index, METRIC_DB_QUEUE_BYTES, 0, (int64_t)db_queued_bytes(w->db));
	metric_store(set, w->index, METRIC_LOGINS_WAITING, 0, (int64_t)w->logins.waiting);
	metric_store(set, w->index, METRIC_LATE, 0, (int64_t)loop_late(w->loop));
	metric_store(set, w->index, METRIC_DB_UP, 0, db_is_up(w->db));
	atomic_store(&w->db_up, db_is_up(w->db));
	atomic_store(&w->alive_us, now);
}

void server_on_metrics_read(void *arg)
{
	const struct server *s = arg;

	metric_store(s->metric_set, 0, METRIC_SESSIONS, 0, (int64_t)atomic_load(&s->sessions));
	metric_store(s->metric_set, 0, METRIC_STREAMS, 0, (int64_t)atomic_load(&s->streams));
	metric_store(s->metric_set, 0, METRIC_HTTP_CONNECTIONS, 0, (int64_t)atomic_load(&s->http_connections));
	metric_store(s->metric_set, 0, METRIC_BOSH_SESSIONS, 0, (int64_t)atomic_load(&s->bosh_sessions));
	metric_store(s->metric_set, 0, METRIC_BYTESTREAMS, 0, (int64_t)bytestream_count((struct server *)arg));
	metric_store(s->metric_set, 0, METRIC_WORKERS, 0, s->worker_count);
	metric_store(s->metric_set, 0, METRIC_WORKER_THREADS, 0, crew_awake(s->crew));
	metric_store(s->metric_set, 0, METRIC_STARTED, 0, s->started_us);
	if (s->net != NULL)
		metric_store(s->metric_set, 0, METRIC_CERTIFICATE_DAYS, 0, net_certificate_days(s->net));
	for (unsigned level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
		metric_store(s->metric_set, 0, METRIC_LOG_LINES, level - LOG_LEVEL_ERROR, (int64_t)log_lines(level));
	metric_store(s->metric_set, 0, METRIC_LOG_DROPPED, 0, (int64_t)log_dropped());
	for (unsigned i = 0; i < s->worker_count; i++)
		metric_store(s->metric_set, i, METRIC_MAILBOX_DEPTH, 0, (int64_t)loop_mail_depth(s->workers[i]->loop));
}
