/* openapi.c - see openapi.h. What every operation has in common (page, host, answers) stands once, under components. */
#include "server/openapi.h"
#include <stdlib.h>
#include <string.h>
#include "server/mem.h"
#include "server/request.h"

char *openapi_path(const struct sterna_command *c)
{
	char *path = xasprintf("/v1/%s", c->name);

	for (char *p = path; *p != '\0'; p++)
		if (*p == ' ')
			*p = '/';
	return path;
}

/* --- fields --- */

static json_t *text_schema(const struct sterna_field *f)
{
	json_t *schema, *choices;

	switch (f->type) {
	case STERNA_FIELD_NUMBER:
		return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
	case STERNA_FIELD_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case STERNA_FIELD_SECRET:
		return json_pack("{s:s, s:s, s:b}", "type", "string", "format", "password", "writeOnly", 1);
	case STERNA_FIELD_CHOICE:
		schema = json_pack("{s:s}", "type", "string");
		choices = json_array();
		for (const char *p = f->choices; p != NULL && *p != '\0';) {
			const size_t n = strcspn(p, "|");

			json_array_append_new(choices, json_stringn(p, n));
			p += n + (p[n] == '|');
		}
		json_object_set_new(schema, "enum", choices);
		return schema;
	default:
		return json_pack("{s:s}", "type", "string");
	}
}

static json_t *schema_of(const struct sterna_field *f)
{
	json_t *one = text_schema(f);

	if (f->type != STERNA_FIELD_LINES && f->type != STERNA_FIELD_ACCOUNTS && f->type != STERNA_FIELD_JIDS)
		return one;
	return json_pack("{s:s, s:o}", "type", "array", "items", one);
}

static const struct sterna_field words[] = { { "arguments", STERNA_FIELD_LINES, false, "arguments", NULL }, { 0 } };

static const struct sterna_field *fields_of(const struct sterna_command *c)
{
	return c->fields != NULL ? c->fields : words;
}

static json_t *ref(const char *kind, const char *name)
{
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/%s/%s", kind, name));
}

static json_t *parameters(const struct sterna_command *c, bool read)
{
	json_t *list = json_array();

	json_array_append_new(list, ref("parameters", "host"));
	if (!read)
		return list;
	json_array_append_new(list, ref("parameters", "page"));
	json_array_append_new(list, ref("parameters", "page-size"));
	for (const struct sterna_field *f = fields_of(c); f->name != NULL; f++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", f->name, "in", "query", "required",
			(int)f->required, "description", f->label != NULL ? f->label : f->name, "schema", schema_of(f)));
	return list;
}

static json_t *body(const struct sterna_command *c)
{
	json_t *properties = json_object(), *required = json_array(), *schema;

	for (const struct sterna_field *f = fields_of(c); f->name != NULL; f++) {
		schema = schema_of(f);
		json_object_set_new(schema, "description", json_string(f->label != NULL ? f->label : f->name));
		json_object_set_new(properties, f->name, schema);
		if (f->required)
			json_array_append_new(required, json_string(f->name));
	}
	schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
	const bool needed = json_array_size(required) > 0;

	if (needed)
		json_object_set_new(schema, "required", required);
	else
		json_decref(required);
	return json_pack("{s:b, s:{s:{s:o}}}", "required", (int)needed, "content", "application/json", "schema", schema);
}

/* --- operations --- */

static json_t *roles(const struct sterna_command *c)
{
	static const unsigned all[] = { STERNA_OWNER, STERNA_ADMIN, STERNA_OPERATOR, STERNA_AUDITOR, STERNA_SUPPORT };
	json_t *list = json_array();

	if (c->roles == STERNA_USER)
		json_array_append_new(list, json_string("user"));
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if ((command_roles(c) & all[i]) != 0)
			json_array_append_new(list, json_string(roles_word(all[i])));
	return list;
}

