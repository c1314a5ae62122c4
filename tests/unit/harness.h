/* harness.h - a test of a module, or of the core, as clients see it: real core, real parser, a clock that stands still,
 * SQLite in memory. On the pieces of the simulation (tests/sim/), without chance and without faults.
 *
 *     struct test *t = test_new(&sterna_module_time, "utc_only: true");
 *     test_send(t, "romeo@example.net/a", "<iq type='get' id='q1' to='example.net'>…</iq>");
 *     ck_assert_str_eq(test_recv(t, "romeo@example.net/a"), "<iq type='result' …");
 *     test_free(&t);
 *
 * Hosts are example.net and example.com. Every call comes back when everything that follows from it has happened,
 * as far as no time must pass for it. Modules are linked in: their sources are in the test's _SOURCES. */
#ifndef STERNA_TEST_HARNESS_H
#define STERNA_TEST_HARNESS_H

#include <stdint.h>
#include "server/module.h"

struct test;
struct server;

/** A server with this module and its options (YAML, as behind "name:"; NULL: none). m NULL: the core alone. */
struct test *test_new(const struct sterna_module *m, const char *options);
/** Several modules (NULL-terminated, in the order of their needs) and the rest of a configuration. */
struct test *test_new_with(const struct sterna_module *const *modules, const char *config);
void test_free(struct test **t);

void test_clock(struct test *t, int64_t unix_seconds); /**< it is that time now */
void test_pass(struct test *t, uint64_t us);           /**< time passes, step by step where timers are due */

/** An account that nobody logs in to. */
void test_account(struct test *t, const char *bare);
/** Logs in and binds, if this full JID has no session yet; test_send() does it too. */
void test_login(struct test *t, const char *full);
void test_send(struct test *t, const char *full, const char *xml);
/** The next element that came to this session since it was bound, as text; "" if there is none. Borrowed until the
 *  next call. */
const char *test_recv(struct test *t, const char *full);
void test_drop(struct test *t, const char *full);      /**< forgets what has come so far */
struct server *test_server(struct test *t);            /**< to look at or to change the core from within */
void test_cut(struct test *t, const char *full);       /**< the connection is lost */
void test_close(struct test *t, const char *full);     /**< ended in order */

#endif
