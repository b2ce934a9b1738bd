// What a visitor does, in every browser engine: written once, run in each, on what `./build.sh build` gives a host.
// Answers are those of the command line.
//
// WebKitGTK under automation keeps a profile only as long as it runs, and has no private file system: there the second
// visit is a reload in the same browser, and models are kept by the Cache API.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ENGINES } from "./engines.mjs";
import { Gate } from "./gate.mjs";
import { serve, writeSite, www } from "./harness.mjs";
import { natively, run } from "./native.mjs";

/** @typedef {import("./driver/driver.mjs").Driver} Driver */

const SCENES = path.join(www, "models/scenes");
/** @param {string} name */
const example = (name) => path.join(www, "examples", name);
const COLOUR = "What color is the star?";
const HEART = "Is there a heart in the image?";
const DESCRIBE = "Describe the image.";

/** Longest wait for an example picture, ms: a fetch that a service worker holds up takes a minute and fails. */
const EXAMPLE_WAIT = 45_000;
/** Longest answer of the larger model, tokens: its weights mean nothing. */
const FEW = 8;
/** Its files, and its bytes at least. */
const LARGE = ["synthetic-200m-Q4_0-pure.gguf", "synthetic-200m-mmproj-f16.gguf"];
const LARGE_BYTES = 1e8;

const READY = "[data-testid=status][data-state=ready]";
const ANSWERS = "[data-testid=answer]";

/** Seconds of every test in every engine. @type {Map<string, Record<string, string>>} */
const seconds = new Map();

after(() => {
  const names = ENGINES.map(({ name }) => name);
  console.log(`\n| seconds | ${names.join(" | ")} |\n|---|${names.map(() => "---:").join("|")}|`);
  for (const [name, row] of seconds) console.log(`| ${name} | ${names.map((engine) => row[engine] ?? "–").join(" | ")} |`);
});

/** Waits until there are `count` answers and the last one has ended; returns its text.
 * @param {Driver} tab @param {number} count */
async function answered(tab, count) {
  const state = await tab.until(`answer ${count} has ended`, (count) => {
    const answers = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-testid=answer]")]);
    const state = answers.at(-1)?.dataset.state;
    return answers.length === count && state !== "streaming" && state;
  }, count);
  assert.equal(state, "done", await tab.said());
  return tab.text(ANSWERS);
}

/** @param {Driver} tab @param {string} question */
async function ask(tab, question) {
  const before = await tab.count(ANSWERS);
  await tab.type("#question", question);
  await tab.press("#question", "Enter");
  return answered(tab, before + 1);
}

/** Waits until the model has encoded the picture of that name.
 * @param {Driver} tab @param {string} name @param {number} [patience] */
async function read(tab, name, patience) {
  await tab.until(`${name} is read`, (name) => {
    const picture = document.querySelector("#frame[data-state=read] img");
    return picture instanceof HTMLImageElement && picture.alt.includes(name);
  }, name, patience);
}

/** Begins a new conversation. @param {Driver} tab */
async function beginAnew(tab) {
  await tab.click("#new-chat");
  await tab.until("an empty conversation", () => !document.querySelector("[data-testid=answer], #tray img"));
}

/** Shows a picture in a new conversation. @param {Driver} tab @param {string} file */
async function show(tab, file) {
  await beginAnew(tab);
  await tab.setFiles("#image-input", file);
  await read(tab, path.basename(file));
}

/** In the page: clicks an example when the service worker begins to activate, as a quick visitor may.
 * @param {string} file */
