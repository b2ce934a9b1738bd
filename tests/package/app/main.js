import { LLaVA } from "llava-web";

const model = await LLaVA.load("/models/scenes/manifest.json", { backend: "cpu" });
/** @param {string} text @param {object} [more] */
const ask = async (text, more) => {
  const content = [{ type: "image_url", image_url: { url: "/examples/shapes.png" } }, { type: "text", text }];
  return (await model.chat.completions.create({ messages: [{ role: "user", content }], ...more })).choices[0].message.content;
};
const seen = await ask("What do you see?", { max_tokens: 32 });
// Loads the second module.
const chosen = await ask("Is there a star?", { response_format: { type: "regex", regex: "<(yes|no)>" } });
const [saved, known] = [await LLaVA.cached(), await LLaVA.catalogue()];
model.close();
Object.assign(window, { said: `${seen} (threads: ${model.report.threads}); ${chosen}; saved: ${saved.map(({ name }) => name)}; known: ${known.length}` });
