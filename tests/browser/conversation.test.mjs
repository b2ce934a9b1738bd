// The conversation: pictures of several questions, questions without one, edits, copies, exports, and what a reload
// keeps. Mostly against the stand-in engine, which says what it holds; the last part is with the shipped model.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { Conversation } from "../../www/page/conversation.js";
import { launch, open, serve, withFake, www } from "./harness.mjs";

/** @typedef {import("./harness.mjs").Visit} Visit */

/** @param {string} name */
const example = (name) => path.join(www, "examples", name);
const [ONE, TWO, THREE] = [example("shapes.png"), example("outlines.png"), example("word.png")];

/** What the engine holds before this question. @param {Visit} visit */
async function held(visit) {
  const { turns, pending } = JSON.parse(await visit.ask("what is held"));
  return { turns: turns.map((/** @type {any} */ turn) => [turn.question, turn.images]), pending };
}

/** The pictures of each question, by name. @param {Visit} visit */
const shownPictures = (visit) => visit.page.locator(".turn").evaluateAll((turns) => turns.map((turn) => [...turn.querySelectorAll("img")].map((image) => image.alt.replace("Picture: ", ""))));

/** @param {Visit} visit */
const hint = (visit) => visit.page.locator("#composer-hint").innerText();

/** @param {Visit} visit @param {string} selector */
const isFocused = (visit, selector) => visit.page.evaluate((selector) => Boolean(document.activeElement?.matches(selector)), selector);

describe("pictures of a conversation", () => {
  test("a question needs no picture, and the page says what that means", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      assert.match(await hint(visit), /No picture: the model answers from the text alone; it was trained with pictures only/);
      assert.match(await visit.ask("hello"), /hello \(0 image, turn 1\)/);
      await visit.show(ONE);
      assert.equal(await hint(visit), "");
      assert.match(await visit.ask("and this"), /and this \(1 image, turn 2\)/);
      assert.deepEqual(await shownPictures(visit), [[], ["shapes.png"]]);
      assert.deepEqual(visit.complaints, []);
    }));

  test("several, in one question and over the turns, each where it was asked about; one is removed", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      for (const picture of [ONE, TWO, THREE]) await visit.show(picture);
      const thumbnails = visit.page.locator("#tray .thumbnail");
      assert.equal(await thumbnails.count(), 3);
      assert.match(await hint(visit), /trained with one picture; with more, answers get worse/);
      await visit.page.getByRole("button", { name: "Remove the picture outlines.png" }).click();
      assert.equal(await thumbnails.count(), 2);
      assert(await isFocused(visit, "#tray .remove"), "the next button has the focus");
      assert.match(await visit.ask("both"), /\(2 image, turn 1\)/);
      assert.equal(await thumbnails.count(), 0);
      await visit.ask("no new one");
      await visit.show(TWO);
      await visit.ask("a third");
      assert.deepEqual(await shownPictures(visit), [["shapes.png", "word.png"], [], ["outlines.png"]]);
      assert.deepEqual((await held(visit)).turns, [["both", 2], ["no new one", 0], ["a third", 1]]);
      assert.equal(await visit.page.locator("#frame[data-state=read] img").getAttribute("alt"), "outlines.png", "the last one is shown large");
    }));

  test("of the examples only the last one clicked goes with the question", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      for (const file of ["shapes.png", "word.png"]) {
        await visit.page.locator(`[data-example='${file}']`).click();
        await visit.page.locator("#frame[data-state=read]").waitFor();
        await visit.page.locator("#tray img").waitFor();
      }
      await visit.page.locator("#tray img[alt^='The word bird']").waitFor();
      assert.match(await visit.ask("which"), /\(1 image, turn 1\)/);
    }));

  test("a model that was trained with several has no warning", () =>
    withFake({ several_pictures: true }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      for (const picture of [ONE, TWO]) await visit.show(picture);
      assert.match(await visit.ask("both"), /\(2 image/);
      assert.equal(await hint(visit), "");
    }));

  test("one that the context has no room for is refused before the question, and changes nothing", () =>
    withFake({ places: 1 }, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      await visit.ask("first");
      await visit.show(TWO);
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /longer than the model's context.*all 1 places/s);
      assert.equal(await visit.page.locator("#tray .thumbnail").count(), 0);
      assert.deepEqual((await held(visit)).turns, [["first", 1]]);
      assert(await visit.at("error").isHidden());
    }));

  test("a question that fails gives its pictures to the next one", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      await visit.at("question").fill("full");
      await visit.at("send").click();
      await visit.at("error").waitFor();
      assert.equal(await visit.page.locator("#tray .thumbnail").count(), 1);
      assert.match(await visit.ask("shorter"), /\(1 image, turn 1\)/);
      assert.deepEqual(await shownPictures(visit), [[], ["shapes.png"]]);
    }));

  test("after a lost GPU the engine holds every picture in its turn", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, `${url}?backend=webgpu`);
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      await visit.ask("first");
      await visit.ask("plain");
      for (const picture of [TWO, THREE]) await visit.show(picture);
      assert.match(await visit.ask("lose 3 and go on"), /lose 3 and go on \(3 image, turn 3\)/);
      assert.deepEqual((await held(visit)).turns, [["first", 1], ["plain", 0], ["lose 3 and go on", 2]]);
    }));

  test("another model is given the conversation, with the answers as text", () =>
    withFake({}, async ({ browser, url, root }) => {
      const visit = await open(browser, url);
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      const answer = await visit.ask("first");
      const plan = JSON.parse(await readFile(path.join(root, "models/scenes/manifest.json"), "utf8"));
      await writeFile(path.join(root, "models/scenes/other.json"), JSON.stringify({ ...plan, name: "Another one" }));
      await visit.page.getByRole("button", { name: "Another model" }).click();
      await visit.page.locator("#model-address").fill(`${url}models/scenes/other.json`);
      await visit.page.locator("#models-open").click();
      await visit.page.locator(".note", { hasText: "From here on Another one answers" }).waitFor();
      // Back to the first one, and to the other again, before anything is asked: one note, of the one that answers.
      for (const [button, notes] of /** @type {const} */ ([["#models-shipped", 0], ["#models-open", 1]])) {
        await visit.page.getByRole("button", { name: "Another model" }).click();
        await visit.page.locator(button).click();
        await visit.page.waitForFunction((notes) => document.querySelectorAll(".note").length === notes, notes);
        await visit.reaches("ready");
      }
      await visit.ask("second");
      const { turns } = JSON.parse(await visit.ask("what is held"));
      assert.deepEqual(turns[0], { question: "first", images: 1, text: answer });
      assert.deepEqual(Object.keys(turns[1]), ["question", "images", "ids"], "its own answers as tokens");
    }));
});

