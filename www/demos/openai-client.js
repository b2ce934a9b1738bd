// OpenAI's own client, unchanged: the model in this tab answers its requests.

import { LLaVA } from "../llava/index.js";

/** Elements of the page, by id. @type {Record<string, any>} */
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
/** @type {import("../llava/index.js").Model | null} */ let model = null;

const say = (/** @type {string} */ text) => (page.status.textContent = text);
/** Returns a file in the form that OpenAI's servers take. @param {File} file @returns {Promise<string>} */
const dataAddress = (file) => new Promise((resolve) => Object.assign(new FileReader(), { onload: (/** @type {any} */ { target }) => resolve(target.result) }).readAsDataURL(file));

page.start.onclick = async () => {
  const built = import(/** @type {string} */ ("./vendor/openai.js"));
  const { OpenAI } = await built.catch(() => Promise.reject(new Error("The client is not in this copy of the page: ./build.sh demos builds it.")));
  const onProgress = (/** @type {any} */ event) => event.type === "fetch" && say(`Loading: ${Math.floor((100 * event.done) / event.total)} %`);
  model ??= await LLaVA.load(page.model.value, { onProgress });
  dispatchEvent(new CustomEvent("model", { detail: model }));

  const client = new OpenAI({ baseURL: new URL("v1", location.href).href, apiKey: "none", dangerouslyAllowBrowser: true, fetch: model.fetch });
  const [{ id }] = (await client.models.list()).data;
  const url = await dataAddress(page.files.files[0]);
  const answer = await client.chat.completions.create({
    model: id,
    messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }, { type: "text", text: page.question.value }] }],
    max_completion_tokens: 128,
    stream: true,
    stream_options: { include_usage: true },
  });
  page.answer.textContent = "";
  for await (const { choices, usage } of answer) {
    page.answer.textContent += choices[0]?.delta.content ?? "";
    if (usage) say(`${id}: ${usage.prompt_tokens} tokens read, ${usage.completion_tokens} written.`);
  }
};
page.model.onchange = () => (model?.close(), (model = null));
page.files.onchange = () => (page.picture.src = URL.createObjectURL(page.files.files[0]));
