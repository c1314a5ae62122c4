/* test_config.c - sterna.yaml: what is read, and for every mistake its place. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "server/buf.h"
#include "server/config.h"

#define HOSTS "hosts: { example.org: {} }\n"

static struct config *c;
static struct config_error err;

static enum sterna_result load(const char *text)
{
	memset(&err, 0, sizeof err);
	return config_load_text(text, strlen(text), "sterna.yaml", "/etc/sterna", &c, &err);
}

static void ok(const char *text)
{
	config_unref(&c);
	ck_assert_msg(load(text) == STERNA_OK, "%s\n%u:%u: %s", text, err.line, err.column, err.message);
}

static void teardown(void)
{
	config_unref(&c);
}

START_TEST(has_sound_tables)
{
	char text[200];

	ck_assert_msg(options_check_table(config_options, text, sizeof text) == NULL, "%s", text);
}
END_TEST

START_TEST(gives_defaults)
{
	ok(HOSTS);
	ck_assert_uint_eq(c->limits.stanza_bytes_before_auth.bytes, 10000);
	ck_assert_uint_eq(c->limits.stanza_bytes.bytes, 262144);
	ck_assert_uint_eq(c->limits.depth, 64);
	ck_assert_int_eq(c->limits.auth_time.us, 30000000);
	ck_assert_uint_eq(c->limits.connections_per_address, 100);
	ck_assert_uint_eq(c->limits.sm_queue_count, 5000);
	ck_assert_uint_eq(c->limits.sm_queue_bytes.bytes, 2097152);
	ck_assert_int_eq(c->limits.sm_resume_time.us, INT64_C(3600000000));
	ck_assert_uint_eq(c->limits.roster_items, 5000);
	ck_assert_uint_eq(c->limits.offline_messages, 1000);
	ck_assert_uint_eq(c->limits.sessions_per_account, 20);
	ck_assert_uint_eq(c->storage.driver, CONFIG_SQLITE);
	ck_assert_str_eq(c->storage.path, "/etc/sterna/sterna.db");
	ck_assert_str_eq(c->server.control, "/etc/sterna/control.sock");
	ck_assert_uint_eq(c->auth.mechanisms.count, 7);
	ck_assert(!c->auth.plain);
	ck_assert_uint_eq(c->log.level, LOG_LEVEL_INFO);
	ck_assert_uint_eq(config_xml_limits(&c->limits, c->limits.stanza_bytes).stanza_bytes, 262144);
}
END_TEST

START_TEST(reads_the_whole_shape)
{
	ok("hosts:\n  localhost: { certificate: tls/a.crt, key: /b.key, anonymous: true }\n  other.example:\n"
		"listen:\n  - { kind: c2s }\n  - { kind: c2s, tls: direct }\n  - { kind: s2s }\n"
		"  - { kind: http, address: 127.0.0.1, tls: none, proxy_protocol: [10.0.0.0/8, \"::1\"] }\n"
		"  - { kind: component, address: 127.0.0.1, port: 6000 }\n"
		"storage: { driver: postgresql, conninfo: 'host=db', connections: 2, queue: 1GiB }\n"
		"log: { level: notice, format: json, components: { tls: debug, stream: off } }\n"
		"components: { gw.example: { secret: abc } }\n"
		"modules: { ping: {}, time: { utc_only: true }, bare: }\n");
	ck_assert_uint_eq(c->hosts.count, 2);
	ck_assert_str_eq(config_host(c, "localhost")->certificate, "/etc/sterna/tls/a.crt");
	ck_assert_str_eq(config_host(c, "localhost")->key, "/b.key");
	ck_assert(config_host(c, "localhost")->anonymous);
	ck_assert_ptr_nonnull(config_host(c, "other.example"));
	ck_assert_ptr_null(config_host(c, "third.example"));
	ck_assert_uint_eq(c->listen.count, 5);
	ck_assert_uint_eq(config_listens(c)[0].port, 5222);
	ck_assert_uint_eq(config_listens(c)[0].tls, CONFIG_TLS_STARTTLS);
	ck_assert_uint_eq(config_listens(c)[1].port, 5223);
	ck_assert_uint_eq(config_listens(c)[2].port, 5269);
	ck_assert_uint_eq(config_listens(c)[3].port, 5280);
	ck_assert_uint_eq(config_listens(c)[3].proxy_protocol.count, 2);
	ck_assert_uint_eq(config_listens(c)[4].port, 6000);
	ck_assert_uint_eq(config_listens(c)[4].tls, CONFIG_TLS_NONE);
	ck_assert_str_eq(config_components(c)[0].domain, "gw.example");
	ck_assert_str_eq(config_components(c)[0].secret, "abc");
	ck_assert_uint_eq(c->log.components.count, 2);
	ck_assert_ptr_nonnull(config_section(c, "modules", "ping"));
	ck_assert(config_is_null(config_section(c, "modules", "bare")));
	ck_assert_ptr_null(config_section(c, "modules", "mam"));
	ck_assert_str_eq(config_child(config_section(c, "modules", "time"), "utc_only")->text, "true");
}
END_TEST

START_TEST(tells_what_a_server_must_show)
{
	unsigned char digest[32];

	ok(HOSTS "s2s: { trust: dialback, trust_of: { '*.lab.example': none, x.lab.example: dane }, deny: ['*.bad.example'] }\n"
		"routes:\n  r.example: { address: 192.0.2.1, tls: direct, authorities: ca.crt }\n  s.example: { address: '::1', port: 7 }\n");
	ck_assert_int_eq(config_trust_of(c, "any.example"), CONFIG_TRUST_DIALBACK);
	ck_assert_int_eq(config_trust_of(c, "y.lab.example"), CONFIG_TRUST_NONE);
	ck_assert_int_eq(config_trust_of(c, "x.lab.example"), CONFIG_TRUST_DANE);
	ck_assert_int_eq(config_trust_of(c, "lab.example"), CONFIG_TRUST_DIALBACK);
	ck_assert_int_eq(config_trust_of(c, "r.example"), CONFIG_TRUST_PINNED);
	ck_assert_int_eq(config_trust_of(c, "s.example"), CONFIG_TRUST_DIALBACK);
	ck_assert_int_eq(config_trust_of(c, "x.bad.example"), CONFIG_TRUST_NONE);
	ck_assert_int_eq(config_trust_of(c, "bad.example"), CONFIG_TRUST_DIALBACK);
	ck_assert_uint_eq(config_route(c, "r.example")->port, 5270);
	ck_assert_str_eq(config_route(c, "r.example")->authorities, "/etc/sterna/ca.crt");
	ck_assert_uint_eq(config_route(c, "s.example")->port, 7);
	ck_assert_ptr_null(config_route(c, "other.example"));
	ck_assert(config_fingerprint("00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", digest));
	ck_assert_uint_eq(digest[31], 0xff);
	ck_assert(config_fingerprint("00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
		digest));
	ck_assert(!config_fingerprint("00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEE", digest));
	ck_assert(!config_fingerprint("00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF00", digest));
	ck_assert(!config_fingerprint("0x112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", digest));
	ok(HOSTS "s2s: { allow: [a.example, '*.b.example'] }\n");
	ck_assert_int_eq(config_trust_of(c, "a.example"), CONFIG_TRUST_PKIX);
	ck_assert_int_eq(config_trust_of(c, "x.b.example"), CONFIG_TRUST_PKIX);
	ck_assert_int_eq(config_trust_of(c, "b.example"), CONFIG_TRUST_NONE);
	ok(HOSTS "s2s: { enabled: false }\n");
	ck_assert_int_eq(config_trust_of(c, "a.example"), CONFIG_TRUST_NONE);
}
END_TEST

static const struct { const char *text; unsigned line, column; const char *message; } wrong[] = {
	{ "", 1, 1, "hosts needs at least one domain" },
	{ "hosts: {}\n", 1, 1, "hosts needs at least one domain" },
	{ "hosts:\n  a.example: { certificate: x }\n", 2, 3, "hosts.a.example needs both 'certificate' and 'key'" },
	{ "hosts:\n  Example.org: {}\n", 2, 3, "'Example.org' is no domain" },
	{ "hosts:\n  a@example.org: {}\n", 2, 3, "'a@example.org' is no domain" },
	{ "hosts:\n  a.example: {}\n  b.example: {}\n  a.example: {}\n", 4, 3, "'a.example' is given twice; first in line 2" },
	{ HOSTS "limit: {}\n", 2, 1, "unknown key 'limit' in the configuration; did you mean 'limits'?" },
	{ HOSTS "limits:\n  dept: 3\n", 3, 3, "unknown key 'dept' in limits; did you mean 'depth'?" },
	{ HOSTS "limits:\n  depth: many\n", 3, 10, "limits.depth must be a whole number, not negative; it is 'many'" },
	{ HOSTS "limits:\n  depth: 4\n", 3, 10, "limits.depth must be in 8..128; it is '4'" },
	{ HOSTS "routes:\n  r.example: { address: r.example }\n", 3, 25, "'r.example' is no IP address" },
	{ HOSTS "routes:\n  r.example: { address: 192.0.2.1, bind: eth0 }\n", 3, 42, "'eth0' is no IP address" },
	{ HOSTS "routes:\n  r.example: { address: 192.0.2.1, fingerprints: [abc] }\n", 3, 50, "'abc' is no SHA-256 fingerprint" },
	{ HOSTS "routes:\n  R.example: { address: 192.0.2.1 }\n", 3, 3, "'R.example' is no domain" },
	{ HOSTS "dns:\n  servers: [ns.example]\n", 3, 12, "'ns.example' is no resolver" },
	{ HOSTS "dns:\n  servers: ['192.0.2.1@0']\n", 3, 12, "'192.0.2.1@0' is no resolver" },
	{ HOSTS "s2s:\n  trust: yes\n", 3, 10, "s2s.trust must be one of none, dialback, pkix, dane, pinned" },
	{ HOSTS "limits:\n  auth_time: 30\n", 3, 14, "limits.auth_time must be a duration with its unit" },
	{ HOSTS "limits: [ 1 ]\n", 2, 9, "limits must be a section of keys and values; here is a list" },
	{ HOSTS "limits: { stanza_bytes: 20000, stanza_bytes_before_auth: 30000 }\n", 2, 58, "stanza_bytes_before_auth must not" },
	{ HOSTS "limits: { output_high: 8MiB }\n", 2, 24, "output_high must not be larger" },
	{ HOSTS "limits:\n  depth: 64\n  depth: 65\n", 4, 3, "'depth' is given twice; first in line 3" },
	{ HOSTS "listen:\n  - { kind: c2s }\n  - { port: 5 }\n", 4, 5, "listen[1] needs 'kind'" },
	{ HOSTS "listen:\n  - { kind: c3s }\n", 3, 13, "'c3s' is not known here; it must be one of c2s, s2s, http, component, bytestreams; "
		"did you mean 'c2s'?" },
	{ HOSTS "listen:\n  kind: c2s\n", 3, 3, "listen must be a list; begin each item with '- '" },
	{ HOSTS "listen:\n  - kind: c2s\n    tls: none\n", 4, 10, "clients and servers need TLS" },
	{ HOSTS "listen:\n  - { kind: http, tls: starttls }\n", 3, 24, "there is no STARTTLS here" },
	{ HOSTS "listen:\n  - { kind: component, tls: direct }\n", 3, 29, "components connect without TLS" },
	{ HOSTS "listen:\n  - { kind: bytestreams, tls: direct }\n", 3, 31, "bytestreams have no TLS" },
	{ HOSTS "listen:\n  - { kind: c2s, port: 65536 }\n", 3, 24, "listen[0].port must be in 0..65535" },
	{ HOSTS "listen:\n  - { kind: c2s, address: localhost }\n", 3, 27, "'localhost' is no IP address" },
	{ HOSTS "listen:\n  - { kind: c2s, proxy_protocol: [10.0.0.0/33] }\n", 3, 34, "'10.0.0.0/33' is no network" },
	{ HOSTS "listen:\n  - { kind: c2s }\n  - { kind: s2s, port: 5222 }\n", 4, 5, "listen[0] has the same address and port" },
	{ HOSTS "storage:\n  driver: postgres\n", 3, 11, "'postgres' is not known here; it must be one of sqlite, postgresql; did" },
	{ HOSTS "storage: { driver: postgresql }\n", 2, 1, "storage needs 'conninfo'" },
	{ HOSTS "storage: { conninfo: 'host=a password=b' }\n", 2, 22, "conninfo must not hold the password" },
	{ HOSTS "storage: { password: a, password_file: b }\n", 2, 25, "'password' and 'password_file' exclude each other" },
	{ HOSTS "storage: { password_file: /nonexistent/x }\n", 2, 27, "cannot read the file '/nonexistent/x'" },
	{ HOSTS "storage: { path: null }\n", 2, 12, "storage needs 'path'" },
	{ HOSTS "tls: { key: x }\n", 2, 1, "tls needs both 'certificate' and 'key'" },
	{ HOSTS "tls: { minimum: 1.1 }\n", 2, 17, "'1.1' is not known here; it must be one of 1.2, 1.3" },
	{ HOSTS "auth: { mechanisms: [SCRAM-SHA-2-PLUS] }\n", 2, 22, "'SCRAM-SHA-2-PLUS' is not known here; it must be one of" },
	{ HOSTS "auth: { mechanisms: [] }\n", 2, 9, "auth needs at least one mechanism" },
	{ HOSTS "auth: { plain: 1 }\n", 2, 16, "auth.plain must be true or false; it is '1'" },
	{ HOSTS "log: { level: verbose }\n", 2, 15, "log.level must be one of off, error, warning, notice, info, debug" },
	{ HOSTS "log:\n  components: { tls: noise }\n", 3, 22, "'noise' is not known here; it must be one of off, error" },
	{ HOSTS "components: { a.example: }\n", 2, 15, "components.a.example needs 'secret'" },
	{ HOSTS "components: { a.example: { secret: '' } }\n", 2, 15, "components.a.example needs a secret that is not empty" },
	{ HOSTS "components: { A: { secret: b } }\n", 2, 15, "'A' is no domain" },
	{ HOSTS "modules: [ping]\n", 2, 10, "modules must be a section; here is a list" },
	{ HOSTS "server: { user: \"${STERNA_TEST_UNSET}\" }\n", 2, 17, "the environment has no variable STERNA_TEST_UNSET" },
	{ HOSTS "server: { user: '${A' }\nlog: { file: \"${A\" }\n", 3, 14, "${ without }" },
	{ HOSTS "server: { user: \"${}\" }\n", 2, 17, "'${}' is no variable" },
	{ HOSTS "server: { user: !file /nonexistent/secret }\n", 2, 17, "cannot read the file '/nonexistent/secret'" },
	{ HOSTS "server: { user: !file '' }\n", 2, 17, "!file needs the path of a file" },
	{ HOSTS "server: { user: !file /tmp }\n", 2, 17, "cannot read the file '/tmp': Is a directory" },
	{ HOSTS "server: { user: !secret x }\n", 2, 17, "the tag !secret is not known" },
	{ HOSTS "server: !x { user: a }\n", 2, 9, "the tag !x cannot stand here" },
	{ HOSTS "server: &s { user: a }\n", 2, 9, "anchors (&) and aliases (*)" },
	{ HOSTS "server: *s\n", 2, 9, "anchors (&) and aliases (*)" },
	{ HOSTS "server: { <<: { user: a } }\n", 2, 11, "merge keys (<<) are not supported" },
	{ HOSTS "server: { ? [a] : b }\n", 2, 13, "a key must be a word" },
	{ HOSTS "server: { '': b }\n", 2, 11, "a key must not be empty" },
	{ HOSTS "server: { user: \"a\\0b\" }\n", 2, 17, "a value must not hold a NUL byte" },
	{ HOSTS "---\nserver: {}\n", 2, 1, "a second document" },
	{ HOSTS "server:\n\tuser: a\n", 3, 1, "not valid YAML: while scanning for the next token, found character that cannot "
		"start any token; indent with spaces, not tabs" },
	{ HOSTS "server: { user: a\n", 3, 1, "not valid YAML: while parsing a flow mapping" },
	{ HOSTS "server: user: a\n", 2, 13, "not valid YAML: mapping values are not allowed in this context; is the indentation" },
	{ HOSTS "log: { file: \xff }\n", 2, 14, "not valid YAML" },
	{ "just text\n", 1, 1, "the configuration must be a section of keys and values; it is 'just text'" },
	{ "- a\n", 1, 1, "the configuration must be a section of keys and values; here is a list" },
};

START_TEST(says_where_a_mistake_is)
{
	ck_assert_msg(load(wrong[_i].text) == STERNA_EINVAL, "accepted:\n%s", wrong[_i].text);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(err.file, "sterna.yaml");
	ck_assert_msg(strncmp(err.message, wrong[_i].message, strlen(wrong[_i].message)) == 0, "%s\n%u:%u: %s", wrong[_i].text,
		err.line, err.column, err.message);
	ck_assert_msg(err.line == wrong[_i].line && err.column == wrong[_i].column,
		"%s\nat %u:%u: %s", wrong[_i].text, err.line, err.column, err.message);
}
END_TEST

START_TEST(expands_the_environment)
{
	setenv("STERNA_TEST_A", "value", 1);
	unsetenv("STERNA_TEST_UNSET");
	ok(HOSTS "server: { user: 'x${STERNA_TEST_A}', group: \"x${STERNA_TEST_A}y${STERNA_TEST_UNSET:-z}\" }\n"
		"log: { file: '/a' }\n");
	ck_assert_str_eq(c->server.user, "x${STERNA_TEST_A}");
	ck_assert_str_eq(c->server.group, "xvalueyz");
	ok(HOSTS "server: { user: \"$${STERNA_TEST_A}\" }\n");
	ck_assert_str_eq(c->server.user, "${STERNA_TEST_A}");
	setenv("STERNA_TEST_A", "a: b # \n[", 1);       /* expanded after parsing: cannot break out */
	ok(HOSTS "server: { user: \"${STERNA_TEST_A}\" }\n");
	ck_assert_str_eq(c->server.user, "a: b # \n[");
}
END_TEST