describe("the next question, asked while the one before it is being stopped", () => {
  const picture = (/** @type {string} */ id) => /** @type {import("../../www/page/types.js").Picture} */ ({ id, name: id, source: "", url: "", seen: null });
  const [a, b] = [picture("a"), picture("b")];
  /** @param {Conversation} conversation */
  const shown = (conversation) => conversation.turns.map((turn) => [turn.question, turn.pictures.map(({ id }) => id).join("")]);

  test("has the pictures that the stopped one gives back", () => {
    const conversation = new Conversation();
    conversation.attach(a);
    const stopped = conversation.ask("one");
    conversation.attach(b);
    conversation.ask("two");
    conversation.giveBack(stopped);
    assert.deepEqual([shown(conversation), conversation.attached], [[["one", ""], ["two", "ab"]], []]);
  });

  test("stays when an edit is undone, with the pictures of that edit", () => {
    for (const [withAttached, second] of /** @type {const} */ ([[true, "b"], [false, "b"]])) {
      const conversation = new Conversation();
      conversation.attach(a);
      const first = conversation.ask("one");
      first.state = "done";
      conversation.attach(b);
      const { undo } = conversation.replace(first, "one, edited", withAttached);
      conversation.ask("two");
      undo();
      assert.deepEqual([shown(conversation), conversation.attached], [[["one", "a"], ["two", second]], []]);
    }
  });

  test("is not followed by what a later edit has removed", () => {
    const conversation = new Conversation();
    conversation.attach(a);
    const first = conversation.ask("one");
    conversation.attach(b);
    const stopped = conversation.ask("two");
    const { turn: again, undo } = conversation.replace(first, "one again", false);
    conversation.replace(again, "other", false);
    conversation.giveBack(stopped);
    undo();
    assert.deepEqual([shown(conversation), conversation.attached], [[["other", "a"]], []]);
  });
});