static json_t *operation(const struct sterna_command *c)
{
	const bool read = (c->flags & STERNA_COMMAND_READ) != 0;
	const size_t first = strcspn(c->name, " ");
	char *id = xstrdup(c->name);

	for (char *p = id; *p != '\0'; p++)
		if (*p == ' ' || *p == '-')
			*p = '_';
	json_t *o = json_pack("{s:s, s:s, s:[o], s:o, s:o, s:b, s:b}", "operationId", id, "summary",
		c->summary != NULL ? c->summary : c->name, "tags", json_stringn(c->name, first), "parameters", parameters(c, read),
		"x-roles", roles(c), "x-dangerous", (c->flags & STERNA_COMMAND_DANGEROUS) != 0, "x-whole-server",
		(c->flags & STERNA_COMMAND_SERVER) != 0);

	free(id);
	if (!read)
		json_object_set_new(o, "requestBody", body(c));
	json_object_set_new(o, "responses", json_pack("{s:o, s:o}", "200", ref("responses", "done"), "default",
		ref("responses", "problem")));
	if (!read)
		json_object_set_new(json_object_get(o, "responses"), "202", ref("responses", "waits"));
	return o;
}

static void add(void *arg, const struct found_command *f)
{
	char *path;

	if ((f->c->flags & STERNA_COMMAND_LOCAL) != 0)
		return;
	path = openapi_path(f->c);
	json_object_set_new(arg, path, json_pack("{s:o}", (f->c->flags & STERNA_COMMAND_READ) != 0 ? "get" : "post",
		operation(f->c)));
	free(path);
}

/* --- what all have in common --- */

static json_t *answers(void)
{
	json_t *problem = json_pack("{s:s, s:[sssss], s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s, s:[sssssssss]}, s:{s:s}, s:{s:s, s:s}}}",
		"type", "object", "required", "type", "title", "status", "code", "detail", "properties",
		"type", "type", "string", "title", "type", "string", "status", "type", "integer",
		"code", "type", "string", "enum", "usage", "unauthorized", "forbidden", "unknown", "not-found", "method", "conflict",
		"unavailable", "failed",
		"detail", "type", "string", "field", "type", "string", "description", "the field at fault");
	json_t *page = json_pack("{s:s, s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:[ss]}}}", "type", "object", "description",
		"which part of the arrays in the result this is", "properties", "number", "type", "integer", "size", "type", "integer",
		"total", "type", "integer", "next", "type", "integer", "null");
	json_t *done = json_pack("{s:s, s:[s], s:{s:{s:s}, s:o}}", "type", "object", "required", "result", "properties", "result",
		"description", "what the command has found: an object, an array, or null", "page", page);

	return json_pack("{s:{s:s, s:{s:{s:O}}}, s:{s:s, s:{s:{s:o}}}, s:{s:s, s:{s:{s:o}}}}",
		"waits", "description", "Nothing was done yet: the command waits for the approval of a second administrator, under the id "
		"in result.pending.", "content", "application/json", "schema", done,
		"done", "description", "Done.", "content", "application/json", "schema", done,
		"problem", "description", "Nothing was done; RFC 9457.", "content", "application/problem+json", "schema", problem);
}

static json_t *common_parameters(void)
{
	return json_pack("{s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s, s:s, s:s, s:{s:s, s:i, s:i}}, s:{s:s, s:s, s:s, s:{s:s, s:i}}}",
		"host", "name", "Sterna-Host", "in", "header", "description",
		"the host asked at; without it the token's owner needs the role on all hosts", "schema", "type", "string",
		"page", "name", "page", "in", "query", "description", "which part of a long result, from 0", "schema", "type", "integer",
		"minimum", 0, "default", 0,
		"page-size", "name", "page-size", "in", "query", "description", "rows in each part; default: api.page", "schema",
		"type", "integer", "minimum", 1);
}

json_t *openapi_make(const struct server *s)
{
	json_t *paths = json_object();

	command_each(s, add, paths);
	return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:o, s:[{s:[]}], s:{s:o, s:o, s:{s:{s:s, s:s, s:s}}}}",
		"openapi", "3.1.0", "info", "title", "Sterna", "version", PACKAGE_VERSION, "description",
		"Administrators' commands: the same names, fields, roles and checks as with sternactl and ad-hoc commands.",
		"license", "name", "Apache 2.0", "identifier", "Apache-2.0",
		"paths", paths, "security", "token",
		"components", "parameters", common_parameters(), "responses", answers(), "securitySchemes", "token", "type", "http",
		"scheme", "bearer", "description", "made by the command 'api token create'");
}
