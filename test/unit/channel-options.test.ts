import { expect } from "chai";
import { isChannelHistory, wrongField } from "../../lib/server/history/history-option.js";
import {
  isChannelPresence,
  resolvePresence,
  wrongPresenceField,
} from "../../lib/server/presence/presence-option.js";

const CENTURY = 100 * 365.25 * 86_400_000;

describe("The option history of a channel", () => {
  const good = { size: 100, ttl: 60_000 };

  it("takes whole numbers up to its bounds", () => {
    const values: object[] = [
      good,
      { size: 1, ttl: 1 },
      { size: 1_000_000, ttl: CENTURY },
      { ...good, positionTtl: undefined },
      { ...good, positionTtl: null },
      { ...good, positionTtl: 90_000 },
      { size: 1, ttl: 120_000, positionTtl: 120_000 },
      { ...good, positionTtl: CENTURY },
    ];
    for (const value of values) {
      expect([isChannelHistory(value), wrongField(value)], JSON.stringify(value)).to.deep.equal([
        true,
        undefined,
      ]);
    }
  });

  it("says which field is wrong, and what it must be", () => {
    const milliseconds = "must be a positive whole number of milliseconds, a hundred years at most";
    const messages = "must be a positive whole number of messages, 1,000,000 at most";
    const wrong: [object, string, string][] = [
      [{ ttl: 1 }, "size", messages],
      [{ ...good, size: 0 }, "size", messages],
      [{ ...good, size: 1.5 }, "size", messages],
      [{ ...good, size: "5" }, "size", messages],
      [{ ...good, size: 1_000_001 }, "size", messages],
      [{ size: 1 }, "ttl", milliseconds],
      [{ ...good, ttl: 0 }, "ttl", milliseconds],
      [{ ...good, ttl: CENTURY + 1 }, "ttl", milliseconds],
      [{ ...good, positionTtl: 0 }, "positionTtl", milliseconds],
      [{ ...good, positionTtl: CENTURY + 1 }, "positionTtl", milliseconds],
      [{ size: 1, ttl: 120_000, positionTtl: 119_999 }, "positionTtl", "must not be less than ttl"],
      [{ ...good, positionTtl: 89_999 }, "positionTtl", "must not be less than 90,000 ms"],
      [{ ...good, age: 5 }, "age", "must not be there: it takes size, ttl and positionTtl"],
    ];
    for (const [value, name, must] of wrong) {
      expect(wrongField(value), JSON.stringify(value)).to.deep.equal({ name, must });
      expect(isChannelHistory(value)).to.equal(false);
    }
  });

  it("is an object, of which no field is named where it is none", () => {
    for (const value of [undefined, null, 100, "100", [good], () => good]) {
      expect([isChannelHistory(value), wrongField(value)]).to.deep.equal([false, undefined]);
    }
  });
});

describe("The option presence of a channel", () => {
  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } };

  it("takes its fields up to their bounds, none of which is needed", () => {
    const values: object[] = [
      {},
      { info: null, state: undefined, grace: null, limit: undefined, events: null },
      { info: () => ({}), state: schema, grace: 0, limit: 1, events: "all" },
      { grace: 86_400_000, limit: 100_000, events: "count" },
    ];
    for (const value of values) {
      expect([isChannelPresence(value), wrongPresenceField(value)]).to.deep.equal([true, undefined]);
    }
  });

  it("says which field is wrong, and what it must be", () => {
    const grace = "must be a whole number of milliseconds, 0 to 86,400,000, a day";
    const limit = "must be a positive whole number of members, 100,000 at most";
    const wrong: [object, string, string][] = [
      [{ info: {} }, "info", "must be a function"],
      [{ info: () => ({}), state: {} }, "state", "must be a schema (Standard Schema)"],
      [{ grace: -1 }, "grace", grace],
      [{ grace: 0.5 }, "grace", grace],
      [{ grace: 86_400_001 }, "grace", grace],
      [{ limit: 0 }, "limit", limit],
      [{ limit: "5" }, "limit", limit],
      [{ limit: 100_001 }, "limit", limit],
      [{ events: "none" }, "events", 'must be "all" or "count"'],
      [{ graze: 1 }, "graze", "must not be there: it takes info, state, grace, limit and events"],
      [{ toString: null }, "toString", "must not be there: it takes info, state, grace, limit and events"],
    ];
    for (const [value, name, must] of wrong) {
      expect(wrongPresenceField(value), name).to.deep.equal({ name, must });
      expect(isChannelPresence(value)).to.equal(false);
    }
  });

  it("is an object, of which no field is named where it is none", () => {
    for (const value of [undefined, null, true, "all", [], () => ({})]) {
      expect([isChannelPresence(value), wrongPresenceField(value)]).to.deep.equal([false, undefined]);
    }
  });

  it("has defaults", () => {
    const nothing = { info: undefined, state: undefined, grace: 15_000, limit: 1000, isCount: false };
    expect(resolvePresence({})).to.deep.equal(nothing);
    expect(
      resolvePresence({ info: null, state: null, grace: null, limit: null, events: null }),
    ).to.deep.equal(nothing);
    const info = () => ({});
    expect(resolvePresence({ info, grace: 0, limit: 5, events: "count" })).to.deep.equal({
      ...nothing,
      info,
      grace: 0,
      limit: 5,
      isCount: true,
    });
    expect(resolvePresence({ events: "all" }).isCount).to.equal(false);
  });
});
