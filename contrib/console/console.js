// console.js - the page: a view for each thing that an administrator looks after. Whatever is done is an ad-hoc command, so
// that roles, checks and the audit are those of every other door. Elements are made by h(): no text becomes markup.
import { Client } from "./xmpp.js";

const REFRESH_MS = 2000, POINTS = 90, ROWS = 500;
const $ = id => document.getElementById(id);
let client = null, allowed = new Map(), timer = null, history = [];

// --- building ---

function h(tag, attributes = {}, ...children) {
	const e = document.createElement(tag);

	for (const [key, value] of Object.entries(attributes))
		if (key.startsWith("on"))
			e.addEventListener(key.slice(2), value);
		else if (value === true)
			e.setAttribute(key, "");
		else if (value !== false && value != null)
			e.setAttribute(key, value);
	e.append(...children.flat(Infinity).filter(c => c != null && c !== false));
	return e;
}

function svg(tag, attributes = {}, ...children) {
	const e = document.createElementNS("http://www.w3.org/2000/svg", tag);

	for (const [key, value] of Object.entries(attributes))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);
const list = value => Array.isArray(value) ? value : value ? [value] : [];
const number = value => Number(value).toLocaleString("en");

function shown(value) {
	if (value == null || value === "")
		return "";
	if (typeof value === "object")
		return h("pre", {}, JSON.stringify(value, null, 1));
	return String(value).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, "$1 $2 UTC");
}

