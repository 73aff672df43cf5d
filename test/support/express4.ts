import { createRequire } from "node:module";
import type { Express } from "express";

/** Express 4's `express()`; it has no types of its own here. */
export const express4 = createRequire(import.meta.url)("express4") as () => Express;
