/** What the fuzzer, its server and its bystander tell each other. */
import type { Sample } from "../measured/sample.js";

/** `rest` has it do nothing by itself until `go on`. */
export type ServerOrder = "sample" | "rest" | "go on" | "stop";

export type ServerTold =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "rests" }
  | { readonly type: "sample"; readonly sample: Sample };

export type BystanderOrder = "report" | "stop";

export type BystanderTold =
  | { readonly type: "there" }
  | { readonly type: "report"; readonly served: number; readonly longest: number; readonly faults: string[] };