const when = us => us && Number(us) ? new Date(Number(us) / 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC" : "";

function say(text) {
	$("status").textContent = text;
	clearTimeout(say.timer);
	say.timer = setTimeout(() => { $("status").textContent = ""; }, 6000);
}

/** columns: [{key, title, cell(row)}]; the first one heads the row. actions(row): buttons. */
function table(caption, columns, rows, actions) {
	const body = rows.slice(0, ROWS).map(row => h("tr", {}, columns.map((c, i) => h(i ? "td" : "th", { "data-label": c.title,
		...(i ? {} : { scope: "row" }) }, c.cell ? c.cell(row) : shown(row[c.key]))),
	actions && h("td", { "data-label": "Actions" }, h("div", {}, actions(row)))));

	return h("div", { class: "table", role: "region", "aria-label": caption, tabindex: "0" }, h("table", {},
		h("caption", {}, `${caption}: ${number(rows.length)}${rows.length > ROWS ? `, the first ${ROWS}` : ""}`),
		h("thead", {}, h("tr", {}, columns.map(c => h("th", { scope: "col" }, c.title)), actions && h("th", { scope: "col" },
			"Actions"))), h("tbody", {}, body)));
}

const columns = (...names) => names.map(n => typeof n === "string" ? { key: n, title: { jid: "Address", tls: "TLS",
	seq: "Number" }[n] || n[0].toUpperCase() + n.slice(1).replace(/_/g, " ") } : n);

// --- commands ---

const may = name => allowed.has(name);
const node = name => allowed.get(name)?.node;

async function run(name, fields) {
	if (!may(name))
		throw new Error(`Your role does not allow ‘${name}’.`);
	return client.run(node(name), fields);
}

const rows = async (name, fields) => (await run(name, fields)).rows || [];

/** A question before something happens; the fields it asks for. @return null: no. */
function question(title, text, fields = [], word = "Do it") {
	const dialog = $("dialog");

	return new Promise(resolve => {
		const answer = value => { dialog.oncancel = null; dialog.close(); resolve(value); };
		const inputs = fields.map(f => h("input", { id: "ask-" + f.name, type: f.type || "text", required: f.required,
			autocomplete: f.type === "password" ? "new-password" : "off" }));
		const form = h("form", { onsubmit: e => { e.preventDefault(); answer(Object.fromEntries(fields.map((f, i) => [f.name,
			inputs[i].value]).filter(([, v]) => v !== ""))); } },
		h("h2", { id: "dialog-title" }, title), h("p", {}, text), fields.map((f, i) => [h("label", { for: "ask-" + f.name }, f.label),
			inputs[i]]), h("div", { class: "actions" }, button("Cancel", () => answer(null)), h("button", { type: "submit" }, word)));

		dialog.replaceChildren(form);
		dialog.oncancel = () => resolve(null);
		dialog.showModal();
		(inputs[0] || form.querySelector(".actions button")).focus();
	});
}

function show(title, ...content) {
	const dialog = $("dialog");

	dialog.oncancel = null;
	dialog.replaceChildren(h("h2", { id: "dialog-title" }, title), ...content, h("div", { class: "actions" }, button("Close", () =>
		dialog.close(), { class: "main" })));
	dialog.showModal();
}

/** What a button does: the question, the command, what it said, and the view anew. */
function act(text, name, title, asked, fields, more = []) {
	if (!may(name))
		return null;
	return button(text, async () => {
		const given = await question(title, asked, more, text);

		if (!given)
			return;
		try {
			const result = await run(name, { ...fields, ...given });

			say(result.values?.pending ? "It waits for another administrator." : `${title}: ${result.note || "done"}`);
		} catch (error) {
			say(`${title}: ${error.message}`);
		}
		view(current);
	}, { class: /delete|destroy|end|disable|revoke/i.test(text) ? "danger" : null, "aria-label": title });
}

const shower = (text, title, name, fields) => may(name) && button(text, async () => {
	try {
		const r = await run(name, fields);

		show(title, r.rows ? table(title, columns(...Object.keys(r.rows[0] || { nothing: "" })), r.rows) : details(r.values));
	} catch (error) {
		say(`${title}: ${error.message}`);
	}
}, { "aria-label": title });

const details = values => table("Fields", columns("field", "value"), Object.entries(values).map(([field, value]) => ({ field,
	value: Array.isArray(value) && value.every(v => typeof v === "string") ? value.join(", ") : value })));

// --- views ---

const reason = { name: "reason", label: "Reason" };

const views = {
	Health: { needs: ["status"], live: true, async draw() {
		const s = (await run("status")).values;
		const all = may("stats") ? (await run("stats")).values : {};
		const sum = name => Object.entries(all).filter(([k]) => k === name || k.startsWith(name + "{")).reduce((n, [, v]) => n
			+ Number(v), 0);
		const most = name => Math.max(0, ...Object.entries(all).filter(([k]) => k === name || k.startsWith(name + "{")).map(([, v]) =>
			Number(v)));
		const audit = may("audit status") ? (await run("audit status")).values : null;
		const links = may("s2s list") ? await rows("s2s list").catch(() => []) : [];

		note(sum("sterna_stanzas_received_total"));
		const up = Number(s.uptime_s), days = Math.floor(up / 86400);
		const cards = [["Server", s.draining === "true" ? "ends" : "running", s.draining === "true" ? "warn" : "good"],
			["Version", s.version], ["Up since", `${days} d ${Math.floor(up / 3600) % 24} h ${Math.floor(up / 60) % 60} min`],
			["Sessions", number(s.sessions)], ["Streams", number(s.streams)],
			["Certificate ends in", `${s.certificate_days} days`, s.certificate_days < 14 ? "bad" : ""]];

		if (may("stats"))
			cards.push(["Stanzas per second", rate() == null ? "…" : rate().toFixed(1)],
				["Database", sum("sterna_db_up_workers") > 0 ? "up" : "away", sum("sterna_db_up_workers") > 0 ? "good" : "bad"],
				["Writes that wait", `${number(sum("sterna_db_queue_bytes"))} bytes`],
				["Between workers", number(sum("sterna_mailbox_depth"))],
				["Longest turn", `${(most("sterna_loop_longest_turn_seconds") * 1000).toFixed(1)} ms`]);
		if (may("s2s list"))
			cards.push(["Links to servers", number(links.length)], ["Waiting for them", number(links.reduce((n, l) => n
				+ Number(l.waiting), 0))]);
		if (audit)
			cards.push(["Audit records", number(audit.records)], ["Outbox", number(audit.pending), Number(audit.pending) > Number(
				audit.outbox) / 2 ? "bad" : ""], ["Kafka", audit.kafka, audit.kafka === "away" ? "bad" : ""]);
		return [h("dl", { class: "cards" }, cards.map(([title, value, kind]) => h("div", { class: "card" }, h("dt", {}, title),
			h("dd", { class: kind || null }, value)))), may("stats") && chart(), h("h3", {}, "Hosts"),
		h("p", {}, list(s.hosts).join(", "))];
	} },
	Sessions: { needs: ["session list"], search: "Account or host", async draw(text) {
		const all = await rows("session list", { limit: "10000", ...(text ? { jid: text } : {}) });

		return [table("Sessions", [...columns("jid"), { title: "Since", cell: r => when(r.since_us) }, ...columns("address", "tls",
			"mechanism", "client"), { title: "Connected", cell: r => r.connected === "true" ? "yes" : "may resume" }], all,
		r => act("End", "session kick", `End the session ${r.jid}`, "The client is told the reason, and may log in again.",
			{ accountjids: r.jid }, [reason]))];
	} },
	Users: { needs: ["list registered"], search: "Part of the address", async draw(text) {
		const r = (await run("list registered", { max_items: "none" })).values;
		const all = list(Object.values(r).find(Array.isArray) ?? Object.values(r)[0]).filter(j => !text || j.includes(text));
		const off = may("list disabled") ? new Set(list(Object.values((await run("list disabled", { max_items: "none" })).values)
			.flat())) : new Set();

		return [may("user add") && h("div", { class: "actions tools" }, act("New account", "user add", "New account", "", {}, [
			{ name: "accountjid", label: "Address", required: true }, { name: "password", label: "Password", type: "password",
				required: true }])), table("Accounts", [...columns("jid"), { title: "State", cell: u => off.has(u.jid)
			? h("span", { class: "warn" }, "disabled") : "active" }], all.map(jid => ({ jid })), ({ jid }) => [
			shower("Show", `Account ${jid}`, "user show", { accountjid: jid }),
			shower("Clients", `Clients of ${jid}`, "client list", { accountjid: jid }),
			off.has(jid) ? act("Enable", "user enable", `Enable ${jid}`, "The account can be used again.", { accountjids: jid })
				: act("Disable", "user disable", `Disable ${jid}`, "Sessions end; nobody logs in. Nothing is deleted.",
					{ accountjids: jid }, [reason]),
			act("Password", "user passwd", `Password of ${jid}`, "Sessions and tokens of before end.", { accountjid: jid }, [
				{ name: "password", label: "New password", type: "password", required: true }]),
			act("Delete", "user delete", `Delete ${jid}`, "The account and all that is stored of it goes. This cannot be taken back.",
				{ accountjids: jid })])];
	} },
	Rooms: { needs: ["room list"], search: "Part of the address", async draw(text) {
		const all = (await rows("room list")).filter(r => !text || r.room.includes(text));

		return [table("Rooms", columns("room", "name", "sessions", "members", "public", "created"), all, r => [
			shower("Show", `Room ${r.room}`, "room show", { room: r.room }),
			shower("Affiliations", `Affiliations to ${r.room}`, "room affiliations", { room: r.room }),
			act("Destroy", "room destroy", `Destroy ${r.room}`, "Everyone is put out, and the archive goes. This cannot be taken back.",
				{ room: r.room }, [reason])])];
	} },
	Federation: { needs: ["s2s list"], async draw() {
		const all = await rows("s2s list");
		const kind = { connected: "good", failed: "bad", waiting: "warn" };

		return [table("Links to other servers", [...columns("domain", "host"), { title: "State", cell: r => h("span", { class:
			kind[r.state] }, r.state) }, { title: "Cause", cell: r => [r.condition, r.why].filter(Boolean).join(": ") },
		...columns("waiting", "unconfirmed", "failures")], all, r => [
			may("s2s explain") && button("Explain", async () => {
				const e = (await run("s2s explain", { domain: r.domain })).values;
				const steps = list(e.links).map(l => (typeof l === "string" ? JSON.parse(l) : l).last_attempt?.steps || []).flat();

				show(`How ${r.domain} was tried`, steps.length ? table("Steps", columns("ms", "what", "ok", "text"), steps.map(x => ({
					...x, ok: x.ok ? "yes" : "no" }))) : h("p", {}, "There is no attempt on record."), details(e));
			}, { "aria-label": `Explain ${r.domain}` }),
			act("Try anew", "s2s reset", `Try ${r.domain} anew`, "Its streams are closed; what waits is tried at once.",
				{ domain: r.domain })])];
	} },
	Reports: { needs: ["report list"], async draw() {
		return [table("Reports of spam and abuse", columns("time", "jid", "reason", "by", "text", "messages"), await rows(
			"report list", { count: "1000" }), r => act("Refuse everywhere", "blacklist add-in", `Refuse ${r.jid}`,
			"Nothing more comes in from this address, to anybody here.", { blacklistjids: r.jid }))];
	} },
	Audit: { needs: ["audit search"], async draw() {
		const out = h("div", {}), fields = [["type", "Type, as login.failed"], ["key", "Account, room or host"],
			["since", "Since, 2026-01-31T12:00:00Z"], ["count", "At most"]];
		const inputs = fields.map(([name]) => h("input", { id: "audit-" + name, autocomplete: "off" }));
		const search = async () => {
			const given = Object.fromEntries(fields.map(([name], i) => [name, inputs[i].value.trim()]).filter(([, v]) => v));

			try {
				const found = await rows("audit search", given);

				out.replaceChildren(table("Records", columns("time", "type", "subject", "host", "data", "seq"), found));
				say(`${found.length} records`);
			} catch (error) {
				out.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
			}
		};

		await search();
		return [h("form", { class: "tools", onsubmit: e => { e.preventDefault(); search(); } }, fields.map(([name, label], i) =>
			h("div", {}, h("label", { for: "audit-" + name }, label), inputs[i])), h("button", { type: "submit" }, "Search")), out];
	} },
	Waiting: { needs: ["pending list"], async draw() {
		return [h("p", { class: "quiet" }, "Commands that want the approval of a second administrator."), table("Waiting", columns("command",
			{ key: "accountjid", title: "Asked by" }, "args", "host", "asked", "expires"), await rows("pending list"), r => [
			act("Approve", "pending approve", `Approve ${r.command} of ${r.accountjid}`, "It runs at once, as the one who has asked.",
				{ id: r.id }),
			act("Refuse", "pending refuse", `Refuse ${r.command} of ${r.accountjid}`, "It is not run.", { id: r.id }, [reason])])];
	} },
	Commands: { needs: [], async draw() {
		return [h("p", { class: "quiet" }, "All that your role may do."), table("Commands", columns("name", "what"), [...allowed].map(
			([name, k]) => ({ name, what: k.name })).sort((a, b) => a.name.localeCompare(b.name)), r => button("Open", () => fill(r.name),
			{ "aria-label": `Open ${r.name}` }))];
	} },
};

// --- any command, by its form ---

function input(f, id) {
	const text = f.values.join("\n"), common = { id, required: f.required };

	if (f.type === "boolean")
		return h("input", { id, type: "checkbox", checked: ["1", "true"].includes(text) });
	if (f.type === "list-single")
		return h("select", common, !f.required && h("option", { value: "" }, ""), f.options.map(o => h("option", { value: o,
			selected: o === text }, o)));
	if (f.type === "text-multi" || f.type === "jid-multi") {
		const area = h("textarea", { ...common, rows: "3" });

		area.value = text;
		return area;
	}
	return h("input", { ...common, type: f.type === "text-private" ? "password" : "text", autocomplete: "off", value: text || null });
}

const given = (f, e) => f.type === "boolean" ? String(e.checked) : /multi/.test(f.type) ? e.value.split("\n").filter(l =>
	f.type === "text-multi" || l.trim()) : e.value;

async function fill(name) {
	let c;

	try {
		c = await client.stage(node(name), null, "execute");
	} catch (error) {
		say(`${name}: ${error.message}`);
		return;
	}
	stage(name, c);
}

/** One stage of a command: its form, or what it has found. */
function stage(name, c) {
	const dialog = $("dialog");

	if (c.status !== "executing") {
		const r = c.result();

		show(name, h("p", {}, r.note), r.rows ? table("Result", columns(...Object.keys(r.rows[0] || { nothing: "" })), r.rows)
			: Object.keys(r.values).length ? details(r.values) : null);
		return;
	}
	const fields = c.fields(), inputs = fields.map((f, i) => f.type === "fixed" ? h("p", {}, f.values.join(", "))
		: input(f, "field-" + i));
	const go = async (action, values) => {
		try {
			stage(name, await client.stage(node(name), c.sessionid, action, values));
		} catch (error) {
			dialog.close();
			say(`${name}: ${error.message}`);
		}
	};

	dialog.oncancel = () => { client.stage(node(name), c.sessionid, "cancel").catch(() => {}); };
	dialog.replaceChildren(h("form", { onsubmit: e => { e.preventDefault(); go(c.execute, Object.fromEntries(fields.filter(f =>
		f.type !== "fixed").map(f => [f.name, given(f, inputs[fields.indexOf(f)])]))); } }, h("h2", { id: "dialog-title" }, name),
	c.note && h("p", { class: c.mistake ? "error" : "warn", role: "alert" }, c.note), fields.map((f, i) => [h("label", { for:
		"field-" + i }, f.label + (f.required ? " (required)" : "")), inputs[i]]), h("div", { class: "actions" }, button("Cancel",
		() => { dialog.oncancel(); dialog.close(); }), h("button", { type: "submit" }, c.execute === "next" ? "Next" : "Do it"))));
	if (!dialog.open)
		dialog.showModal();
	dialog.querySelector("input, select, textarea, button")?.focus();
}

// --- messages per second ---

function note(total) {
	history.push({ at: performance.now(), total });
	if (history.length > POINTS)
		history.shift();
}

const rates = () => history.slice(1).map((p, i) => Math.max(0, (p.total - history[i].total) / (p.at - history[i].at) * 1000));
const rate = () => rates().at(-1) ?? null;

function chart() {
	const values = rates(), top = Math.max(1, ...values);
	const points = values.map((v, i) => `${(i / Math.max(1, POINTS - 2) * 100).toFixed(2)},${(38 - v / top * 36).toFixed(2)}`);

	return h("figure", { class: "chart" }, svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" },
		svg("line", { x1: 0, x2: 100, y1: 38, y2: 38 }), svg("polyline", { points: points.join(" ") })),
	h("figcaption", {}, h("p", {}, `Stanzas from clients and servers per second, the last three minutes: now ${
		rate() == null ? "not known yet" : rate().toFixed(1)}, most ${values.length ? Math.max(...values).toFixed(1) : "0"}.`)));
}

