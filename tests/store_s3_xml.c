/* SPDX-License-Identifier: BSD-3-Clause */
/* S3's XML as servers send it, and as nobody should. */
#include "store/s3.h"
#include "tests/store_fixture.h"

#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static struct store_list list;
static char *last;

static void setup(void)
{
	list = (struct store_list)STORE_LIST_INIT;
	last = NULL;
}

static void teardown(void)
{
	store_list_release(&list);
	free(last);
}

static int read_list(const char *xml, const char *strip)
{
	return s3_xml_list(xml, strlen(xml), strip, &list, &last);
}

/* ---- lists ---- */

START_TEST(a_page_gives_keys_sizes_and_times_below_the_prefix)
{
	ck_ok(read_list(
		HEAD "<ListBucketResult " XMLNS "><Name>b</Name><Prefix>p/</Prefix>"
		     "<KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>"
		     "<Contents><Key>p/a</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
		     "<ETag>&quot;e&quot;</ETag><Size>434234</Size>"
		     "<Owner><ID>x</ID><DisplayName>y</DisplayName></Owner>"
		     "<StorageClass>STANDARD</StorageClass></Contents>"
		     "<Contents><Size>0</Size><Key>p/b &amp; c</Key></Contents>"
		     "</ListBucketResult>",
		"p/"));
	ck_assert_uint_eq(list.count, 2);
	ck_assert_str_eq(list.entries[0].key, "a");
	ck_assert_uint_eq(list.entries[0].size_bytes, 434234);
	ck_assert_int_eq(list.entries[0].mtime_s, 1255369830);
	ck_assert_str_eq(list.entries[1].key, "b & c");
	ck_assert_int_eq(list.entries[1].mtime_s, 0);
	ck_assert(list.more);
	ck_assert_str_eq(last, "p/b & c");
}
END_TEST

START_TEST(encoded_keys_are_decoded_wherever_the_encoding_is_announced)
{
	ck_ok(read_list("<ListBucketResult><IsTruncated>false</IsTruncated>"
			"<Contents><Key>p/1%20%25%2B</Key><Size>1</Size></Contents>"
			"<Contents><Key>p/2+%C3%A9%01</Key><Size>1</Size></Contents>"
			"<EncodingType>url</EncodingType></ListBucketResult>",
			"p/"));
	ck_assert_uint_eq(list.count, 2);
	ck_assert_str_eq(list.entries[0].key, "1 %+");
	ck_assert_str_eq(list.entries[1].key, "2 \xc3\xa9\x01");
	ck_assert(!list.more);
}
END_TEST

START_TEST(keys_are_left_as_they_are_where_no_encoding_is_announced)
{
	ck_ok(read_list("<ListBucketResult><Contents><Key>a%20+b</Key><Size>1</Size></Contents>"
			"</ListBucketResult>",
			""));
	ck_assert_str_eq(list.entries[0].key, "a%20+b");
}
END_TEST

START_TEST(what_cannot_be_ours_is_passed_over_but_counts_for_going_on)
{
	ck_ok(read_list("<ListBucketResult><IsTruncated>true</IsTruncated>"
			"<Contents><Key>p/</Key><Size>0</Size></Contents>"
			"<Contents><Key>p/a</Key><Size>1</Size></Contents>"
			"<Contents><Key>q</Key><Size>1</Size></Contents></ListBucketResult>",
			"p/"));
	ck_assert_uint_eq(list.count, 1);
	ck_assert_str_eq(list.entries[0].key, "a");
	ck_assert_str_eq(last, "q");
}
END_TEST

/* S3's schema wants the element. Who leaves it out may have more, so whoever needs all goes on until there is none. */
START_TEST(a_page_that_does_not_say_whether_it_is_the_last_may_not_be_it)
{
	ck_ok(read_list("<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>"
			"</ListBucketResult>",
			""));
	ck_assert(list.more);
	store_list_release(&list);
	free(last);
	ck_ok(read_list("<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>", ""));
	ck_assert(!list.more);
}
END_TEST

START_TEST(whether_there_is_more_has_to_be_said_so_that_it_can_be_understood)
{
	static const char *const unclear[] = { "", "maybe", "True", "yes", "2" };
	char xml[128];

	for (size_t i = 0; i < ARRAY_LEN(unclear); i++) {
		(void)snprintf(xml, sizeof(xml),
			       "<ListBucketResult><IsTruncated>%s</IsTruncated></ListBucketResult>",
			       unclear[i]);
		ck_assert_int_eq(read_list(xml, ""), -L3_SERVER);
	}
	ck_ok(read_list("<ListBucketResult><IsTruncated>1</IsTruncated></ListBucketResult>", ""));
	ck_assert(list.more);
	ck_ok(read_list("<ListBucketResult><IsTruncated>0</IsTruncated></ListBucketResult>", ""));
	ck_assert(!list.more);
}
END_TEST

