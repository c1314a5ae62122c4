/* xep0313_mam.h - what the files of the module "mam" share. */
#ifndef XEP0313_MAM_H
#define XEP0313_MAM_H

#include "xep/jid_list.h"
#include "xep/mam.h"

enum mam_mode { MAM_ALWAYS, MAM_NEVER, MAM_ROSTER };
#define MAM_MODES "always|never|roster"

struct mam_config {
	unsigned default_mode;
	bool enforce;
	unsigned page, max_page, max_prefs;
	struct sterna_size max_bytes;
};
struct mam_account {
	bool has_prefs;
	enum mam_mode mode;
	struct jid_list always, never;
};
struct mam_session {
	int64_t seen_from, seen_to; /* it has read what lies between, and that was the end; 0: nothing yet */
};

/* xep0313_query.c */
/** Of any archive (mam.h). */
enum sterna_verdict mam_query(struct sterna_call *c, const struct mam_source *source);
enum sterna_verdict mam_metadata(struct sterna_call *c, const struct mam_source *source);

/* xep0441_prefs.c */
sterna_fn mam_on_prefs_get, mam_on_prefs_set;
extern const struct db_stmt mam_prefs_load;
void mam_prefs_rows(struct sterna_call *c, const struct sterna_rows *rows);
void mam_prefs_unloaded(struct sterna_call *c);
void mam_prefs_deleted(struct sterna_call *c);
/** May what is said with that peer be archived for c's account? */
bool mam_prefs_allow(struct sterna_call *c, const struct jid *peer);

#endif
