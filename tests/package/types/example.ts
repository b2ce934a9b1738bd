// What an app in TypeScript does with the package. Compiled against the packed types in strict mode.

import { LLaVA, LlavaError, type ChatStream, type Inspection, type Model } from "llava-web";

export async function caption(file: File, write: (text: string) => void): Promise<void> {
  const stop = new AbortController();
  const inspection: Inspection = await LLaVA.inspect("hf.co/ggml-org/SmolVLM-256M-Instruct-GGUF", { backend: "auto", signal: stop.signal });
  const speed = await inspection.estimate();
  if (speed && !speed.fits) await inspection.choose({ quant: "q4", context: 2048 });
  write(`${inspection.plan.name}: ${inspection.missing_bytes} bytes to fetch, ${inspection.plan.memory?.total ?? 0} of memory`);
  for (const { longest_edge, seconds } of inspection.picture_sizes) write(`${longest_edge}: ${seconds?.toFixed(1) ?? "?"} s`);
  const model: Model = await inspection.load({ keep: true, onProgress: (event) => event.type === "fetch" && write(`${event.done} of ${event.total}`) });
  write(`${model.name} on ${model.report.backend}, ${file.size}`);
  const content = [{ type: "image", image: file }, { type: "text", text: "What is this?" }] as const;
  const stream: ChatStream = await model.chat.completions.create({ messages: [{ role: "user", content }], stream: true, max_tokens: 128 });
  for await (const chunk of stream) write(chunk.choices[0]?.delta.content ?? "");
  const schema = { type: "object", properties: { total: { type: "number" } }, required: ["total"] };
  const { choices, usage } = await model.chat.completions.create({ messages: [{ role: "user", content }], response_format: { type: "json_schema", json_schema: { name: "receipt", schema } } });
  write(`${choices[0]?.message.content}, ${usage?.prompt_tokens_details.cached_tokens} cached, ${choices[0]?.finish_reason}`);
  const saved: Uint8Array = await model.save();
  model.close();
  const again: Model = await LLaVA.restore(saved, "hf.co/ggml-org/SmolVLM-256M-Instruct-GGUF");
  again.close();
}

export async function storage(): Promise<string[]> {
  LLaVA.configure({ base: new URL("https://example.org/llava-web/"), threads: 2 });
  try {
    const folder: FileSystemDirectoryHandle | null = null;
    await LLaVA.load(folder ?? ["https://example.org/m.gguf", "https://example.org/mmproj.gguf"], { quant: "exact", longest_edge: 512 });
  } catch (thrown) {
    if (thrown instanceof LlavaError) return [thrown.kind, thrown.where, thrown.hint, thrown.message, String(thrown.cause)];
    throw thrown;
  }
  const [newest] = await LLaVA.cached();
  const deleted: number = newest ? await LLaVA.delete(newest) : await LLaVA.delete("org/name:Q4_K_M");
  const { kind, room } = await LLaVA.storage();
  const [offer] = await LLaVA.suitable({ measure: true });
  if (offer) await LLaVA.load(offer.addresses);
  return [kind, `${room ?? 0}`, `${deleted}`, (await LLaVA.catalogue()).map(({ id }) => id).join()];
}

// @ts-expect-error: no such type of weights
await LLaVA.load("org/name", { quant: "q5" });
// @ts-expect-error: no model
await LLaVA.load(5);
// @ts-expect-error: progress is an event, not a number
await LLaVA.load("org/name", { onProgress: (share: number) => share });
