/* region.h - regions: which one this server is in, what has to stay in one (residency), and the links between them.
 *
 * A route may name the region that it leads to. What `residency` pins to another region than ours is refused here: nobody
 * logs in, nothing is delivered to it and nothing of it is stored. Threads: any; the configuration never changes. */
#ifndef STERNA_REGION_H
#define STERNA_REGION_H

#include "server/config.h"
#include "server/jid.h"

struct server;
struct worker;

enum { REGION_NAME_MAX = 32, REGIONS_MAX = 64, REGION_TEXT = 160 };

/** Letters, digits, '-' and '_'. */
bool region_name_is_good(const char *name);
/** Where the data of that address have to stay; NULL: anywhere. rule: the key that says so; may be NULL. The most exact
 *  counts: the address, its domain, then the first pattern ("*.example": all below example). */
const char *region_of(const struct config *c, const struct jid *j, const char **rule);
/** Is that not here? text: for people, with the reason */
bool region_refuses(const struct config *c, const struct jid *j, char text[REGION_TEXT]);

/* --- metrics by region, for those that routes name when the server starts --- */

struct regions;
enum sterna_result regions_new(struct server *s, struct regions **out) STERNA_CHECKED;
void regions_free(struct server *s, struct regions **r);
/** What a worker's links have for each. */
struct region_load {
	int64_t up, waiting, oldest_us;
};
/** The number of the region that a route leads to from here, or REGIONS_MAX: none. */
unsigned region_index(const struct server *s, const char *domain);
void regions_store(struct worker *w, const struct region_load load[REGIONS_MAX]);
/** A link to that domain has had its confirmation after so long. */
void regions_observe(struct worker *w, const char *domain, uint64_t us);

#endif
