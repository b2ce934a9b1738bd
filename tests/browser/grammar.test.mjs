// Constrained answers in the worker: the module of grammars is loaded when one is wanted, follows schemas with the shipped
// model, refuses hostile requests in time, and begins anew after a trap. No page: a worker and its calls.

import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** Largest download of the module, bytes after gzip. */
const MOST_BYTES = 700e3;
/** Longest time of a hostile request, ms. The machine of the tests has other work. */
const MOST_MS = 3000;

/** What the page of the test has in `window.engine`.
 * @typedef {{ call: (method: string, args: unknown) => Promise<any>, answer: (format: unknown, more?: object) => Promise<any> }} Engine */

const PAGE = '<!doctype html><title>A worker</title><script type="module" src="worker-page.js"></script>';
const SCRIPT = `import { Caller } from "./shared/messenger.js";
  const rules = { createScriptURL: (name) => new URL(name, location.href).href };
  const policy = globalThis.trustedTypes?.createPolicy("own-scripts", rules) ?? rules;
  const caller = new Caller(new Worker(policy.createScriptURL("worker/worker.js"), { type: "module" }), console.error);
  const model = { addresses: [new URL("models/scenes/manifest.json", location.href).href] };
  const threads = { build: "", threads: 1, pages: 0, why: "a test" };
  const address = new URL("pkg/llava_web_bg.wasm", location.href).href;
  await caller.call("open", { model, backend: "cpu", threads, code: null, address, ports: [] });
  await caller.call("load", { keep: false, context: null });
  const call = (method, args) => caller.call(method, args);
  const answer = async (response_format, more = {}) => {
    const options = { max_new_tokens: 80, temperature: 0, top_p: 1, seed: 0, ...more, ...(response_format && { response_format }) };
    const start = performance.now();
    try {
      const messages = [{ role: "user", parts: [{ text: "What is in the picture?" }] }];
      const { answer } = await call("generate", { messages, options });
      return { ...answer, ms: performance.now() - start };
    } catch (thrown) {
      return { failure: { ...thrown, message: thrown.message }, ms: performance.now() - start };
    }
  };
  window.engine = { call, answer };
  document.body.dataset.ready = "";
`;

