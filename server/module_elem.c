/* module_elem.c - module.h's functions on elements and data forms (XEP-0004). */
#include <string.h>
#include "server/call.h"
#include "server/xml.h"

#define NS_FORM "jabber:x:data"

struct sterna_elem *sterna_elem(struct sterna_call *c, const char *name, const char *ns)
{
	return elem_new(call_arena(c), name, ns);
}

struct sterna_elem *sterna_add(struct sterna_elem *parent, const char *name, const char *ns)
{
	return elem_add(parent->arena, parent, name, ns != NULL ? ns : parent->ns);
}

void sterna_attr(struct sterna_elem *e, const char *name, const char *value)
{
	elem_set_attr(e->arena, e, name, value);
}

struct sterna_elem *sterna_text(struct sterna_elem *e, const char *name, const char *text)
{
	if (name != NULL)
		return elem_add_text_elem(e->arena, e, name, text);
	elem_add_text(e->arena, e, text, strlen(text));
	return e;
}

void sterna_add_xml(struct sterna_elem *e, const char *xml)
{
	struct sterna_elem *child = NULL;

	if (xml != NULL && xml_parse(e->arena, xml, strlen(xml), &child) == STERNA_OK)
		elem_append(e, child);
	else
		log_error("module", "stored XML cannot be read", "size", LOG_UINT(xml != NULL ? strlen(xml) : 0));
}

void sterna_add_stored(struct sterna_elem *e, const char *xml)
{
	const size_t len = xml != NULL ? strlen(xml) : 0;

	if (xml != NULL && xml_is_whole(xml, len))
		elem_add_whole(e->arena, e, xml, len);
	else
		sterna_add_xml(e, xml);
}

void sterna_add_copy(struct sterna_elem *e, const struct sterna_elem *child)
{
	elem_append(e, elem_copy(e->arena, child));
}

const char *sterna_xml(const struct sterna_elem *e)
{
	struct buf text = BUF_INIT;

	elem_write(&text, e, NULL);
	const char *out = arena_strndup(e->arena, buf_data(&text), buf_len(&text));

	buf_release(&text);
	return out;
}

const char *sterna_child_text(const struct sterna_elem *e, const char *name)
{
	return elem_child_text(e->arena, e, name);
}

const char *sterna_form_value(const struct sterna_elem *form, const char *var)
{
	if (form == NULL)
		return NULL;
	elem_foreach(f, form)
	{
		const char *name = elem_attr(f, "var");

		if (elem_is(f, "field", NS_FORM) && name != NULL && strcmp(name, var) == 0)
			return elem_child_text(f->arena, f, "value");
	}
	return NULL;
}

struct sterna_elem *sterna_form(struct sterna_elem *parent, const char *type, const char *form_type)
{
	struct sterna_elem *x = elem_add(parent->arena, parent, "x", NS_FORM);

	elem_set_attr(x->arena, x, "type", type);
	if (form_type != NULL)
		sterna_form_field(x, "FORM_TYPE", "hidden", form_type);
	return x;
}

struct sterna_elem *sterna_form_field(struct sterna_elem *form, const char *var, const char *type, const char *value)
{
	struct sterna_elem *f = elem_add(form->arena, form, "field", NS_FORM);

	elem_set_attr(f->arena, f, "var", var);
	if (type != NULL)
		elem_set_attr(f->arena, f, "type", type);
	if (value != NULL)
		elem_add_text_elem(f->arena, f, "value", value);
	return f;
}
