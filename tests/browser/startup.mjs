// When the page appears, when it answers to the mouse, when its model is ready, and when a question that waits for that
// has its first word: with every answer of the server delayed, as a network would. `./build.sh figures` prints it.

import { createServer, request } from "node:http";
import path from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { open, www } from "./harness.mjs";

/** What a request waits for, ms: a quick connection to a server on the same continent. */
const DELAY = 60;

/** A server before `url` that lets everything wait, and sends `rate` bytes per ms altogether.
 * @param {string} url @param {number} rate */
async function slowly(url, rate) {
  /** When all that was sent so far has arrived, ms. */
  let line = 0;
  /** @param {import("node:http").IncomingMessage} body */
  async function* paced(body) {
    for await (const chunk of body) {
      line = Math.max(line, performance.now()) + chunk.length / rate;
      if (line - performance.now() > 1) await sleep(line - performance.now());
      yield chunk;
    }
  }
  const server = createServer((asked, answer) => {
    setTimeout(() => {
      const { hostname, port } = new URL(url);
      const forwarded = request({ hostname, port, path: asked.url, method: asked.method, headers: { ...asked.headers, host: `${hostname}:${port}` } }, (found) => {
        answer.writeHead(found.statusCode ?? 502, found.headers);
        Readable.from(paced(found)).pipe(answer);
      });
      asked.pipe(forwarded);
    }, DELAY);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/`, stop: () => server.close() };
}

/**
 * Times in ms from the navigation on, of a first visit on which a picture is shown and a question sent immediately.
 * @param {import("playwright-core").Browser} browser @param {string} url @param {"cpu" | "webgpu"} backend
 * @param {number} [rate] bytes per ms that arrive
 */
export async function startup(browser, url, backend, rate = Infinity) {
  const host = await slowly(url, rate);
  const visit = await open(browser, "about:blank", { serviceWorkers: "block" });
  await visit.page.addInitScript(() => {
    new MutationObserver((_, observer) => {
      const send = document.querySelector("[data-testid=send]");
      const question = document.querySelector("[data-testid=question]");
      if (!(send instanceof HTMLButtonElement && question instanceof HTMLTextAreaElement) || send.disabled || !question.value || !document.querySelector("#tray img")) return;
      observer.disconnect();
      send.click();
    }).observe(document, { childList: true, subtree: true, attributeFilter: ["disabled"] });
  });
  await visit.page.goto(`${host.url}?backend=${backend}`);
  await visit.at("question").fill("What color is the star?");
  await visit.show(path.join(www, "examples/shapes.png"));
  await visit.at("answer").waitFor();
  await visit.answered();
  const times = await visit.page.evaluate(() => {
    const [paint = NaN, interactive = NaN, ready = NaN, word = NaN] = ["first-contentful-paint", "interactive", "ready", "first word"].map((name) => performance.getEntriesByName(name)[0]?.startTime);
    return { paint, interactive, ready, word };
  });
  await visit.close();
  host.stop();
  return times;
}
