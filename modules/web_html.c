/* web_html.c - head, foot, style and headers of all pages. They work without scripts, by keyboard, at a phone's width, in
 * light and dark, and load nothing that is not ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "modules/web.h"

static const char style[] =
	":root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1b2530;--soft:#4b5a68;--line:#cfd6dd;--link:#0a5a9c;"
	"--key:#0a5a9c;--keyink:#fff}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#12171c;--card:#1b2229;--ink:#e8edf2;--soft:#a9b6c2;--line:#3a4652;"
	"--link:#7fc1f5;--key:#7fc1f5;--keyink:#0c1a26}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}\n"
	"header,main,footer{max-width:46rem;margin:0 auto;padding:0 1rem}\n"
	"header{display:flex;align-items:center;gap:.75rem;padding-top:1.5rem}\n"
	"header img{width:2.5rem;height:2.5rem;flex:none}\n"
	"header p{margin:0;font-weight:600}\n"
	"h1{font-size:1.75rem;line-height:1.25;margin:1.25rem 0 .75rem}\n"
	"h2{font-size:1.2rem;margin:0 0 .5rem}\n"
	"section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.25rem;margin:1rem 0}\n"
	"a{color:var(--link)}\n"
	"a:focus-visible,input:focus-visible,button:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:.25rem}\n"
	".key{display:inline-block;background:var(--key);color:var(--keyink);padding:.7rem 1.25rem;border-radius:.5rem;"
	"font-weight:600;text-decoration:none}\n"
	".key:hover{text-decoration:underline}button.key{border:0;font:inherit;font-weight:600;cursor:pointer}\n"
	"label{display:block;font-weight:600;margin:.75rem 0 .25rem}\n"
	"input{width:100%;max-width:24rem;font:inherit;padding:.6rem .7rem;color:var(--ink);background:var(--ground);"
	"border:1px solid var(--soft);border-radius:.5rem}\n"
	"form p{margin:1.1rem 0 0}.bad{border-left:.3rem solid #c0392b;padding-left:.75rem;font-weight:600}\n"
	"dl{display:grid;grid-template-columns:minmax(9rem,auto) 1fr;gap:.35rem 1rem;margin:0}\n"
	"dt{color:var(--soft)}dd{margin:0}\n"
	"@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}h1{font-size:1.45rem}"
	".key{display:block;text-align:center}}\n"
	"code{font:.95em ui-monospace,monospace;background:var(--ground);border:1px solid var(--line);border-radius:.3rem;"
	"padding:.05rem .3rem;-webkit-box-decoration-break:clone;box-decoration-break:clone}\n"
	"ol{padding-left:1.4rem}li{margin:.3rem 0}\n"
	"ul.apps{list-style:none;padding:0;margin:.5rem 0 0}\n"
	".qr{display:block;width:min(14rem,100%);height:auto;background:#fff;border-radius:.5rem;margin:.75rem 0}\n"
	".soft,footer{color:var(--soft)}\n"
	"footer{padding-bottom:2rem;font-size:.95rem}footer ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;"
	"padding:0}\n";

/* A tern's wings. */
static const char icon[] =
	"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 64 64'><rect width='64' height='64' rx='14' fill='#0a5a9c'/>"
	"<path d='M6 22c12-3 20 2 26 11 6-9 14-14 26-11-10 2-16 9-20 20l-6 9-6-9C22 31 16 24 6 22z' fill='#fff'/></svg>\n";

static const struct { const char *where, *name, *url; } apps[] = {
	{ "Android", "Conversations", "https://conversations.im/" },
	{ "iPhone, iPad, Mac", "Monal", "https://monal-im.org/" },
	{ "Linux, Windows", "Gajim", "https://gajim.org/" },
	{ "Linux", "Dino", "https://dino.im/" },
};

void web_text(struct buf *out, const char *text)
{
	xml_escape_attr(out, text, strlen(text));
}

/* http.url may name a host that is none of our domains: the first domain that is reached there. */
static bool by_url(struct sterna_mod *m, const char *asked, char host[STERNA_HOST_LEN])
{
	const char *domain;
	bool found = false;

	for (size_t i = 0; !found && (domain = sterna_mod_host(m, i)) != NULL; i++) {
		char *url = sterna_web_url(m, domain, STERNA_WEB_PAGE);
		const char *at = url != NULL ? strstr(url, "://") : NULL;
		const size_t n = strlen(asked);

		found = at != NULL && n > 0 && strncmp(at + 3, asked, n) == 0 && strchr(":/", at[3 + n]) != NULL;
		if (found)
			snprintf(host, STERNA_HOST_LEN, "%s", domain);
		free(url);
	}
	return found;
}

bool web_host(struct sterna_mod *m, struct sterna_http_request *r, char host[STERNA_HOST_LEN])
{
	char asked[STERNA_HOST_LEN];
	const char *only = sterna_mod_host(m, 0);

	if (sterna_has_host(m, sterna_http_host(r, host)))
		return true;
	memcpy(asked, host, sizeof asked);
	if (by_url(m, asked, host))
		return true;
	if (only != NULL && sterna_mod_host(m, 1) == NULL) {
		snprintf(host, STERNA_HOST_LEN, "%s", only);
		return true;
	}
	web_note(m, r, 404, W_NOT_FOUND, W_NO_SERVICE);
	return false;
}

bool web_is_below(const char *domain, const char *host)
{
	const size_t n = strlen(domain), h = strlen(host);

	return n > h && domain[n - h - 1] == '.' && strcmp(domain + n - h, host) == 0;
}