describe("edits", () => {
  test("a question is edited: the conversation goes on from there, with its pictures", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      const { page } = visit;
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      await visit.ask("first");
      await visit.show(TWO);
      await visit.ask("second");
      await visit.ask("third");
      await visit.at("question").fill("half a quest");
      await page.getByRole("button", { name: "Edit the question: second" }).click();
      assert.equal(await visit.at("question").inputValue(), "second");
      assert(await isFocused(visit, "#question"));
      assert.match(await hint(visit), /Editing a question.*Escape cancels/);
      await page.keyboard.press("Escape");
      assert.equal(await visit.at("question").inputValue(), "half a quest", "what was typed is back");
      assert(await isFocused(visit, ".edit"), "and the focus is where it was");
      assert.equal(await visit.at("answer").count(), 3);
      await page.keyboard.press("Enter");
      assert.match(await visit.ask("2nd"), /^You asked: 2nd \(2 image, turn 2\)/);
      assert.equal(await visit.at("question").inputValue(), "half a quest");
      assert.deepEqual(await shownPictures(visit), [["shapes.png"], ["outlines.png"]]);
      assert.deepEqual((await held(visit)).turns, [["first", 1], ["2nd", 1]]);
      // The first question, with one picture more.
      await page.getByRole("button", { name: "Edit the question: first" }).click();
      await visit.show(THREE);
      assert.match(await visit.ask("1st"), /\(2 image, turn 1\)/);
      assert.equal(await visit.at("answer").count(), 1);
      assert.deepEqual((await held(visit)).turns, [["1st", 2]]);
    }));

  test("an edit that fails leaves the conversation as it was", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      for (const question of ["first", "second"]) await visit.ask(question);
      await visit.page.getByRole("button", { name: "Edit the question: first" }).click();
      await visit.at("question").fill("full");
      await visit.at("send").click();
      await visit.at("error").waitFor();
      assert.deepEqual(await visit.page.locator(".asked").allTextContents(), ["You asked: first", "You asked: second"]);
      assert.deepEqual((await held(visit)).turns, [["first", 1], ["second", 0]]);
    }));

  test("the up arrow in an empty field edits the last question", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.ask("wrong");
      await visit.at("question").fill("some");
      await visit.page.keyboard.press("ArrowUp");
      assert.equal(await visit.at("question").inputValue(), "some");
      await visit.at("question").fill("");
      await visit.page.keyboard.press("ArrowUp");
      assert.equal(await visit.at("question").inputValue(), "wrong");
      await visit.page.keyboard.press("Escape");
      assert.equal(await visit.at("question").inputValue(), "");
      assert(await isFocused(visit, "#question"));
      await visit.page.keyboard.press("ArrowUp");
      await visit.page.keyboard.type(" no more");
      await visit.page.keyboard.press("Enter");
      assert.match(await visit.answered(), /wrong no more \(0 image, turn 1\)/);
      assert.equal(await visit.at("answer").count(), 1);
    }));
});

