/* captcha.c - questions and answers at registration. */
#include "server/captcha.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/fold.h"
#include "server/mem.h"
#include "server/module.h"

enum { ID = 16 };

struct captcha {
	char id[2 * ID + 1];
	char *answers;                       /* "oslo|christiania" */
};

void captcha_free(struct captcha **cp)
{
	struct captcha *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	free(c->answers);
	free(c);
}

void captcha_ask(struct captcha **cp, struct loop *l, const struct config_host *h, const char *sid, struct sterna_elem *form)
{
	struct captcha *c = xalloc(sizeof *c);
	struct sterna_elem *qa;
	unsigned char random[ID];
	uint32_t which;

	loop_random(l, random, sizeof random);
	loop_random(l, &which, sizeof which);
	for (unsigned i = 0; i < ID; i++)
		snprintf(c->id + 2 * i, 3, "%02x", random[i]);
	which %= (uint32_t)h->questions.count;
	c->answers = xstrdup(h->questions.value[which]);
	sterna_form_field(form, "challenge", "hidden", c->id);
	sterna_form_field(form, "sid", "hidden", sid);
	qa = sterna_form_field(form, "qa", "text-single", NULL);
	elem_set_attr(qa->arena, qa, "label", h->questions.key[which]);
	elem_add(qa->arena, qa, "required", "jabber:x:data");
	captcha_free(cp);
	*cp = c;
}

/* Without what people do not see as a difference: case, and blanks at its ends. New. */
static char *plain(const char *text, size_t len)
{
	while (len > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return fold_text(text, len);
}

static bool is_among(const char *answers, const char *given)
{
	char *mine = plain(given, strlen(given));
	bool found = false;

	while (!found && *answers != '\0') {
		const size_t n = strcspn(answers, "|");
		char *one = plain(answers, n);

		found = *one != '\0' && strcmp(one, mine) == 0;
		free(one);
		answers += n + (answers[n] == '|');
	}
	free(mine);
	return found;
}

enum captcha_verdict captcha_take(struct captcha **cp, const struct sterna_elem *form)
{
	const char *id = sterna_form_value(form, "challenge"), *given = sterna_form_value(form, "qa");
	enum captcha_verdict v = CAPTCHA_UNKNOWN;

	if (*cp != NULL && id != NULL && given != NULL && strcmp(id, (*cp)->id) == 0)
		v = is_among((*cp)->answers, given) ? CAPTCHA_RIGHT : CAPTCHA_WRONG;
	captcha_free(cp);
	return v;
}
