// Draws /docs from /openapi.json. Nothing of the document is put in as HTML: texts stay texts.
"use strict";

const byId = (id) => document.getElementById(id);
const verbs = ["get", "post", "put", "patch", "delete"];
let api = null;

// -- building blocks ---------------------------------------------------------------------------

/** An element; `more` are its attributes, and texts or elements follow. */
function make(tag, more = {}, ...inside) {
  const out = document.createElement(tag);
  for (const [name, value] of Object.entries(more)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) out.addEventListener(event, act);
    else if (value !== false && value !== undefined) out.setAttribute(name, value === true ? "" : value);
  }
  out.append(...inside.flat(9).filter((part) => part !== null && part !== undefined && part !== ""));
  return out;
}

/** A sentence in which `words` are code. */
function sentence(text) {
  return (text || "").split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));
}

function resolve(value) {
  let steps = 0;
  let found = value;
  while (found && found.$ref && steps++ < 8)
    found = found.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
  return found;
}

const nameOf = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");
const pretty = (value) => JSON.stringify(value, null, 2);

// -- schemas -----------------------------------------------------------------------------------

function typeOf(schema) {
  if ("const" in schema) return pretty(schema.const);
  if (schema.enum) return schema.enum.map(pretty).join(" | ");
  if (schema.type) return [schema.type].flat().join(" | ");
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return choices.map((one) => nameOf(one) || one.title || typeOf(one)).join(" | ");
  return "any";
}

function boundsOf(schema) {
  const out = [];
  const range = (least, most, what) => {
    if (least !== undefined && most !== undefined) out.push(`${least} to ${most}${what}`);
    else if (least !== undefined) out.push(`at least ${least}${what}`);
    else if (most !== undefined) out.push(`at most ${most}${what}`);
  };
  range(schema.minimum, schema.maximum, "");
  range(schema.minLength, schema.maxLength, " bytes");
  range(schema.minItems, schema.maxItems, " items");
  if (schema.format) out.push(schema.format);
  if (schema.pattern) out.push(schema.pattern);
  if ("default" in schema) out.push(`default ${JSON.stringify(schema.default)}`);
  return out.join(", ");
}

/** What stands in one line about a value. */
function inLine(schema) {
  const full = { ...resolve(schema), ...schema };
  const name = nameOf(schema);
  return [make("span", { class: "mono" }, name ? `${name}: ` : "", typeOf(full)),
          make("span", { class: "soft" }, ` ${boundsOf(full)} `), ...sentence(full.description)];
}

/** What a value consists of, or null. Opened part by part, so that it may contain itself. */
function parts(schema) {
  const full = resolve(schema);
  if (full.properties) {
    const needed = new Set(full.required || []);
    return make("ul", {}, Object.entries(full.properties).map(([name, part]) =>
      make("li", {}, make("code", {}, name), needed.has(name) ? make("strong", { title: "required" }, "* ") : " ",
           inLine(part), unfold(part))));
  }
  if (full.items) return make("ul", {}, make("li", {}, "each: ", inLine(full.items), unfold(full.items)));
  const choices = (full.oneOf || full.anyOf || full.allOf || []).filter((one) => parts(one));
  if (choices.length)
    return make("ul", {}, choices.map((one) =>
      make("li", {}, resolve(one).title || nameOf(one), " ", sentence(resolve(one).description), unfold(one))));
  return null;
}

function unfold(schema) {
  if (!parts(schema)) return null;
  const out = make("details", { class: "schema" }, make("summary", {}, "fields"));
  out.addEventListener("toggle", () => {
    if (out.open && out.children.length === 1) out.append(parts(schema));
  });
  return out;
}

function schemaBlock(schema) {
  return make("div", { class: "schema" }, make("div", {}, inLine(schema)), parts(schema));
}

// -- operations --------------------------------------------------------------------------------

function contentOf(body) {
  const [type, form] = Object.entries((body && body.content) || {})[0] || [];
  return { type, schema: form && form.schema };
}

function parameterTable(parameters) {
  if (!parameters.length) return null;
  const head = ["Name", "In", "What"].map((text) => make("th", { scope: "col" }, text));
  return [make("h4", {}, "Parameters"), make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {},
    parameters.map((p) => make("tr", {},
      make("td", {}, make("code", {}, p.name), p.required ? make("strong", { title: "required" }, "*") : ""),
      make("td", {}, p.in), make("td", {}, sentence(p.description), " ", inLine(p.schema))))))];
}

function bodyBlock(operation) {
  const { schema } = contentOf(operation.requestBody);
  if (!schema) return null;
  const examples = resolve(schema).examples || [];
  return [make("h4", {}, "Body"), make("p", {}, operation.requestBody.description), schemaBlock(schema),
          examples.length ? make("h4", {}, "Examples") : null,
          examples.map((one) => make("pre", { tabindex: 0 }, pretty(one)))];
}

function answersBlock(operation) {
  return [make("h4", {}, "Answers"), Object.entries(operation.responses).map(([status, form]) => {
    const full = resolve(form);
    const { type, schema } = contentOf(full);
    return make("details", { class: "schema" },
      make("summary", {}, make("strong", {}, status), ` ${full.description} `, make("span", { class: "soft" }, type || "")),
      schema ? schemaBlock(schema) : make("p", {}, "No content."),
      Object.entries(full.headers || {}).map(([name, header]) =>
        make("p", {}, make("code", {}, name), " ", sentence(header.description))));
  })];
}