START_TEST(reads_files_beside_it)
{
	char dir[] = "/tmp/sterna-config-XXXXXX", path[100], secret[100];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/sterna.yaml", dir);
	snprintf(secret, sizeof secret, "%s/it's secret", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(HOSTS "components: { a.example: { secret: !file \"it's secret\" } }\nstorage: { password_file: \"it's secret\" }\n", f);
	fclose(f);
	ck_assert_int_eq(config_load(path, &c, &err), STERNA_EINVAL);
	ck_assert_uint_eq(err.line, 2);
	f = fopen(secret, "w");
	ck_assert_ptr_nonnull(f);
	fputs(" two words\n\n", f);
	fclose(f);
	ck_assert_int_eq(config_load(path, &c, &err), STERNA_OK);
	ck_assert_str_eq(config_components(c)[0].secret, " two words\n");
	ck_assert_str_eq(c->storage.password, " two words\n");
	unlink(path);
	unlink(secret);
	config_unref(&c);
	ck_assert_int_eq(config_load(path, &c, &err), STERNA_EIO);
	ck_assert_str_eq(err.file, path);
	ck_assert_uint_eq(err.line, 0);
	rmdir(dir);
}
END_TEST

START_TEST(bounds_depth_and_count)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 40; i++)
		buf_lit(&b, "{ a: ");
	ck_assert_int_eq(load(buf_str(&b)), STERNA_EINVAL);
	ck_assert_str_eq(err.message, "nested more than 32 deep");
	buf_release(&b);
	buf_lit(&b, "a: [");
	for (int i = 0; i < 60000; i++)
		buf_lit(&b, "1,");
	buf_lit(&b, "]");
	ck_assert_int_eq(load(buf_str(&b)), STERNA_EINVAL);
	ck_assert_str_eq(err.message, "more than 50000 values");
	buf_release(&b);
}
END_TEST