describe("constrained answers in the worker", () => {
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof open>>} */ let visit;
  before(async () => {
    served = await rootWith(async (root) => {
      await writeFile(path.join(root, "worker.html"), PAGE);
      await writeFile(path.join(root, "worker-page.js"), SCRIPT);
    });
    server = await serve(served.root);
    browser = await launch({ gpu: false });
    visit = await open(browser, `${server.url}worker.html`);
    await visit.page.locator("body[data-ready]").waitFor({ state: "attached" });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await served?.remove();
  });

  // As text: Playwright takes minutes for arguments that are nested deeply.
  /** @param {unknown} format @param {object} [more] @returns {Promise<any>} */
  const ask = (format, more) => visit.page.evaluate((text) => /** @type {any} */ (window).engine.answer(...JSON.parse(text)), JSON.stringify([format, more ?? {}]));
  const loads = () => visit.requests.filter((address) => address.includes("llava_grammar_bg.wasm")).length;

  test("the module is small, and is loaded once, when an answer wants it", async () => {
    const { size } = await stat(path.join(www, "pkg/grammar/llava_grammar_bg.wasm.gz"));
    assert(size < MOST_BYTES, `${size} bytes after gzip`);
    const free = await ask(null);
    assert(free.ids.length > 0 && !free.failure, JSON.stringify(free));
    assert.deepEqual((await ask({ type: "text" })).ids, free.ids, "the type `text` is no constraint");
    assert.equal(loads(), 0, "not before");
    for (const regex of ["(yes|no)", "[0-9]{3}"]) {
      const { text, stop } = await ask({ type: "regex", regex });
      assert.match(text, new RegExp(`^(${regex})$`));
      assert.equal(stop, "eos");
    }
    assert.equal(loads(), 1);
    assert.deepEqual((await ask(null)).ids, free.ids, "the next answer is free");
  });

  test("answers follow schemas", async () => {
    /** @type {{ name: string, schema: any }[]} */
    const cases = JSON.parse(await readFile(path.join(repository, "src/grammar/tests/schemas.json"), "utf8"));
    let complete = 0;
    for (const { name, schema } of cases.filter((_, index) => index % 4 === 0)) {
      const { text, stop, failure } = await ask({ type: "json_schema", json_schema: { schema } }, { temperature: 1 });
      assert.equal(failure, undefined, `${name}: ${JSON.stringify(failure)}`);
      if (stop !== "eos") continue;
      complete += 1;
      const value = JSON.parse(text);
      // The native tests validate; here it is enough that the same module answers.
      if (schema.enum) assert(schema.enum.some((/** @type {unknown} */ one) => JSON.stringify(one) === JSON.stringify(value)), `${name}: ${text}`);
      if (typeof schema.type === "string") assert.equal(kindOf(value, schema.type), schema.type, `${name}: ${text}`);
    }
    assert(complete >= 8, `${complete} were complete`);
    const object = await ask({ type: "json_object" }, { temperature: 1, max_new_tokens: 20 });
    assert(object.text.startsWith("{"), object.text);
    const grammar = await ask({ type: "grammar", grammar: 'start: "a" ("+" "a"){2}' });
    assert.equal(grammar.text, "a+a+a");
  });

  test("hostile and malformed requests are refused in time", async () => {
    const deep = (/** @type {number} */ depth) => JSON.parse('{"type":"array","items":'.repeat(depth) + "true" + "}".repeat(depth));
    const names = Array.from({ length: 400 }, (_, index) => [`p${index}`, { $ref: `#/$defs/p${index}` }]);
    const choice = (/** @type {number} */ i, /** @type {number} */ k) => ({ properties: { [`p${i}`]: { const: k } } });
    const choices = Array.from({ length: 20 }, (_, i) => ({ anyOf: [0, 1, 2].map((k) => choice(i, k)) }));
    const schema = (/** @type {unknown} */ schema) => ({ type: "json_schema", json_schema: { schema } });
    /** @type {[string, unknown][]} */
    const requests = [
      ["deep", schema(deep(150))],
      ["many references", schema({ type: "object", properties: Object.fromEntries(names) })],
      ["a large multiple", schema({ type: "integer", multipleOf: 7919317 })],
      ["a long expression", { type: "regex", regex: "a?".repeat(10_000) }],
      ["3^20 combinations", schema({ type: "object", allOf: choices })],
      ["nested brackets", { type: "regex", regex: "(".repeat(3000) }],
      ["a long string", schema({ const: "x".repeat(200_000) })],
      ["an unknown keyword", schema({ type: "array", uniqueItems: true })],
      ["no answer", { type: "grammar", grammar: "start: start" }],
      ["an unknown type", { type: "xml" }],
      ["no schema", { type: "json_schema" }],
    ];
    for (const [name, request] of requests) {
      const { failure, ms } = await ask(request);
      assert.equal(failure?.kind, "argument", `${name}: ${JSON.stringify(failure)}`);
      assert.equal(failure.where, "response_format", name);
      assert(!failure.message.includes("the module of grammars failed"), `${name}: ${failure.message}`);
      assert(ms < MOST_MS, `${name}: ${ms} ms`);
    }
    assert.equal((await ask({ type: "regex", regex: "yes" })).text, "yes", "and the worker goes on");
  });

  test("after a trap the module begins anew", async () => {
    // None is known that passes the checks, so the trap is made: the memory that the module works in is overwritten.
    const broken = await visit.page.evaluate(async () => {
      const build = await import(new URL("pkg/grammar/llava_grammar.js", document.baseURI).href);
      const { memory } = await build.default();
      const packed = new Uint8Array([3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 97, 1, 0, 98, 0, 0]);
      const grammars = new build.Grammars(packed);
      const whole = grammars.constrain('{"type":"regex","regex":"ab"}');
      const first = [...whole.mask()];
      new Uint8Array(memory.buffer).fill(255, 1 << 10);
      let thrown = "nothing";
      try {
        grammars.constrain('{"type":"regex","regex":"b"}');
      } catch (error) {
        thrown = /** @type {Error} */ (error).constructor.name;
      }
      build.__wbg_reset_state();
      const again = new build.Grammars(packed).constrain('{"type":"regex","regex":"b"}');
      return { first, thrown, again: [...again.mask()] };
    });
    assert.deepEqual(broken, { first: [1], thrown: "RuntimeError", again: [2] });
  });
});

/** The JSON type of a value, as a schema calls it. @param {unknown} value @param {string} wanted */
function kindOf(value, wanted) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return wanted === "integer" && Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}
