/* test_option.c - a table of options parses, checks and documents. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "server/buf.h"
#include "server/config_node.h"
#include "server/mem.h"
#include "server/option.h"

struct inner { const char *name; unsigned n; };
struct all {
	bool flag;
	int i;
	unsigned u, mode;
	int64_t i64;
	uint64_t u64;
	double d;
	const char *text, *choice;
	struct sterna_duration time;
	struct sterna_size size;
	struct sterna_rate rate;
	struct sterna_list list;
	struct sterna_pairs pairs;
	struct inner inner;
	struct sterna_array items, named;
	const struct config_node *rest;
};

static const struct sterna_option inner_options[] = {
	STERNA_OPT(struct inner, n, "7", "1..9", "a number"),
	{ 0 }
};
#define T struct all
static const struct sterna_option options[] = {
	STERNA_OPT(T, flag, "true", NULL, "a flag"),
	STERNA_OPT(T, i, "-3", "-5..5", "an int"),
	STERNA_OPT(T, u, "3", "..10", "an unsigned"),
	STERNA_OPT(T, mode, "fast", "slow|fast|exact", "a mode"),
	STERNA_OPT(T, i64, "-9223372036854775808", NULL, "large"),
	STERNA_OPT(T, u64, "18446744073709551615", NULL, "larger"),
	STERNA_OPT(T, d, "0.5", "0..1", "a ratio"),
	STERNA_OPT(T, text, "some text", NULL, "text"),
	STERNA_OPT(T, choice, NULL, "red|green", "a | b"),
	STERNA_OPT(T, time, "1h30m", "1s..1d", "time"),
	STERNA_OPT(T, size, "64KiB", "1KiB..", "size"),
	STERNA_OPT(T, rate, "10/m", NULL, "rate"),
	STERNA_OPT(T, list, "a b", "a|b|c", "list"),
	STERNA_OPT(T, pairs, NULL, "x|y", "pairs"),
	STERNA_OPT_SECTION(T, inner, inner_options, "section"),
	STERNA_OPT_LIST(T, items, struct inner, inner_options, "items"),
	STERNA_OPT_MAP(T, named, struct inner, name, inner_options, "named"),
	STERNA_OPT(T, rest, NULL, NULL, "rest"),
	{ 0 }
};

static struct arena *a;
static struct config_error err;
static struct all out;

static enum sterna_result apply(const char *text)
{
	struct config_node *n = NULL;

	memset(&err, 0, sizeof err);
	memset(&out, 0xff, sizeof out);
	ck_assert_int_eq(config_read_text(a, text, strlen(text), "test.yaml", ".", &n, &err), STERNA_OK);
	return options_apply(options, n, a, &out, &err);
}

static void ok(const char *text)
{
	ck_assert_msg(apply(text) == STERNA_OK, "%s: %u:%u: %s", text, err.line, err.column, err.message);
}

static void setup(void)
{
	a = arena_new(4096);
}

static void teardown(void)
{
	arena_free(&a);
}

START_TEST(gives_defaults)
{
	memset(&out, 0xff, sizeof out);
	ck_assert_int_eq(options_apply(options, NULL, a, &out, &err), STERNA_OK);
	ck_assert(out.flag);
	ck_assert_int_eq(out.i, -3);
	ck_assert_uint_eq(out.u, 3);
	ck_assert_uint_eq(out.mode, 1);
	ck_assert(out.i64 == INT64_MIN);
	ck_assert(out.u64 == UINT64_MAX);
	ck_assert(out.d == 0.5);
	ck_assert_str_eq(out.text, "some text");
	ck_assert_ptr_null(out.choice);
	ck_assert_int_eq(out.time.us, INT64_C(5400000000));
	ck_assert_uint_eq(out.size.bytes, 65536);
	ck_assert_uint_eq(out.rate.count, 10);
	ck_assert_int_eq(out.rate.per_us, 60000000);
	ck_assert_uint_eq(out.list.count, 2);
	ck_assert_str_eq(out.list.item[1], "b");
	ck_assert_uint_eq(out.pairs.count, 0);
	ck_assert_uint_eq(out.inner.n, 7);
	ck_assert_uint_eq(out.items.count, 0);
	ck_assert_ptr_null(out.rest);
	ck_assert_int_eq(options_apply(NULL, NULL, a, &out, &err), STERNA_OK);
}
END_TEST

START_TEST(takes_values)
{
	ok("flag: no\ni: 5\nu: '10'\nmode: exact\ni64: -1\nu64: 1\nd: 1e-1\ntext: 12\nchoice: green\ntime: 90s\nsize: 2MiB\n"
		"rate: 1MiB/10s\nlist: [c, a, b]\npairs: { k: x, l: y }\ninner: { n: 1 }\nitems: [ { n: 2 }, {} ]\n"
		"named: { one: { n: 3 }, two: }\nrest: { free: [ 1 ] }\n");
	ck_assert(!out.flag);
	ck_assert_int_eq(out.i, 5);
	ck_assert_uint_eq(out.u, 10);
	ck_assert_uint_eq(out.mode, 2);
	ck_assert_int_eq(out.i64, -1);
	ck_assert_uint_eq(out.u64, 1);
	ck_assert(out.d == 0.1);
	ck_assert_str_eq(out.text, "12");
	ck_assert_str_eq(out.choice, "green");
	ck_assert_int_eq(out.time.us, 90000000);
	ck_assert_uint_eq(out.size.bytes, 2097152);
	ck_assert_uint_eq(out.rate.count, 1048576);
	ck_assert_int_eq(out.rate.per_us, 10000000);
	ck_assert_uint_eq(out.list.count, 3);
	ck_assert_str_eq(out.list.item[0], "c");
	ck_assert_uint_eq(out.pairs.count, 2);
	ck_assert_str_eq(out.pairs.key[1], "l");
	ck_assert_str_eq(out.pairs.value[1], "y");
	ck_assert_uint_eq(out.inner.n, 1);
	ck_assert_uint_eq(out.items.count, 2);
	ck_assert_uint_eq(((struct inner *)out.items.item)[0].n, 2);
	ck_assert_uint_eq(((struct inner *)out.items.item)[1].n, 7);
	ck_assert_uint_eq(out.named.count, 2);
	ck_assert_str_eq(((struct inner *)out.named.item)[1].name, "two");
	ck_assert_uint_eq(((struct inner *)out.named.item)[1].n, 7);
	ck_assert_ptr_nonnull(config_child(out.rest, "free"));
	ok("list: c\ntext: null\n");
	ck_assert_uint_eq(out.list.count, 1);
	ck_assert_ptr_null(out.text);
	ok("list: []\ntext: 'null'\n");
	ck_assert_uint_eq(out.list.count, 0);
	ck_assert_str_eq(out.text, "null");
}
END_TEST

static const struct { const char *text, *message; unsigned line, column; } wrong[] = {
	{ "flag: maybe", "flag must be true or false; it is 'maybe'", 1, 7 },
	{ "flag: [yes]", "flag must be true or false; here is a list", 1, 7 },
	{ "flag:", "flag has no value; it must be true or false", 1, 1 },
	{ "flga: yes", "unknown key 'flga' in the configuration; did you mean 'flag'?", 1, 1 },
	{ "inner: { m: 1 }", "unknown key 'm' in inner; there are: n", 1, 10 },
	{ "i: 6", "i must be in -5..5; it is '6'", 1, 4 },
	{ "i: 99999999999", "i must be a whole number; it is", 1, 4 },
	{ "u: -1", "u must be a whole number, not negative", 1, 4 },
	{ "u: 11", "u must be in ..10", 1, 4 },
	{ "u64: 18446744073709551616", "u64 must be a whole number", 1, 6 },
	{ "d: nan", "d must be a number", 1, 4 },
	{ "d: 1.5", "d must be in 0..1", 1, 4 },
	{ "mode: exakt", "'exakt' is not known here; it must be one of slow, fast, exact; did you mean 'exact'?", 1, 7 },
	{ "mode: 1", "mode must be one of slow, fast, exact; it is '1'", 1, 7 },
	{ "choice: blue", "choice must be one of red, green", 1, 9 },
	{ "text: { a: b }", "text must be text; here is a section", 1, 7 },
	{ "time: 30", "time must be a duration with its unit, as 250ms, 30s, 5m, 1h30m or 7d; it is '30'", 1, 7 },
	{ "time: 2d", "time must be in 1s..1d", 1, 7 },
	{ "time: 9999999999999w", "time must be a duration", 1, 7 },
	{ "size: 1KB", "size must be a size, as 4096, 64KiB or 1MiB; it is '1KB'", 1, 7 },
	{ "size: 1023", "size must be in 1KiB..", 1, 7 },
	{ "rate: 10", "rate must be a rate, as 100/s", 1, 7 },
	{ "list: [a, z]", "list[1] must be one of a, b, c; it is 'z'", 1, 11 },
	{ "list: { a: b }", "list must be a list, as [a, b]; here is a section", 1, 7 },
	{ "list: [[a]]", "list[0] must be text; here is a list", 1, 8 },
	{ "pairs: { k: z }", "pairs.k must be one of x, y", 1, 13 },
	{ "pairs: [k]", "pairs must be a section of names and values", 1, 8 },
	{ "inner: 5", "inner must be a section of keys and values; it is '5'", 1, 8 },
	{ "items: { n: 1 }", "items must be a list; begin each item with '- '; here is a section", 1, 8 },
	{ "items:\n  - n: 1\n  - n: 0\n", "items[1].n must be in 1..9; it is '0'", 3, 8 },
	{ "named: [ a ]", "named must be a section, with a name for each item; here is a list", 1, 8 },
	{ "named:\n  x:\n    y: 1\n", "unknown key 'y' in named.x; there are: n", 3, 5 },
	{ "rest: 3", "rest must be a section", 1, 7 },
	{ "- a", "the configuration must be a section of keys and values; here is a list", 1, 1 },
};

START_TEST(says_what_is_wrong_and_where)
{
	ck_assert_msg(apply(wrong[_i].text) == STERNA_EINVAL, "accepted: %s", wrong[_i].text);
	ck_assert_msg(strstr(err.message, wrong[_i].message) == err.message, "%s\n%s", wrong[_i].text, err.message);
	ck_assert_msg(err.line == wrong[_i].line && err.column == wrong[_i].column, "%s at %u:%u", wrong[_i].text, err.line,
		err.column);
}
END_TEST

START_TEST(asks_for_what_is_required)
{
	static const struct sterna_option required[] = { STERNA_OPT(T, text, STERNA_REQUIRED, NULL, "the text"), { 0 } };
	struct config_node *n = NULL;

	ck_assert_int_eq(config_read_text(a, "{}", 2, "test.yaml", ".", &n, &err), STERNA_OK);
	ck_assert_int_eq(options_apply(required, n, a, &out, &err), STERNA_EINVAL);
	ck_assert_str_eq(err.message, "the configuration needs 'text': the text");
	ck_assert_int_eq(options_apply(required, NULL, a, &out, &err), STERNA_EINVAL);
}
END_TEST

START_TEST(does_not_show_secrets)
{
	setenv("STERNA_TEST_SECRET", "hunter2", 1);
	ck_assert_int_eq(apply("u: ${STERNA_TEST_SECRET}"), STERNA_EINVAL);
	ck_assert_str_eq(err.message, "u must be a whole number, not negative");
	ck_assert_int_eq(apply("mode: ${STERNA_TEST_SECRET}"), STERNA_EINVAL);
	ck_assert_ptr_null(strstr(err.message, "hunter"));
	ck_assert_int_eq(apply("inner: ${STERNA_TEST_SECRET}"), STERNA_EINVAL);
	ck_assert_ptr_null(strstr(err.message, "hunter"));
}
END_TEST

START_TEST(reads_notations)
{
	struct sterna_duration t;
	struct sterna_size s;
	struct sterna_rate r;

	ck_assert(option_parse_duration("0", &t) && t.us == 0);
	ck_assert(option_parse_duration("1d2h3m4s5ms6us", &t) && t.us == INT64_C(93784005006));
	ck_assert(!option_parse_duration("", &t) && !option_parse_duration("s", &t) && !option_parse_duration("1 s", &t)
		&& !option_parse_duration("-1s", &t) && !option_parse_duration("1.5s", &t));
	ck_assert(!option_parse_duration("9223372036854775807us1us", &t));
	ck_assert(option_parse_size("1GiB", &s) && s.bytes == 1073741824);
	ck_assert(option_parse_size("1kB", &s) && s.bytes == 1000);
	ck_assert(!option_parse_size("", &s) && !option_parse_size("KiB", &s) && !option_parse_size("1KiB2", &s)
		&& !option_parse_size("99999999999TiB", &s));
	ck_assert(option_parse_rate("0", &r) && r.count == 0);
	ck_assert(option_parse_rate("5/10s", &r) && r.count == 5 && r.per_us == 10000000);
	ck_assert(!option_parse_rate("5/0s", &r) && !option_parse_rate("5/", &r) && !option_parse_rate("/s", &r)
		&& !option_parse_rate("5/s5", &r));
}
END_TEST

START_TEST(finds_the_nearest_word)
{
	static const char *const words[] = { "level", "format", "file", "components" };

	ck_assert_str_eq(option_nearest("lvel", words, 4), "level");
	ck_assert_str_eq(option_nearest("fromat", words, 4), "format");
	ck_assert_str_eq(option_nearest("compoents", words, 4), "components");
	ck_assert_ptr_null(option_nearest("password", words, 4));
	ck_assert_ptr_null(option_nearest("xy", words, 4));
}
END_TEST

START_TEST(checks_tables)
{
	static const struct sterna_option bad[][2] = {
		{ STERNA_OPT(T, u, "-1", NULL, "h") }, { STERNA_OPT(T, u, "1", "1-2", "h") }, { STERNA_OPT(T, u, "1", "x..", "h") },
		{ STERNA_OPT(T, u, "1", NULL, "") }, { STERNA_OPT(T, mode, "c", "a|b", "h") }, { STERNA_OPT(T, i, "0", "a|b", "h") },
		{ STERNA_OPT(T, time, "5", NULL, "h") }, { { .name = "Upper", .type = STERNA_TYPE_BOOL, .help = "h" } },
	};
	char text[200];

	ck_assert_ptr_null(options_check_table(options, text, sizeof text));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(options_check_table(bad[i], text, sizeof text) != NULL, "table %zu", i);
}
END_TEST

START_TEST(writes_the_manual)
{
	struct buf b = BUF_INIT;

	options_manual(&b, options, "all");
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "### `all`\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
		"| `flag` | true or false | `true` | a flag |\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "| `mode` | choice: `slow`, `fast`, `exact` | `fast` | a mode |\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "| `choice` | choice: `red`, `green` |  | a \\| b |\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "| `time` | duration, 1s..1d | `1h30m` | time |\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&b), "### `all.named.NAME`\n"));
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("option");
	TCase *t = tcase_create("option");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, gives_defaults);
	tcase_add_test(t, takes_values);
	tcase_add_loop_test(t, says_what_is_wrong_and_where, 0, (int)(sizeof wrong / sizeof *wrong));
	tcase_add_test(t, asks_for_what_is_required);
	tcase_add_test(t, does_not_show_secrets);
	tcase_add_test(t, reads_notations);
	tcase_add_test(t, finds_the_nearest_word);
	tcase_add_test(t, checks_tables);
	tcase_add_test(t, writes_the_manual);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
