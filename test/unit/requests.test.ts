import { expect } from "chai";
import { type Action, encodeRequest, parseRequest } from "../../lib/server/cluster/requests.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import type { JsonObject } from "../../lib/shared/protocol.js";

const limits = { ...DEFAULT_LIMITS, channelNameLength: 5 };
const head = { id: "1", answerTo: "here" };
const target = { by: "identity", value: "ann" } as const;

/** What another server makes of an action as JSON. */
const parse = (action: unknown, more: JsonObject = {}) =>
  parseRequest({ ...head, data: { ...target, action }, ...more }, limits);
const actionOf = (action: unknown) => parse(action)?.action;

const ACTIONS: readonly Action[] = [
  { type: "send", channel: "room", message: { text: "hello" } },
  { type: "send", channel: "room", message: null },
  { type: "rpc", command: "ui.ask", args: [1], timeout: 50 },
  { type: "subscribe", channel: "room" },
  { type: "unsubscribe", channel: "room" },
  { type: "refresh" },
  { type: "count" },
  { type: "disconnect", code: 4100, reason: "" },
  { type: "find", limit: 1, after: "" },
  { type: "find", limit: 1000, after: "a" },
];

describe("A request to other servers", () => {
  it("is told with the server that asks", () => {
    expect(JSON.parse(encodeRequest({ ...head, target, action: { type: "count" } }))).to.deep.equal({
      command: "to",
      id: "1",
      origin: "here",
      answerTo: "here",
      data: { by: "identity", value: "ann", action: { type: "count" } },
    });
  });

  for (const action of ACTIONS) {
    it(`comes as it was told: ${JSON.stringify(action)}`, () => {
      const request = { ...head, target, action };
      expect(parseRequest(JSON.parse(encodeRequest(request)), limits)).to.deep.equal(request);
    });
  }

  it("to call a function may have no arguments, and no time that is none", () => {
    for (const timeout of [undefined, null, 0, -1, "50", Number.NaN]) {
      expect(actionOf({ type: "rpc", command: "f", timeout })).to.deep.equal({
        type: "rpc",
        command: "f",
        args: undefined,
        timeout: undefined,
      });
    }
  });

  it("has what it needs alone, whatever else a newer server tells", () => {
    for (const action of ACTIONS) expect(actionOf({ ...action, newer: true })).to.deep.equal(action);
    for (const type of ["refresh", "count"])
      expect(actionOf({ type, channel: "room" })).to.deep.equal({ type });
  });

  it("is none without the server that asks, an id and a target", () => {
    const action = { type: "count" };
    expect(parse(action)).not.to.equal(undefined);
    for (const wrong of [undefined, null, 5, {}]) {
      expect(parse(action, { id: wrong })).to.equal(undefined);
      expect(parse(action, { answerTo: wrong })).to.equal(undefined);
      expect(parse(action, { data: wrong })).to.equal(undefined);
      expect(actionOf(wrong)).to.equal(undefined);
    }
    for (const wrong of [{ by: "everybody", value: "x" }, { by: "identity" }, { by: "channel", value: "" }]) {
      expect(parse(action, { data: { ...wrong, action } })).to.equal(undefined);
    }
  });

  const channels = ["", "rooms!", "___all___", "___", 5, null, undefined, ["room"]];
  const wrong: readonly [kind: string, actions: readonly object[]][] = [
    [
      "of a kind that is not known",
      [{}, { type: "newer" }, { type: 5 }, { type: ["count"] }, { type: "Count" }],
    ],
    [
      "that names no channel that users may have",
      ["send", "subscribe", "unsubscribe"].flatMap((type) =>
        channels.map((channel) => ({ type, channel, message: 1 })),
      ),
    ],
    ["to send nothing", [{ type: "send", channel: "room" }]],
    [
      "to call nothing",
      ["", undefined, null, 5, ["f"]].map((command) => ({ type: "rpc", command, args: [] })),
    ],
    [
      "to close as sockets cannot be closed",
      [
        { code: 4100 },
        { code: 4100, reason: 5 },
        { code: 4100, reason: "x".repeat(124) },
        { code: 1006, reason: "" },
        { code: "4100", reason: "" },
        { reason: "" },
      ].map((given) => ({ type: "disconnect", ...given })),
    ],
    [
      "to find as many as are not found at once",
      [0, -1, 1001, 1.5, "1", null, undefined, [1]].map((limit) => ({ type: "find", limit, after: "" })),
    ],
    [
      "to find what comes after nothing",
      [undefined, null, 5].map((after) => ({ type: "find", limit: 1, after })),
    ],
  ];
  for (const [kind, actions] of wrong) {
    it(`is none ${kind}`, () => {
      for (const action of actions) expect(actionOf(action), JSON.stringify(action)).to.equal(undefined);
    });
  }
});
