/* farewell.h - the contacts of an account that was deleted hear of it: their subscriptions end (RFC 6121 §3.2, §3.3).
 *
 * Deleting an account leaves a row for each contact, in the same transaction (user_add_removal()); the server says what
 * is to be said, and takes the row away when that is committed at the contact. So it does not matter whether a server
 * runs when sternactl deletes, nor whether one is killed in between.
 * Threads: the worker's. */
#ifndef STERNA_FAREWELL_H
#define STERNA_FAREWELL_H

struct worker;

/** Look for such rows, of accounts that are this worker's, and do what they say: when it starts, and when an account of
 *  this host was deleted. */
void farewell_look(struct worker *w);
/** The worker ends: what is not said stays as it is stored. Before its loop is drained, and freed. */
void farewell_stop(struct worker *w);
void farewell_free(struct worker *w);

#endif
