/* web_invite.c - the landing page of an invitation (XEP-0401 §3.2): /invite/TOKEN says who invites to what, how long, and
 * opens the app, or makes the account here (web_join.c). The page needs no script and says nothing to anybody else: no referrer, no cache. */
#include <stdlib.h>
#include <string.h>
#include "modules/web_join.h"
#include "xep/invite.h"

enum { TOKEN_MIN = 8, TOKEN_MAX = 64 };

static void add_link(struct buf *out, const struct invite_api *api, const struct invitation *i)
{
	const char *at = strchr(i->inviter, '@');

	if (i->contact && at != NULL && *i->username == '\0') {
		char *local = xasprintf("%.*s", (int)(at - i->inviter), i->inviter);

		api->address(out, local, at + 1);
		free(local);
		buf_addf(out, "?roster;preauth=%s%s", i->token, i->account ? ";ibr=y" : "");
	} else {
		api->address(out, i->username, i->host);
		buf_addf(out, "?register;preauth=%s", i->token);
	}
}

static void add_heading(struct web_page *p, const struct invitation *i)
{
	const bool friend = i->contact && *i->inviter != '\0';
	char *address = xasprintf("%s@%s", i->username, i->host);

	web_header(p, i->host);
	web_element(p, "h1", friend ? W_INVITES_YOU : W_INVITED_TO, friend ? i->inviter : web_name(p->mod, i->host));
	if (*i->username != '\0')
		web_element(p, "p", W_KEPT, address);
	else
		web_element(p, "p", i->account ? W_MAY_MAKE : W_OPEN_IT, i->host);
	if (*i->username == '\0' && i->account && i->contact)
		web_element(p, "p", W_OR_USE, NULL);
	free(address);
}

static void begin_section(struct web_page *p, const char *id, enum web_word title)
{
	buf_addf(&p->out, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">", id, id);
	web_say(p, title, NULL);
	buf_lit(&p->out, "</h2>\n");
}

static void add_steps(struct web_page *p, struct buf *link)
{
	begin_section(p, "app", W_STEP_APP);
	web_element(p, "p", W_STEP_APP_WHY, NULL);
	web_apps(p);
	buf_lit(&p->out, "</section>\n");
	begin_section(p, "open", W_STEP_OPEN);
	buf_lit(&p->out, "<p><a class=\"key\" href=\"");
	web_text(&p->out, buf_str(link));
	buf_lit(&p->out, "\">");
	web_say(p, W_OPEN, NULL);
	buf_lit(&p->out, "</a></p>\n");
	web_element(p, "p", W_OTHER_DEVICE, NULL);
	if (!web_qr(&p->out, buf_str(link), web_word(p->lang, W_QR)))
		web_element(p, "p", W_QR_TOO_LONG, NULL);
	buf_lit(&p->out, "</section>\n");
}

static void row(struct web_page *p, enum web_word what, const char *value)
{
	web_element(p, "dt", what, NULL);
	buf_lit(&p->out, "<dd><code>");
	web_text(&p->out, value);
	buf_lit(&p->out, "</code></dd>\n");
}

/* For apps that do not know such links. */
static void add_by_hand(struct web_page *p, const struct invitation *i, struct buf *link)
{
	begin_section(p, "hand", W_BY_HAND);
	buf_lit(&p->out, "<dl>\n");
	if (i->account)
		row(p, W_SERVER, i->host);
	if (i->contact)
		row(p, W_CONTACT, i->inviter);
	row(p, W_CODE, i->token);
	row(p, W_LINK, buf_str(link));
	buf_lit(&p->out, "</dl>\n</section>\n");
}

static void add_until(struct web_page *p, int64_t expires)
{
	const char *text = web_word(p->lang, W_GOOD_UNTIL), *hole = strstr(text, "{}");
	char stamp[STERNA_STAMP_LEN];

	sterna_stamp((time_t)expires, stamp);
	buf_addf(&p->out, "<p class=\"soft\">%.*s<time datetime=\"%s\">%.10s, %.5s UTC</time>%s ", (int)(hole - text), text, stamp,
		stamp, stamp + 11, hole + 2);
	web_say(p, W_KEEP_IT, NULL);
	buf_lit(&p->out, "</p>\n");
}

void web_invite_show(struct sterna_mod *m, struct sterna_http_request *r, const struct invitation *i, unsigned status,
	enum web_word bad)
{
	const struct web *w = sterna_mod_data(m);
	struct buf link = BUF_INIT;
	struct web_page p;

	web_begin(&p, m, r, W_INVITATION, NULL);
	add_link(&link, w->invite, i);
	add_heading(&p, i);
	if (bad != W_WORDS)
		web_join_form(&p, i, bad); /* at the top: that is what it is about now */
	add_steps(&p, &link);
	if (bad == W_WORDS)
		web_join_form(&p, i, bad);
	add_by_hand(&p, i, &link);
	add_until(&p, i->expires);
	web_end(&p, status);
	buf_release(&link);
}

bool web_invite_read(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows,
	struct invitation *out)
{
	if (rc != STERNA_OK) {
		sterna_http_add_header(r, "Retry-After", "60");
		web_note(m, r, 503, W_RETRY, W_RETRY_WHY);
		return false;
	}
	if (db_rows_count(rows) == 0) {
		web_note(m, r, 404, W_UNKNOWN, W_UNKNOWN_WHY);
		return false;
	}
	const struct invitation i = { sterna_http_path(r) + strlen("/invite/"), db_str(rows, 0, 0, NULL), db_str(rows, 0, 1, NULL),
		db_str(rows, 0, 2, NULL), db_int(rows, 0, 3) != 0, db_int(rows, 0, 4) != 0, db_int(rows, 0, 5) / 1000000 };

	if (db_int(rows, 0, 6) > 0)
		web_note(m, r, 410, W_USED, W_USED_WHY);
	else if (!sterna_has_host(m, i.host) || (!i.contact && sterna_joining(m, i.host) == STERNA_CLOSED))
		web_note(m, r, 410, W_NOT_TAKEN, W_NOT_TAKEN_WHY);
	else if (i.expires <= sterna_http_now(r))
		web_note(m, r, 410, W_OLD, W_OLD_WHY);
	else {
		*out = i;
		return true;
	}
	return false;
}

static void on_row(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	struct invitation i;

	if (web_invite_read(m, r, rc, rows, &i))
		web_invite_show(m, r, &i, 200, W_WORDS);
}

const char *web_invite_token(struct sterna_mod *m, struct sterna_http_request *r)
{
	const struct web *w = sterna_mod_data(m);
	const char *token = sterna_http_path(r) + strlen("/invite/");
	const size_t n = strlen(token);

	if (w->invite != NULL && n >= TOKEN_MIN && n <= TOKEN_MAX
		&& strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789") == n)
		return token;
	web_note(m, r, 404, W_UNKNOWN, W_UNKNOWN_WHY);
	return NULL;
}

void web_invite_look(struct sterna_mod *m, struct sterna_http_request *r, const char *token, sterna_http_rows_fn *fn)
{
	const struct web *w = sterna_mod_data(m);
	char hash[INVITE_HASH_LEN];

	w->invite->hash(token, hash);
	sterna_http_read(m, r, fn, w->invite->look, hash);
}

void web_get_invite(struct sterna_mod *m, struct sterna_http_request *r)
{
	const char *token = web_invite_token(m, r);

	sterna_http_add_header(r, "X-Robots-Tag", "noindex");
	if (token != NULL)
		web_invite_look(m, r, token, on_row);
}
