/* web_join.c - making an account on the page of an invitation: a form, without scripts, over HTTPS only, by the rules that hold
 * for apps (XEP-0077, 0445). There are no cookies, so nothing that another page could use; it must come from our page all the
 * same, and say so. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "modules/web_join.h"

enum { PROOF_S = 86400, NAME_BYTES = 1023, PASSWORD_BYTES = 1023, PROOF_LEN = 128 };

/* "EXPIRES-MAC": that the form was ours, for this token, and until when. */
static void make_proof(struct sterna_mod *m, const char *token, int64_t expires, char out[PROOF_LEN])
{
	char *text = xasprintf("join %s %" PRId64, token, expires), mac[STERNA_MAC_LEN];

	sterna_sign(m, text, mac);
	snprintf(out, PROOF_LEN, "%" PRId64 "-%s", expires, mac);
	free(text);
}

static bool is_proof(struct sterna_mod *m, const char *token, const char *given, int64_t now)
{
	const int64_t expires = strtoll(given, NULL, 10);
	char right[PROOF_LEN];

	make_proof(m, token, expires, right);
	return expires > now && expires <= now + PROOF_S && strcmp(given, right) == 0;
}

static void add_input(struct web_page *p, const char *id, enum web_word label, const char *argument, const char *attributes)
{
	buf_addf(&p->out, "<label for=\"%s\">", id);
	web_say(p, label, argument);
	buf_addf(&p->out, "</label>\n<input id=\"%s\" name=\"%s\" required %s>\n", id, id, attributes);
}

static void add_fields(struct web_page *p, const struct invitation *i)
{
	char *name = sterna_http_form(p->request, "name", NAME_BYTES);
	struct buf attributes = BUF_INIT;

	buf_lit(&attributes, "autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"255\" value=\"");
	web_text(&attributes, *i->username != '\0' ? i->username : name != NULL ? name : "");
	buf_puts(&attributes, *i->username != '\0' ? "\" readonly" : "\"");
	add_input(p, "name", W_NAME, i->host, buf_str(&attributes));
	add_input(p, "password", W_PASSWORD, NULL, "type=\"password\" autocomplete=\"new-password\"");
	add_input(p, "again", W_AGAIN, NULL, "type=\"password\" autocomplete=\"new-password\"");
	buf_release(&attributes);
	free(name);
}

void web_join_form(struct web_page *p, const struct invitation *i, enum web_word bad)
{
	char proof[PROOF_LEN];

	if (!i->account || !sterna_http_is_private(p->request))
		return;
	p->form = true;
	make_proof(p->mod, i->token, sterna_http_now(p->request) + PROOF_S, proof);
	buf_lit(&p->out, "<section aria-labelledby=\"make\">\n<h2 id=\"make\">");
	web_say(p, W_MAKE_HERE, NULL);
	buf_lit(&p->out, "</h2>\n");
	if (bad != W_WORDS) {
		buf_lit(&p->out, "<p class=\"bad\" role=\"alert\">");
		web_say(p, bad, NULL);
		buf_lit(&p->out, "</p>\n");
	}
	web_element(p, "p", W_MAKE_HERE_WHY, NULL);
	buf_addf(&p->out, "<form method=\"post\" action=\"/invite/%s#make\">\n<input type=\"hidden\" name=\"proof\" value=\"%s\">\n",
		i->token, proof);
	add_fields(p, i);
	buf_lit(&p->out, "<p><button class=\"key\">");
	web_say(p, W_MAKE, NULL);
	buf_lit(&p->out, "</button></p>\n</form>\n</section>\n");
}

/* --- what was sent --- */

static void show_again(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows,
	unsigned status, enum web_word bad)
{
	struct invitation i;

	if (web_invite_read(m, r, rc, rows, &i))
		web_invite_show(m, r, &i, status, bad);
}

static void on_row_taken(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	show_again(m, r, rc, rows, 409, W_BAD_TAKEN);
}

static void on_row_wish(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	show_again(m, r, rc, rows, 422, W_BAD_WISH);
}

static void on_row_later(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	show_again(m, r, rc, rows, 503, W_BAD_LATER);
}

static void show_done(struct sterna_mod *m, struct sterna_http_request *r, const struct jid *jid)
{
	struct web_page p;

	web_begin(&p, m, r, W_MADE, NULL);
	web_header(&p, jid_domain(jid));
	web_element(&p, "h1", W_MADE, NULL);
	buf_lit(&p.out, "<section>\n");
	web_element(&p, "p", W_MADE_WHY, jid_bare(jid));
	web_apps(&p);
	if (web_has_client(m)) {
		buf_lit(&p.out, "<p><a class=\"key\" href=\"" WEB_CHAT "\">");
		web_say(&p, W_CHAT_HERE, NULL);
		buf_lit(&p.out, "</a></p>\n");
	}
	buf_lit(&p.out, "</section>\n");
	web_end(&p, 200);
}

static void on_made(struct sterna_mod *m, struct sterna_http_request *r, unsigned condition, const struct jid *jid)
{
	const char *token = web_invite_token(m, r);

	if (condition == 0)
		show_done(m, r, jid);
	else if (condition == STERNA_ITEM_NOT_FOUND)
		web_note(m, r, 410, W_USED, W_USED_WHY);
	else
		web_invite_look(m, r, token, condition == STERNA_CONFLICT ? on_row_taken
			: condition == STERNA_RESOURCE_CONSTRAINT ? on_row_later : on_row_wish);
}

static void on_row(struct sterna_mod *m, struct sterna_http_request *r, enum sterna_result rc, const struct db_rows *rows)
{
	struct invitation i;

	if (!web_invite_read(m, r, rc, rows, &i))
		return;
	if (!i.account) {
		web_note(m, r, 410, W_NOT_TAKEN, W_NOT_TAKEN_WHY);
		return;
	}
	char *name = *i.username != '\0' ? xstrdup(i.username) : sterna_http_form(r, "name", NAME_BYTES);
	char *password = sterna_http_form(r, "password", PASSWORD_BYTES), *again = sterna_http_form(r, "again", PASSWORD_BYTES);

	if (name == NULL || password == NULL || again == NULL)
		web_invite_show(m, r, &i, 422, W_BAD_WISH);
	else if (strcmp(password, again) != 0)
		web_invite_show(m, r, &i, 422, W_BAD_DIFFER);
	else
		sterna_http_register(m, r, i.host, i.token, name, password, on_made);
	free(name);
	if (password != NULL)
		memset(password, 0, strlen(password));
	free(password);
	free(again);
}

void web_post_invite(struct sterna_mod *m, struct sterna_http_request *r)
{
	const char *token = web_invite_token(m, r);
	char *proof;

	if (token == NULL)
		return;
	if (!sterna_http_is_private(r)) {
		web_note(m, r, 403, W_HTTPS, W_HTTPS_WHY);
		return;
	}
	proof = sterna_http_form(r, "proof", PROOF_LEN);
	if (proof == NULL || !is_proof(m, token, proof, sterna_http_now(r)) || !sterna_http_is_own(r))
		web_note(m, r, 403, W_STALE, W_STALE_WHY);
	else
		web_invite_look(m, r, token, on_row);
	free(proof);
}
