/* Trees and their writer. */
#include <check.h>
#include <stdlib.h>
#include "server/elem.h"

static struct arena *a;
static struct buf out = BUF_INIT;

static void setup(void)
{
	a = arena_new(1024);
}

static void teardown(void)
{
	arena_free(&a);
	buf_release(&out);
}

static const char *written(const struct sterna_elem *e, const char *around)
{
	buf_release(&out);
	elem_write(&out, e, around);
	return buf_str(&out);
}

static struct sterna_elem *message(void)
{
	struct sterna_elem *m = elem_new(a, "message", "jabber:client");

	elem_set_attr(a, m, "to", "juliet@example.net");
	elem_add_text_elem(a, m, "body", "hi");
	return m;
}

START_TEST(namespaces_well_known_are_one_pointer)
{
	ck_assert_ptr_eq(elem_new(a, "x", "jabber:client")->ns, NS_CLIENT);
	ck_assert_ptr_eq(ns_intern(a, "urn:ietf:params:xml:ns:xmpp-sasl|", 32), NS_SASL);
	ck_assert_str_eq(ns_intern(a, "urn:other|", 9), "urn:other");
}
END_TEST

START_TEST(attributes_are_set_replaced_and_removed)
{
	struct sterna_elem *m = message();

	elem_set_attr(a, m, "id", "1");
	elem_set_attr(a, m, "to", "romeo@example.net");
	elem_set_attr_ns(a, m, "lang", NS_XML, "cs");
	ck_assert_str_eq(elem_attr(m, "to"), "romeo@example.net");
	ck_assert_ptr_null(elem_attr(m, "lang"));
	ck_assert_str_eq(elem_attr_ns(m, "lang", "http://www.w3.org/XML/1998/namespace"), "cs");
	elem_set_attr(a, m, "to", NULL);
	elem_set_attr(a, m, "never", NULL);
	ck_assert_str_eq(written(m, NS_CLIENT), "<message id='1' xml:lang='cs'><body>hi</body></message>");
}
END_TEST

START_TEST(namespace_is_declared_where_it_changes)
{
	struct sterna_elem *m = message();
	struct sterna_elem *x = elem_add(a, m, "x", "urn:x");

	elem_add(a, x, "y", "urn:x");
	elem_add(a, x, "message", "jabber:client");
	elem_add(a, x, "none", "");
	ck_assert_str_eq(written(m, NS_CLIENT),
		"<message to='juliet@example.net'><body>hi</body><x xmlns='urn:x'><y/>"
		"<message xmlns='jabber:client'/><none xmlns=''/></x></message>");
	ck_assert_str_eq(written(x, NULL),
		"<x xmlns='urn:x'><y/><message xmlns='jabber:client'/><none xmlns=''/></x>");
	buf_release(&out);
	elem_write_inner(&out, x);
	ck_assert_str_eq(buf_str(&out), "<y/><message xmlns='jabber:client'/><none xmlns=''/>");
}
END_TEST

START_TEST(attributes_in_namespaces_get_prefixes_shared_within_the_element)
{
	struct sterna_elem *x = elem_new(a, "x", "urn:x");

	elem_set_attr_ns(a, x, "a", "urn:1", "1");
	elem_set_attr(a, x, "a", "0");
	elem_set_attr_ns(a, x, "a", "urn:2", "2");
	elem_set_attr_ns(a, x, "b", "urn:1", "3");
	elem_set_attr_ns(a, x, "b", "urn:3", "4");
	ck_assert_str_eq(written(x, "urn:x"), "<x xmlns:ns1='urn:1' ns1:a='1' a='0' xmlns:ns2='urn:2' ns2:a='2' "
		"ns1:b='3' xmlns:ns3='urn:3' ns3:b='4'/>");
}
END_TEST

START_TEST(markup_and_line_ends_are_escaped)
{
	struct sterna_elem *x = elem_new(a, "x", "u'>");

	elem_set_attr(a, x, "v", "\t\n\r\"'<>&]]>\xc3\xa9");
	elem_add_text(a, x, "\t\n\r\"'<>&]]>\xc3\xa9", 13);
	elem_add_text(a, x, "", 0);
	ck_assert_str_eq(written(x, NULL), "<x xmlns='u&apos;&gt;' v='&#9;&#10;&#13;&quot;&apos;&lt;&gt;&amp;]]&gt;\xc3\xa9'>"
		"\t\n&#13;\"'&lt;&gt;&amp;]]&gt;\xc3\xa9</x>");
}
END_TEST