async function clickWhileActivating(file) {
  const click = () => /** @type {HTMLElement | null} */ (document.querySelector(`[data-example='${file}']`))?.click();
  for (let waited = 0; waited < 20_000; waited += 5) {
    const registration = await navigator.serviceWorker.getRegistration();
    const worker = registration?.installing ?? registration?.waiting ?? registration?.active;
    if (worker) {
      if (!registration?.active) await new Promise((resolve) => worker.addEventListener("statechange", () => worker.state === "activating" && resolve(null)));
      click();
      return worker.state;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return "never registered";
}

/** In the page: asks and stops at the first word; gives what the answer was then. @param {string} question */
async function askAndStop(question) {
  const [field, send, stop] = ["question", "send", "stop"].map((id) => /** @type {HTMLTextAreaElement & HTMLButtonElement} */ (document.getElementById(id)));
  if (!field || !send || !stop) return "";
  field.value = question;
  send.click();
  const last = () => /** @type {HTMLElement | undefined} */ ([...document.querySelectorAll("[data-testid=answer]")].at(-1));
  // In the page: a whole answer takes less time than a driver takes from one click to the next.
  while (last()?.dataset.state !== "done" && !last()?.textContent?.trim()) await new Promise((resolve) => setTimeout(resolve));
  stop.click();
  while (last()?.dataset.state === "streaming") await new Promise((resolve) => setTimeout(resolve, 10));
  return last()?.dataset.state ?? "";
}

/** In the page: from now on, notes what the last answer holds whenever it changes, in `window.streamed`. */
function watchAnswers() {
  /** @type {string[]} */
  const streamed = [];
  Object.assign(window, { streamed });
  const last = () => [...document.querySelectorAll("[data-testid=answer]")].at(-1);
  // An answer of the conversation before may be there still.
  const before = last();
  const look = () => {
    const text = last() === before ? "" : last()?.textContent?.trim();
    if (text && text !== streamed.at(-1)) streamed.push(text);
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}

/** In the page: what the pad holds, as a PNG in base64. */
const drawing = () => /** @type {HTMLCanvasElement} */ (document.querySelector("#canvas")).toDataURL("image/png").split(",")[1] ?? "";

for (const engine of ENGINES) {
  const { backend } = engine;
  describe(`a visitor with ${engine.name}`, () => {
    /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
    /** @type {Gate} */ let gate;
    /** @type {Driver} */ let tab;
    /** The page's address here. */
    let url = "";
    let folder = "";
    const profile = () => (engine.profiles ? path.join(folder, "profile") : undefined);
    const site = () => path.join(folder, "site");
    const large = () => path.join(folder, "large");
    /** @param {string} name @param {{ prompt: string } | { raw: string }} question */
    const expected = (name, question) => natively(SCENES, example(name), question, backend).text.trim();

    /** What is answered when COLOUR and then HEART are asked about shapes.png. */
    const secondAnswer = () => {
      const first = expected("shapes.png", { prompt: COLOUR });
      return expected("shapes.png", { raw: `USER: <image>\n${COLOUR} ASSISTANT: ${first}</s>USER: ${HEART} ASSISTANT:` });
    };

    before(async () => {
      folder = await mkdtemp(path.join(tmpdir(), "llava-visitor-"));
      run("weights", ["--size", "200m", "--format", "gguf-q4_0-pure", "--out", large()]);
      writeSite(www, site());
      server = await serve(site(), ["--models", large()]);
      gate = await new Gate(server.url).open();
      url = `${gate.url}${engine.query}`;
      tab = await engine.start(profile());
    });
    after(async () => {
      await tab?.close();
      await gate?.shut();
      await server?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    /** @param {string} name @param {() => Promise<void>} work */
    function step(name, work) {
      test(name, async () => {
        const row = seconds.get(name) ?? {};
        seconds.set(name, row);
        row[engine.name] = "failed";
        const begun = performance.now();
        await work();
        row[engine.name] = ((performance.now() - begun) / 1000).toFixed(1);
      });
    }

    step("first visit: an example is clicked immediately, another while the service worker starts", async () => {
      await tab.goto(url);
      await tab.click("[data-example='outlines.png']");
      assert.notEqual(await tab.evaluate(clickWhileActivating, "shapes.png"), "never registered");
      await read(tab, "A green star", EXAMPLE_WAIT);
      assert.equal(await ask(tab, COLOUR), expected("shapes.png", { prompt: COLOUR }));
      assert.equal(await tab.evaluate(() => document.getElementById("backend")?.dataset.backend), backend);
      assert(gate.weights > 4e6, "the weights came from the server");
    });

    step("a picture of one's own, a question, an answer that streams", async () => {
      await show(tab, example("outlines.png"));
      await tab.evaluate(watchAnswers);
      const answer = await ask(tab, DESCRIBE);
      assert.equal(answer, expected("outlines.png", { prompt: DESCRIBE }));
      const streamed = await tab.evaluate(() => /** @type {{ streamed: string[] }} */ (/** @type {unknown} */ (window)).streamed);
      assert(streamed.length > 2 && streamed.every((text) => answer.startsWith(text)), JSON.stringify(streamed));
    });

    step("stop, and the same again to its end", async () => {
      await show(tab, example("shapes.png"));
      const [state, whole] = [await tab.evaluate(askAndStop, DESCRIBE), expected("shapes.png", { prompt: DESCRIBE })];
      const cut = await tab.text(ANSWERS);
      assert(whole.startsWith(cut) && (state === "stopped" || cut === whole), `${state}: ${cut}`);
      const count = await tab.count(ANSWERS);
      await tab.click("[data-testid=regenerate]");
      assert.equal(await answered(tab, count), whole);
    });

    step("a second question, of the same conversation", async () => {
      await show(tab, example("shapes.png"));
      assert.equal(await ask(tab, COLOUR), expected("shapes.png", { prompt: COLOUR }));
      assert.equal(await ask(tab, HEART), secondAnswer());
    });

    step("a drawing, with the pointer and with the keyboard", async () => {
      await beginAnew(tab);
      await tab.click("#mode-draw");
      const paper = await tab.evaluate(drawing);
      await tab.click("[data-choice=star]");
      await tab.click("[data-choice=blue]");
      await tab.drag("#canvas", { x: 0, y: 0 }, { x: 70, y: 0 });
      const dragged = await tab.evaluate(drawing);
      assert.notEqual(dragged, paper, "the pointer draws");
      await tab.click("[data-choice=square]");
      for (let step = 0; step < 8; step++) await tab.press("#canvas", "ArrowLeft");
      await tab.press("#canvas", " ");
      const drawn = await tab.evaluate(drawing);
      assert.notEqual(drawn, dragged, "the keyboard draws");
      const file = path.join(folder, "drawing.png");
      await writeFile(file, Buffer.from(drawn, "base64"));
      await tab.click("#use-drawing");
      await read(tab, "your drawing");
      assert.equal(await ask(tab, DESCRIBE), natively(SCENES, file, { prompt: DESCRIBE }, backend).text.trim());
    });

    step("an error, and the way out of it", async () => {
      const file = path.join(folder, "notes.png");
      await writeFile(file, "this is no picture");
      await tab.setFiles("#image-input", file);
      await tab.shown("#error");
      assert.match(await tab.text("#error-title"), /picture/);
      assert.equal(await tab.count("#tray img"), 0, "it does not go with a question");
      await show(tab, example("shapes.png"));
      assert(await tab.evaluate(() => document.getElementById("error")?.hidden), "the error is over");
      assert.equal(await ask(tab, COLOUR), expected("shapes.png", { prompt: COLOUR }));
      await tab.click("#open-models");
      await tab.type("#model-address", `${gate.url}models/none.gguf`);
      await tab.press("#model-address", "Enter");
      await tab.shown("#error");
      assert.match(await tab.text("#error"), /none\.gguf/);
      await tab.click("#open-models");
      // The list of saved models moves the button when it arrives.
      await tab.says("#stored-note", "saved");
      await tab.click("#models-shipped");
      await tab.shown(READY);
      await read(tab, "shapes.png");
      assert.equal(await ask(tab, HEART), secondAnswer(), "the conversation goes on");
    });

    step("two pictures in a conversation: each is shown where it was asked about, and an edit keeps it", async () => {
      await show(tab, example("shapes.png"));
      await ask(tab, COLOUR);
      await tab.setFiles("#image-input", example("outlines.png"));
      await read(tab, "outlines.png");
      assert.match(await tab.text("#composer-hint"), /trained with one picture/);
      const second = await ask(tab, DESCRIBE);
      const shown = () => [...document.querySelectorAll(".turn")].map((turn) => [...turn.querySelectorAll("img")].map((image) => image.alt));
      assert.deepEqual(await tab.evaluate(shown), [["Picture: shapes.png"], ["Picture: outlines.png"]]);
      await tab.click(".turn:last-child .edit");
      await tab.press("#question", "Enter");
      assert.equal(await answered(tab, 2), second, "the same question has the same answer");
      assert.deepEqual(await tab.evaluate(shown), [["Picture: shapes.png"], ["Picture: outlines.png"]]);
    });

    step("a question without a picture", async () => {
      await beginAnew(tab);
      assert.match(await tab.text("#composer-hint"), /No picture/);
      assert.notEqual(await ask(tab, COLOUR), "");
    });

    step("a reload keeps the conversation, and it goes on", async () => {
      await show(tab, example("shapes.png"));
      await ask(tab, COLOUR);
      // The answer is stored after it is shown.
      await new Promise((resolve) => setTimeout(resolve, 500));
      await tab.reload();
      await tab.until("the conversation of before", () => document.querySelectorAll("[data-testid=answer]").length === 1);
      await tab.shown(READY);
      assert.equal(await ask(tab, HEART), secondAnswer());
    });

    step("reload: everything is saved, no weights are fetched", async () => {
      await tab.says("#machine", "everything is saved");
      gate.passed = [];
      await tab.reload();
      await tab.shown(READY);
      await tab.says("#machine", "all of it");
      assert.equal(gate.weights, 0, JSON.stringify(gate.passed));
      await show(tab, example("shapes.png"));
      assert.equal(await ask(tab, COLOUR), expected("shapes.png", { prompt: COLOUR }));
    });

    step("a second visit without a network", async () => {
      await tab.says("#machine", "everything is saved");
      if (engine.profiles) {
        await tab.close();
        tab = await engine.start(profile());
      }
      await gate.shut();
      if (engine.profiles) await tab.goto(url);
      else await tab.reload();
      await tab.shown(READY);
      await show(tab, example("shapes.png"));
      assert.equal(await ask(tab, COLOUR), expected("shapes.png", { prompt: COLOUR }));
      await gate.open();
    });

    step("a larger model: offered, fetched, answering; kept for the next visit", async () => {
      const [model, mmproj] = LARGE.map((file) => `models-local/${file}`);
      const address = `${gate.url}?model=${model}&mmproj=${mmproj}${engine.query.replace("?", "&")}`;
      const answer = natively(large(), example("shapes.png"), { prompt: "So?" }, backend === "webgpu" ? "gpu" : "cpu", FEW).text.trim();
      await tab.evaluate((few) => localStorage.setItem("llava-web settings", JSON.stringify({ max_new_tokens: few })), FEW);
      gate.passed = [];
      await tab.goto(address);
      await tab.shown("#offer-load");
      // What it says of the speed moves the button.
      await tab.until("the speed here", () => /tokens\/s/.test(document.getElementById("offer-facts")?.textContent ?? ""));
      assert(gate.weights < LARGE_BYTES / 10, "no weights before the visitor agrees");
      await tab.click("#offer-load");
      await tab.shown(READY);
      await tab.says("#machine", "all of it");
      assert(gate.weights > LARGE_BYTES, `${gate.weights} bytes`);
      await show(tab, example("shapes.png"));
      assert.equal(await ask(tab, "So?"), answer);
      gate.passed = [];
      await tab.reload();
      await tab.shown(READY);
      assert(gate.weights < LARGE_BYTES / 10, `fetched again: ${gate.weights} bytes`);
    });

    step("the larger model is deleted, and gone", async () => {
      const row = "#stored li:has(button[aria-label='Delete Synthetic LLaVA 200m'])";
      await tab.click("#open-models");
      await tab.shown(row);
      await tab.evaluate((row) => /** @type {HTMLElement} */ (document.querySelector(row)?.querySelector("button.quiet")).click(), row);
      await tab.until("the row is gone", (row) => !document.querySelector(row), row);
      await tab.click("#models-shipped");
      await tab.says("#machine", "scenes");
      await tab.shown(READY);
      await tab.reload();
      await tab.shown(READY);
      await tab.click("#open-models");
      await tab.says("#stored", "scenes");
      assert.equal(await tab.count(row), 0);
      await tab.click("#models-close");
    });

    step("nothing was violated and nothing went uncaught", async () => {
      assert.deepEqual(tab.complaints, []);
    });
  });
}
