/* Lists of JIDs: see jid_list.h. */
#include "xep/jid_list.h"
#include <stdlib.h>
#include <string.h>

/* Where it is, or where it would be inserted. */
static size_t place(const struct jid_list *l, const char *jid, bool *found)
{
	size_t low = 0, high = l->count;

	*found = false;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = strcmp(l->item[middle], jid);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool jid_list_has(const struct jid_list *l, const char *jid)
{
	bool found;

	place(l, jid, &found);
	return found;
}

bool jid_list_add(struct jid_list *l, const char *jid)
{
	bool found;
	const size_t at = place(l, jid, &found);

	if (found)
		return false;
	if (l->count == l->size) {
		l->size = l->size > 0 ? l->size * 2 : 8;
		l->item = xrealloc(l->item, l->size * sizeof *l->item);
	}
	memmove(l->item + at + 1, l->item + at, (l->count - at) * sizeof *l->item);
	l->item[at] = xstrdup(jid);
	l->count++;
	return true;
}

bool jid_list_remove(struct jid_list *l, const char *jid)
{
	bool found;
	const size_t at = place(l, jid, &found);

	if (!found)
		return false;
	free(l->item[at]);
	l->count--;
	memmove(l->item + at, l->item + at + 1, (l->count - at) * sizeof *l->item);
	return true;
}

void jid_list_clear(struct jid_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct jid_list){ NULL, 0, 0 };
}

bool jid_list_matches(const struct jid_list *l, const struct jid *j)
{
	return l->count > 0 && (jid_list_has(l, jid_full(j)) || jid_list_has(l, jid_bare(j))
		|| jid_list_has(l, jid_domain(j)));
}