const char *web_name(struct sterna_mod *m, const char *host)
{
	const struct web_config *cfg = sterna_mod_config(m);

	return cfg->name != NULL ? cfg->name : host;
}

void web_say(struct web_page *p, enum web_word w, const char *argument)
{
	const char *text = web_word(p->lang, w), *hole = strstr(text, "{}");

	if (hole == NULL) {
		buf_puts(&p->out, text);
		return;
	}
	buf_add(&p->out, text, (size_t)(hole - text));
	if (argument != NULL)
		web_text(&p->out, argument);
	buf_puts(&p->out, hole + 2);
}

void web_element(struct web_page *p, const char *name, enum web_word w, const char *argument)
{
	buf_addf(&p->out, "<%s>", name);
	web_say(p, w, argument);
	buf_addf(&p->out, "</%s>\n", name);
}

void web_begin(struct web_page *p, struct sterna_mod *m, struct sterna_http_request *r, enum web_word title, const char *argument)
{
	*p = (struct web_page){ .mod = m, .request = r, .lang = web_lang_of(sterna_http_header(r, "Accept-Language")) };
	buf_addf(&p->out, "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>", web_lang_code(p->lang));
	web_say(p, title, argument);
	buf_lit(&p->out, "</title>\n<link rel=\"stylesheet\" href=\"/web/style.css\">\n"
		"<link rel=\"icon\" href=\"/web/icon.svg\" type=\"image/svg+xml\">\n</head>\n<body>\n");
}

void web_header(struct web_page *p, const char *host)
{
	buf_lit(&p->out, "<header><img src=\"/web/icon.svg\" alt=\"\"><p>");
	web_text(&p->out, web_name(p->mod, host));
	buf_lit(&p->out, "</p></header>\n<main>\n");
}

static bool may_link(const char *url)
{
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 || strncmp(url, "mailto:", 7) == 0
		|| strncmp(url, "xmpp:", 5) == 0 || *url == '/';
}

static void add_links(struct web_page *p, const struct sterna_pairs *links)
{
	buf_lit(&p->out, "<nav aria-label=\"");
	web_say(p, W_LINKS, NULL);
	buf_lit(&p->out, "\"><ul>\n");
	for (size_t i = 0; i < links->count; i++) {
		if (!may_link(links->value[i]))
			continue;
		buf_lit(&p->out, "<li><a href=\"");
		web_text(&p->out, links->value[i]);
		buf_lit(&p->out, "\">");
		web_text(&p->out, links->key[i]);
		buf_lit(&p->out, "</a></li>\n");
	}
	buf_lit(&p->out, "</ul></nav>\n");
}

/* A form must know its own page as where it comes from: without any referrer browsers say the origin "null". */
static void add_headers(const struct web_page *p)
{
	struct sterna_http_request *r = p->request;

	sterna_http_add_header(r, "Content-Security-Policy", p->form
		? "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
		: "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
	sterna_http_add_header(r, "Referrer-Policy", p->form ? "same-origin" : "no-referrer");
	sterna_http_add_header(r, "X-Frame-Options", "DENY");
	sterna_http_add_header(r, "Content-Language", web_lang_code(p->lang));
	sterna_http_add_header(r, "Vary", "Accept-Language");
}

void web_end(struct web_page *p, unsigned status)
{
	const struct web_config *cfg = sterna_mod_config(p->mod);

	buf_lit(&p->out, "</main>\n<footer>\n");
	if (cfg->links.count > 0)
		add_links(p, &cfg->links);
	buf_lit(&p->out, "</footer>\n</body>\n</html>\n");
	add_headers(p);
	sterna_http_reply(p->request, status, "text/html; charset=utf-8", buf_data(&p->out), buf_len(&p->out));
	buf_release(&p->out);
}

void web_note(struct sterna_mod *m, struct sterna_http_request *r, unsigned status, enum web_word title, enum web_word text)
{
	struct web_page p;

	web_begin(&p, m, r, title, NULL);
	buf_lit(&p.out, "<main>\n");
	web_element(&p, "h1", title, NULL);
	buf_lit(&p.out, "<section>\n");
	web_element(&p, "p", text, NULL);
	buf_lit(&p.out, "</section>\n");
	web_end(&p, status);
}

void web_apps(struct web_page *p)
{
	buf_lit(&p->out, "<ul class=\"apps\">\n");
	for (size_t i = 0; i < sizeof apps / sizeof *apps; i++)
		buf_addf(&p->out, "<li>%s: <a href=\"%s\" rel=\"noopener\">%s</a></li>\n", apps[i].where, apps[i].url, apps[i].name);
	buf_lit(&p->out, "</ul>\n");
}

static void constant(struct sterna_http_request *r, const char *type, const char *bytes, size_t len)
{
	sterna_http_add_header(r, "Cache-Control", "public, max-age=3600");
	sterna_http_reply(r, 200, type, bytes, len);
}

void web_get_style(struct sterna_mod *m, struct sterna_http_request *r)
{
	(void)m;
	constant(r, "text/css; charset=utf-8", style, sizeof style - 1);
}

void web_get_icon(struct sterna_mod *m, struct sterna_http_request *r)
{
	(void)m;
	sterna_http_add_header(r, "Content-Security-Policy", "default-src 'none'; sandbox");
	constant(r, "image/svg+xml", icon, sizeof icon - 1);
}
