// A dedicated worker that holds one engine: ours or another one. It loads a module of this folder and calls it.

/** @type {import("./prompt.js").Engine} */
let engine;

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "load") engine = await import(`./${args.name}.js`);
    const value = await (method === "load" ? engine.load(args.task, args.setting) : engine.answer(args.turn, args.tokens));
    self.postMessage({ id, value });
  } catch (error) {
    const thrown = /** @type {any} */ (error);
    self.postMessage({ id, error: thrown.stack ?? thrown.message ?? JSON.stringify(thrown) });
  }
};
