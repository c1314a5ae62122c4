/* web_invite.c - the landing page of an invitation (XEP-0401 §3.2): /invite/TOKEN says who invites to what, how long, and
 * opens the app. The page needs no script and says nothing to anybody else: no referrer, no cache. */
#include <stdlib.h>
#include <string.h>
#include "modules/web.h"
#include "xep/invite.h"

enum { TOKEN_MIN = 8, TOKEN_MAX = 64 };

struct invitation {
	const char *token, *host, *inviter, *username;
	bool contact, account;
	int64_t expires;                     /* Unix time */
};

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

static void add_heading(struct buf *out, struct sterna_mod *m, const struct invitation *i)
{
	buf_lit(out, "<header><img src=\"/web/icon.svg\" alt=\"\"><p>");
	web_text(out, web_name(m, i->host));
	buf_lit(out, "</p></header>\n<main>\n<h1>");
	if (i->contact && *i->inviter != '\0') {
		web_text(out, i->inviter);
		buf_lit(out, " invites you to chat");
	} else {
		buf_lit(out, "You are invited to ");
		web_text(out, web_name(m, i->host));
	}
	buf_lit(out, "</h1>\n<p>");
	if (*i->username != '\0') {
		buf_lit(out, "The address <code>");
		web_text(out, i->username);
		buf_putc(out, '@');
		web_text(out, i->host);
		buf_lit(out, "</code> is kept for you: choose a password, and the account is yours.");
	} else if (i->account) {
		buf_lit(out, "With this invitation you can make an account on <code>");
		web_text(out, i->host);
		buf_lit(out, i->contact ? "</code>. Or use the XMPP account that you have." : "</code>.");
	} else {
		buf_lit(out, "Open it with the XMPP account that you have: you become contacts of each other.");
	}
	buf_lit(out, "</p>\n");
}

static void add_steps(struct buf *out, struct buf *link)
{
	buf_lit(out, "<section aria-labelledby=\"app\">\n<h2 id=\"app\">1. Get an app</h2>\n<p>On the device that you want to chat on:</p>\n");
	web_apps(out);
	buf_lit(out, "</section>\n<section aria-labelledby=\"open\">\n<h2 id=\"open\">2. Open the invitation in it</h2>\n"
		"<p><a class=\"key\" href=\"");
	web_text(out, buf_str(link));
	buf_lit(out, "\">Open in my app</a></p>\n<p>Is the app on another device? Scan this with it:</p>\n");
	if (!web_qr(out, buf_str(link), "QR code of this invitation, for the app on your phone"))
		buf_lit(out, "<p>(The address is too long for a code.)</p>\n");
	buf_lit(out, "</section>\n");
}

/* For apps that do not know such links. */
static void add_by_hand(struct buf *out, const struct invitation *i, struct buf *link)
{
	buf_lit(out, "<section aria-labelledby=\"hand\">\n<h2 id=\"hand\">If the link does nothing</h2>\n<dl>\n");
	if (i->account) {
		buf_lit(out, "<dt>Server</dt><dd><code>");
		web_text(out, i->host);
		buf_lit(out, "</code></dd>\n");
	}
	if (i->contact) {
		buf_lit(out, "<dt>Contact to add</dt><dd><code>");
		web_text(out, i->inviter);
		buf_lit(out, "</code></dd>\n");
	}
	buf_addf(out, "<dt>Invitation code</dt><dd><code>%s</code></dd>\n<dt>Link to copy</dt><dd><code>", i->token);
	web_text(out, buf_str(link));
	buf_lit(out, "</code></dd>\n</dl>\n</section>\n");
}

static void show(struct sterna_mod *m, struct sterna_http_request *r, const struct invitation *i)
{
	const struct web *w = sterna_mod_data(m);
	struct buf out = BUF_INIT, link = BUF_INIT;
	char stamp[STERNA_STAMP_LEN];

	add_link(&link, w->invite, i);
	web_begin(&out, "Invitation");
	add_heading(&out, m, i);
	add_steps(&out, &link);
	add_by_hand(&out, i, &link);
	sterna_stamp((time_t)i->expires, stamp);
	buf_addf(&out, "<p class=\"soft\">The invitation is good once, until <time datetime=\"%s\">%.10s, %.5s UTC</time>. "
		"Whoever has this page's address can use it: keep it for yourself.</p>\n", stamp, stamp, stamp + 11);
	web_end(&out, m);
	web_page(r, 200, &out);
	buf_release(&link);
}

static void unknown(struct sterna_mod *m, struct sterna_http_request *r)
{
	web_note(m, r, 404, "This invitation is not known here",
		"Perhaps a part of the address is missing, or it is too old. Ask who invited you for a new one.");
}

static const char *token_of(const struct sterna_http_request *r)
{
	return sterna_http_path(r) + strlen("/invite/");
}

static void on_row(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	if (rc != STERNA_OK) {
		sterna_http_add_header(r, "Retry-After", "60");
		web_note(m, r, 503, "Please try again in a minute", "The server cannot look the invitation up now.");
		return;
	}
	if (db_rows_count(rows) == 0) {
		unknown(m, r);
		return;
	}
	const struct invitation i = { token_of(r), db_str(rows, 0, 0, NULL), db_str(rows, 0, 1, NULL), db_str(rows, 0, 2, NULL),
		db_int(rows, 0, 3) != 0, db_int(rows, 0, 4) != 0, db_int(rows, 0, 5) / 1000000 };

	if (db_int(rows, 0, 6) > 0)
		web_note(m, r, 410, "This invitation was used",
			"It was good once. If it was you: log in with the account that you made. If not, ask for a new one.");
	else if (!sterna_has_host(m, i.host) || (!i.contact && sterna_joining(m, i.host) == STERNA_CLOSED))
		web_note(m, r, 410, "This invitation is not taken any more", "The administrators of this server can tell why.");
	else if (i.expires <= sterna_http_now(r))
		web_note(m, r, 410, "This invitation is too old", "Ask who invited you for a new one.");
	else
		show(m, r, &i);
}

void web_get_invite(struct sterna_mod *m, struct sterna_http_request *r)
{
	const struct web *w = sterna_mod_data(m);
	const char *token = token_of(r);
	const size_t n = strlen(token);
	char hash[INVITE_HASH_LEN];

	sterna_http_add_header(r, "X-Robots-Tag", "noindex");
	if (w->invite == NULL || n < TOKEN_MIN || n > TOKEN_MAX
		|| strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789") != n) {
		unknown(m, r);
		return;
	}
	w->invite->hash(token, hash);
	sterna_http_read(m, r, on_row, w->invite->look, hash);
}