// --- which view ---

let current = null, drawing = 0;

async function view(name, text, focus) {
	const v = views[name], mine = ++drawing, section = $("view");

	current = name;
	clearTimeout(timer);
	for (const b of $("nav").children)
		b.toggleAttribute("aria-current", false), b.textContent === name && b.setAttribute("aria-current", "page");
	document.title = `${name} · Sterna console`;
	try {
		const content = await v.draw(text), old = section.querySelector("input[type=search]");

		if (mine !== drawing)
			return;
		if (section.dataset.name === name && old && text != null) /* whoever types goes on */
			section.replaceChildren(section.firstChild, old.closest("form"), ...content.filter(Boolean));
		else
			section.replaceChildren(h("h2", {}, name), ...(v.search ? [searchForm(name, v.search, text)] : []), ...content.filter(
				Boolean));
	} catch (error) {
		if (mine === drawing)
			section.replaceChildren(h("h2", {}, name), h("p", { class: "error", role: "alert" }, error.message));
	}
	section.dataset.name = name;
	if (focus)
		$("main").focus();
	if (v.live && client)
		timer = setTimeout(() => view(name), REFRESH_MS);
}

function searchForm(name, label, text) {
	return h("form", { class: "tools", role: "search", onsubmit: e => { e.preventDefault(); view(name, e.target.q.value.trim()); } },
		h("div", {}, h("label", { for: "q" }, label), h("input", { id: "q", name: "q", type: "search", value: text || null, autocomplete:
			"off" })), h("button", { type: "submit" }, "Search"), button("Refresh", () => view(name, $("q").value.trim())));
}

