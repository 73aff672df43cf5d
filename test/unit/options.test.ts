import { expect } from "chai";
import { BY_IDENTITY, DEFAULT_LIMITS, type Limits, MAY_BE_OFF } from "../../lib/server/limits/limits.js";
import type { ResolvedOptions } from "../../lib/server/options/options.js";
import { resolveOptions } from "../../lib/server/options/resolve.js";
import { checkOption, optionNames } from "../../lib/server/options/rules.js";

describe("an option", () => {
  const noop = () => {};

  /** For each option, values that it takes and values that it refuses. */
  const VALUES: Record<string, { good: unknown[]; bad: unknown[] }> = {
    prefix: { good: ["/live", ""], bad: ["live", 5, {}, true] },
    tokenRoute: { good: ["/token"], bad: ["", "token", 5, [], /token/] },
    pubsubClient: { good: [{}], bad: ["redis://localhost", 6379, true] },
    channelPrefix: { good: ["", "shop:"], bad: [5, {}, false] },
    socketController: { good: [{}, { a: { b: noop } }], bad: [noop, [], "math", 5] },
    channels: { good: [{}], bad: [noop, [], "room", { room: {} }, { "a*b": noop }, { "": noop }, new Map()] },
    routes: { good: [{}, { a: [noop] }], bad: [noop, [], "math", 5] },
    customMiddleware: { good: [noop, [], [noop, noop]], bad: ["cors", [noop, "cors"], {}, 5] },
    authentication: { good: ["user", noop], bad: ["", {}, 5, true, [noop]] },
    identify: { good: [noop], bad: ["id", {}, [noop], true] },
    showIdentity: { good: [noop], bad: ["name", {}, [noop], true] },
    verifyToken: { good: [noop], bad: ["secret", {}, [noop], true] },
    filter: { good: [noop], bad: ["secret", {}, [noop], true] },
    slowReaders: {
      good: [{}, { a: "close", "b*": "dropOldest", c: "latest", d: { latest: noop } }],
      bad: [noop, [], "close", { a: "drop" }, { "a*b": "close" }, { a: {} }, new Map()],
    },
    history: {
      good: [
        {},
        { a: { size: 1, ttl: 1 }, "b*": { size: 1_000_000, ttl: 60_000, positionTtl: 90_000 } },
        { a: { size: 1, ttl: 90_000_000 } },
      ],
      bad: [
        noop,
        [],
        100,
        { a: 100 },
        { a: {} },
        { a: { size: 100 } },
        { a: { ttl: 100 } },
        { a: { size: 0, ttl: 1 } },
        { a: { size: 1.5, ttl: 1 } },
        { a: { size: 1_000_001, ttl: 1 } },
        { a: { size: 1, ttl: Infinity } },
        { a: { size: 1, ttl: 1000, positionTtl: 999 } },
        { a: { size: 1, ttl: 1000, positionTtl: 89_999 } },
        { a: { size: 1, ttl: 1000, positionTTL: 2000 } },
        { "a*b": { size: 1, ttl: 1 } },
        { "": { size: 1, ttl: 1 } },
        new Map(),
      ],
    },
    presence: {
      good: [
        {},
        { a: {}, "b*": { info: noop, grace: 0, limit: 1, events: "all", state: null } },
        { a: { grace: 86_400_000, limit: 100_000, events: "count" } },
      ],
      bad: [
        noop,
        [],
        true,
        { a: true },
        { a: { grace: -1 } },
        { a: { limit: 0 } },
        { a: { events: "none" } },
      ],
    },
    webSocket: {
      good: [{}, { perMessageDeflate: true }, { perMessageDeflate: { threshold: 1 }, handleProtocols: noop }],
      bad: [true, [], noop, { maxPayload: 1 }, { noServer: false }, { perMessageDeflates: true }],
    },
    heartbeat: { good: [1, 0.5, false], bad: [0, -1, true, "25000", Infinity, Number.NaN, {}] },
    ping: { good: [true, false], bad: ["yes", 1, 0, {}] },
    debug: { good: [true, false], bad: ["yes", 1, 0, {}] },
    logger: { good: [console], bad: [noop, "console", {}, { error: noop, warn: noop }, 5] },
    exposeErrors: { good: [true, false], bad: ["yes", 1, 0, {}] },
    tokenTtl: {
      good: [1, 60_000, Number.MAX_SAFE_INTEGER],
      bad: [0, 2 ** 53, -1, 1.5, Number.NaN, Infinity, "30000", {}],
    },
    tokenPrefix: { good: ["", "shop:"], bad: [5, {}, false] },
    tokenBinding: { good: ["ip", "nonce", false], bad: [true, "", "IP", ["ip"], {}] },
    authTimeout: { good: [1, 0.5, 60_000], bad: [0, -1, Number.NaN, Infinity, "30000", {}] },
    allowedOrigins: {
      good: [[], ["https://a.example", "http://[::1]:8080"], /https:\/\/\w+\.example/, noop],
      bad: [
        true,
        "https://a.example",
        ["a.example"],
        ["https://a.example/"],
        ["HTTPS://A.example"],
        ["null"],
        ["*"],
        {},
      ],
    },
    allowMissingOrigin: { good: [true, false], bad: ["yes", 1, 0, {}] },
    verifyConnection: { good: [noop], bad: [true, "secret", {}, [noop]] },
    jsonp: {
      good: ["same-origin", false, [], ["https://a.example", "http://localhost:8080"]],
      bad: [true, "https://a.example", ["a.example"], ["https://a.example/"], [5], {}],
    },
    serveClient: { good: [false, "/live.js"], bad: [true, "live.js", "/live", 5, {}] },
    limits: { good: [{}, { jsonDepth: 5 }], bad: [[], "none", 5, noop] },
  };

  it("is in the table of this test", () => {
    expect(Object.keys(VALUES)).to.deep.equal(optionNames());
  });

  for (const [name, { good, bad }] of Object.entries(VALUES)) {
    it(`${name} takes what it should`, () => {
      for (const value of good) {
        const needed = name === "presence" ? { identify: noop } : {};
        const resolved = resolveOptions({ ...needed, [name]: value })[name as keyof ResolvedOptions<unknown>];
        if (name !== "limits") expect(resolved).to.equal(value);
      }
    });

    it(`${name} refuses anything else by a TypeError that names it`, () => {
      for (const value of bad) {
        const message = new RegExp(`^options\\.${name}\\b.* (must|is no option)\\b`);
        expect(() => resolveOptions({ [name]: value }), String(value)).to.throw(TypeError, message);
      }
    });

    it(`${name} may be undefined or null, which is as if it were absent`, () => {
      const defaults = resolveOptions({});
      expect(resolveOptions({ [name]: undefined })).to.deep.equal(defaults);
      expect(resolveOptions({ [name]: null })).to.deep.equal(defaults);
    });
  }

  const AN_ORIGIN = 'must be an origin such as "https://example.com", not';
  const A_POLICY = 'must be "close", "dropOldest", "latest" or { latest: a function }, not';
  const BY_NAME = "must have a channel's name, with no * but at its end";
  const A_WEB_SOCKET_OPTION = "is no option of webSocket, which takes perMessageDeflate and handleProtocols";

  /** Options that are wrong in a part, and what is said of that. */
  const PARTS: [given: object, message: string][] = [
    [{ allowedOrigins: ["https://a.b/"] }, `options.allowedOrigins[0] ${AN_ORIGIN} "https://a.b/"`],
    [{ allowedOrigins: ["https://a.b", 5] }, `options.allowedOrigins[1] ${AN_ORIGIN} 5`],
    [{ allowedOrigins: [null] }, `options.allowedOrigins[0] ${AN_ORIGIN} null`],
    [{ allowedOrigins: [["https://a.b"]] }, `options.allowedOrigins[0] ${AN_ORIGIN} an array`],
    [{ jsonp: ["x/"] }, `options.jsonp[0] ${AN_ORIGIN} "x/"`],
    [{ customMiddleware: [noop, 5] }, "options.customMiddleware[1] must be a function, not 5"],
    [
      { customMiddleware: noop.name },
      'options.customMiddleware must be a middleware function or an array of them, not "noop"',
    ],
    [{ channels: { a: {} } }, "options.channels.a must be a schema (Standard Schema), not an object"],
    [
      { channels: { "a:*": noop } },
      'options.channels["a:*"] must be a schema (Standard Schema), not a function',
    ],
    [{ channels: { "a*b": {} } }, `options.channels["a*b"] ${BY_NAME}`],
    [{ slowReaders: { a: "close", b: "drop" } }, `options.slowReaders.b ${A_POLICY} "drop"`],
    [{ slowReaders: { "": "close" } }, `options.slowReaders[""] ${BY_NAME}`],
    [
      { history: { "a:*": { size: 0, ttl: 1 } } },
      'options.history["a:*"].size must be a positive whole number of messages, 1,000,000 at most; it is 0',
    ],
    [
      { history: { a: { size: 1 } } },
      "options.history.a.ttl must be a positive whole number of milliseconds, a hundred years at most; it is undefined",
    ],
    [
      { history: { a: { size: 1, ttl: 9, positionTtl: 60_000 } } },
      "options.history.a.positionTtl must not be less than 90,000 ms; it is 60000",
    ],
    [
      { history: { a: { size: 1, ttl: 9, positionTtl: 8 } } },
      "options.history.a.positionTtl must not be less than ttl; it is 8",
    ],
    [
      { history: { a: { size: 1, ttl: 9, age: 8 } } },
      "options.history.a.age must not be there: it takes size, ttl and positionTtl; it is 8",
    ],
    [
      { presence: { a: { graze: 1 } } },
      "options.presence.a.graze must not be there: it takes info, state, grace, limit and events; it is 1",
    ],
    [
      { presence: { "a:*": { state: {} } } },
      'options.presence["a:*"].state must be a schema (Standard Schema); it is an object',
    ],
    [
      { history: { a: 100 } },
      "options.history.a must be { size, ttl, positionTtl? }, each a positive whole number, not 100",
    ],
    [
      { logger: {} },
      "options.logger must have the methods error, warn and info; error, warn, info are missing",
    ],
    [
      { logger: { error: noop, info: noop } },
      "options.logger must have the methods error, warn and info; warn is missing",
    ],
    [
      { logger: noop },
      "options.logger must be a logger with the methods error, warn and info, not a function",
    ],
    [
      { webSocket: true },
      "options.webSocket must be an object with perMessageDeflate and handleProtocols alone, as ws takes them, not true",
    ],
    [
      { webSocket: { maxPayload: 5 } },
      `options.webSocket.maxPayload ${A_WEB_SOCKET_OPTION}; see limits.messageBytes`,
    ],
    [
      { webSocket: { perMessageDeflates: true } },
      `options.webSocket.perMessageDeflates ${A_WEB_SOCKET_OPTION}`,
    ],
  ];

  for (const [given, message] of PARTS) {
    it(`that is wrong in a part is a TypeError that names the part: ${message}`, () => {
      expect(() => resolveOptions(given))
        .to.throw(TypeError)
        .with.property("message", message);
    });
  }

  it("may not be null where it is set later", () => {
    for (const name of ["socketController", "logger", "filter"] as const) {
      expect(() => checkOption(name, null)).to.throw(TypeError, /^options\.\w+ must be .*, not null$/);
    }
  });

  it("that is absent leaves off what has to be asked for, and JSONP to pages of the same site", () => {
    const { allowMissingOrigin, debug, exposeErrors, jsonp, ping, tokenBinding } = resolveOptions({});
    expect([debug, exposeErrors, ping, tokenBinding]).to.deep.equal([false, false, false, false]);
    expect([allowMissingOrigin, jsonp]).to.deep.equal([true, "same-origin"]);
  });

  it("that does not exist is a TypeError that names it", () => {
    expect(() => resolveOptions({ prefx: "/live" })).to.throw(TypeError, /options\.prefx is no option/);
    for (const name of ["constructor", "toString", "hasOwnProperty"]) {
      expect(() => resolveOptions({ [name]: 1 })).to.throw(TypeError, new RegExp(`options\\.${name} is no`));
    }
  });

  it("may be a class's, or inherited", () => {
    const parent = { prefix: "/live", limits: Object.create({ jsonDepth: 5 }) };
    const { prefix, limits } = resolveOptions(Object.create(parent));
    expect([prefix, limits.jsonDepth]).to.deep.equal(["/live", 5]);
  });

  it("that is absent may follow another one", () => {
    const given = { channelPrefix: "shop:", tokenRoute: "/token", tokenTtl: 1000 };
    const { tokenPrefix, authTimeout } = resolveOptions(given);
    expect([tokenPrefix, authTimeout]).to.deep.equal(["token-sockjs:shop:/token:", 1000]);
    const own = resolveOptions({ ...given, tokenPrefix: "own:", authTimeout: 5 });
    expect([own.tokenPrefix, own.authTimeout]).to.deep.equal(["own:", 5]);
  });

  it("tokenRoute does not lie below prefix", () => {
    for (const [prefix, tokenRoute] of [
      ["/live", "/live"],
      ["/live", "/live/token"],
      ["/sockets", "/sockets/token"],
      [undefined, "/sockets"],
    ]) {
      expect(() => resolveOptions({ prefix, tokenRoute })).to.throw(
        TypeError,
        "options.tokenRoute must not lie below options.prefix, where SockJS answers all requests",
      );
    }
    for (const [prefix, tokenRoute] of [
      ["/live", "/lively"],
      ["/live", "/token/live"],
      ["/live", "/"],
      ["", "/token"],
    ]) {
      expect(resolveOptions({ prefix, tokenRoute })).to.include({ prefix, tokenRoute });
    }
  });

  it("that is about identities needs one that tells them", () => {
    expect(() => resolveOptions({ presence: { room: {} } })).to.throw(
      TypeError,
      "options.presence needs options.identify, which tells identities apart",
    );
    expect(resolveOptions({ presence: {} }).presence).to.deep.equal({});
    for (const name of BY_IDENTITY) {
      const limits = { [name]: 7 };
      expect(() => resolveOptions({ limits })).to.throw(
        TypeError,
        `options.limits.${name} needs options.identify, which tells identities apart`,
      );
      expect(resolveOptions({ limits, identify: noop }).limits[name]).to.equal(7);
    }
  });

  it("cannot be given where options are no object", () => {
    for (const options of ["/live", 5, [], noop, true]) {
      expect(() => resolveOptions(options), String(options)).to.throw(TypeError, "options must be an object");
    }
    for (const options of [undefined, null]) {
      expect(resolveOptions(options)).to.deep.equal(resolveOptions({}));
    }
  });
});

