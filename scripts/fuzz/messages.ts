/** What the fuzzer, its server and its bystander tell each other. */
import type { Sample } from "../measured/sample.js";

export type ServerOrder = "sample" | "stop";

export type ServerTold =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "sample"; readonly sample: Sample };

export type BystanderOrder = "report" | "stop";

export type BystanderTold =
  | { readonly type: "there" }
  | { readonly type: "report"; readonly served: number; readonly longest: number; readonly faults: string[] };