function enter() {
	const names = Object.keys(views).filter(n => views[n].needs.every(may));

	$("login").hidden = true;
	$("view").hidden = $("nav").hidden = $("who").hidden = false;
	$("me").textContent = client.jid.split("/")[0];
	$("nav").replaceChildren(...names.map(n => button(n, () => view(n, undefined, true))));
	view(names[0], undefined, true);
}

function leave(text) {
	clearTimeout(timer);
	client?.close();
	client = null;
	current = null;
	drawing++;
	allowed = new Map();
	history = [];
	if ($("dialog").open)
		$("dialog").close();
	$("view").replaceChildren();
	$("dialog").replaceChildren();
	$("status").textContent = "";
	$("view").hidden = $("nav").hidden = $("who").hidden = true;
	$("login").hidden = false;
	$("login-error").textContent = text || "";
	document.title = "Sterna console";
	$("jid").focus();
}

$("login").addEventListener("submit", async e => {
	const c = new Client(error => leave(error?.message)), submit = e.target.querySelector("button");

	e.preventDefault();
	$("login-error").textContent = "";
	submit.disabled = true;
	try {
		await c.login($("jid").value.trim(), $("password").value);
		$("password").value = "";
		client = c;
		allowed = new Map((await c.commands()).map(k => [name_of(k), k]));
		enter();
	} catch (error) {
		leave(error.message);
	}
	submit.disabled = false;
});
$("leave").addEventListener("click", () => leave("You have logged out."));
$("jid").focus();

/** Commands are known here by their words; the list of a server has their summary and node. */
function name_of(k) {
	return NAMES[k.node] || k.node.replace(/^.*#/, "").replace(/-/g, " ");
}
const ADMIN = "http://jabber.org/protocol/admin#";
const NAMES = Object.fromEntries(Object.entries({
	"add-user": "user add", "delete-user": "user delete", "disable-user": "user disable", "reenable-user": "user enable",
	"change-user-password": "user passwd", "end-user-session": "session kick", "get-registered-users-list": "list registered",
	"get-disabled-users-list": "list disabled", "add-to-blacklist-in": "blacklist add-in",
}).map(([k, v]) => [ADMIN + k, v]));
