// Reads a picture as JSON of a given schema, and shows the answer while it arrives.

import { LLaVA } from "../llava/index.js";

/** Elements of the page, by id. @type {Record<string, any>} */
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
/** @type {import("../llava/index.js").Model | null} */ let model = null;
let run = new AbortController();

const say = (/** @type {string} */ text) => (page.status.textContent = text);
/** Takes the question and the schema of the chosen kind of picture. */
function showKind() {
  const { content, dataset } = page[page.kind.value];
  [page.schema.value, page.question.value] = [content.textContent.trim(), dataset.question];
}

/** Lists where a value breaks a schema: its types, properties, items, enumerations, patterns and bounds.
 * @param {any} value @param {any} schema @param {string} where @returns {string[]} */
function faults(value, schema, where = "answer") {
  const type = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  const { properties = {}, required = [], items = {}, additionalProperties = true } = schema;
  const wrong = (/** @type {unknown} */ is, /** @type {string} */ what) => (is ? [`${where} ${what}`] : []);
  return [
    ...wrong(schema.type && type !== schema.type && !(schema.type === "integer" && Number.isInteger(value)), `is no ${schema.type}`),
    ...wrong(schema.enum && !schema.enum.includes(value), "is none of the allowed values"),
    ...wrong(schema.pattern && !new RegExp(schema.pattern, "u").test(value), `does not match ${schema.pattern}`),
    ...wrong(value < schema.minimum || value > schema.maximum, "is out of bounds"),
    ...(type === "array" ? value.flatMap((/** @type {any} */ item, /** @type {number} */ i) => faults(item, items, `${where}[${i}]`)) : []),
    ...(type === "object" ? required.flatMap((/** @type {string} */ name) => wrong(!(name in value), `lacks ${name}`)) : []),
    ...Object.entries(type === "object" ? value : {}).flatMap(([name, inner]) => (properties[name] ? faults(inner, properties[name], `${where}.${name}`) : wrong(!additionalProperties, `has ${name}`))),
  ];
}

page.start.onclick = async () => {
  run.abort();
  const { signal } = (run = new AbortController());
  const schema = JSON.parse(page.schema.value);
  const onProgress = (/** @type {any} */ event) => event.type === "fetch" && say(`Loading: ${Math.floor((100 * event.done) / event.total)} %`);
  model ??= await LLaVA.load(page.model.value, { signal, onProgress });
  say("Reading…");
  page.answer.textContent = "";
  const content = /** @type {const} */ ([{ type: "image", image: page.files.files[0] }, { type: "text", text: page.question.value }]);
  const response_format = /** @type {const} */ ({ type: "json_schema", json_schema: { schema } });
  const answer = await model.chat.completions.create({ messages: [{ role: "user", content }], response_format, max_tokens: 512, stream: true, signal });
  let end = null;
  for await (const { choices } of answer) {
    page.answer.textContent += choices[0]?.delta.content ?? "";
    end = choices[0]?.finish_reason;
  }
  dispatchEvent(new CustomEvent("model", { detail: model }));
  if (end === "length") return say("The answer was cut: it is longer than its limit.");
  page.answer.textContent = JSON.stringify(JSON.parse(page.answer.textContent), null, 2);
  const found = faults(JSON.parse(page.answer.textContent), schema);
  say(found.length ? `The answer breaks the schema: ${found.join("; ")}.` : "The answer meets the schema.");
};
page.kind.onchange = showKind;
page.model.onchange = () => (run.abort(), model?.close(), (model = null));
page.files.onchange = () => (page.picture.src = URL.createObjectURL(page.files.files[0]));
showKind();
