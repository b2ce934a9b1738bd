import { LLaVA } from "llava-web";

const model = await LLaVA.load("/models/scenes/manifest.json", { backend: "cpu" });
await model.link.call("encode", { bytes: await (await fetch("/examples/shapes.png")).arrayBuffer() });
const { answer } = await model.link.call("generate", { question: "What do you see?", options: { max_new_tokens: 32, temperature: 0, top_p: 1, seed: 0 } });
const [saved, known] = [await LLaVA.cached(), await LLaVA.catalogue()];
model.close();
Object.assign(window, { said: `${answer.text} (threads: ${model.report.threads}); saved: ${saved.map(({ name }) => name)}; known: ${known.length}` });
