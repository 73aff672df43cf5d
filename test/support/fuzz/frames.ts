import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { anyCharacter } from "./characters.js";

/** A request's id: one that is given when it is sent, so that no two are the same, or something else. */
export type Id = { readonly kind: "text" | "number" } | { readonly kind: "junk"; readonly value: unknown };

/** What one socket sends: SockJS messages, and what is in them. */
export type Action =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "frame"; readonly fields: Record<string, unknown>; readonly id: Id | undefined }
  | {
      readonly type: "auth";
      readonly token: "good" | "used" | "unknown" | "none" | "junk";
      readonly junk: unknown;
    }
  | { readonly type: "noStrings"; readonly values: readonly unknown[] };

export const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom("{", "}", "[", "]", '"', ":", ",", "\\"),
    fc.nat(0xffff).map((n) => String.fromCharCode(n)),
  ),
});

export const anyJson = fc.jsonValue({ maxDepth: 4, stringUnit: anyCharacter });

const paths = fc.oneof(
  fc.constantFrom(
    "echo",
    "slow",
    "callback",
    "twice",
    "refuse",
    "throws",
    "rejects",
    "broken",
    "noJson",
    "stream",
    "iterator",
    "thenable",
    "revoked",
    "nameless",
    "reason",
    "failing",
    "nested.echo",
    "handler",
    "handlers",
    "silent",
    "nested",
    "missing",
    "guarded",
    "__proto__",
    "constructor",
    "echo.call",
    "handlers.0",
    "",
    ".".repeat(300),
  ),
  anyText,
);

const requests = fc.constantFrom("_ping", "_subscribe", "_unsubscribe", "_publish", "_broadcast", "_rpc");

const channels = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "__proto__", "\u0000", "private") },
  { weight: 1, arbitrary: fc.constantFrom("___all___", "___sync___", "", "\ud800", "c".repeat(300)) },
  { weight: 1, arbitrary: anyJson },
);

/** A list of as many values as few bytes can be, fewer than a frame may have. */
const wide = (item: string): unknown => JSON.parse(`[${Array(600).fill(item).join()}]`);

const ids: fc.Arbitrary<Id | undefined> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom<Id>({ kind: "text" }, { kind: "number" }) },
  // no id at all: it is longer than one may be
  { weight: 1, arbitrary: fc.constant<Id>({ kind: "junk", value: "x".repeat(257) }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
  {
    weight: 2,
    arbitrary: fc
      .oneof(fc.array(anyJson), fc.dictionary(fc.string(), anyJson), fc.boolean(), fc.constant(null))
      .map((value): Id => ({ kind: "junk", value })),
  },
);

/** Frames as clients send them, with a field missing or wrong now and then. */
const frames: fc.Arbitrary<Action> = fc.record({
  type: fc.constant("frame" as const),
  fields: fc.record(
    {
      rpc: fc.oneof(
        { weight: 5, arbitrary: paths },
        { weight: 5, arbitrary: requests },
        { weight: 1, arbitrary: anyJson.filter((value) => value !== "auth") },
      ),
      req: fc.oneof(
        fc.constantFrom("{}", "[]", "0", '"",""').map((item) => wide(item)),
        fc.record({ channel: channels, data: anyJson }, { requiredKeys: [] }),
        fc.record({ channel: fc.constantFrom("a", "b"), data: anyJson }),
        anyJson,
      ),
      fid: fc.oneof(fc.constantFrom("1", "2", "3", "__proto__"), anyJson),
      resp: fc.oneof(fc.record({ data: anyJson, error: anyJson }, { requiredKeys: [] }), anyJson),
      token: anyJson,
      internal: anyJson,
    },
    { requiredKeys: [] },
  ),
  id: ids,
});

/** Whatever leaves the connection open, and its identity as it is. */
export const harmless: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: frames },
  { weight: 1, arbitrary: anyText.map((text): Action => ({ type: "text", text })) },
  {
    weight: 1,
    arbitrary: fc
      .json({ maxDepth: 6 })
      .filter((text) => !isAuth(text))
      .map((text): Action => ({ type: "text", text })),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(anyJson.filter((value) => typeof value !== "string"))
      .map((values): Action => ({ type: "noStrings", values })),
  },
);

export const authFrames: fc.Arbitrary<Action> = fc.record({
  type: fc.constant("auth" as const),
  token: fc.constantFrom(
    "good" as const,
    "good" as const,
    "used" as const,
    "unknown" as const,
    "none" as const,
    "junk" as const,
  ),
  junk: anyJson,
});

/** Frames of any kind, those that authenticate among them. */
export const anything: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: harmless },
  { weight: 1, arbitrary: authFrames },
);

/** Several of them make one SockJS message. */
export const messagesOf = (action: fc.Arbitrary<Action>) =>
  fc.array(fc.array(action, { minLength: 1, maxLength: 6 }), { maxLength: 10 });

/** As many as a socket may send at once, and no fewer than some hundred. */
export const manyMessagesOf = (action: fc.Arbitrary<Action>) =>
  fc.array(fc.array(action, { minLength: 30, maxLength: 60, size: "max" }), {
    minLength: 4,
    maxLength: 10,
    size: "max",
  });

function isAuth(text: string): boolean {
  const value: unknown = JSON.parse(text);
  return isRecord(value) && value.rpc === "auth";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A request that waits for its replies. */
export interface SentRequest {
  readonly uuid: string | number;
  readonly fields: Record<string, unknown>;
}

/** The tokens that frames are made with. */
export interface Tokens {
  /** Those that are good still; each is taken once. */
  readonly good: string[];
  readonly used: string;
}

/** Makes frames of actions, gives each request an id, and says which requests there are. */
export class FrameMaker {
  readonly requests: SentRequest[] = [];
  readonly #tokens: Tokens;
  #count = 0;

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  /** What a SockJS message of these actions holds: texts, and now and then what is none. */
  parts(actions: readonly Action[]): unknown[] {
    return actions.flatMap((action) => this.#partsOf(action));
  }

  #partsOf(action: Action): readonly unknown[] {
    switch (action.type) {
      case "text":
        return [action.text];
      case "noStrings":
        return action.values;
      case "frame": {
        const { fields, id } = action;
        const uuid = id && this.#idOf(id);
        if (id?.kind !== "junk" && (typeof uuid === "string" || typeof uuid === "number"))
          this.requests.push({ uuid, fields });
        return [JSON.stringify({ ...fields, uuid })];
      }
      case "auth": {
        const uuid = `auth ${++this.#count}`;
        this.requests.push({ uuid, fields: { rpc: "auth" } });
        return [JSON.stringify({ rpc: "auth", uuid, token: this.#tokenOf(action) })];
      }
    }
  }

  #idOf(id: Id): unknown {
    if (id.kind === "junk") return id.value;
    const count = ++this.#count;
    return id.kind === "text" ? `request ${count}` : count;
  }

  #tokenOf({ token, junk }: Extract<Action, { type: "auth" }>): unknown {
    if (token === "good") return this.#tokens.good.shift();
    if (token === "used") return this.#tokens.used;
    if (token === "unknown") return randomUUID();
    return token === "none" ? undefined : junk;
  }
}

/** How many good tokens actions need. */
export function countGood(actions: readonly Action[]): number {
  return actions.filter((action) => action.type === "auth" && action.token === "good").length;
}