describe("copies and exports", () => {
  const MARKED = "**bold** and `code`\n```js\nlet a;\n```";

  test("an answer is copied as Markdown, its code as text", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url, { permissions: ["clipboard-read", "clipboard-write"] });
      await visit.reaches("ready");
      await visit.ask(MARKED);
      const clipboard = () => visit.page.evaluate(() => navigator.clipboard.readText());
      assert.equal(await visit.page.locator(".answer strong").innerText(), "bold");
      await visit.page.getByRole("button", { name: "Copy the answer" }).click();
      await visit.page.locator(".copy[data-state=copied]").waitFor();
      assert.equal(await clipboard(), `You asked: ${MARKED} (0 image, turn 1)`);
      await visit.ask("see\n```\nlet b;\n```\nend");
      await visit.page.getByRole("button", { name: "Copy this code" }).last().click();
      await visit.page.locator(".code .copy[data-state=copied]").waitFor();
      assert.equal(await clipboard(), "let b;");
    }));

  test("the conversation is saved as Markdown and as JSON, with or without the pictures", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      const { page } = visit;
      await visit.reaches("ready");
      assert(await page.locator("#open-export").isDisabled(), "nothing to export");
      await visit.show(ONE);
      await visit.ask("What *is* it?\nSo?");
      await visit.ask("second");
      /** @param {string} format @param {boolean} pictures */
      const exported = async (format, pictures) => {
        await page.getByRole("button", { name: "Export" }).click();
        await page.getByLabel("Format").selectOption(format);
        await page.getByLabel("Include the pictures").setChecked(pictures);
        const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save the file" }).click()]);
        assert.match(download.suggestedFilename(), new RegExp(`^conversation-[-0-9]+\\.${format}$`));
        return readFile(await download.path(), "utf8");
      };
      const bytes = await readFile(ONE);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const value = JSON.parse(await exported("json", true));
      assert.deepEqual(value.turns.map((/** @type {any} */ turn) => [turn.question, turn.answer, turn.stop]), [
        ["What *is* it?\nSo?", "You asked: What *is* it?\nSo? (1 image, turn 1)", "eos"],
        ["second", "You asked: second (1 image, turn 2)", "eos"],
      ]);
      const data = `data:image/png;base64,${bytes.toString("base64")}`;
      assert.deepEqual(value.turns[0].pictures, [{ name: "shapes.png", type: "image/png", bytes: bytes.length, sha256, data }]);
      assert.deepEqual([value.model.name, value.model.addresses, value.settings.temperature], ["A stand-in", [`${url}models/scenes/manifest.json`], 0]);
      assert.equal(JSON.parse(await exported("json", false)).turns[0].pictures[0].data, undefined);
      const text = await exported("md", false);
      assert(text.includes(`*Picture: shapes.png (SHA-256 ${sha256})*\n\n> What \\*is\\* it?\n>\n> So?\n\nYou asked:`), text);
      assert((await exported("md", true)).includes(`![shapes.png](${data})`));
      assert.deepEqual(visit.complaints, []);
      assert(visit.requests.every((request) => request.startsWith(url) || request.startsWith("blob:") || request.startsWith("data:")), "nothing is sent");
      // A cancelled export saves nothing.
      await page.getByRole("button", { name: "Export" }).click();
      await page.keyboard.press("Escape");
      assert(await isFocused(visit, "#open-export"));
    }));
});