START_TEST(an_empty_page_is_no_error)
{
	ck_ok(read_list(HEAD "<ListBucketResult " XMLNS "><IsTruncated>false</IsTruncated>"
			     "</ListBucketResult>",
			"p/"));
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_null(last);
}
END_TEST

START_TEST(a_page_of_a_thousand_of_the_longest_keys_is_read)
{
	struct buf xml CLEANUP(buf_release) = BUF_INIT;

	buf_add_str(&xml, "<ListBucketResult><EncodingType>url</EncodingType>");
	for (int i = 0; i < 1000; i++) {
		buf_printf(&xml, "<Contents><Key>p/%04d", i);
		for (int k = 0; k < 896; k++)
			buf_add_str(&xml, "%41");
		buf_add_str(&xml, "</Key><Size>1</Size></Contents>");
	}
	buf_add_str(&xml, "</ListBucketResult>");
	ck_ok(read_list(buf_cstr(&xml), "p/"));
	ck_assert_uint_eq(list.count, 1000);
	ck_assert_uint_eq(strlen(list.entries[999].key), 900);
}
END_TEST

/* ---- errors and results ---- */

START_TEST(an_error_gives_code_message_and_request_id)
{
	static const char xml[] = HEAD
		"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference\n is "
		"large</Message>"
		"<Resource>/b/k</Resource><RequestId>4442587FB7D0A2F9</RequestId>"
		"<Region>eu-west-1</Region><ServerTime>2026-01-02T03:04:05Z</ServerTime></Error>";
	struct s3_error e;

	ck_assert(s3_xml_error(xml, strlen(xml), &e));
	ck_assert_str_eq(e.code, "RequestTimeTooSkewed");
	ck_assert_str_eq(e.message, "The difference  is large"); /* it goes into one line */
	ck_assert_str_eq(e.request_id, "4442587FB7D0A2F9");
	ck_assert_str_eq(e.region, "eu-west-1");
	ck_assert_str_eq(e.server_time, "2026-01-02T03:04:05Z");
	ck_assert(!s3_xml_error("<html><body>502</body></html>", 29, &e));
	ck_assert(!s3_xml_error("", 0, &e));
	ck_assert(!s3_xml_error(NULL, 0, &e));
	ck_assert_str_eq(e.code, "");
}
END_TEST

START_TEST(an_error_in_place_of_a_copys_result_is_seen)
{
	static const char good[] =
		"  \n" HEAD "<CopyObjectResult " XMLNS "><ETag>\"x\"</ETag></CopyObjectResult>";
	static const char bad[] = "<Error><Code>InternalError</Code><Message>m</Message></Error>";
	struct s3_error e;

	ck_ok(s3_xml_result(good, strlen(good), "CopyObjectResult", &e));
	ck_assert_str_eq(e.code, "");
	ck_assert_int_eq(s3_xml_result(bad, strlen(bad), "CopyObjectResult", &e), -L3_SERVER);
	ck_assert_str_eq(e.code, "InternalError");
	ck_assert_int_eq(s3_xml_result("<html/>", 7, "CopyObjectResult", &e), -L3_SERVER);
	ck_assert_str_eq(e.code, "");
	ck_assert_ptr_nonnull(strstr(err_last_note(), "CopyObjectResult"));
	ck_assert_int_eq(s3_xml_result("", 0, "CopyObjectResult", &e), -L3_SERVER);
}
END_TEST

START_TEST(an_upload_id_is_found_and_its_absence_too)
{
	static const char good[] =
		"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
		"<UploadId>VXBs/b2F+k=</UploadId></InitiateMultipartUploadResult>";
	static const char bad[] =
		"<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>";
	char *id = NULL;
	struct s3_error e;

	ck_ok(s3_xml_upload_id(good, strlen(good), &id, &e));
	ck_assert_str_eq(id, "VXBs/b2F+k=");
	free(id);
	id = NULL;
	ck_assert_int_eq(s3_xml_upload_id(bad, strlen(bad), &id, &e), -L3_SERVER);
	ck_assert_ptr_null(id);
}
END_TEST

