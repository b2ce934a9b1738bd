// A dedicated worker that holds one engine: ours or another one. It loads a module of this folder and calls it.

/** @type {any} */
let engine;

self.onmessage = async ({ data: { id, method, args, ports } }) => {
  try {
    if (method === "load") engine = await import(`./${args.name}.js`);
    const value = await (method === "load" ? engine.load(args.task, args.setting, ports) : engine[method](...args));
    self.postMessage({ id, value });
  } catch (error) {
    const thrown = /** @type {any} */ (error);
    self.postMessage({ id, error: thrown.stack ?? thrown.message ?? JSON.stringify(thrown) });
  }
};
