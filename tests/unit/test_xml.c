/* The only way in for XML: the same trees and the same errors however the bytes are split, and every limit. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/xml_impl.h"

#define HEADER "<?xml version='1.0'?><stream:stream to='example.net' version='1.0' xml:lang='en' " \
	"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

/* All that a parser says, as text. */
struct log {
	struct buf text;
	struct xml_parser *p;
	unsigned elements;
	bool stop, reset, drop;
};

static void on_open(void *arg, const struct sterna_elem *root, const char *content_ns)
{
	struct log *log = arg;

	buf_addf(&log->text, "open %s ", content_ns != NULL ? content_ns : "-");
	elem_write(&log->text, root, NULL);
	buf_lit(&log->text, "\n");
	if (log->stop)
		xml_stop(log->p);
}

static void on_element(void *arg, struct arena *a, struct sterna_elem *e)
{
	struct log *log = arg;

	log->elements++;
	ck_assert_ptr_null(e->parent);
	elem_write(&log->text, e, NS_CLIENT);
	buf_lit(&log->text, "\n");
	arena_free(&a);
	if (log->stop)
		xml_stop(log->p);
	if (log->reset)
		xml_reset(log->p);
	if (log->drop)
		xml_free(&log->p);
}

static void on_close(void *arg)
{
	struct log *log = arg;

	buf_lit(&log->text, "close\n");
}

static void on_space(void *arg)
{
	struct log *log = arg;

	if (log->stop)
		xml_stop(log->p);
}

static const struct xml_handler handler = { on_open, on_element, on_close, on_space };
static struct log now;

static void begin(const struct xml_limits *limits, const char *content_ns)
{
	xml_free(&now.p);
	buf_release(&now.text);
	now = (struct log){ .p = xml_new(&handler, &now, limits, content_ns) };
}

static void setup(void)
{
	begin(&xml_limits_default, NS_CLIENT);
}

static void teardown(void)
{
	xml_free(&now.p);
	buf_release(&now.text);
}

static enum xml_error feed(const char *text)
{
	return xml_feed(now.p, text, strlen(text));
}

static const char *said(void)
{
	return buf_str(&now.text);
}

/* In one piece; the result with the error's number. */
static char *parsed(const char *doc, size_t len)
{
	setup();
	const enum xml_error error = xml_feed(now.p, doc, len);

	return xasprintf("%s%d %s", said(), error, xml_error_text(now.p));
}

struct doc {
	const char *text;
	size_t len;
	enum xml_error error;
};
#define SPACES "                                                                "
#define DOC(text, error) { text, sizeof(text) - 1, error }

