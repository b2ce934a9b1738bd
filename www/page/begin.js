// Requests the engine's code, the largest file of the page, before the page's other modules have loaded.

import { engineCode } from "../llava/engine-code.js";
import { engineOptions } from "./engine-options.js";

engineCode(engineOptions);