describe("a reload", () => {
  test("shows the conversation at once, and gives it to the engine with the next question", () =>
    withFake({ slow: 30 }, async ({ browser, url }) => {
      const visit = await open(browser, url, { serviceWorkers: "block" });
      await visit.show(ONE);
      await visit.reaches("ready", "encoding");
      const first = await visit.ask("**first**");
      await visit.show(TWO);
      await visit.ask("second");
      // Long enough for a busy machine to press Stop before its last word, at 30 ms a word.
      const long = `one two${" three".repeat(150)}`;
      await visit.at("question").fill(long);
      await visit.at("send").click();
      await visit.at("answer").last().getByText("two").waitFor();
      await visit.at("stop").click();
      const stopped = await visit.answered("stopped");
      await visit.page.addInitScript(() => {
        const states = /** @type {string[]} */ (Object.assign(window, { states: [] }).states);
        new MutationObserver(() => states.push(document.querySelector("#status")?.getAttribute("data-state") ?? "")).observe(document, { childList: true, attributes: true, subtree: true });
      });
      // A tab that is closed too early has stored what was stored before: the last answer is waited for.
      await visit.page.waitForTimeout(300);
      await visit.page.reload();
      await visit.page.locator(".turn").nth(2).waitFor();
      assert.equal((await visit.at("answer").first().innerText()).trim(), first);
      assert.equal(await visit.page.locator(".answer strong").innerText(), "first", "Markdown is Markdown");
      assert.deepEqual(await shownPictures(visit), [["shapes.png"], ["outlines.png"], []]);
      const widths = await visit.page.locator(".turn img").evaluateAll((images) => images.map((image) => /** @type {HTMLImageElement} */ (image).naturalWidth));
      assert(widths.every((width) => width > 0), `pictures: ${widths}`);
      await visit.reaches("ready");
      await visit.page.waitForTimeout(200);
      assert(!(await visit.page.evaluate(() => /** @type {any} */ (window).states)).includes("encoding"), "nothing is computed before the person goes on");
      assert.equal(await visit.page.locator("#frame").getAttribute("data-state"), "kept");
      assert.equal((await visit.at("answer").last().innerText()).trim(), stopped);
      const { turns } = await held(visit);
      assert.deepEqual(turns, [["first", 1], ["second", 1], [long, 0]]);
      assert((await visit.page.evaluate(() => /** @type {any} */ (window).states)).includes("encoding"));
    }));

  test("shows a conversation that an earlier version of the page has stored, with ids, and goes on with it", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(ONE);
      await visit.ask("first");
      await visit.page.locator("#machine", { hasText: "saved in this browser, until you forget it" }).waitFor({ state: "attached" });
      await visit.page.evaluate(async () => {
        const request = indexedDB.open("llava-web conversation");
        await new Promise((resolve) => (request.onsuccess = resolve));
        const store = request.result.transaction(["entries"], "readwrite").objectStore("entries");
        const got = store.get("entries");
        await new Promise((resolve) => (got.onsuccess = resolve));
        const [turn] = got.result;
        const answer = { text: turn.answer, ids: [5, 6, 7], prompt_ids: Array(21).fill(0), reused_rows: 17, stop: "length" };
        const timing = { first_token_ms: 120, total_ms: 500, tokens_per_second: 12.5 };
        turn.result = { answer, timing, report: { backend: "cpu", adapter: "" } };
        const put = store.put([turn], "entries");
        await new Promise((resolve) => (put.onsuccess = resolve));
        request.result.close();
      });
      await visit.page.reload();
      await visit.reaches("ready");
      assert.match(await visit.page.locator(".turn").innerText(), /3 tokens · 12\.5 tokens\/s · first after 120 ms · 17 of 21 prompt tokens already computed · cut at the longest answer/);
      assert.deepEqual((await held(visit)).turns, [["first", 1]]);
      assert.deepEqual(visit.complaints, []);
    }));

  for (const [how, forget] of /** @type {[string, (visit: Visit) => Promise<void>][]} */ ([
    ["a new conversation", (visit) => visit.page.getByRole("button", { name: "New conversation" }).click()],
    [
      "the settings",
      async (visit) => {
        await visit.page.getByRole("button", { name: "Settings" }).click();
        await visit.page.getByRole("button", { name: "Forget this conversation" }).click();
        await visit.page.getByRole("button", { name: "Done" }).click();
      },
    ],
  ])) {
    test(`shows nothing that ${how} has erased, and no byte of it is stored`, () =>
      withFake({}, async ({ browser, url }) => {
        const visit = await open(browser, url);
        await visit.show(ONE);
        await visit.reaches("ready", "encoding");
        await visit.ask("first");
        await forget(visit);
        await visit.page.locator("#intro").waitFor();
        assert.equal(await visit.at("answer").count(), 0);
        assert.equal(await visit.page.locator("#frame").getAttribute("data-state"), "empty");
        await visit.page.waitForTimeout(300);
        const counts = await visit.page.evaluate(async () => {
          const request = indexedDB.open("llava-web conversation");
          await new Promise((resolve) => (request.onsuccess = resolve));
          const stores = [...request.result.objectStoreNames];
          const transaction = request.result.transaction(stores);
          const counts = stores.map((name) => transaction.objectStore(name).count());
          await new Promise((resolve) => (transaction.oncomplete = resolve));
          request.result.close();
          return counts.map(({ result }) => result);
        });
        assert.deepEqual(counts, [0, 0]);
        await visit.page.reload();
        await visit.reaches("ready");
        assert.equal(await visit.at("answer").count(), 0);
        assert.match(await visit.ask("anew"), /anew \(0 image, turn 1\)/);
      }));
  }

  test("in two tabs shows the conversation that was answered last, and each tab keeps its own", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url);
      await visit.reaches("ready");
      await visit.show(ONE);
      await visit.ask("in the first tab");
      const { Visit } = await import("./harness.mjs");
      const other = new Visit(visit.context, await visit.context.newPage(), [], []);
      await other.page.goto(url);
      await other.page.locator(".asked", { hasText: "in the first tab" }).waitFor();
      await other.reaches("ready");
      await other.show(TWO);
      assert.match(await other.ask("in the second tab"), /\(2 image, turn 2\)/);
      assert.match(await visit.ask("again in the first"), /\(1 image, turn 2\)/);
      await visit.page.waitForTimeout(300);
      await other.page.reload();
      await other.page.locator(".asked", { hasText: "again in the first" }).waitFor();
      assert.equal(await other.at("answer").count(), 2);
      assert.deepEqual(await shownPictures(other), [["shapes.png"], []]);
    }));

  test("in a browser that stores nothing shows an empty page, and nothing fails", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, "about:blank");
      await visit.page.addInitScript(() => Object.defineProperty(window, "indexedDB", { get: () => undefined }));
      await visit.page.goto(url);
      await visit.show(ONE);
      assert.match(await visit.ask("first"), /\(1 image, turn 1\)/);
      await visit.page.locator("#machine", { hasText: "not saved for the next visit" }).waitFor({ state: "attached" });
      await visit.page.reload();
      await visit.reaches("ready");
      assert.equal(await visit.at("answer").count(), 0);
      assert.deepEqual(visit.complaints, []);
    }));
});