static void note(void *arg, const char *path)
{
	buf_addf(arg, "%s ", path);
}

START_TEST(tells_what_changed)
{
	struct config *before;
	struct buf b = BUF_INIT;

	ok(HOSTS "limits: { depth: 64, attributes: 64 }\nlisten: [ { kind: c2s }, { kind: s2s } ]\nmodules: { ping: {}, time: {} }\n");
	before = config_ref(c);
	config_diff(before, c, note, &b);
	ck_assert_uint_eq(buf_len(&b), 0);
	ok(HOSTS "modules: { time: { utc_only: true }, mam: {} }\nlimits: { attributes: 64, depth: 65 }\n"
		"listen: [ { kind: c2s }, { kind: http } ]\n");
	config_diff(before, c, note, &b);
	ck_assert_str_eq(buf_str(&b), "limits.depth listen[1].kind modules.ping modules.time.utc_only modules.mam ");
	buf_release(&b);
	config_unref(&before);
}
END_TEST

START_TEST(writes_an_error_as_a_line)
{
	char text[200];

	ck_assert_int_eq(load("hosts:\n  A: {}\n"), STERNA_EINVAL);
	ck_assert_str_eq(config_error_text(&err, text, sizeof text),
		"sterna.yaml:2:3: 'A' is no domain; write it as 'example.org', in lower case");
}
END_TEST

START_TEST(applies_log_levels)
{
	ok(HOSTS "log: { level: warning, components: { tls: debug } }\n");
	ck_assert_int_eq(config_apply_log(&c->log), STERNA_OK);
	ck_assert_int_eq(log_level("tls"), LOG_LEVEL_DEBUG);
	ck_assert_int_eq(log_level("stream"), LOG_LEVEL_WARNING);
	log_close();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, has_sound_tables);
	tcase_add_test(t, gives_defaults);
	tcase_add_test(t, reads_the_whole_shape);
	tcase_add_test(t, tells_what_a_server_must_show);
	tcase_add_loop_test(t, says_where_a_mistake_is, 0, (int)(sizeof wrong / sizeof *wrong));
	tcase_add_test(t, expands_the_environment);
	tcase_add_test(t, reads_files_beside_it);
	tcase_add_test(t, bounds_depth_and_count);
	tcase_add_test(t, tells_what_changed);
	tcase_add_test(t, writes_an_error_as_a_line);
	tcase_add_test(t, applies_log_levels);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
