/** What the soak and its server tell each other. */

export interface Counts {
  answered: number;
  failed: number;
}

/** How the server is, after its garbage has been collected. Memory in bytes. */
export interface Sample {
  readonly heap: number;
  readonly rss: number;
  readonly external: number;
  readonly sockets: number;
  readonly channels: number;
  /** What keeps the process busy, by kind, as Node.js counts it. */
  readonly resources: Record<string, number>;
  /** Listeners on the server, its Redis clients and the process. */
  readonly listeners: number;
  /** Calls that the server has made of clients. */
  readonly calls: Counts;
}

export type Order = "sample" | "flood" | "calm" | "stop";

export type Told =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "sample"; readonly sample: Sample };
