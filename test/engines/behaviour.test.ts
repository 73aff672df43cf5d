import { describeBehaviour } from "../client/behaviour/in-browser.js";
import { CHROMIUM } from "../support/engines/chromium.js";
import { ENGINES } from "./engines.js";

// Chromium has its turn with the other tests
for (const engine of ENGINES.filter((one) => one !== CHROMIUM)) describeBehaviour(engine);
