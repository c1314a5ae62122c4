/* xep0377_reports.h - reports of spam and abuse in a block (XEP-0377 0.4.1). Part of the module "blocking", which makes the
 * stop "report.received" for those who pass reports on. Threads: those of the call. */
#ifndef XEP0377_REPORTS_H
#define XEP0377_REPORTS_H

#include "server/module.h"

#define NS_REPORTING "urn:xmpp:reporting:1"
#define REPORT_RECEIVED "report.received"

/** The argument of the stop; borrowed. The reporter is sterna_owner(c). */
struct report {
	const char *jid, *reason, *text;     /* text: or NULL */
	const char *messages;                /* JSON: [{"by": …, "id": …}, …], ids of the archive (XEP-0359) */
	bool to_origin, to_others;           /* §4: may be passed on to the reported one's server; to third parties */
};

/** Keep the reports of <block/>; metric counts them, and at most max of an account are kept. */
void reports_take(struct sterna_call *c, const struct sterna_elem *block, unsigned metric, unsigned max);

#endif
