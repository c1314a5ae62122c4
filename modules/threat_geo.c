/* threat_geo.c - where an address is, by a database of MaxMind's format (GeoLite2-City and its like), if the build has
 * libmaxminddb. */
#include <config.h>
#include <stdlib.h>
#include <string.h>
#include "modules/threat.h"
#ifdef HAVE_MAXMINDDB
#include <maxminddb.h>

struct threat_geo {
	MMDB_s db;
};

struct threat_geo *threat_geo_open(const char *file, const char **why)
{
	struct threat_geo *g = xalloc(sizeof *g);
	const int error = MMDB_open(file, MMDB_MODE_MMAP, &g->db);

	if (error == MMDB_SUCCESS)
		return g;
	*why = MMDB_strerror(error);
	free(g);
	return NULL;
}

void threat_geo_close(struct threat_geo **geo)
{
	struct threat_geo *g = *geo;

	*geo = NULL;
	if (g == NULL)
		return;
	MMDB_close(&g->db);
	free(g);
}

static bool number(MMDB_entry_s *e, const char *name, double *out)
{
	MMDB_entry_data_s d;

	if (MMDB_get_value(e, &d, "location", name, NULL) != MMDB_SUCCESS || !d.has_data)
		return false;
	if (d.type == MMDB_DATA_TYPE_DOUBLE)
		*out = d.double_value;
	else if (d.type == MMDB_DATA_TYPE_UINT16)
		*out = d.uint16;
	else
		return false;
	return true;
}

bool threat_geo_find(struct threat_geo *g, const char *address, struct threat_place *out)
{
	int bad = 0, error = 0;
	MMDB_lookup_result_s r = MMDB_lookup_string(&g->db, address, &bad, &error);
	struct threat_place p = { 0, 0, 0 };

	if (bad != 0 || error != MMDB_SUCCESS || !r.found_entry || !number(&r.entry, "latitude", &p.latitude)
		|| !number(&r.entry, "longitude", &p.longitude))
		return false;
	(void)number(&r.entry, "accuracy_radius", &p.radius_km);
	*out = p;
	return true;
}
#else

struct threat_geo *threat_geo_open(const char *file, const char **why)
{
	(void)file;
	*why = "this build has no libmaxminddb";
	return NULL;
}

void threat_geo_close(struct threat_geo **g)
{
	*g = NULL;
}

bool threat_geo_find(struct threat_geo *g, const char *address, struct threat_place *out)
{
	(void)g;
	(void)address;
	(void)out;
	return false;
}
#endif
