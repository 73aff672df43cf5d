import { expect } from "chai";
import { type SinonFakeTimers, useFakeTimers } from "sinon";
import { Queue } from "../../lib/client/calls/queue.js";
import { parseServerFrame } from "../../lib/client/calls/server-frames.js";
import { backoff } from "../../lib/client/connection/backoff.js";
import { encodeQuery } from "../../lib/client/connection/query.js";
import { retryAfter } from "../../lib/client/connection/token-request.js";
import { onWake, whileLeaving } from "../../lib/client/connection/wake.js";
import { Emitter } from "../../lib/client/emitter.js";
import { baseUrl, resolveOptions } from "../../lib/client/options.js";
import { TransportChoice } from "../../lib/client/transport/transport-choice.js";
import { remoteError } from "../../lib/shared/call-errors.js";

describe("The client's backoff", () => {
  const bounds = { min: 500, max: 20_000 };

  it("doubles its bound with each failure, up to the longest wait", () => {
    const longest = [1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoff(failures, bounds, () => 1));
    expect(longest).to.deep.equal([500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  });

  it("spreads the first wait over the whole time up to the bound", () => {
    expect(backoff(1, bounds, () => 0)).to.equal(0);
    expect(backoff(1, bounds, () => 0.5)).to.equal(250);
  });

  it("waits at least half of the bound after further failures", () => {
    expect(backoff(3, bounds, () => 0)).to.equal(1000);
    expect(backoff(3, bounds, () => 0.5)).to.equal(1500);
    expect(backoff(1000, bounds, () => 0)).to.equal(10_000);
  });

  it("tries again at least every few seconds while a server is away for two", () => {
    let waited = 0;
    let failures = 0;
    // the shortest waits make the most failures, and so the longest wait at the end
    while (waited < 2000) waited += backoff(++failures, bounds, () => 0);
    expect(backoff(failures, bounds, () => 1)).to.be.at.most(4000);
  });
});

describe("The client's options", () => {
  it("say where the server is", () => {
    const page = { protocol: "https:", host: "page.example:8443" };
    const cases: [Parameters<typeof baseUrl>[0], string][] = [
      [{}, "https://page.example:8443"],
      [{ host: "other.example" }, "https://other.example"],
      [{ host: "other.example", secure: false }, "http://other.example"],
      [{ host: "other.example:81", port: 82 }, "https://other.example:82"],
      [{ host: "http://other.example", port: "8080" }, "http://other.example:8080"],
      [{ host: "wss://other.example/below/" }, "https://other.example/below"],
      [{ host: "ws://other.example" }, "http://other.example"],
      [{ host: "other.example/below//" }, "https://other.example/below"],
      [{ host: "[::1]:3000" }, "https://[::1]:3000"],
      [{ port: 3000 }, "https://page.example:3000"],
    ];
    for (const [given, url] of cases) expect(baseUrl(given, page), JSON.stringify(given)).to.equal(url);
    expect(baseUrl({ host: "localhost:3000" }, undefined)).to.equal("http://localhost:3000");
    // the scheme of an app says nothing of TLS
    for (const protocol of ["app-https:", "https-app:", "file:", "views:"]) {
      const url = baseUrl({ host: "other.example" }, { protocol, host: "" });
      expect(url, protocol).to.equal("http://other.example");
    }
    expect(() => baseUrl({}, undefined)).to.throw(TypeError, "host");
  });

  it("are checked by name and type", () => {
    const wrong = [
      { hots: "x" },
      { host: 1 },
      { reconnect: "yes" },
      { queue: true },
      { fetch: {} },
      { ping: "1" },
      { port: -1 },
      { port: 0 },
      { port: 65_536 },
      { port: "http" },
      { port: 1.5 },
      { callTimeout: Number.NaN },
      { connectTimeout: -1 },
      { backoff: { min: "1" } },
      { backoff: { mim: 1 } },
      { queue: { age: -1 } },
      { tokenMethod: "post" },
      { authentication: new FormData() },
      { authentication: new Map([["a", 1]]) },
      { authentication: Promise.resolve({}) },
      { authentication: new URLSearchParams("a=1") },
      { authentication: ["a"] },
      { headers: new Map([["a", "b"]]) },
      { headers: new Headers({ a: "b" }) },
    ];
    for (const options of wrong) {
      expect(() => resolveOptions({ host: "x", ...options } as object), JSON.stringify(options)).to.throw(
        TypeError,
        // bounds have names of their own
        Object.keys(
          "backoff" in options || "queue" in options ? Object(Object.values(options)[0]) : options,
        )[0] ?? "",
      );
    }
    expect(() => resolveOptions({ host: "x", port: true as never })).to.throw("port must be: number string");
    const plain: [string, object][] = [
      ["authentication", { authentication: ["a"] }],
      ["headers", { headers: new Headers({ a: "b" }) }],
    ];
    for (const [name, options] of plain) {
      expect(() => resolveOptions({ host: "x", ...options })).to.throw(
        TypeError,
        `${name} must be: plain object`,
      );
    }
    expect(() => resolveOptions({ host: "x", headers: { "a b": "c" } })).to.throw(TypeError, "a b");
    for (const options of ["http://x", ["http://x"], 5]) {
      expect(() => resolveOptions(options as object)).to.throw(TypeError, "options must be: object");
    }
  });

  it("have paths below the host, with or without a slash at their beginning", () => {
    const options = resolveOptions({ host: "x", tokenPath: "a/token", socketPrefix: "@y" });
    expect(options).to.include({ tokenUrl: "http://x/a/token", socketUrl: "http://x/@y" });
  });

  it("take null and undefined for absent, and keep the bounds that are not given", () => {
    const options = resolveOptions({ host: "x", ping: null, tokenPath: undefined, queue: { count: 5 } });
    expect(options).to.include({ ping: 25_000, tokenUrl: "http://x/socket/token" });
    expect(options.queue).to.deep.equal({ count: 5, bytes: 262_144, age: 25_000 });
    expect(resolveOptions({ host: "x", queue: false }).queue).to.equal(false);
  });
});

describe("A Retry-After", () => {
  it("has seconds or a date, and is a minute at most", () => {
    const now = Date.parse("Sat, 28 Nov 2026 06:00:00 GMT");
    const cases: [string | null, number][] = [
      [null, 0],
      ["5", 5000],
      ["0.5", 500],
      ["600", 60_000],
      ["-5", 0],
      ["Sat, 28 Nov 2026 06:00:20 GMT", 20_000],
      ["Sat, 28 Nov 2026 07:00:00 GMT", 60_000],
      ["Sat, 28 Nov 2026 05:00:00 GMT", 0],
      ["soon", 0],
    ];
    for (const [value, wait] of cases) expect(retryAfter(value, now), `${value}`).to.equal(wait);
  });
});

describe("The client's query", () => {
  it("is nested, and encodes names and values", () => {
    const data = { a: { b: "c", "d&": [1, true] }, e: null, f: undefined, "g h": "ü=", i: new Date(0) };
    expect(encodeQuery(data)).to.equal(
      "a[b]=c&a[d%26][0]=1&a[d%26][1]=true&e=&g%20h=%C3%BC%3D&i=1970-01-01T00%3A00%3A00.000Z",
    );
    expect(encodeQuery({})).to.equal("");
  });
});

describe("The client's queue", () => {
  const expired: number[] = [];
  const make = (limits = {}) =>
    new Queue<string>({ count: 2, bytes: 10, age: 100, ...limits }, (id) => expired.push(id));

  it("keeps the order and forgets what is deleted", () => {
    const queue = make({ count: 3 });
    for (const id of [1, 2, 3]) queue.add(id, `${id}`, `item ${id}`);
    queue.delete(2);
    expect(queue.drain()).to.deep.equal([
      [1, "item 1"],
      [3, "item 3"],
    ]);
  });

  it("is bounded by count and bytes, and has room again when something has gone", () => {
    const queue = make();
    queue.add(1, "12345", "");
    expect(() => queue.add(2, "ééé", ""))
      .to.throw()
      .with.property("code", "queue_full");
    queue.add(2, "éé", "");
    expect(() => queue.add(3, "", ""))
      .to.throw()
      .with.property("code", "queue_full");
    queue.delete(1);
    queue.add(3, "123456", "");
    queue.drain();
  });

  it("gives up what has waited for too long", () => {
    const clock = useFakeTimers();
    try {
      const queue = make();
      queue.add(1, "", "");
      clock.tick(60);
      queue.add(2, "", "");
      clock.tick(60);
      expect(expired).to.deep.equal([1]);
      queue.drain();
      expect(clock.countTimers()).to.equal(0);
    } finally {
      clock.restore();
    }
  });
});

describe("The client's emitter", () => {
  class Sample extends Emitter<{ a: [number]; b: [] }> {
    fire(value: number) {
      this.emit("a", value);
    }
    fireOther() {
      this.emit("b");
    }
  }

  it("calls listeners in order, once where asked to, and lets them be removed", () => {
    const emitter = new Sample(console);
    const heard: string[] = [];
    const listener = (value: number) => heard.push(`on ${value}`);
    const single = (value: number) => heard.push(`once ${value}`);
    emitter.on("a", listener).once("a", single).once("a", single);
    emitter.off("a", single);
    emitter.fire(1);
    emitter.fire(2);
    emitter.removeListener("a", listener);
    emitter.fire(3);
    emitter.addListener("a", listener).removeAllListeners("b");
    emitter.fire(4);
    emitter.removeAllListeners("a");
    emitter.fire(5);
    emitter.on("a", listener).removeAllListeners();
    emitter.fire(6);
    expect(heard).to.deep.equal(["on 1", "once 1", "on 2", "on 4"]);
  });

  it("lets each listener of each event be removed by itself, the one added last first", () => {
    const emitter = new Sample(console);
    const heard: string[] = [];
    const [first, second] = [() => heard.push("first"), () => heard.push("second")];
    emitter.on("b", first).on("a", first).on("a", second).on("b", second).on("a", first);
    emitter.off("a", first);
    emitter.fire(1);
    expect(heard.splice(0)).to.deep.equal(["first", "second"]);
    emitter.off("a", first);
    emitter.fire(2);
    expect(heard.splice(0)).to.deep.equal(["second"]);
    // one that is not there is none
    emitter.off("a", first);
    emitter.fireOther();
    expect(heard).to.deep.equal(["first", "second"]);
  });

  it("takes functions alone", () => {
    const emitter = new Sample(console);
    for (const listener of [undefined, null, {}, "f"]) {
      expect(() => emitter.on("a", listener as never)).to.throw(TypeError, "listener must be: function");
    }
    emitter.fire(1);
  });

  it("logs what a listener throws or rejects with, and calls the others", async () => {
    const reported: unknown[] = [];
    const emitter = new Sample({ ...console, error: (_text, error) => reported.push(error) });
    let isCalled = false;
    emitter.on("a", () => {
      throw new Error("thrown");
    });
    emitter.on("a", () => Promise.reject(new Error("rejected")));
    emitter.on("a", () => {
      isCalled = true;
    });
    emitter.fire(1);
    await Promise.resolve();
    expect(isCalled).to.equal(true);
    expect(reported.map(String)).to.deep.equal(["Error: thrown", "Error: rejected"]);
  });
});

describe("The client's choice of a transport", () => {
  it("tries all until one has worked, then that one alone", () => {
    const choice = new TransportChoice(["websocket", "sockjs"]);
    expect(choice.candidates()).to.deep.equal(["websocket", "sockjs"]);
    choice.failed("websocket");
    choice.worked("sockjs");
    expect(choice.candidates()).to.deep.equal(["sockjs"]);
  });

  it("does not give one up that has worked before it has failed several times in a row", () => {
    const choice = new TransportChoice(["websocket", "sockjs"]);
    choice.worked("websocket");
    choice.failed("websocket");
    choice.failed("websocket");
    expect(choice.candidates()).to.deep.equal(["websocket"]);
    choice.failed("websocket");
    expect(choice.candidates()).to.deep.equal(["websocket", "sockjs"]);
    choice.worked("websocket");
    expect(choice.candidates()).to.deep.equal(["websocket"]);
  });

  it("tries the best one again on later connections, ever more seldom, until it works", () => {
    const choice = new TransportChoice(["websocket", "sockjs"]);
    const tried: number[] = [];
    for (let connection = 1; connection <= 40; connection++) {
      const candidates = choice.candidates();
      if (candidates[0] === "websocket") {
        tried.push(connection);
        choice.failed("websocket");
      }
      // an attempt that fails otherwise changes nothing
      if (connection === 3) expect(choice.candidates()).to.deep.equal(["sockjs"]);
      choice.worked("sockjs");
    }
    expect(tried).to.deep.equal([1, 3, 6, 11, 20, 37]);
    while (choice.candidates()[0] !== "websocket") choice.worked("sockjs");
    choice.worked("websocket");
    expect(choice.candidates()).to.deep.equal(["websocket"]);
  });

  it("goes on with the fallback where the best one is stuck when it is tried again", () => {
    const choice = new TransportChoice(["websocket", "sockjs"]);
    choice.failed("websocket");
    choice.worked("sockjs");
    choice.worked("sockjs");
    expect(choice.candidates()).to.deep.equal(["websocket", "sockjs"]);
    choice.stuck("websocket");
    expect(choice.candidates()).to.deep.equal(["sockjs"]);
  });

  it("puts one last that opens but lets nothing pass", () => {
    const choice = new TransportChoice(["websocket", "sockjs"]);
    choice.stuck("websocket");
    expect(choice.candidates()).to.deep.equal(["sockjs", "websocket"]);
  });
});

describe("The client's parser", () => {
  it("knows each frame of a server", () => {
    const cases: [unknown, object][] = [
      [
        { rpc: "f", uuid: 1, resp: 5 },
        { type: "reply", id: 1, value: 5, error: undefined, isStream: false },
      ],
      [
        { rpc: "f", uuid: 1, error: false },
        { type: "reply", id: 1, value: undefined, error: remoteError(false), isStream: false },
      ],
      [
        { rpc: "f", uuid: 1, error: null, resp: 5 },
        { type: "reply", id: 1, value: 5, error: undefined, isStream: false },
      ],
      [
        { rpc: "auth", uuid: 1, resp: "success" },
        { type: "reply", id: 1, value: undefined, error: undefined, isStream: false },
      ],
      [
        { rpc: "auth", uuid: 1, resp: "success", protocol: 4 },
        { type: "reply", id: 1, value: undefined, error: undefined, isStream: false },
      ],
      [
        { rpc: "auth", uuid: 1, resp: "success", server: { protocol: 4 } },
        { type: "reply", id: 1, value: { protocol: 4 }, error: undefined, isStream: false },
      ],
      [
        { rpc: "f", uuid: 1, stream: true },
        { type: "reply", id: 1, value: undefined, error: undefined, isStream: true },
      ],
      [
        { stream: 1, item: null },
        { type: "item", id: 1, item: null },
      ],
      [
        { stream: 1, end: true },
        { type: "end", id: 1, error: undefined },
      ],
      [
        { stream: 1, error: "no" },
        { type: "end", id: 1, error: remoteError("no") },
      ],
      [
        { channel: "c", message: null },
        { type: "message", channel: "c", message: null, at: undefined, time: Number.NaN },
      ],
      [
        { channel: "c", message: 1, at: "e.1.t", time: 7 },
        { type: "message", channel: "c", message: 1, at: "e.1.t", time: 7 },
      ],
      [
        { channel: "c", message: 1, at: { e: 1 } },
        { type: "message", channel: "c", message: 1, at: undefined, time: Number.NaN },
      ],
      [
        { channel: "c", at: "e.1.t", lost: { messages: 1, reason: "slow" } },
        {
          type: "recovered",
          channel: "c",
          frame: { channel: "c", at: "e.1.t", lost: { messages: 1, reason: "slow" } },
        },
      ],
      [
        { channel: "c", recovered: 0, error: "no" },
        { type: "recovered", channel: "c", frame: { channel: "c", recovered: 0, error: "no" } },
      ],
      [
        { internal: true, command: "rpc", data: { fid: "f", command: "a.b", args: 1 } },
        { type: "call", fid: "f", command: "a.b", args: 1 },
      ],
      [
        { internal: true, command: "subscribe", data: { uuid: 7, channel: "c" } },
        { type: "subscribe", channel: "c", id: 7, error: undefined },
      ],
      [
        { internal: true, command: "unsubscribe", data: { channel: "c" } },
        { type: "unsubscribe", channel: "c", id: undefined, error: undefined },
      ],
      [
        { internal: true, command: "unsubscribe", data: { channel: "c", error: "no" } },
        { type: "unsubscribe", channel: "c", id: undefined, error: remoteError("no") },
      ],
      [{ internal: true, command: "refresh", data: {} }, { type: "refresh" }],
    ];
    for (const [frame, parsed] of cases) {
      expect(parseServerFrame(JSON.stringify(frame))).to.deep.equal(parsed);
    }
  });

  it("takes everything else for unknown", () => {
    const texts = [
      "",
      "x",
      "null",
      "5",
      "[]",
      "{}",
      '{"channel":"c"}',
      '{"internal":true}',
      '{"uuid":{}}',
      '{"uuid":"1","resp":1}',
    ];
    const commands = [
      '{"internal":true,"command":"rpc","data":{}}',
      '{"internal":true,"command":"subscribe","data":{"channel":5}}',
      '{"internal":true,"command":"rpc","data":{"fid":1,"command":"f"}}',
      '{"internal":true,"command":"rpc","data":{"fid":"1","command":5}}',
      '{"internal":true,"command":"dance","data":{}}',
      '{"internal":true,"command":"dance","data":{"fid":"1","command":"f","channel":"c"}}',
      '{"internal":true,"command":"refresh"}',
    ];
    const binary = Buffer.from('{"channel":"c","message":1}');
    for (const text of [...texts, ...commands, undefined, new ArrayBuffer(1), binary]) {
      expect(parseServerFrame(text), String(text)).to.equal(undefined);
    }
  });
});

describe("The client's wake-up", () => {
  class FakePage extends EventTarget {
    readonly document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  }

  it("comes when the browser is online again, or the page is seen again", () => {
    const page = new FakePage();
    let wakes = 0;
    const stop = onWake(() => wakes++, page);
    page.dispatchEvent(new Event("online"));
    page.document.dispatchEvent(new Event("visibilitychange"));
    expect(wakes).to.equal(1);
    page.document.visibilityState = "visible";
    page.document.dispatchEvent(new Event("visibilitychange"));
    expect(wakes).to.equal(2);
    stop();
    page.dispatchEvent(new Event("online"));
    page.document.dispatchEvent(new Event("visibilitychange"));
    expect(wakes).to.equal(2);
  });

  it("comes when the page is back from where the browser has kept it", () => {
    const page = new FakePage();
    let wakes = 0;
    const stop = onWake(() => wakes++, page);
    page.dispatchEvent(new Event("pageshow"));
    expect(wakes).to.equal(1);
    stop();
    page.dispatchEvent(new Event("pageshow"));
    expect(wakes).to.equal(1);
  });

  it("does nothing outside of a page", () => {
    onWake(() => {})();
  });
});

describe("A page that is being left", () => {
  let clock: SinonFakeTimers;

  beforeEach(() => {
    clock = useFakeTimers({ now: 1_000_000, toFake: ["Date"] });
  });
  afterEach(() => clock.restore());

  const open = () => {
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    return Object.assign(new EventTarget(), { document });
  };

  for (const event of ["beforeunload", "pagehide"]) {
    it(`is so for some seconds after ${event}, or until it is shown again`, () => {
      const page = open();
      const leavingFor = whileLeaving(new AbortController().signal, page);
      expect(leavingFor()).to.be.at.most(0);
      page.dispatchEvent(new Event(event));
      expect(leavingFor()).to.equal(5000);
      clock.tick(4999);
      expect(leavingFor()).to.equal(1);
      clock.tick(1);
      expect(leavingFor()).to.equal(0);
      page.dispatchEvent(new Event(event));
      expect(leavingFor()).to.equal(5000);
      page.dispatchEvent(new Event("pageshow"));
      expect(leavingFor()).to.be.at.most(0);
    });
  }

  it("is not followed any more when the signal has fired, nor outside of a page", () => {
    const page = open();
    const end = new AbortController();
    const leavingFor = whileLeaving(end.signal, page);
    end.abort();
    page.dispatchEvent(new Event("beforeunload"));
    expect(leavingFor()).to.be.at.most(0);
    expect(whileLeaving(end.signal)()).to.be.at.most(0);
  });
});
