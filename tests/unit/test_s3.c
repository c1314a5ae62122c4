/* test_s3.c - signatures are those of the store's documentation, and of another implementation; a bucket that cannot be
 * used is told so. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/s3.h"

/* The bucket, keys and time of Amazon's examples ("Authenticating Requests: Using the Authorization Header"). */
static const struct sterna_bucket example = { .endpoint = "https://s3.amazonaws.com", .region = "us-east-1",
	.bucket = "examplebucket", .access_key = "AKIAIOSFODNN7EXAMPLE", .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
enum { EXAMPLE_TIME = 1369353600 }; /* 2013-05-24 00:00 UTC */

static void signs(const struct sterna_bucket *b, const char *method, const char *key, const char *query, bool body,
	const char *url, const char *signature)
{
	struct s3_request r;
	char *expected;

	s3_sign(b, method, key, query, body, EXAMPLE_TIME, &r);
	expected = malloc(400);
	ck_assert_ptr_nonnull(expected);
	snprintf(expected, 400, "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/%s/s3/aws4_request, "
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s", b->region, signature);
	ck_assert_str_eq(r.headers[0], expected);
	ck_assert_str_eq(r.headers[2], "x-amz-date: 20130524T000000Z");
	ck_assert_str_eq(r.url, url);
	s3_request_clear(&r);
	free(expected);
}

START_TEST(the_examples_of_the_documentation)
{
	signs(&example, "GET", "", "lifecycle=", false, "https://examplebucket.s3.amazonaws.com/?lifecycle=",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	signs(&example, "GET", "", "max-keys=2&prefix=J", false, "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}
END_TEST

START_TEST(as_botocore_signs)
{
	struct sterna_bucket b = example;

	b.endpoint = "http://127.0.0.1:9000";
	b.path_style = true;
	b.region = "eu-central-1";
	b.prefix = "up loads/";
	signs(&b, "PUT", "20130524/a~b+c d", "", true, "http://127.0.0.1:9000/examplebucket/up%20loads/20130524/a~b%2Bc%20d",
		"01abbbc7229fb7d2407debbca8559961bbe5262d0f4842cbcff99689ba74e9fa");
	signs(&b, "DELETE", "20130524/0123", "", false, "http://127.0.0.1:9000/examplebucket/up%20loads/20130524/0123",
		"783beedb355cf015bc34b257a74a3ce0479685c5b26f8d45d2708c767a0a18e2");
}
END_TEST

START_TEST(buckets_that_cannot_be_used)
{
	struct sterna_bucket b = example;

	ck_assert_ptr_null(sterna_bucket_wrong(&b));
	b.prefix = "uploads/";
	ck_assert_ptr_null(sterna_bucket_wrong(&b));
	b.prefix = "/uploads/";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b = example;
	b.endpoint = "ftp://s3.example.org";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b.endpoint = "https://";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b.endpoint = "https://user@s3.example.org";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b.endpoint = "https://s3.example.org/path";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b = example;
	b.bucket = NULL;
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b.bucket = "a/b";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
	b = example;
	b.secret_key = "";
	ck_assert_ptr_nonnull(sterna_bucket_wrong(&b));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("s3");
	TCase *tc = tcase_create("s3");

	tcase_add_test(tc, the_examples_of_the_documentation);
	tcase_add_test(tc, as_botocore_signs);
	tcase_add_test(tc, buckets_that_cannot_be_used);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
