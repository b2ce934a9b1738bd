// What the address asks of the engine.

const threads = new URLSearchParams(location.search).get("threads");

/** Options of every call of the package that starts an engine: the address may ask for fewer threads. */
export const engineOptions = threads ? { threads: Number(threads) } : {};
