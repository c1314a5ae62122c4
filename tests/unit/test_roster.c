/* test_roster.c - subscription states: the tables of RFC 6121 Appendix A.2 and A.3, row by row. */
#include <check.h>
#include <stdlib.h>
#include "server/roster.h"

enum state { N, NO, NI, NOI, T, TI, F, FO, B, STATES }; /* None, To, From, Both; Out, In: pending */
static const char *const names[] = { "None", "None + Pending Out", "None + Pending In", "None + Pending Out+In", "To",
	"To + Pending In", "From", "From + Pending Out", "Both" };

/* What becomes of the state; negative would be no state. */
struct row {
	enum stanza_type type;
	const char *what;
	bool passes[STATES];             /* routed (A.2), delivered (A.3) */
	enum state next[STATES];
};

static const struct row outbound[] = {
	/*                                      None NO NI NOI To TI From FO Both */
	{ PRESENCE_SUBSCRIBE, "A.2.1", { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { NO, NO, NOI, NOI, T, TI, FO, FO, B } },
	{ PRESENCE_UNSUBSCRIBE, "A.2.2", { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { N, N, NI, NI, N, NI, F, F, F } },
	{ PRESENCE_SUBSCRIBED, "A.2.3", { 0, 0, 1, 1, 0, 1, 0, 0, 0 }, { N, NO, F, FO, T, B, F, FO, B } },
	{ PRESENCE_UNSUBSCRIBED, "A.2.4", { 0, 0, 1, 1, 0, 1, 1, 1, 1 }, { N, NO, N, NO, T, T, N, NO, T } },
};
static const struct row inbound[] = {
	{ PRESENCE_SUBSCRIBE, "A.3.1", { 1, 1, 0, 0, 1, 0, 0, 0, 0 }, { NI, NOI, NI, NOI, TI, TI, F, FO, B } },
	{ PRESENCE_UNSUBSCRIBE, "A.3.2", { 0, 0, 1, 1, 0, 1, 1, 1, 1 }, { N, NO, N, NO, T, T, N, NO, T } },
	{ PRESENCE_SUBSCRIBED, "A.3.3", { 0, 1, 0, 1, 0, 0, 0, 1, 0 }, { N, T, NI, TI, T, TI, F, B, B } },
	{ PRESENCE_UNSUBSCRIBED, "A.3.4", { 0, 1, 0, 1, 1, 1, 0, 1, 1 }, { N, N, NI, NI, N, NI, F, F, F } },
};

static struct roster_item item_of(enum state s)
{
	static const uint8_t subscription[] = { SUB_NONE, SUB_NONE, SUB_NONE, SUB_NONE, SUB_TO, SUB_TO, SUB_FROM, SUB_FROM,
		SUB_BOTH };

	return (struct roster_item){ .jid = "juliet@example.com", .subscription = subscription[s], .in_roster = true,
		.ask = s == NO || s == NOI || s == FO, .pending_in = s == NI || s == NOI || s == TI };
}

static enum state state_of(const struct roster_item *i)
{
	for (enum state s = N; s < STATES; s++) {
		const struct roster_item like = item_of(s);

		if (i->subscription == like.subscription && i->ask == like.ask && i->pending_in == like.pending_in)
			return s;
	}
	return STATES;
}

static void check_row(const struct row *r, struct subscription_effect (*fn)(struct roster_item *i, enum stanza_type t))
{
	for (enum state s = N; s < STATES; s++) {
		struct roster_item i = item_of(s);
		const struct subscription_effect e = fn(&i, r->type);
		const enum state next = state_of(&i);

		ck_assert_msg(next < STATES, "%s from %s: no state at all", r->what, names[s]);
		ck_assert_msg(next == r->next[s], "%s from %s: is %s, not %s", r->what, names[s], names[next],
			names[r->next[s]]);
		ck_assert_msg(e.route == r->passes[s], "%s from %s: passes: %d", r->what, names[s], e.route);
		ck_assert_msg(e.changed || next == s, "%s from %s: changed, and does not say so", r->what, names[s]);
		/* Who may see whom has changed exactly if the state says so. */
		const bool saw = (item_of(s).subscription & SUB_FROM) != 0, sees = (i.subscription & SUB_FROM) != 0;

		ck_assert_msg(e.lost_sight == (saw && !sees), "%s from %s: lost_sight", r->what, names[s]);
		ck_assert_msg(e.probe_owner == (!saw && sees), "%s from %s: probe_owner", r->what, names[s]);
	}
}

START_TEST(outbound_follows_appendix_a2)
{
	check_row(&outbound[_i], roster_outbound);
}
END_TEST

START_TEST(inbound_follows_appendix_a3)
{
	check_row(&inbound[_i], roster_inbound);
}
END_TEST

/* §3.1.3: whoever has it already is answered without asking the user. */
START_TEST(subscribe_of_a_subscriber_is_answered)
{
	for (enum state s = N; s < STATES; s++) {
		struct roster_item i = item_of(s);

		ck_assert_int_eq(roster_inbound(&i, PRESENCE_SUBSCRIBE).reply_subscribed, s == F || s == FO || s == B);
	}
}
END_TEST

/* §3.4: a pre-approval waits, is used once, and can be taken back. */
START_TEST(pre_approval_answers_once)
{
	struct roster_item i = item_of(T);

	ck_assert(roster_outbound(&i, PRESENCE_SUBSCRIBED).changed);
	ck_assert(i.approved);
	ck_assert_int_eq(state_of(&i), T);
	const struct subscription_effect e = roster_inbound(&i, PRESENCE_SUBSCRIBE);

	ck_assert(e.reply_subscribed && !e.route && e.changed && e.probe_owner);
	ck_assert(!i.approved);
	ck_assert_int_eq(state_of(&i), B);

	i = item_of(N);
	roster_outbound(&i, PRESENCE_SUBSCRIBED);
	ck_assert(roster_outbound(&i, PRESENCE_UNSUBSCRIBED).changed);
	ck_assert(!i.approved);
	ck_assert(!roster_inbound(&i, PRESENCE_SUBSCRIBE).reply_subscribed);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("roster");
	TCase *c = tcase_create("roster");

	tcase_add_loop_test(c, outbound_follows_appendix_a2, 0, 4);
	tcase_add_loop_test(c, inbound_follows_appendix_a3, 0, 4);
	tcase_add_test(c, subscribe_of_a_subscriber_is_answered);
	tcase_add_test(c, pre_approval_answers_once);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
