export { LLaVA } from "./llava.js";
export { Failure as LlavaError } from "../shared/failure.js";
export { Inspection } from "./inspection.js";
export { Model } from "./model.js";
export { ChatStream } from "./chat/chat-stream.js";
export { Completions } from "./chat/completions.js";
export { attentionRaster } from "./attention-raster.js";
