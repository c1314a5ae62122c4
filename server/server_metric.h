/* server_metric.h - keeping the core's gauges. */
#ifndef STERNA_SERVER_METRIC_H
#define STERNA_SERVER_METRIC_H

#include "server/server.h"

/** On the worker's thread, every few seconds and when its database comes or goes: what only it knows. */
void worker_measure(struct worker *w);
/** For metrics_on_read(): what can be read from any thread. arg: the server. */
void server_on_metrics_read(void *arg);

#endif
