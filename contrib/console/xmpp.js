// xmpp.js - a client of XMPP over WebSocket (RFC 7395): SCRAM (RFC 5802, 7677) with the browser's WebCrypto, requests
// and their answers, ad-hoc commands (XEP-0050) with data forms (XEP-0004). Nothing is stored; nobody else is asked.

const NS = {
	framing: "urn:ietf:params:xml:ns:xmpp-framing", client: "jabber:client", sasl: "urn:ietf:params:xml:ns:xmpp-sasl",
	bind: "urn:ietf:params:xml:ns:xmpp-bind", stanzas: "urn:ietf:params:xml:ns:xmpp-stanzas",
	commands: "http://jabber.org/protocol/commands", data: "jabber:x:data", items: "http://jabber.org/protocol/disco#items",
};
const HASHES = { "SCRAM-SHA-512": "SHA-512", "SCRAM-SHA-256": "SHA-256", "SCRAM-SHA-1": "SHA-1" };
const ANSWER_MS = 30000, ITERATIONS_MAX = 1000000;

export class XmppError extends Error {
	constructor(condition, text) {
		super(text || condition);
		this.condition = condition;
	}
}

const bytesOf = text => new TextEncoder().encode(text);
const base64 = bytes => btoa(String.fromCharCode(...bytes));
const unbase64 = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

/** An element as text: attributes that are null are left out; children are texts of elements, made by this or text(). */
export function xml(name, attributes, ...children) {
	const pairs = Object.entries(attributes).filter(([, value]) => value != null);

	return `<${name}${pairs.map(([key, value]) => ` ${key}="${escaped(value)}"`).join("")}>${children.join("")}</${name}>`;
}

export function escaped(text) {
	// What XML 1.0 has no place for is left out, wherever it came from.
	return String(text).replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "").replace(/[&<>"']/g,
		c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" })[c]);
}

function parse(text) {
	const root = new DOMParser().parseFromString(text, "text/xml").documentElement;

	if (root.namespaceURI && root.getElementsByTagName("parsererror").length === 0 && root.localName !== "parsererror")
		return root;
	throw new XmppError("bad-format", "the server has sent what is no XML");
}

const childOf = (e, name, ns) => [...e.children].find(k => k.localName === name && (!ns || k.namespaceURI === ns));

// --- SCRAM ---

async function hmac(hash, key, data) {
	const k = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash }, false, ["sign"]);

	return new Uint8Array(await crypto.subtle.sign("HMAC", k, data));
}

/** RFC 8265 OpaqueString, as far as a browser knows it: blanks of all kinds are one kind, then NFC. */
const prepared = password => password.replace(/[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]/g, " ").normalize("NFC");

class Scram {
	constructor(mechanism, user, password) {
		this.hash = HASHES[mechanism];
		this.password = prepared(password);
		this.nonce = base64(crypto.getRandomValues(new Uint8Array(24)));
		this.bare = `n=${user.replace(/=/g, "=3D").replace(/,/g, "=2C")},r=${this.nonce}`;
	}

	first() {
		return "n,," + this.bare;
	}

	async answer(challenge) {
		const fields = Object.fromEntries(challenge.split(",").map(f => [f[0], f.slice(2)]));
		const iterations = Number(fields.i);

		if (!fields.r || !fields.r.startsWith(this.nonce) || fields.r === this.nonce || !fields.s || fields.m
			|| !(iterations >= 4096 && iterations <= ITERATIONS_MAX))
			throw new XmppError("bad-protocol", "the server's challenge is none");
		const bits = this.hash === "SHA-512" ? 512 : this.hash === "SHA-256" ? 256 : 160;
		const key = await crypto.subtle.importKey("raw", bytesOf(this.password), "PBKDF2", false, ["deriveBits"]);
		const salted = new Uint8Array(await crypto.subtle.deriveBits(
			{ name: "PBKDF2", hash: this.hash, salt: unbase64(fields.s), iterations }, key, bits));
		const last = `c=biws,r=${fields.r}`, all = bytesOf(`${this.bare},${challenge},${last}`);
		const clientKey = await hmac(this.hash, salted, bytesOf("Client Key"));
		const stored = new Uint8Array(await crypto.subtle.digest(this.hash, clientKey));
		const signature = await hmac(this.hash, stored, all);

		this.expected = base64(await hmac(this.hash, await hmac(this.hash, salted, bytesOf("Server Key")), all));
		this.password = null;
		return `${last},p=${base64(clientKey.map((b, i) => b ^ signature[i]))}`;
	}