// -- trying ------------------------------------------------------------------------------------

function token() {
  const given = byId("token").value.trim();
  return given ? { Authorization: `Bearer ${given}` } : {};
}

/** The request as its form says it. The path is relative, so that it works below a prefix. */
function requestOf(path, verb, form, parameters) {
  const headers = token();
  const query = new URLSearchParams();
  let target = path;
  for (const parameter of parameters) {
    const value = form.elements[`p-${parameter.name}`].value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.set(parameter.name, value);
    else if (value !== "") headers[parameter.name] = value;
  }
  const body = form.elements.body && form.elements.body.value.trim();
  if (body) headers["Content-Type"] = "application/json";
  const text = query.toString();
  return [`${target.slice(1) || "./"}${text ? `?${text}` : ""}`,
          { method: verb.toUpperCase(), headers, body: body || undefined, cache: "no-store" }];
}

async function send(event, path, verb, parameters, output) {
  event.preventDefault();
  output.textContent = "Waiting.";
  try {
    const answer = await fetch(...requestOf(path, verb, event.target, parameters));
    const text = await answer.text();
    const type = answer.headers.get("Content-Type") || "";
    const head = ["Location", "Retry-After", "Idempotent-Replayed", "X-Request-Id"]
      .filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}\n`).join("");
    let body = text;
    if (type.includes("json") && !/\d{16}/.test(text)) body = pretty(JSON.parse(text)); // longer numbers would change
    output.textContent = `${answer.status} ${answer.statusText}\n${head}\n${body}`;
  } catch (fault) {
    output.textContent = `Nothing came back: ${fault.message}`;
  }
}

function tryForm(path, verb, operation, parameters) {
  const output = make("pre", { "aria-live": "polite", tabindex: 0, hidden: true });
  const key = operation.operationId;
  const field = (parameter) => {
    const id = `${key}-${parameter.name}`;
    const full = { ...resolve(parameter.schema), ...parameter.schema };
    const choices = full.enum && ["", ...full.enum].map((one) => make("option", {}, one));
    const input = { id, name: `p-${parameter.name}`, required: parameter.required, placeholder: full.default };
    return [make("label", { for: id }, parameter.name), choices ? make("select", input, choices) : make("input", input)];
  };
  const { schema } = contentOf(operation.requestBody);
  const example = schema && (resolve(schema).examples || [{}])[0];
  const form = make("form", { class: "try", on: { submit: (event) => {
    output.hidden = false;
    send(event, path, verb, parameters, output);
  } } },
    parameters.map(field),
    schema ? [make("label", { for: `${key}-body` }, "body"),
              make("textarea", { id: `${key}-body`, name: "body", spellcheck: "false" }, pretty(example))] : null,
    make("button", {}, `Send ${verb.toUpperCase()}`));
  return [make("h4", {}, "Try it"), form, output];
}

// -- the page ----------------------------------------------------------------------------------

function drawOperation(path, verb, operation) {
  const parameters = (operation.parameters || []).map(resolve);
  const out = make("details", { class: "operation", id: operation.operationId },
    make("summary", {}, make("h3", {}, make("span", { class: `verb ${verb}` }, verb), make("code", {}, path), " "),
         operation.summary, " ", make("span", { class: "role" }, operation["x-troupe-role"])));
  out.dataset.words = `${verb} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase();
  out.addEventListener("toggle", () => {
    if (!out.open || out.children.length > 1) return;
    out.append(make("div", {}, make("p", {}, sentence(operation.description)), parameterTable(parameters),
                    bodyBlock(operation), answersBlock(operation), tryForm(path, verb, operation, parameters)));
  });
  return out;
}

function draw() {
  byId("version").textContent = api.info.version;
  byId("about").replaceChildren(...sentence(api.info.description));
  const main = byId("operations");
  const nav = byId("contents");
  main.replaceChildren();
  nav.replaceChildren();
  for (const tag of api.tags) {
    const found = Object.entries(api.paths).flatMap(([path, item]) =>
      verbs.filter((verb) => item[verb] && item[verb].tags.includes(tag.name)).map((verb) => [path, verb, item[verb]]));
    main.append(make("section", { "aria-labelledby": `tag-${tag.name}` },
      make("h2", { id: `tag-${tag.name}` }, tag.name), make("p", { class: "soft" }, tag.description),
      found.map((one) => drawOperation(...one))));
    nav.append(make("h2", {}, tag.name), make("ul", {}, found.map(([, , operation]) =>
      make("li", {}, make("a", { href: `#${operation.operationId}` }, operation.operationId)))));
  }
  openNamed();
  filter();
}

/** The operation that the address names is opened. */
function openNamed() {
  const named = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!named || named.tagName !== "DETAILS") return;
  named.open = true;
  named.scrollIntoView();
  named.firstElementChild.focus();
}

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/);
  for (const one of document.querySelectorAll(".operation"))
    one.hidden = !words.every((word) => one.dataset.words.includes(word));
}

async function load() {
  const message = byId("message");
  message.textContent = "Loading.";
  try {
    const answer = await fetch("openapi.json", { headers: token() });
    if (!answer.ok) throw new Error(`openapi.json: ${answer.status}${answer.status === 401 ? "; give a token and load again" : ""}`);
    api = await answer.json();
    draw();
    message.textContent = "";
  } catch (fault) {
    message.textContent = fault.message;
    byId("token").focus();
  }
}

byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
byId("filter").addEventListener("input", filter);
addEventListener("hashchange", openNamed);
load();
