// "The faster of the two": both backends are measured, the faster one runs, and the page says why.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { launch, open, serve, withFake } from "./harness.mjs";

/** @param {number} speed */
const probe = (speed) => ({ decode_tokens_per_second: speed, prefill_rows_per_second: 10 * speed, fits: true, message: "" });
const memory = (/** @type {number} */ total) => ({ weights: total, cache_per_token: 0, cache_type: "f32", scratch: 0, total, conversations: 0 });
const CPU_FASTER = { probe_webgpu: probe(10), probe_cpu: probe(100) };
/** Storage is shared within a context; without service workers nothing else is. */
const PLAIN = /** @type {const} */ ({ serviceWorkers: "block" });

/** @param {import("./harness.mjs").Visit} visit */
async function runsOn(visit) {
  await visit.reaches("ready");
  const why = await visit.page.locator("#machine dt:text-is('Why this backend') + dd").textContent();
  return { backend: await visit.at("backend").getAttribute("data-backend"), why };
}

describe("the backend, left to the page", () => {
  test("is the faster one, which is remembered until the person chooses", () =>
    withFake(CPU_FASTER, async ({ browser, url }) => {
      const visit = await open(browser, url, PLAIN);
      const found = await runsOn(visit);
      assert.deepEqual(found, { backend: "cpu", why: "a question would take 9.0 s on the GPU and 896 ms on the CPU" });
      await visit.page.reload();
      assert.deepEqual(await runsOn(visit), found);
      // What is remembered decides: were it measured again, this would not last.
      await visit.page.evaluate(() => {
        const [name = ""] = Object.keys(localStorage).filter((key) => key.includes("backends"));
        localStorage.setItem(name, (localStorage.getItem(name) ?? "").replace('"cpu"', '"webgpu"'));
      });
      await visit.page.reload();
      assert.equal((await runsOn(visit)).backend, "webgpu");
      await visit.page.goto(`${url}?backend=cpu`);
      assert.deepEqual(await runsOn(visit), { backend: "cpu", why: "as you chose" });
      await visit.close();
    }));

  for (const [name, manifest] of /** @type {[string, object][]} */ ([
    ["is the GPU where that is faster", { probe_webgpu: probe(100), probe_cpu: probe(10) }],
    ["is the CPU where the GPU lacks memory", { probe_webgpu: { ...probe(100), fits: false }, probe_cpu: probe(10) }],
    ["is never the CPU for a model that its 4 GiB cannot hold", { ...CPU_FASTER, memory: memory(3.9e9) }],
  ])) {
    test(name, () =>
      withFake(manifest, async ({ browser, url }) => {
        const visit = await open(browser, url, PLAIN);
        const { backend, why } = await runsOn(visit);
        assert.equal(backend, name.includes("is the CPU") ? "cpu" : "webgpu", why ?? "");
        await visit.close();
      }));
  }

  test("is measured with the real engine, too", async () => {
    const server = await serve();
    const browser = await launch({ gpu: true });
    try {
      const visit = await open(browser, server.url, PLAIN);
      const { backend, why } = await runsOn(visit);
      const [, onGpu, , onCpu] = /take ([\d.]+) (m?s) on the GPU and ([\d.]+) (m?s) on the CPU/.exec(why ?? "") ?? [];
      assert(onGpu && onCpu, why ?? "nothing is said");
      // No GPU here but two cores: shaders on them lose to a program made for them.
      assert.equal(backend, "cpu", why ?? "");
      await visit.close();
    } finally {
      await browser.close();
      await server.stop();
    }
  });
});
