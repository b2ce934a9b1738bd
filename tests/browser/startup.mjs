// When the page appears, when it answers to the mouse, and when its model is ready: with every answer of the server
// delayed, as a network would. `./build.sh figures` prints it.

import { createServer, request } from "node:http";
import { open } from "./harness.mjs";

/** What a request waits for, ms: a quick connection to a server on the same continent. */
const DELAY = 60;

/** A server before `url` that lets everything wait. @param {string} url */
async function slowly(url) {
  const server = createServer((asked, answer) => {
    setTimeout(() => {
      const { hostname, port } = new URL(url);
      const forwarded = request({ hostname, port, path: asked.url, method: asked.method, headers: { ...asked.headers, host: `${hostname}:${port}` } }, (found) => {
        answer.writeHead(found.statusCode ?? 502, found.headers);
        found.pipe(answer);
      });
      asked.pipe(forwarded);
    }, DELAY);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}/`, stop: () => server.close() };
}

/**
 * Milliseconds from the navigation on, of a first visit.
 * @param {import("playwright-core").Browser} browser @param {string} url
 */
export async function startup(browser, url) {
  const host = await slowly(url);
  const visit = await open(browser, "about:blank", { serviceWorkers: "block" });
  await visit.page.addInitScript(() => {
    // Noted where it happens: the driver looks every half second. The examples are put there by the script that makes
    // everything else work.
    const first = { interactive: "#examples > *", ready: "[data-testid=status][data-state=ready]" };
    for (const [name, selector] of Object.entries(first)) {
      new MutationObserver((_, observer) => {
        if (!document.querySelector(selector)) return;
        observer.disconnect();
        Object.assign(window, { [name]: performance.now() });
      }).observe(document, { childList: true, subtree: true, attributeFilter: ["data-state"] });
    }
  });
  await visit.page.goto(`${host.url}?backend=cpu`);
  await visit.reaches("ready");
  const times = await visit.page.evaluate(() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
    interactive: /** @type {any} */ (window).interactive,
    ready: /** @type {any} */ (window).ready,
  }));
  await visit.close();
  host.stop();
  return times;
}
