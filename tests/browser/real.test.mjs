// The widths of LLaVA-1.5 7B (4096 and 11008, 32 heads, 32000 tokens; a tower of 1024), one block of each part: as
// `./build.sh real` does with all of it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN, launch, open, rootWith, serve } from "./harness.mjs";
import { agree, ask, native } from "./real-model.mjs";

/** Standard deviations of the logits: products are summed in another order, and nothing else differs. */
const BOUND = 0.02;

describe("one block of a 7B", () => {
  /** @type {string} */ let folder;
  /** @type {string[]} */ let addresses;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "llava-block-"));
    execFileSync(path.join(BIN, "weights"), ["--size", "7b-block", "--format", "gguf-q4_0", "--out", folder]);
    addresses = (await readdir(folder)).map((name) => `real/${name}`);
    served = await rootWith((root) => symlink(folder, path.join(root, "real")));
    server = await serve(served.root);
  });
  after(async () => {
    await server?.stop();
    await served?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  // Shaders compute what the reference does; the CPU rounds activations to 8 bits, in a browser as natively.
  for (const [backend, twin, picture] of /** @type {const} */ ([
    ["webgpu", "reference", null],
    ["cpu", "cpu", "examples/shapes.png"],
  ])) {
    test(`on ${backend}${picture ? ", with a picture," : ""} answers as the native program's ${twin} backend`, async (context) => {
      const browser = await launch({ gpu: backend === "webgpu" });
      try {
        const visit = await open(browser, `${server.url}?backend=cpu`);
        const seen = await ask(visit.page, { addresses, keep: false, backend, picture });
        assert.equal(seen.report.backend, backend);
        context.diagnostic(agree(seen, await native(folder, twin, picture), BOUND));
      } finally {
        await browser.close();
      }
    });
  }
});

test("two answers that part are judged by how much it mattered", () => {
  // Three columns, a row for the prompt and for each of two tokens; in the second, 1 leads 2 by 0.1.
  const logits = new Float32Array([5, 0, 0, 0, 1, 0.9, 9, 0, 0]);
  const twin = { ids: [0, 1], prompt_ids: [7], logits };
  assert.match(agree({ prompt: [7], ids: [0, 1] }, twin, 0.02), /the same 2 tokens/);
  assert.match(agree({ prompt: [7], ids: [0, 2] }, twin, 0.5), /token 1 is 2, natively 1/);
  assert.throws(() => agree({ prompt: [7], ids: [0, 2] }, twin, 0.02), /margin of 0.2\d* deviations; 0.02 are allowed/);
  assert.throws(() => agree({ prompt: [7], ids: [2, 1] }, twin, 0.5), /token 0 is 2, natively 0/);
  assert.throws(() => agree({ prompt: [7], ids: [0] }, twin, 0.5), /1 tokens/);
  assert.throws(() => agree({ prompt: [7], ids: [0, 1, 1] }, twin, 0.5), /3 tokens/);
  assert.throws(() => agree({ prompt: [7], ids: [0, 3] }, twin, 0.5), /NaN/, "a token that there is not");
  assert.throws(() => agree({ prompt: [8], ids: [0, 1] }, twin, 0.5), /prompts differ/);
});
