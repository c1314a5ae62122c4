/* e2e_policy.h - what the module "e2e_policy" tells others: the stop "e2e.refused", for audit (module.h: stops). */
#ifndef MODULES_E2E_POLICY_H
#define MODULES_E2E_POLICY_H

#include "server/module.h"

#define E2E_REFUSED "e2e.refused"

/** The argument of the stop; borrowed. The stanza is sterna_stanza(c), whose body was readable or not. */
struct e2e_refusal {
	const char *policy;      /* "required" or "forbidden" */
	const char *by;          /* whose rule it was: "label", "room", "account", "host" or "default" */
	const char *method;      /* what it is encrypted with: "omemo", "omemo2", "openpgp", "pgp", "other"; or "none" */
	bool outgoing;           /* on its sender's side */
};

#endif
