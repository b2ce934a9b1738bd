// proof.html: everything is right here, a wrong shader is noticed and switched off, and reports make a table.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { MODELS } from "../../www/proof/models.js";
import { FORMAT, parseReport, verdictOf } from "../../www/proof/report.js";
import { launch, open, repository, rootWith, serve } from "./harness.mjs";
import { routeMutant } from "./mutants.mjs";
import { REFERENCE, record } from "./record-proof.mjs";

/** The models of these tests: on a software adapter each takes ten seconds in each way, and the shipped one a minute. */
const FEW = ["siglip"];
/** Longest proof, ms. */
const PATIENCE = 300_000;
/** A shader of every way to compute, and one of tiles. @type {Record<string, { before: string, after: string }>} */
const MUTANTS = {
  everywhere: { before: "    let inverse = inverseSqrt(sum / f32(params.cols) + params.eps);", after: "    let inverse = 1.001 * inverseSqrt(sum / f32(params.cols) + params.eps);" },
  tiles: { before: "        w_tile[within][3][half][to] = turned[3];", after: "        w_tile[within][3][half][to] = turned[2];" },
};

describe("proof.html", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  before(async () => {
    served = await rootWith(async () => {});
    server = await serve(served.root);
    browser = await launch({ gpu: true });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await served?.remove();
  });

  test("proves every way to compute on this machine, and saves the report", async () => {
    const visit = await open(browser, `${server.url}proof.html?models=${FEW}`);
    visit.page.setDefaultTimeout(PATIENCE);
    await visit.page.locator("#start").click();
    await visit.page.locator("#verdict[data-right]").waitFor();
    const wrong = await visit.page.locator("#wrong li").allInnerTexts();
    assert.deepEqual(wrong, []);
    const [download] = await Promise.all([visit.page.waitForEvent("download"), visit.page.locator("#save").click()]);
    const file = path.join(tmpdir(), `proof-${process.pid}.json`);
    await download.saveAs(file);
    const report = parseReport(JSON.parse(await readFile(file, "utf8")), file);
    assert.deepEqual(verdictOf(report), { wrong: [], right: ["plain", "tiles", "int8", "cpu"] });
    assert.equal(report.runs.length, 4 * FEW.length);
    for (const run of report.runs) {
      assert(run.operations.length > 10 && run.steps > 5 && run.agreed + run.ties === run.steps, `${run.way}, ${run.model}`);
      // Exact ways agree exactly.
      if (["plain", "tiles"].includes(run.way)) assert(run.sampled && run.ties === 0, `${run.way}, ${run.model}`);
    }
    console.log(`proof: ${report.runs.length} runs in ${report.seconds} s`);
    const table = execFileSync(path.join(repository, "build.sh"), ["proof-table", file, file], { encoding: "utf8" }).trim().split("\n");
    assert.equal(table.length, 4);
    assert.match(table[2] ?? "", /Chrome \d+ .*\| plain, tiles, int8, cpu \| none \|/);
    await writeFile(file, JSON.stringify({ format: FORMAT, version: 1, date: 5 }));
    assert.throws(() => execFileSync(path.join(repository, "build.sh"), ["proof-table", file], { stdio: "pipe" }), /a field is missing/);
    assert.deepEqual(visit.complaints, []);
    await visit.close();
  });

  for (const [where, { off, uses, why }] of Object.entries({
    // Weights that are floats are multiplied in tiles of f32 in each of these ways.
    tiles: { off: "tiles, int8", uses: "computes with “plain” on this GPU from now on", why: /tiles, int8 computed wrong results on this GPU/ },
    everywhere: { off: "plain, tiles, int8", uses: "computes on the CPU from now on", why: /every way to compute on this GPU gave wrong results/ },
  })) {
    test(`a shader that is wrong (${where}) is switched off, and the page says so`, async () => {
      const context = await browser.newContext();
      try {
        await routeMutant(context, MUTANTS[where] ?? assert.fail(where));
        const page = await context.newPage();
        page.setDefaultTimeout(PATIENCE);
        await page.goto(`${server.url}proof.html?models=${FEW}`);
        await page.locator("#start").click();
        const verdict = await page.locator("#verdict[data-right=false]").innerText();
        assert(verdict.includes(`Wrong: ${off}.`) && verdict.includes(uses), verdict);
        await page.goto(`${server.url}index.html`);
        await page.locator("[data-testid=status][data-state=ready]").waitFor();
        assert.match(await page.locator("#machine").evaluate((list) => list.textContent ?? ""), why);
        const wanted = { tile: null, share_keys: false };
        const used = await page.evaluate(() => Object.values(JSON.parse(localStorage["llava-web tunings"] ?? "{}")));
        if (where === "tiles") assert.deepEqual(used.map(({ tile, share_keys }) => ({ tile, share_keys })), [wanted]);
      } finally {
        await context.close();
      }
    });
  }

  test("the recorded tokens are those of the reference kernels", async () => {
    const recorded = JSON.parse(await readFile(REFERENCE, "utf8"));
    assert.deepEqual(Object.keys(recorded), MODELS.map(({ name }) => name));
    for (const model of MODELS.filter(({ name }) => FEW.includes(name))) assert.deepEqual(record(model), recorded[model.name], model.name);
  });
});