describe("a limit", () => {
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
    it(`${name} takes a positive whole number and leaves the others as they are`, () => {
      // some need to know whom they are for
      const identify = () => "alice";
      const { limits } = resolveOptions({ identify, limits: { [name]: 7 } });
      // the one limit that goes with another
      if (name === "unauthenticatedConnections") {
        expect(limits.unauthenticatedConnectionsPerIp).to.equal(16);
        limits.unauthenticatedConnectionsPerIp = DEFAULT_LIMITS.unauthenticatedConnectionsPerIp;
      }
      expect(limits).to.deep.equal({ ...DEFAULT_LIMITS, [name]: 7 });
      for (const value of [undefined, null]) {
        expect(resolveOptions({ limits: { [name]: value } }).limits).to.deep.equal(DEFAULT_LIMITS);
      }
    });

    it(`${name} refuses anything else by a TypeError that names it`, () => {
      const message = new RegExp(`^options\\.limits\\.${name} must be a positive whole number`);
      const wrong: unknown[] = [0, -1, 1.5, Number.NaN, -Infinity, "7", true, {}];
      if (MAY_BE_OFF.has(name)) {
        expect(resolveOptions({ limits: { [name]: Infinity } }).limits[name]).to.equal(Infinity);
      } else wrong.push(Infinity);
      for (const value of wrong) {
        expect(() => resolveOptions({ limits: { [name]: value } })).to.throw(TypeError, message);
      }
    });
  }

  it("of an address's unauthenticated connections is a tenth of all of them, and a browser's at least", () => {
    const shareOf = (unauthenticatedConnections: number) =>
      resolveOptions({ limits: { unauthenticatedConnections } }).limits.unauthenticatedConnectionsPerIp;
    expect([1, 160, 161, 4000].map(shareOf)).to.deep.equal([16, 16, 17, 400]);
    const own = { unauthenticatedConnections: 4000, unauthenticatedConnectionsPerIp: 3 };
    expect(resolveOptions({ limits: own }).limits).to.include(own);
  });

  it("that does not exist is a TypeError that names it", () => {
    expect(() => resolveOptions({ limits: { depth: 3 } })).to.throw(
      TypeError,
      /options\.limits\.depth is no/,
    );
  });
});
