// The engine's worker, alone.

import * as build from "../pkg/llava_web.js";
import { answerWith } from "./engine-calls.js";

answerWith(build);
