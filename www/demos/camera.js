// Describes what the camera sees, as fast as the machine answers. The camera is freed when the page is hidden.

import { LLaVA } from "../llava/index.js";

/** Elements of the page, by id. @type {Record<string, any>} */
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
/** @type {import("../llava/index.js").Model | null} */ let model = null;
let run = new AbortController();

const say = (/** @type {string} */ text) => (page.status.textContent = text);

/** Opens the camera until the signal is aborted. @param {AbortSignal} signal */
async function openCamera(signal) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } } });
  const free = () => stream.getTracks().forEach((track) => track.stop());
  signal.addEventListener("abort", free);
  if (signal.aborted) free();
  page.video.srcObject = stream;
  await page.video.play();
}

function stop() {
  run.abort();
  page.video.srcObject = null;
}

/** Writes one caption, word by word. @param {AbortSignal} signal */
async function caption(signal) {
  const content = /** @type {const} */ ([{ type: "image", image: page.video }, { type: "text", text: page.question.value }]);
  const answer = await model?.chat.completions.create({ messages: [{ role: "user", content }], max_tokens: 48, stream: true, signal });
  let text = "";
  for await (const { choices } of answer ?? []) page.caption.textContent = text += choices[0]?.delta.content ?? "";
}

page.start.onclick = async () => {
  stop();
  const { signal } = (run = new AbortController());
  const onProgress = (/** @type {any} */ event) => event.type === "fetch" && say(`Loading: ${Math.floor((100 * event.done) / event.total)} %`);
  try {
    model ??= await LLaVA.load(page.model.value, { signal, onProgress });
    dispatchEvent(new CustomEvent("model", { detail: model }));
    await openCamera(signal);
    for (let count = 1, begun = performance.now(); !signal.aborted; count++) {
      await caption(signal);
      say(`${count} captions, ${((count * 1000) / (performance.now() - begun)).toFixed(1)} per second.`);
    }
  } finally {
    if (!signal.aborted) stop();
  }
};
page.stop.onclick = stop;
page.model.onchange = () => (stop(), model?.close(), (model = null));
document.addEventListener("visibilitychange", () => document.hidden && stop());
addEventListener("pagehide", stop);