START_TEST(children_are_found_and_text_is_skipped)
{
	struct sterna_elem *m = message();

	elem_add_text(a, m, "loose", 5);
	struct sterna_elem *x = elem_add(a, m, "body", "urn:x");

	ck_assert_ptr_eq(elem_child(m, "body", "urn:x"), x);
	ck_assert_ptr_eq(elem_child(m, NULL, "urn:x"), x);
	ck_assert_ptr_eq(elem_child(m, "body", NULL), elem_first(m));
	ck_assert_ptr_eq(elem_next(elem_first(m)), x);
	ck_assert_ptr_null(elem_next(x));
	ck_assert_str_eq(elem_child_text(a, m, "body"), "hi");
	ck_assert_ptr_null(elem_child_text(a, m, "subject"));
	ck_assert_str_eq(elem_text(a, x), "");
	ck_assert(elem_is(x, "body", "urn:x") && !elem_is(x, "body", NS_CLIENT) && !elem_is(NULL, "a", "b"));
	ck_assert(!elem_is(elem_first(m)->first, "body", NS_CLIENT));
	int n = 0;

	elem_foreach (c, m)
		n++;
	ck_assert_int_eq(n, 2);
}
END_TEST

START_TEST(text_in_pieces_is_joined)
{
	struct sterna_elem *x = elem_new(a, "x", "");

	elem_add_text(a, x, "one ", 4);
	elem_add(a, x, "b", "");
	elem_add_text(a, x, "two", 3);
	ck_assert_str_eq(elem_text(a, x), "one two");
}
END_TEST

START_TEST(removing_keeps_the_others_in_order)
{
	struct sterna_elem *x = elem_new(a, "x", ""), *c[3];

	for (int i = 0; i < 3; i++)
		c[i] = elem_add(a, x, (const char *[]){ "a", "b", "c" }[i], "");
	elem_remove(c[1]);
	ck_assert_str_eq(written(x, ""), "<x><a/><c/></x>");
	elem_remove(c[2]);
	elem_append(x, c[1]);
	ck_assert_str_eq(written(x, ""), "<x><a/><b/></x>");
	elem_remove(c[0]);
	elem_remove(c[1]);
	elem_remove(c[1]);
	ck_assert_str_eq(written(x, ""), "<x/>");
}
END_TEST

START_TEST(copy_is_deep_and_equal)
{
	struct arena *b = arena_new(256);
	struct sterna_elem *m = message();
	struct sterna_elem *x = elem_add(a, m, "x", "urn:x");

	elem_set_attr_ns(a, x, "k", "urn:k", "v");
	elem_add(a, elem_add(a, x, "y", "urn:x"), "z", "urn:z");
	elem_add_text(a, m, "tail", 4);
	struct sterna_elem *copy = elem_copy(b, m), *part = elem_copy(b, x), *text = elem_copy(b, m->last);
	char *before = strdup(written(m, NULL)), *inner = strdup(written(x, NULL));

	arena_free(&a);
	ck_assert_str_eq(written(copy, NULL), before);
	ck_assert_str_eq(written(part, NULL), inner);
	ck_assert_str_eq(written(text, NULL), "tail");
	ck_assert_ptr_null(part->parent);
	free(before);
	free(inner);
	arena_free(&b);
}
END_TEST

START_TEST(depth_costs_no_stack)
{
	struct sterna_elem *root = elem_new(a, "a", ""), *e = root;

	for (int i = 0; i < 200000; i++)
		e = elem_add(a, e, "a", "");
	const size_t len = strlen(written(root, ""));

	ck_assert_uint_eq(len, 200000 * 7 + 4);
	ck_assert_uint_eq(strlen(written(elem_copy(a, root), "")), len);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("elem");
	TCase *t = tcase_create("elem");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, namespaces_well_known_are_one_pointer);
	tcase_add_test(t, attributes_are_set_replaced_and_removed);
	tcase_add_test(t, namespace_is_declared_where_it_changes);
	tcase_add_test(t, attributes_in_namespaces_get_prefixes_shared_within_the_element);
	tcase_add_test(t, markup_and_line_ends_are_escaped);
	tcase_add_test(t, children_are_found_and_text_is_skipped);
	tcase_add_test(t, text_in_pieces_is_joined);
	tcase_add_test(t, removing_keeps_the_others_in_order);
	tcase_add_test(t, copy_is_deep_and_equal);
	tcase_add_test(t, depth_costs_no_stack);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
