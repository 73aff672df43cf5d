import { rmSync } from "node:fs";

// what was compiled from a file that is gone must not be published
rmSync(new URL("../dist/", import.meta.url), { recursive: true, force: true });