static const struct doc docs[] = {
	DOC(HEADER "<message to='a'><body>hi</body></message> <presence/>\n</stream:stream>", XML_OK),
	DOC("\xef\xbb\xbf" HEADER "<iq/>", XML_OK),
	DOC(" \n<stream xmlns='x'><a/>\r\n<b/></stream>tail <ignored", XML_OK),
	DOC("<a/>", XML_OK),
	DOC("<?xml version=\"1.1\" encoding='utf-8' standalone='yes' ?>\n<a><b/></a>", XML_OK),
	DOC(HEADER "<m a=\"1'>/\" b='\"&lt;&#10;&amp;/'>t&lt;&#x41;\xc3\xa9\r\nu<![CDATA[<a>]]]]><b/>v</m >", XML_OK),
	DOC(HEADER "<m><![CDATA[]]>x<![CDATA[a]b]]c]]]></m>", XML_OK),
	DOC(HEADER "<p:x xmlns:p='urn:p' p:k='v' k='w'><p:y xmlns='' xml:lang='cs'><z/></p:y></p:x>", XML_OK),
	DOC(HEADER "<m>\xe2\x82\xac\xf0\x9f\x92\xa9</m>", XML_OK),
	DOC(HEADER "<m><a/></m></stream:stream><m/>", XML_OK),
	DOC("GET / HTTP/1.1\r\n", XML_NOT_XML),
	DOC("\r\nGET / HTTP/1.1\r\n", XML_NOT_XML),
	DOC("\x16\x03\x01\x02", XML_NOT_XML),
	DOC("\xef\xbb\xbfGET", XML_NOT_XML),
	DOC("\xef\xbc\xbf", XML_NOT_XML),
	DOC("\xff\xfe<\0?\0", XML_BAD_ENCODING),
	DOC("\xfe\xff\0<", XML_BAD_ENCODING),
	DOC("<\0?\0x\0", XML_BAD_ENCODING),
	DOC("\0<\0?", XML_BAD_ENCODING),
	DOC("<?xml version='1.0' encoding='ISO-8859-1'?><a>", XML_BAD_ENCODING),
	DOC("<?xml version='1.0' encoding='utf-16'?><a>", XML_BAD_ENCODING),
	DOC("<?xml version='2.0'?><a>", XML_NOT_WELL_FORMED),
	DOC("<?xml encoding='UTF-8'?><a>", XML_NOT_WELL_FORMED),
	DOC("<?xml?><a>", XML_RESTRICTED),
	DOC(" <?xml version='1.0'?><a>", XML_RESTRICTED),
	DOC("<?xml version='1.0' " SPACES SPACES SPACES SPACES "?><a>", XML_NOT_WELL_FORMED),
	DOC("<?xml version='1.0'?><?xml version='1.0'?><a>", XML_RESTRICTED),
	DOC("<?xml version='1.0'?>x<a>", XML_NOT_WELL_FORMED),
	DOC("<?xml version='1.0'?><!DOCTYPE s SYSTEM 'file:///etc/passwd'><s>", XML_RESTRICTED),
	DOC("<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><lolz>", XML_RESTRICTED),
	DOC("<!-- c --><a>", XML_RESTRICTED),
	DOC("</a>", XML_NOT_WELL_FORMED),
	DOC("<stream:stream xmlns='jabber:client'>", XML_BAD_PREFIX),
	DOC(HEADER "<m><!-- c --></m>", XML_RESTRICTED),
	DOC(HEADER "<m><![INCLUDE[ ]]></m>", XML_RESTRICTED),
	DOC(HEADER "<![CDATA[x]]>", XML_RESTRICTED),
	DOC(HEADER "<m><?php x ?></m>", XML_RESTRICTED),
	DOC(HEADER "<m><?xml version='1.0'?></m>", XML_RESTRICTED),
	DOC(HEADER "<m>&foo;</m>", XML_RESTRICTED),
	DOC(HEADER "<m a='&foo;'/>", XML_RESTRICTED),
	DOC(HEADER "<m>&" "0123456789012345678901234567890123456789012345678901234567890123456789", XML_RESTRICTED),
	DOC(HEADER "<m>&#000000000000000000000000000000000000000000000000000000000000000065;", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>&amp </m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>&#0;</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>&#xD800;</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>&#xFFFE;</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>a\0b</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>a\1b</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m a='\x1f'/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>]]></m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m>\xef\xbf\xbf</m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m a='<'/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m <a/></m>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m></n>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m></m<", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m a='1' a='2'/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m a=1/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m a'>'/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<>", XML_NOT_WELL_FORMED),
	DOC(HEADER "< a/>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<p:x/>", XML_BAD_PREFIX),
	DOC(HEADER "<x p:a=''/>", XML_BAD_PREFIX),
	DOC(HEADER "<x xmlns:p='u' xmlns:q='u' p:a='' q:a=''/>", XML_NOT_WELL_FORMED),
	DOC(HEADER " text", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m/>&#32;", XML_NOT_WELL_FORMED),
	DOC(HEADER "</stream>", XML_NOT_WELL_FORMED),
	DOC(HEADER "<m/>\xc0\xbc", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xe0\x80\xbc</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xf0\x80\x80\xbc</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m a='\xed\xa0\x80'/>", XML_BAD_ENCODING),
	DOC(HEADER "<m\xf4\x90\x80\x80/>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\x80</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xc3</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xe2\x82</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xf0\x9f\x92</m>", XML_BAD_ENCODING),
	DOC(HEADER "<m>\xfe\xff</m>", XML_BAD_ENCODING),
	DOC(HEADER "<ok/><m></n>\xff", XML_NOT_WELL_FORMED),
};
enum { DOCS = sizeof docs / sizeof docs[0] };

START_TEST(each_document_gives_its_error)
{
	const struct doc *d = &docs[_i];
	char *whole = parsed(d->text, d->len);

	ck_assert_msg(xml_feed(now.p, "", 0) == d->error, "%d: %s", _i, whole);
	ck_assert_int_eq(xml_feed(now.p, "<a/>", 4), d->error);
	ck_assert_int_eq(xml_error_text(now.p)[0] != '\0', d->error != XML_OK);
	free(whole);
}
END_TEST

START_TEST(split_anywhere_is_the_same)
{
	const struct doc *d = &docs[_i];
	char *whole = parsed(d->text, d->len);

	for (size_t cut = 0; cut <= d->len + 1; cut++) {
		setup();
		if (cut == d->len + 1) {
			for (size_t i = 0; i < d->len; i++)
				xml_feed(now.p, d->text + i, 1);
		} else {
			xml_feed(now.p, d->text, cut);
			xml_feed(now.p, d->text + cut, d->len - cut);
		}
		char *parts = xasprintf("%s%d %s", said(), xml_feed(now.p, "", 0), xml_error_text(now.p));

		ck_assert_msg(strcmp(parts, whole) == 0, "cut at %zu: %s instead of %s", cut, parts, whole);
		free(parts);
	}
	free(whole);
}
END_TEST

/* Stop at every event, sleep whenever possible: nothing is lost, nothing comes while stopped. */
START_TEST(stopping_and_sleeping_change_nothing)
{
	const struct doc *d = &docs[_i];
	char *whole = parsed(d->text, d->len);

	setup();
	now.stop = true;
	for (size_t i = 0; i < d->len; i++) {
		xml_feed(now.p, d->text + i, 1);
		xml_sleep(now.p);
		if (i % 7 == 6)
			while (xml_is_stopped(now.p)) {
				const unsigned before = now.elements;

				xml_resume(now.p);
				ck_assert_uint_le(now.elements, before + 1);
				xml_sleep(now.p);
			}
	}
	while (xml_is_stopped(now.p))
		xml_resume(now.p);
	char *parts = xasprintf("%s%d %s", said(), xml_feed(now.p, "", 0), xml_error_text(now.p));

	ck_assert_str_eq(parts, whole);
	free(parts);
	free(whole);
}
END_TEST

START_TEST(header_and_stanzas_are_reported)
{
	ck_assert_int_eq(feed(HEADER "<message to='a'><body>h<![CDATA[<&]]>i&#13;</body></message> <a xmlns='u'/>"
		"</stream:stream>"), XML_OK);
	ck_assert_str_eq(said(), "open jabber:client <stream xmlns='http://etherx.jabber.org/streams' "
		"to='example.net' version='1.0' xml:lang='en'/>\n"
		"<message to='a'><body>h&lt;&amp;i&#13;</body></message>\n<a xmlns='u'/>\nclose\n");
}
END_TEST

START_TEST(content_namespace_is_mapped_and_cannot_be_claimed)
{
	begin(&xml_limits_default, NS_SERVER);
	ck_assert_int_eq(feed("<s xmlns='jabber:server'><message><f xmlns='f'><message xmlns='jabber:client'/>"
		"<message xmlns='jabber:server'/></f></message><message xmlns='jabber:client'/>"), XML_OK);
	ck_assert_str_eq(said(), "open jabber:server <s xmlns='jabber:client'/>\n"
		"<message><f xmlns='f'><message xmlns='jabber:client'/><message xmlns='jabber:client'/></f></message>\n"
		"<message xmlns='jabber:server'/>\n");
}
END_TEST

START_TEST(namespaces_cannot_break_out)
{
	feed(HEADER "<m><p:x xmlns:p='urn:a&quot;&gt;&lt;evil/&gt;&apos; from=&apos;root&#10;b|c!d' p:k='v'/></m>");
	ck_assert_ptr_nonnull(strstr(said(), "\n<m><x xmlns='urn:a&quot;&gt;&lt;evil/&gt;&apos; from=&apos;root&#10;b|c!d' "
		"xmlns:ns1='urn:a&quot;&gt;&lt;evil/&gt;&apos; from=&apos;root&#10;b|c!d' ns1:k='v'/></m>\n"));
}
END_TEST

/* Feed "<head> piece*n tail" inside a stream and say what came of it. */
static enum xml_error many(const char *head, const char *piece, unsigned n, const char *tail)
{
	struct buf doc = BUF_INIT;

	setup();
	buf_puts(&doc, HEADER);
	buf_puts(&doc, head);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&doc, strchr(piece, '%') != NULL ? "%.*s%u%s" : "%.*s", (int)strcspn(piece, "%"), piece, i,
			strchr(piece, '%') != NULL ? strchr(piece, '%') + 1 : "");
	buf_puts(&doc, tail);
	const enum xml_error error = xml_feed(now.p, buf_data(&doc), buf_len(&doc));

	ck_assert_uint_le(now.elements, error == XML_OK);
	buf_release(&doc);
	return error;
}

START_TEST(limits_hold_at_their_bounds)
{
	struct buf close = BUF_INIT;

	for (int i = 0; i < 62; i++)
		buf_puts(&close, "</a>");
	buf_puts(&close, "</m>");
	ck_assert_int_eq(many("<m>", "<a>", 62, "<b/>"), XML_OK);
	ck_assert_int_eq(feed(buf_str(&close)), XML_OK);
	ck_assert_uint_eq(now.elements, 1);
	ck_assert_int_eq(many("<m>", "<a>", 63, "<b/>"), XML_TOO_BIG);
	buf_release(&close);
	ck_assert_int_eq(many("<m", " a%=''", 64, "/>"), XML_OK);
	ck_assert_int_eq(many("<m", " a%=''", 65, "/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m", " xmlns:a%='u'", 32, "/>"), XML_OK);
	ck_assert_int_eq(many("<m", " xmlns:a%='u'", 33, "/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m>", "<a/>", 4095, "</m>"), XML_OK);
	ck_assert_int_eq(many("<m>", "<a/>", 4096, "</m>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<", "a", 1024, "/>"), XML_OK);
	ck_assert_int_eq(many("<", "a", 1025, "/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m ", "a", 1024, "=''/>"), XML_OK);
	ck_assert_int_eq(many("<m ", "a", 1025, "=''/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m xmlns:", "a", 1024, "='u'/>"), XML_OK);
	ck_assert_int_eq(many("<m xmlns:", "a", 1025, "='u'/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m xmlns='", "u", 1024, "'/>"), XML_OK);
	ck_assert_int_eq(many("<m xmlns='", "u", 1025, "'/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m a='", "a", 262144 - 9, "'/>"), XML_OK);
	ck_assert_int_eq(many("<m a='", "a", 262144 - 8, "'/>"), XML_TOO_BIG);
	ck_assert_int_eq(many("<m>", "\n", 262144 - 7, "</m>"), XML_OK);
	ck_assert_int_eq(many("<m>", "\n", 262144 - 6, "</m>"), XML_TOO_BIG);
	ck_assert_int_eq(many(" ", " ", 300000, "<m/>"), XML_OK);
}
END_TEST

START_TEST(limits_count_afresh_for_each_stanza)
{
	many("", "", 0, "<m><a/></m>");
	for (int i = 0; i < 10; i++) {
		char *text = malloc(200000);

		memset(text, 'x', 200000);
		ck_assert_int_eq(feed("<m>"), XML_OK);
		ck_assert_int_eq(xml_feed(now.p, text, 200000), XML_OK);
		ck_assert_int_eq(feed("</m>"), XML_OK);
		for (int k = 0; k < 1000; k++)
			ck_assert_int_eq(feed("<a><b/></a>"), XML_OK);
		free(text);
	}
}
END_TEST

START_TEST(limits_can_be_raised)
{
	static const struct xml_limits small = { 100, 2, 2, 2, 2, 10 };

	begin(&small, NS_CLIENT);
	ck_assert_int_eq(feed("<a xmlns='b'><c><d/></c>"), XML_OK);
	xml_set_limits(now.p, &xml_limits_default);
	ck_assert_int_eq(feed("<c><d><e f='' g='' h=''/><i/></d></c>"), XML_OK);
	begin(&small, NS_CLIENT);
	ck_assert_int_eq(many("", "", 0, "<m/>"), XML_OK);
	begin(&small, NS_CLIENT);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(feed(" "), XML_OK);
	ck_assert_int_eq(feed(" "), XML_TOO_BIG); /* before the header it counts */
}
END_TEST

START_TEST(short_prefix_for_a_long_namespace_does_not_multiply)
{
	struct buf head = BUF_INIT;

	buf_puts(&head, "<m xmlns:p='");
	for (int i = 0; i < 1000; i++)
		buf_puts(&head, "u");
	buf_puts(&head, "'>");
	ck_assert_int_eq(many(buf_str(&head), "<p:a/>", 200, "</m>"), XML_OK);
	ck_assert_int_eq(many(buf_str(&head), "<p:a/>", 300, "</m>"), XML_TOO_BIG);
	ck_assert_int_eq(many(buf_str(&head), "<a p:b=''/>", 300, "</m>"), XML_TOO_BIG);
	buf_release(&head);
}
END_TEST

/* What came in under the limits is written under the limits. */
START_TEST(prefixed_attributes_leave_room_for_their_declarations)
{
	struct buf head = BUF_INIT;

	buf_puts(&head, "<m>");
	for (int i = 0; i < 32; i++)
		buf_addf(&head, "%s xmlns:p%d='u%d'%s", i == 0 ? "<a" : "", i, i, i == 31 ? "><b" : "");
	for (int i = 0; i < 31; i++)
		buf_addf(&head, " p%d:a='' p%d:b=''", i, i);
	ck_assert_int_eq(many(buf_str(&head), "", 0, "/></a></m>"), XML_OK);
	ck_assert_int_eq(many(buf_str(&head), "", 0, " p31:a=''/></a></m>"), XML_TOO_BIG);
	buf_release(&head);
}
END_TEST

START_TEST(idle_parser_gives_its_memory_back)
{
	feed(HEADER "<m/>");
	ck_assert_uint_gt(xml_memory(now.p), 4000);
	ck_assert(xml_sleep(now.p));
	ck_assert(!xml_sleep(now.p));
	ck_assert_uint_lt(xml_memory(now.p), 1500);
	ck_assert_int_eq(feed(" \n "), XML_OK); /* a keepalive does not wake it */
	ck_assert_uint_lt(xml_memory(now.p), 1500);
	ck_assert_int_eq(feed("<m"), XML_OK);
	ck_assert(!xml_sleep(now.p));
	ck_assert_int_eq(feed("/><stream:features/>"), XML_OK);
	ck_assert_ptr_nonnull(strstr(said(), "<m/>\n<m/>\n<features xmlns='http://etherx.jabber.org/streams'/>"));
	ck_assert(xml_sleep(now.p));
	ck_assert_int_eq(feed("</stream:stream>"), XML_OK);
	ck_assert(!xml_sleep(now.p));
	ck_assert_ptr_nonnull(strstr(said(), "close"));
}
END_TEST

START_TEST(memory_is_bounded)
{
	/* names that never repeat: expat would remember each for as long as the stream lasts */
	many("", "", 0, "<m/>");
	for (int i = 0; i < 30000; i++) {
		char *e = xasprintf("<n%d a%d='' b%d=''/>", i, i, i);

		ck_assert_int_eq(feed(e), XML_OK);
		ck_assert_uint_lt(xml_memory(now.p), 150000);
		free(e);
	}
	/* a stanza of them */
	many("<m>", "<a b%=''/>", 4095, "");
	ck_assert_uint_lt(xml_memory(now.p), 16 * 262144);
	ck_assert_int_eq(many("<m", " a%=''", 25000, "/>"), XML_TOO_BIG);
	ck_assert_str_eq(xml_error_text(now.p), "too much memory");
	/* text byte by byte */
	setup();
	feed(HEADER "<m>");
	for (int i = 0; i < 262144; i++) {
		feed("x");
		ck_assert_uint_lt(xml_memory(now.p), 4 * 262144);
	}
	ck_assert_int_eq(feed("x"), XML_TOO_BIG);
}
END_TEST

START_TEST(kept_bytes_are_bounded)
{
	static const char junk[65536];

	now.stop = true;
	feed(HEADER);
	ck_assert(xml_is_stopped(now.p));
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(xml_feed(now.p, junk, sizeof junk), XML_OK);
	ck_assert_uint_eq(xml_kept(now.p), 5 * sizeof junk);
	ck_assert_int_eq(xml_feed(now.p, junk, 1), XML_TOO_BIG);
}
END_TEST

START_TEST(reset_begins_a_new_document)
{
	now.reset = true;
	ck_assert_int_eq(feed(HEADER "<starttls/><injected/>"), XML_OK);
	now.reset = false;
	ck_assert_uint_eq(now.elements, 1);
	ck_assert_uint_eq(xml_kept(now.p), 0);
	ck_assert_int_eq(feed("<a><b/>"), XML_OK);
	xml_reset(now.p);
	ck_assert_int_eq(feed("<c><d/></c>"), XML_OK);
	ck_assert_ptr_nonnull(strstr(said(), "<starttls/>\nopen - <a xmlns=''/>\n<b xmlns=''/>\nopen - <c xmlns=''/>\n"
		"<d xmlns=''/>\nclose\n"));
}
END_TEST

START_TEST(handler_may_free_the_parser)
{
	now.drop = true;
	ck_assert_int_eq(feed(HEADER "<a/><b/>"), XML_OK);
	ck_assert_ptr_null(now.p);
	ck_assert_uint_eq(now.elements, 1);
}
END_TEST

static enum sterna_result stored(const char *text, char **out)
{
	struct arena *a = arena_new(256);
	struct sterna_elem *e = NULL;
	struct buf b = BUF_INIT;
	const enum sterna_result rc = xml_parse(a, text, strlen(text), &e);

	if (rc == STERNA_OK) {
		elem_write(&b, e, NS_CLIENT);
		*out = xstrdup(buf_str(&b));
	}
	buf_release(&b);
	arena_free(&a);
	return rc;
}

START_TEST(stored_element_is_read_back)
{
	static const char text[] = "<message to='a' xml:lang='cs'><body>&lt;\xc3\xa9&#13;\n</body><x xmlns='urn:x' "
		"xmlns:ns1='urn:1' ns1:a='&#10;' b='&apos;'><y/>t<message xmlns='jabber:client'/></x></message>";
	char *out = NULL;

	ck_assert_int_eq(stored(text, &out), STERNA_OK);
	ck_assert_str_eq(out, text);
	free(out);
	ck_assert_int_eq(stored(" <a/>\n", &out), STERNA_OK);
	ck_assert_str_eq(out, "<a/>");
	free(out);
	static const char *const bad[] = { "", "x", "<a>", "<a/><b/>", "<a/></stored>", "<a/></stored><stored>", "<a/><",
		"<a/>x", "<?xml version='1.0'?><a/>", "<!DOCTYPE a><a/>", "<a>\xff</a>", "<p:a/>" };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(stored(bad[i], &out) == STERNA_EINVAL, "%s", bad[i]);
	struct buf deep = BUF_INIT;

	for (int i = 0; i < 81; i++)
		buf_puts(&deep, "<a>");
	ck_assert_int_eq(stored(buf_str(&deep), &out), STERNA_ELIMIT);
	buf_release(&deep);
}
END_TEST

/* What is written by us passes as it is; what is unusual, or wrong, has to be read. */
START_TEST(what_is_whole_needs_no_reading)
{
	static const char *const whole[] = { "<a xmlns='x'/>", "<a xmlns=\"x\"></a>",
		("<message xmlns='jabber:client' to='a&apos;b' xml:lang='cs'><body>&lt;\xc3\xa9&#13;\n</body><x xmlns='urn:x' b=''>"
		"<y/>t<message xmlns='jabber:client'/></x></message>") };
	static const char *const other[] = { "", "x", "<", "<a/>", "<a xmlns=''/>", "<a xmlns='x'>", "<a xmlns='x'/><b xmlns='x'/>",
		" <a xmlns='x'/>", "<a xmlns='x'/>\n", "<a xmlns='x'></b>", "<a xmlns='x'><b></a></b>", "<a xmlns='x'>&nbsp;</a>",
		"<a xmlns='x'>&</a>", "<a xmlns='x'>]]></a>", "<a xmlns='x'><!-- --></a>", "<a xmlns='x'><![CDATA[x]]></a>",
		"<a xmlns='x'><?x?></a>", "<p:a xmlns='x' xmlns:p='x'/>", "<a xmlns='x' xmlns:p='y' p:b=''/>", "<a xmlns='x' b='1' b='2'/>",
		"<a xmlns='x' b='<'/>", "<a xmlns='x' b=1/>", "<a xmlns='x' b/>", "<a xmlns='x'b='1'/>", "<a xmlns='x'>\xff</a>",
		"<a xmlns='x'>\x01</a>", "<a xmlns='x'>\xed\xa0\x80</a>", "<a xmlns='x'>\xef\xbf\xbf</a>", "<a xmlns='x'>\xc3</a>",
		"<a xmlns='x' b='\n'/>", "<1 xmlns='x'/>", "<a xmlns='x'/ >", "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
		"<a xmlns='x' xml='1'/>", "<a xmlns='x'></a", "<a xmlns='x'><b/", "<!DOCTYPE a><a xmlns='x'/>" };
	struct buf deep = BUF_INIT;

	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		ck_assert_msg(xml_is_whole(whole[i], strlen(whole[i])), "%s", whole[i]);
	for (size_t i = 0; i < sizeof other / sizeof *other; i++)
		ck_assert_msg(!xml_is_whole(other[i], strlen(other[i])), "%s", other[i]);
	for (size_t n = 0; n < strlen(whole[2]); n++)
		ck_assert(!xml_is_whole(whole[2], n));
	for (int i = 0; i < 33; i++)
		buf_puts(&deep, "<a xmlns='x'>");
	for (int i = 0; i < 33; i++)
		buf_puts(&deep, "</a>");
	ck_assert(!xml_is_whole(buf_str(&deep), buf_len(&deep)));
	ck_assert(xml_is_whole(buf_str(&deep) + 13, buf_len(&deep) - 17));
	buf_release(&deep);
}
END_TEST

START_TEST(a_whole_element_is_written_as_it_is)
{
	static const char text[] = "<b xmlns='y'>a &amp; b</b>";
	struct arena *a = arena_new(0);
	struct sterna_elem *e = elem_new(a, "a", "x"), *copy;
	struct buf out = BUF_INIT;

	elem_add_text(a, e, "<", 1);
	elem_add_whole(a, e, text, strlen(text));
	ck_assert_str_eq(elem_text(a, e), "<");
	ck_assert_ptr_null(elem_first(e));
	copy = elem_copy(a, e);
	ck_assert_str_eq(elem_text(a, copy), "<");
	elem_write(&out, copy, NULL);
	ck_assert_str_eq(buf_str(&out), "<a xmlns='x'>&lt;<b xmlns='y'>a &amp; b</b></a>");
	buf_release(&out);
	arena_free(&a);
}
END_TEST

START_TEST(what_is_written_is_read_as_the_same)
{
	setup();
	now.stop = false;
	xml_feed(now.p, docs[_i].text, docs[_i].len);
	char *save = NULL, *all = xstrdup(said());

	for (char *line = strtok_r(all, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *again = NULL;

		if (line[0] != '<')
			continue;
		const enum sterna_result rc = stored(line, &again);

		if (rc == STERNA_OK) /* else: a line of a text with line ends */
			ck_assert_str_eq(again, line);
		else
			ck_assert_ptr_nonnull(strchr(docs[_i].text, '\n'));
		free(again);
	}
	free(all);
}
END_TEST

/* Should something get past the scanner one day, it goes no further. */
START_TEST(second_wall_stands_without_the_first)
{
	static const char *const refused[] = { "<!DOCTYPE a>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<!-- c -->", "<?a b?>", "<a><!-- c --></a>", "<a>&b;</a>" };

	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		setup();
		xml_tree_feed(now.p, refused[i], strlen(refused[i]));
		ck_assert_int_eq(now.p->error, XML_RESTRICTED);
		ck_assert_str_eq(said(), "");
	}
}
END_TEST

START_TEST(expat_is_new_enough)
{
	const char *text = NULL;

	ck_assert(xml_library_ok(&text));
	ck_assert_ptr_nonnull(strstr(text, "expat_"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xml");
	TCase *t = tcase_create("xml");
	SRunner *r = srunner_create(s);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, each_document_gives_its_error, 0, DOCS);
	tcase_add_loop_test(t, split_anywhere_is_the_same, 0, DOCS);
	tcase_add_loop_test(t, stopping_and_sleeping_change_nothing, 0, DOCS);
	tcase_add_loop_test(t, what_is_written_is_read_as_the_same, 0, DOCS);
	tcase_add_test(t, header_and_stanzas_are_reported);
	tcase_add_test(t, content_namespace_is_mapped_and_cannot_be_claimed);
	tcase_add_test(t, namespaces_cannot_break_out);
	tcase_add_test(t, limits_hold_at_their_bounds);
	tcase_add_test(t, limits_count_afresh_for_each_stanza);
	tcase_add_test(t, limits_can_be_raised);
	tcase_add_test(t, short_prefix_for_a_long_namespace_does_not_multiply);
	tcase_add_test(t, prefixed_attributes_leave_room_for_their_declarations);
	tcase_add_test(t, idle_parser_gives_its_memory_back);
	tcase_add_test(t, memory_is_bounded);
	tcase_add_test(t, kept_bytes_are_bounded);
	tcase_add_test(t, reset_begins_a_new_document);
	tcase_add_test(t, handler_may_free_the_parser);
	tcase_add_test(t, stored_element_is_read_back);
	tcase_add_test(t, what_is_whole_needs_no_reading);
	tcase_add_test(t, a_whole_element_is_written_as_it_is);
	tcase_add_test(t, second_wall_stands_without_the_first);
	tcase_add_test(t, expat_is_new_enough);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