START_TEST(the_first_failure_of_a_delete_is_told_with_its_key)
{
	static const char xml[] =
		"<DeleteResult><Deleted><Key>a</Key></Deleted>"
		"<Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
		"<Error><Key>p/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
		"<Error><Key>p/c</Key><Code>InternalError</Code></Error></DeleteResult>";
	static const char good[] = "<DeleteResult " XMLNS "></DeleteResult>";
	static const char vague[] = "<DeleteResult><Error><Key>x</Key></Error></DeleteResult>";
	char key[S3_KEY_MAX + 1];
	struct s3_error e;

	ck_assert_int_eq(s3_xml_delete(xml, strlen(xml), &e, key), -L3_SERVER);
	ck_assert_str_eq(key, "p/b");
	ck_assert_str_eq(e.code, "AccessDenied");
	ck_assert_str_eq(e.message, "no");
	ck_ok(s3_xml_delete(good, strlen(good), &e, key));
	ck_assert_str_eq(e.code, "");
	ck_assert_int_lt(s3_xml_delete(vague, strlen(vague), &e, key), 0);
	ck_assert_str_ne(e.code, "");
}
END_TEST

START_TEST(keys_are_escaped_for_xml_or_said_not_to_fit)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert(s3_xml_escape(&b, "a<b>&\"'\r\n\xc3\xa9"));
	ck_assert_str_eq(buf_cstr(&b), "a&#60;b&#62;&#38;&#34;&#39;&#13;&#10;\xc3\xa9");
	ck_assert(!s3_xml_escape(&b, "a\x01z"));
}
END_TEST

/* ---- what nobody should send ---- */

static void ck_refused(const char *xml, size_t len)
{
	struct s3_error e;
	char key[S3_KEY_MAX + 1];
	char *id = NULL;

	ck_assert_int_eq(s3_xml_list(xml, len, "", &list, &last), -L3_SERVER);
	ck_assert_str_ne(err_last_note(), "");
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_null(last);
	ck_assert_int_eq(s3_xml_result(xml, len, "CopyObjectResult", &e), -L3_SERVER);
	ck_assert_int_eq(s3_xml_upload_id(xml, len, &id, &e), -L3_SERVER);
	ck_assert_ptr_null(id);
	ck_assert_int_eq(s3_xml_delete(xml, len, &e, key), -L3_SERVER);
	ck_assert(!s3_xml_error(xml, len, &e));
}

START_TEST(entities_are_never_expanded)
{
	static const char laughs[] =
		"<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY a \"lol\">"
		"<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">"
		"<!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\">]>"
		"<ListBucketResult><Contents><Key>&d;</Key><Size>1</Size></Contents>"
		"</ListBucketResult>";
	static const char external[] =
		"<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><ListBucketResult/>";
	static const char from_file[] = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>"
					"<ListBucketResult><Contents><Key>&f;</Key><Size>1</Size></"
					"Contents></ListBucketResult>";
	static const char unknown[] =
		"<ListBucketResult><Contents><Key>&nope;</Key></Contents></ListBucketResult>";

	ck_refused(laughs, strlen(laughs));
	ck_refused(external, strlen(external));
	ck_refused(from_file, strlen(from_file));
	ck_refused(unknown, strlen(unknown));
}
END_TEST

START_TEST(deep_nesting_and_long_names_and_texts_are_refused)
{
	struct buf deep CLEANUP(buf_release) = BUF_INIT;
	struct buf name CLEANUP(buf_release) = BUF_INIT;
	struct buf text CLEANUP(buf_release) = BUF_INIT;

	buf_add_str(&deep, "<ListBucketResult>");
	for (int i = 0; i < 100000; i++)
		buf_add_str(&deep, "<a>");
	ck_refused(buf_cstr(&deep), deep.len);

	buf_add_str(&name, "<ListBucketResult><");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&name, "n");
	buf_add_str(&name, "/></ListBucketResult>");
	ck_refused(buf_cstr(&name), name.len);

	buf_add_str(&text, "<ListBucketResult><Contents><Key>");
	for (int i = 0; i < 20000; i++)
		buf_add_str(&text, "kk");
	buf_add_str(&text, "</Key><Size>1</Size></Contents></ListBucketResult>");
	ck_refused(buf_cstr(&text), text.len);
}
END_TEST

START_TEST(what_is_longer_than_any_answer_is_refused)
{
	size_t len = S3_XML_MAX + 100;
	char *xml CLEANUP(free_ptr) = malloc(len + 1);
	size_t n = strlen("<ListBucketResult>");

	ck_assert_ptr_nonnull(xml);
	memset(xml, ' ', len);
	memcpy(xml, "<ListBucketResult>", n);
	xml[len] = '\0';
	ck_refused(xml, len);
}
END_TEST