	/** Only who has our keys can say this. */
	verify(text) {
		if (!this.expected || text !== "v=" + this.expected)
			throw new XmppError("not-authorized", "this server does not know the password: it may be another one");
	}
}

// --- the stream ---

export class Client {
	/** onEnd(error or null): once, when a client that was logged in is no more. */
	constructor(onEnd) {
		this.onEnd = onEnd;
		this.waiting = new Map();
		this.queue = [];
		this.taker = null;
		this.count = 0;
	}

	async login(address, password) {
		const at = address.lastIndexOf("@");

		this.user = address.slice(0, at);
		this.host = address.slice(at + 1);
		if (at < 1 || !this.host)
			throw new XmppError("jid-malformed", "An address is name@domain.");
		await this.connect();
		try {
			const features = await this.open();

			await this.authenticate(features, password);
			await this.open();
			await this.bind();
		} catch (error) {
			this.close();
			throw error;
		}
		this.ready = true;
	}

	connect() {
		this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/xmpp-websocket`, "xmpp");
		this.socket.onmessage = event => this.take(event.data);
		this.socket.onclose = () => this.ended(new XmppError("gone", "The connection to the server has ended."));
		return new Promise((resolve, reject) => {
			this.socket.onopen = resolve;
			this.socket.onerror = () => reject(new XmppError("gone", "The server cannot be reached."));
		});
	}

	take(data) {
		let e;

		try {
			e = parse(data);
		} catch (error) {
			this.ended(error);
			return;
		}
		const id = e.getAttribute("id");

		if (e.localName === "iq" && ["result", "error"].includes(e.getAttribute("type")) && this.waiting.has(id)) {
			const { resolve, timer } = this.waiting.get(id);

			clearTimeout(timer);
			this.waiting.delete(id);
			resolve(e);
		} else if (!this.ready) {
			this.queue.push(e);
			this.taker?.();
		} else if (e.localName === "iq" && ["get", "set"].includes(e.getAttribute("type"))) {
			this.refuse(e);
		} else if (e.localName === "error" || e.localName === "close") {
			this.ended(new XmppError("gone", "The server has ended the session" + (e.textContent ? `: ${e.textContent}` : ".")));
		}
	}

	refuse(e) {
		this.send(xml("iq", { xmlns: NS.client, type: "error", id: e.getAttribute("id"), to: e.getAttribute("from") },
			xml("error", { type: "cancel" }, xml("service-unavailable", { xmlns: NS.stanzas }))));
	}

	ended(error) {
		const was = this.ready, end = this.onEnd;

		this.ready = false;
		this.failure = error;
		for (const { resolve, timer } of this.waiting.values()) {
			clearTimeout(timer);
			resolve(null);
		}
		this.waiting.clear();
		this.taker?.();
		if (was)
			end(error);
		if (this.socket.readyState < 2)
			this.socket.close();
	}

	close() {
		this.onEnd = () => {};
		if (this.socket.readyState === 1)
			this.send(xml("close", { xmlns: NS.framing }));
		this.socket.close();
	}

	send(text) {
		this.socket.send(text);
	}

	/** The next element of the negotiation. */
	async next() {
		while (this.queue.length === 0) {
			if (this.failure)
				throw this.failure;
			await new Promise(resolve => { this.taker = resolve; });
		}
		return this.queue.shift();
	}

	async open() {
		this.send(xml("open", { xmlns: NS.framing, to: this.host, version: "1.0" }));
		for (;;) {
			const e = await this.next();

			if (e.localName === "features")
				return e;
			if (e.localName === "error")
				throw new XmppError(e.firstElementChild?.localName || "undefined", "The server does not answer for that domain.");
		}
	}

	async authenticate(features, password) {
		const offered = [...features.getElementsByTagNameNS(NS.sasl, "mechanism")].map(m => m.textContent);
		const mechanism = Object.keys(HASHES).find(m => offered.includes(m));

		if (!mechanism)
			throw new XmppError("invalid-mechanism", "The server offers no way to log in that this page knows.");
		const scram = new Scram(mechanism, this.user, password);

		this.send(xml("auth", { xmlns: NS.sasl, mechanism }, base64(bytesOf(scram.first()))));
		for (;;) {
			const e = await this.next(), said = () => new TextDecoder().decode(unbase64(e.textContent.trim()));

			if (e.localName === "challenge") {
				this.send(xml("response", { xmlns: NS.sasl }, base64(bytesOf(await scram.answer(said())))));
			} else if (e.localName === "success") {
				scram.verify(said());
				return;
			} else {
				throw new XmppError(e.firstElementChild?.localName || "not-authorized", "The address or the password is wrong.");
			}
		}
	}

	async bind() {
		const answer = await this.ask("set", null, xml("bind", { xmlns: NS.bind }, xml("resource", {}, "console")));

		this.jid = answer.getElementsByTagNameNS(NS.bind, "jid")[0].textContent;
	}

	/** An IQ and its answer; an error is thrown. */
	async ask(type, to, payload) {
		const id = "c" + ++this.count;
		const answer = await new Promise(resolve => {
			const timer = setTimeout(() => { this.waiting.delete(id); resolve(undefined); }, ANSWER_MS);

			this.waiting.set(id, { resolve, timer });
			this.send(xml("iq", { xmlns: NS.client, type, id, to }, payload));
		});

		if (!answer)
			throw answer === null ? this.failure : new XmppError("remote-server-timeout", "The server does not answer.");
		if (answer.getAttribute("type") === "error") {
			const error = childOf(answer, "error"), condition = [...error.children].find(e => e.localName !== "text");

			throw new XmppError(condition?.localName, childOf(error, "text")?.textContent);
		}
		return answer;
	}

	// --- ad-hoc commands ---

	async commands() {
		const answer = await this.ask("get", this.host, xml("query", { xmlns: NS.items, node: NS.commands }));

		return [...answer.getElementsByTagNameNS(NS.items, "item")].map(i => ({ node: i.getAttribute("node"),
			name: i.getAttribute("name") }));
	}

	async stage(node, sessionid, action, fields) {
		const form = fields && xml("x", { xmlns: NS.data, type: "submit" }, ...Object.entries(fields).map(([name, value]) =>
			xml("field", { var: name }, ...[value].flat().map(v => xml("value", {}, escaped(v))))));
		const answer = await this.ask("set", this.host, xml("command", { xmlns: NS.commands, node, sessionid, action }, form || ""));

		return new Command(childOf(answer, "command", NS.commands));
	}

	/** A command in one go; what asks once more is answered with yes: who calls this has asked. @return its result */
	async run(node, fields = {}) {
		let c = await this.stage(node, null, "execute");

		for (let given = fields; c.status === "executing"; given = null) {
			const before = c;

			c = await this.stage(node, c.sessionid, c.execute, given);
			if (c.mistake) {
				this.stage(node, before.sessionid, "cancel").catch(() => {});
				throw new XmppError("bad-request", c.mistake);
			}
		}
		return c.result();
	}
}

/** A stage of a command, as the server tells it. */
class Command {
	constructor(e) {
		this.status = e.getAttribute("status");
		this.sessionid = e.getAttribute("sessionid");
		this.execute = childOf(e, "actions", NS.commands)?.getAttribute("execute") || "complete";
		const note = childOf(e, "note", NS.commands);

		this.note = note?.textContent || "";
		this.mistake = note?.getAttribute("type") === "error" ? this.note : null;
		this.form = childOf(e, "x", NS.data);
	}

	/** [{name, type, label, required, options, values}] */
	fields() {
		return [...(this.form?.children || [])].filter(f => f.localName === "field" && f.getAttribute("type") !== "hidden").map(f => ({
			name: f.getAttribute("var"), type: f.getAttribute("type"), label: f.getAttribute("label") || f.getAttribute("var"),
			required: !!childOf(f, "required"), options: [...f.children].filter(o => o.localName === "option").map(o =>
				o.textContent), values: valuesOf(f) }));
	}

	/** {note, rows: [{…}] or null, values: {…}} */
	result() {
		const items = [...(this.form?.children || [])].filter(i => i.localName === "item");
		const reported = this.form && childOf(this.form, "reported");
		const row = i => Object.fromEntries([...i.children].map(f => [f.getAttribute("var"), plain(valuesOf(f)[0] ?? "")]));

		return { note: this.note, rows: reported ? items.map(row) : null,
			values: Object.fromEntries(this.fields().map(f => [f.name, f.values.length === 1 ? plain(f.values[0]) : f.values])) };
	}
}

const valuesOf = f => [...f.children].filter(v => v.localName === "value").map(v => v.textContent);

/** What was an object or an array is one again. */
function plain(text) {
	if (!/^[[{]/.test(text))
		return text;
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}
