/* registry.c - the tables of all modules, merged and sorted. */
#include "server/registry.h"
#include <stdlib.h>
#include <string.h>
#include "server/account.h"
#include "server/module_load.h"
#include "server/session.h"

struct registry *registry_ref(struct registry *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void registry_unref(struct registry **r)
{
	struct registry *was = *r;

	*r = NULL;
	if (was == NULL || atomic_fetch_sub_explicit(&was->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (int p = 0; p < STERNA_POINTS; p++)
		free(was->hooks[p]);
	for (size_t i = 0; i < was->module_count; i++)
		atomic_fetch_sub(&was->modules[i]->named, 1);
	free(was->modules);
	free(was->iqs);
	free(was->elements);
	free(was->lives);
	free(was->auditors);
	free(was);
}

/* --- building --- */

static void *grow(void *array, size_t count, size_t size)
{
	/* doubles at powers of two */
	return (count & (count - 1)) == 0 ? xrealloc(array, (count > 0 ? count * 2 : 1) * size) : array;
}

static int by_ns(const void *a, const void *b)
{
	return strcmp(((const struct iq_row *)a)->iq->ns, ((const struct iq_row *)b)->iq->ns);
}

struct pending {
	struct hook_row row;
	const char *after;
	bool placed;
};

static int by_module(const void *a, const void *b)
{
	return strcmp(((const struct pending *)a)->row.slot->m->name, ((const struct pending *)b)->row.slot->m->name);
}

static bool is_placed(const struct pending *p, size_t n, const char *module)
{
	for (size_t i = 0; i < n; i++)
		if (!p[i].placed && strcmp(p[i].row.slot->m->name, module) == 0)
			return false;
	return true; /* a module that is not there does not hold anyone up */
}

static void note_need(struct hook_need *needs, const struct hook_row *row)
{
	static const enum sterna_kind kinds[] = { STERNA_MESSAGE, STERNA_PRESENCE, STERNA_IQ };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if ((row->kinds & kinds[i]) == 0)
			continue;
		needs[kinds[i]].unless_at_rest |= row->rest_bit;
		needs[kinds[i]].always |= row->rest_bit == 0;
	}
}

static void note_needs(struct registry *r, int point, const struct hook_row *row)
{
	if (point == STERNA_TO_SESSION)
		note_need(r->to_session, row);
	else if (point >= STERNA_IN_POLICY && point <= STERNA_IN_COPY && (row->flags & STERNA_HOOK_NOT_MANY) == 0)
		note_need(r->many, row);
}

/* By name, each after the one that it names; false: they wait for each other. */
static bool order_hooks(struct registry *r, int point, struct pending *p, size_t n)
{
	struct hook_row *rows = xalloc((n > 0 ? n : 1) * sizeof *rows);
	size_t count = 0;

	if (n > 1)
		qsort(p, n, sizeof *p, by_module);
	while (count < n) {
		size_t i = 0;

		while (i < n && (p[i].placed || (p[i].after != NULL && !is_placed(p, n, p[i].after))))
			i++;
		if (i == n) {
			free(rows);
			return false;
		}
		p[i].placed = true;
		rows[count++] = p[i].row;
		r->hook_kinds[point] |= p[i].row.kinds;
		note_needs(r, point, &p[i].row);
	}
	r->hooks[point] = rows;
	r->hook_count[point] = count;
	return true;
}

static struct hook_row row_of(const struct module_slot *m, const struct sterna_hook *h)
{
	return (struct hook_row){ m, h->fn, h->kinds != 0 ? h->kinds : STERNA_MESSAGE, h->flags,
		(h->flags & STERNA_HOOK_RESTS) != 0 ? rest_bit(m) : 0 };
}

static bool build_hooks(struct registry *r)
{
	for (int point = 0; point < STERNA_POINTS; point++) {
		struct pending *p = NULL;
		size_t n = 0;
		bool ok;

		for (size_t i = 0; i < r->module_count; i++)
			for (const struct sterna_hook *h = r->modules[i]->m->hooks; h != NULL && h->fn != NULL; h++) {
				if ((int)h->point != point)
					continue;
				p = grow(p, n, sizeof *p);
				p[n++] = (struct pending){ row_of(r->modules[i], h), h->after, false };
			}
		ok = order_hooks(r, point, p, n);
		free(p);
		if (!ok) {
			log_error("module", "hooks that are each to come after the other");
			return false;
		}
	}
	return true;
}

static void build_rows(struct registry *r)
{
	for (size_t i = 0; i < r->module_count; i++) {
		const struct module_slot *s = r->modules[i];

		for (const struct sterna_iq *q = s->m->iq; q != NULL && q->fn != NULL; q++) {
			r->iqs = grow(r->iqs, r->iq_count, sizeof *r->iqs);
			r->iqs[r->iq_count++] = (struct iq_row){ s, q };
		}
		for (const struct sterna_element *e = s->m->elements; e != NULL && e->fn != NULL; e++) {
			r->elements = grow(r->elements, r->element_count, sizeof *r->elements);
			r->elements[r->element_count++] = (struct element_row){ s, e };
		}
		for (const struct sterna_lifecycle *l = s->m->on; l != NULL && l->fn != NULL; l++) {
			r->lives = grow(r->lives, r->life_count, sizeof *r->lives);
			r->lives[r->life_count++] = (struct life_row){ s, l };
		}
		if (s->m->audit != NULL) {
			r->auditors = grow(r->auditors, r->auditor_count, sizeof *r->auditors);
			r->auditors[r->auditor_count++] = s;
		}
		if (s->index >= r->slot_count)
			r->slot_count = s->index + 1;
	}
	if (r->iq_count > 1)
		qsort(r->iqs, r->iq_count, sizeof *r->iqs, by_ns);
}

struct registry *registry_build(struct module_slot *const *modules, size_t count)
{
	struct registry *r = xalloc(sizeof *r);

	atomic_init(&r->refs, 1);
	r->modules = xalloc((count > 0 ? count : 1) * sizeof(struct module_slot *));
	if (count > 0)
		memcpy(r->modules, modules, count * sizeof(struct module_slot *));
	r->module_count = count;
	for (size_t i = 0; i < count; i++)
		atomic_fetch_add(&modules[i]->named, 1);
	build_rows(r);
	if (!build_hooks(r)) {
		registry_unref(&r);
		return NULL;
	}
	return r;
}

/* --- looking up --- */

static size_t first_of(const struct registry *r, const char *ns)
{
	size_t low = 0, high = r->iq_count;

	while (low < high) {
		const size_t mid = (low + high) / 2;

		if (strcmp(r->iqs[mid].iq->ns, ns) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct iq_row *registry_iq(const struct registry *r, unsigned type, unsigned scope, const char *ns,
	const char *name, const struct module_slot *service)
{
	for (size_t i = first_of(r, ns); i < r->iq_count && strcmp(r->iqs[i].iq->ns, ns) == 0; i++) {
		const struct iq_row *row = &r->iqs[i];

		if ((row->iq->type & type) != 0 && (row->iq->scope & scope) != 0
			&& (row->iq->name == NULL || strcmp(row->iq->name, name) == 0)
			&& (scope != STERNA_SERVICE || row->slot == service))
			return row;
	}
	return NULL;
}

bool registry_knows(const struct registry *r, const char *ns)
{
	const size_t i = first_of(r, ns);

	return i < r->iq_count && strcmp(r->iqs[i].iq->ns, ns) == 0;
}

const struct element_row *registry_element(const struct registry *r, const char *ns, const char *name)
{
	for (size_t i = 0; i < r->element_count; i++)
		if (strcmp(r->elements[i].element->ns, ns) == 0 && strcmp(r->elements[i].element->name, name) == 0)
			return &r->elements[i];
	return NULL;
}

static void run_event(struct worker *w, const struct module_slot *only, enum sterna_event event, struct account *a,
	struct sterna_session *s, struct sterna_call *within)
{
	bool any = false;

	for (size_t i = 0; i < w->registry->life_count && !any; i++)
		any = w->registry->lives[i].life->event == event;
	if (!any)
		return;
	struct stanza *st = within != NULL ? stanza_ref(within->stanza) : stanza_make("presence", NULL, NULL, NULL, NULL);
	struct sterna_call *c = call_new(w, &st);

	call_set_account(c, a);
	if (s != NULL)
		call_set_session(c, s);
	for (size_t i = 0; i < c->registry->life_count; i++) {
		const struct life_row *row = &c->registry->lives[i];

		if (row->life->event != event || (only != NULL && row->slot != only))
			continue;
		c->module = row->slot;
		row->life->fn(c);
	}
	call_finish(c);
}

void modules_event(struct worker *w, enum sterna_event event, struct account *a, struct sterna_session *s,
	struct sterna_call *within)
{
	run_event(w, NULL, event, a, s, within);
}

void module_event_one(struct worker *w, const struct module_slot *m, enum sterna_event event, struct account *a,
	struct sterna_session *s)
{
	run_event(w, m, event, a, s, NULL);
}
