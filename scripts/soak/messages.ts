/** What the soak and its server tell each other. */
import type { Sample } from "../measured/sample.js";

export interface Counts {
  answered: number;
  failed: number;
}

/** How the server is, after its garbage has been collected. */
export interface SoakSample extends Sample {
  /** Calls that the server has made of clients. */
  readonly calls: Counts;
}

export type Order = "sample" | "flood" | "calm" | "stop";

export type Told =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "sample"; readonly sample: SoakSample };