describe("on a narrow screen", () => {
  test("nothing is wider than 320 px, and the field stays where it is when a hint comes", () =>
    withFake({}, async ({ browser, url }) => {
      const visit = await open(browser, url, { viewport: { width: 320, height: 640 } });
      await visit.reaches("ready");
      await visit.ask(`a ${"long".repeat(40)} word\n\`\`\`\n${"wide ".repeat(60)}\n\`\`\``);
      for (const picture of [ONE, TWO, THREE]) await visit.show(picture);
      await visit.ask("three");
      assert.equal(await visit.page.evaluate(() => document.documentElement.scrollWidth), 320);
      const top = () => visit.at("question").evaluate((field) => field.getBoundingClientRect().height + (field.closest("form")?.getBoundingClientRect().height ?? 0));
      const before = await top();
      await visit.page.locator(".edit").first().click();
      assert.equal(await top(), before, "the form is as high as before");
    }));
});

describe("with the shipped model", () => {
  test("a second question after a reload has the answer that it has without one", async () => {
    const server = await serve();
    const browser = await launch({ gpu: false });
    try {
      const questions = ["What color is the star?", "Describe the image.", "Is there a heart in the image?"];
      /** @param {Visit} visit */
      const exported = async (visit) => {
        await visit.page.getByRole("button", { name: "Export" }).click();
        await visit.page.getByLabel("Format").selectOption("json");
        const [download] = await Promise.all([visit.page.waitForEvent("download"), visit.page.getByRole("button", { name: "Save the file" }).click()]);
        return JSON.parse(await readFile(await download.path(), "utf8")).turns.map((/** @type {any} */ { answer, tokens }) => ({ answer, tokens }));
      };
      /** @param {boolean} reloading @returns {Promise<{ answer: string, tokens: number }[]>} */
      const talk = async (reloading) => {
        const visit = await open(browser, server.url);
        await visit.reaches("ready");
        await visit.show(ONE);
        for (const [i, question] of questions.entries()) {
          if (i === 2) await visit.show(TWO);
          await visit.ask(question);
          if (!reloading) continue;
          await visit.page.waitForTimeout(300);
          await visit.page.reload();
          await visit.page.locator(".turn").nth(i).waitFor();
          await visit.reaches("ready");
        }
        const turns = await exported(visit);
        await visit.close();
        return turns;
      };
      const [once, reloaded] = [await talk(false), await talk(true)];
      assert.equal(once.length, 3);
      assert(once.every(({ tokens }) => tokens > 1), JSON.stringify(once));
      assert.deepEqual(reloaded, once);
    } finally {
      await browser.close();
      await server.stop();
    }
  });

  test("answers without a picture, and knows which of two is which", async () => {
    const server = await serve();
    const browser = await launch({ gpu: false });
    try {
      const visit = await open(browser, server.url);
      await visit.reaches("ready");
      assert.notEqual(await visit.ask("What color is the star?"), "");
      await visit.page.getByRole("button", { name: "New conversation" }).click();
      await visit.show(ONE);
      assert.match(await visit.ask("What color is the star?"), /\bgreen\b/i);
      // Eight pictures of 64 rows do not fit beside their questions in 512.
      for (let i = 0; i < 7; i++) await visit.show({ name: `${i}.png`, mimeType: "image/png", buffer: await readFile([TWO, THREE, example("by-hand.png")][i % 3] ?? "") });
      await visit.at("error").waitFor();
      assert.match(await visit.errorText(), /longer than the model's context/);
      assert.match(await visit.errorText(), /start a new conversation/);
      await visit.page.getByRole("button", { name: "New conversation" }).click();
      await visit.show(TWO);
      assert.match(await visit.ask("What color is the triangle?"), /\borange\b/i);
      assert.deepEqual(visit.complaints, []);
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});