START_TEST(an_answer_cut_anywhere_is_refused)
{
	static const char xml[] =
		"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
		"<Size>1</Size></Contents></ListBucketResult>";

	for (size_t len = 0; len < strlen(xml); len++)
		ck_refused(xml, len);
	ck_ok(read_list(xml, ""));
}
END_TEST

START_TEST(what_is_no_s3_answer_is_refused)
{
	static const char *const answers[] = { "<html><body>Log in here</body></html>",
					       "<ListBucketResult2/>",
					       "<a><ListBucketResult/></a>",
					       "{\"error\": 1}",
					       "not found\n",
					       "<ListBucketResult></Wrong>",
					       "\xff\xfe\x00",
					       "<ListBucketResult>\x01</ListBucketResult>",
					       "<ListBucketResult><Contents/></ListBucketResult>" };

	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		ck_refused(answers[i], strlen(answers[i]));
	ck_refused("<ListBucketResult>\0</ListBucketResult>", 38);
}
END_TEST

START_TEST(lists_that_cannot_be_gone_through_are_refused)
{
	static const char *const lists[] = {
		/* out of order, twice, no size, a negative one, a NUL in the key */
		"<Contents><Key>b</Key><Size>1</Size></Contents>"
		"<Contents><Key>a</Key><Size>1</Size></Contents>",
		"<Contents><Key>a</Key><Size>1</Size></Contents>"
		"<Contents><Key>a</Key><Size>1</Size></Contents>",
		"<Contents><Key>a</Key><Size></Size></Contents>",
		"<Contents><Key>a</Key><Size>-1</Size></Contents>",
		"<Contents><Size>1</Size></Contents>",
		"<EncodingType>url</EncodingType><Contents><Key>a%00b</Key><Size>1</Size></"
		"Contents>",
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct buf xml CLEANUP(buf_release) = BUF_INIT;

		buf_printf(&xml, "<ListBucketResult>%s</ListBucketResult>", lists[i]);
		ck_assert_msg(read_list(buf_cstr(&xml), "") == -L3_SERVER, "%s", lists[i]);
		ck_assert_uint_eq(list.count, 0);
		ck_assert_ptr_null(last);
	}
}
END_TEST

START_TEST(a_refused_page_leaves_the_list_as_it_was)
{
	ck_ok(store_list_add(&list, "before", 1, 2));
	ck_assert_int_eq(
		read_list("<ListBucketResult><Contents><Key>b</Key><Size>1</Size></Contents>"
			  "<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
			  ""),
		-L3_SERVER);
	ck_assert_uint_eq(list.count, 1);
	ck_assert_str_eq(list.entries[0].key, "before");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store: S3's XML, hostile or not");
	TCase *t = tcase_create("xml");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_page_gives_keys_sizes_and_times_below_the_prefix);
	tcase_add_test(t, encoded_keys_are_decoded_wherever_the_encoding_is_announced);
	tcase_add_test(t, keys_are_left_as_they_are_where_no_encoding_is_announced);
	tcase_add_test(t, what_cannot_be_ours_is_passed_over_but_counts_for_going_on);
	tcase_add_test(t, a_page_that_does_not_say_whether_it_is_the_last_may_not_be_it);
	tcase_add_test(t, whether_there_is_more_has_to_be_said_so_that_it_can_be_understood);
	tcase_add_test(t, an_empty_page_is_no_error);
	tcase_add_test(t, a_page_of_a_thousand_of_the_longest_keys_is_read);
	tcase_add_test(t, an_error_gives_code_message_and_request_id);
	tcase_add_test(t, an_error_in_place_of_a_copys_result_is_seen);
	tcase_add_test(t, an_upload_id_is_found_and_its_absence_too);
	tcase_add_test(t, the_first_failure_of_a_delete_is_told_with_its_key);
	tcase_add_test(t, keys_are_escaped_for_xml_or_said_not_to_fit);
	tcase_add_test(t, entities_are_never_expanded);
	tcase_add_test(t, deep_nesting_and_long_names_and_texts_are_refused);
	tcase_add_test(t, what_is_longer_than_any_answer_is_refused);
	tcase_add_test(t, an_answer_cut_anywhere_is_refused);
	tcase_add_test(t, what_is_no_s3_answer_is_refused);
	tcase_add_test(t, lists_that_cannot_be_gone_through_are_refused);
	tcase_add_test(t, a_refused_page_leaves_the_list_as_it_was);
	suite_add_tcase(s, t);
	return run_suite(s);
}
