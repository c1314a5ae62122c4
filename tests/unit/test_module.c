/* test_module.c - modules come and go while calls are under way. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/registry.h"
#include "tests/unit/harness.h"

#define NS_ONE "urn:x:one"

static enum sterna_verdict on_get(struct sterna_call *c)
{
	return sterna_reply(c, NULL);
}

static const struct sterna_module one = { .abi = STERNA_ABI, .name = "one",
	.iq = (const struct sterna_iq[]){ { STERNA_GET, STERNA_SERVER, NS_ONE, "q", on_get }, { 0 } } };
static const struct sterna_module two = { .abi = STERNA_ABI, .name = "two" };
static const char *const needed[] = { "one", NULL };
static const struct sterna_module needy = { .abi = STERNA_ABI, .name = "needy", .needs = needed };
static const struct sterna_module foreign = { .abi = STERNA_ABI + 1, .name = "foreign" };

/* Adds what it sees to a message, until it hears of sleep. */
static enum sterna_verdict mark_and_rest(struct sterna_call *c)
{
	sterna_add(sterna_stanza(c), "seen", NS_ONE);
	if (elem_child(sterna_stanza(c), "sleep", NS_ONE) != NULL)
		sterna_rest(c, STERNA_REST_ACCOUNT, true);
	return STERNA_NEXT;
}

static enum sterna_verdict on_wake(struct sterna_call *c)
{
	sterna_rest(c, STERNA_REST_ACCOUNT, false);
	return sterna_reply(c, NULL);
}

static const struct sterna_module sleepy = { .abi = STERNA_ABI, .name = "sleepy",
	.iq = (const struct sterna_iq[]){ { STERNA_SET, STERNA_OWN_ACCOUNT, NS_ONE, "wake", on_wake }, { 0 } },
	.hooks = (const struct sterna_hook[]){ { STERNA_IN_POLICY, mark_and_rest, NULL, STERNA_MESSAGE, STERNA_HOOK_RESTS }, { 0 } } };
static const struct sterna_module awake = { .abi = STERNA_ABI, .name = "awake",
	.hooks = (const struct sterna_hook[]){ { STERNA_IN_POLICY, mark_and_rest, NULL, STERNA_MESSAGE, STERNA_HOOK_RESTS }, { 0 } } };

/* One thread is all there is here: the workers take up the tables at once, and not by mail. */
static enum sterna_result load(struct test *t, const struct sterna_module *m)
{
	struct server *s = test_server(t);

	s->running = false;
	const enum sterna_result rc = module_load_static(s, m);

	s->running = true;
	return rc;
}

static enum sterna_result unload(struct test *t, const char *name)
{
	struct server *s = test_server(t);

	s->running = false;
	const enum sterna_result rc = module_unload(s, name, 20);

	s->running = true;
	return rc;
}

static const char *asked(struct test *t)
{
	test_send(t, "romeo@example.net/a", "<iq type='get' id='q' to='example.net'><q xmlns='" NS_ONE "'/></iq>");
	return test_recv(t, "romeo@example.net/a");
}

START_TEST(an_unloaded_module_answers_no_more)
{
	struct test *t = test_new(NULL, NULL);

	ck_assert_ptr_nonnull(strstr(asked(t), "service-unavailable"));
	ck_assert_int_eq(load(t, &one), STERNA_OK);
	ck_assert_int_eq(load(t, &one), STERNA_EEXISTS);
	ck_assert_ptr_nonnull(strstr(asked(t), "type='result'"));
	ck_assert_int_eq(unload(t, "one"), STERNA_OK);
	ck_assert_int_eq(unload(t, "one"), STERNA_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(asked(t), "service-unavailable"));
	test_free(&t);
}
END_TEST

/* A call that began under older tables, which later changes have replaced since, still names the module. */
START_TEST(old_tables_hold_a_module_too)
{
	struct test *t = test_new(NULL, NULL);
	struct server *s = test_server(t);

	ck_assert_int_eq(load(t, &one), STERNA_OK);
	struct registry *of_a_call = registry_ref(s->registry);

	ck_assert_int_eq(load(t, &two), STERNA_OK);
	ck_assert_int_eq(unload(t, "one"), STERNA_EUNAVAILABLE);
	ck_assert_ptr_nonnull(module_find(s, "one"));
	ck_assert_ptr_nonnull(strstr(asked(t), "type='result'"));
	ck_assert_int_eq(unload(t, "two"), STERNA_OK);      /* nobody has that one */
	registry_unref(&of_a_call);
	ck_assert_int_eq(unload(t, "one"), STERNA_OK);
	ck_assert_ptr_null(module_find(s, "one"));
	test_free(&t);
}
END_TEST

START_TEST(what_others_need_stays)
{
	struct test *t = test_new(NULL, NULL);

	ck_assert_int_eq(load(t, &needy), STERNA_EINVAL);
	ck_assert_int_eq(load(t, &one), STERNA_OK);
	ck_assert_int_eq(load(t, &needy), STERNA_OK);
	ck_assert_int_eq(unload(t, "one"), STERNA_EDENIED);
	ck_assert_int_eq(unload(t, "needy"), STERNA_OK);
	ck_assert_int_eq(unload(t, "one"), STERNA_OK);
	ck_assert_int_eq(load(t, &foreign), STERNA_EINVAL);
	test_free(&t);
}
END_TEST

static bool is_seen(struct test *t, const char *to, const char *payload)
{
	char xml[256];

	snprintf(xml, sizeof xml, "<message to='%s'><body>x</body>%s</message>", to, payload);
	test_drop(t, to);
	test_send(t, "romeo@example.net/a", xml);
	return strstr(test_recv(t, to), "<seen") != NULL;
}

START_TEST(a_hook_rests_where_it_was_said_and_until_it_is_woken)
{
	struct test *t = test_new(NULL, NULL);
	const char *sleep = "<sleep xmlns='" NS_ONE "'/>";

	test_login(t, "juliet@example.net/b");
	test_login(t, "nurse@example.net/c");
	ck_assert_int_eq(load(t, &sleepy), STERNA_OK);
	ck_assert(is_seen(t, "juliet@example.net/b", ""));
	ck_assert(is_seen(t, "juliet@example.net/b", sleep));
	ck_assert(!is_seen(t, "juliet@example.net/b", ""));
	ck_assert(is_seen(t, "nurse@example.net/c", ""));
	test_send(t, "juliet@example.net/b", "<iq type='set' id='w'><wake xmlns='" NS_ONE "'/></iq>");
	ck_assert(is_seen(t, "juliet@example.net/b", sleep));
	/* The next module of that place knows nothing of this one's rest. */
	ck_assert_int_eq(unload(t, "sleepy"), STERNA_OK);
	ck_assert_int_eq(load(t, &awake), STERNA_OK);
	ck_assert(is_seen(t, "juliet@example.net/b", ""));
	test_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("module");
	TCase *c = tcase_create("module");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_unloaded_module_answers_no_more);
	tcase_add_test(c, old_tables_hold_a_module_too);
	tcase_add_test(c, what_others_need_stays);
	tcase_add_test(c, a_hook_rests_where_it_was_said_and_until_it_is_woken);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
