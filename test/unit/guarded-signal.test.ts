import { addAbortListener, once } from "node:events";
import { addAbortSignal, PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import sinon from "sinon";
import { guardListeners } from "../../lib/server/rpc/guarded-signal.js";

describe("A signal whose listeners are guarded", () => {
  let controller: AbortController;
  let signal: AbortSignal;
  let failures: unknown[];

  beforeEach(() => {
    controller = new AbortController();
    signal = controller.signal;
    failures = [];
    guardListeners(signal, (error) => failures.push(error));
  });

  it("calls its listeners as others do, each once, with the event and itself", () => {
    const listener = sinon.spy();
    const object = { handleEvent: sinon.spy() };
    const handler = sinon.spy();
    signal.addEventListener("abort", listener);
    signal.addEventListener("abort", listener);
    signal.addEventListener("abort", object, { once: true });
    signal.onabort = handler;
    controller.abort();
    for (const spy of [listener, object.handleEvent, handler]) {
      expect(spy.calledOnce).to.equal(true);
      expect(spy.firstCall.args[0]).to.include({ type: "abort", target: signal });
    }
    expect(listener.firstCall.thisValue).to.equal(signal);
    expect(object.handleEvent.firstCall.thisValue).to.equal(object);
    expect(failures).to.deep.equal([]);
  });

  it("calls none that was taken off", () => {
    const listener = sinon.spy();
    const object = { handleEvent: sinon.spy() };
    for (const one of [listener, object]) {
      signal.addEventListener("abort", one);
      signal.removeEventListener("abort", one);
    }
    controller.abort();
    expect(listener.called).to.equal(false);
    expect(object.handleEvent.called).to.equal(false);
  });

  it("hands on what they throw or reject with, and calls the others", async () => {
    const [thrown, rejected] = [new Error("thrown"), new Error("rejected")];
    const last = sinon.spy();
    signal.addEventListener("abort", () => {
      throw thrown;
    });
    signal.addEventListener("abort", async () => {
      throw rejected;
    });
    signal.addEventListener("abort", last);
    controller.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures).to.deep.equal([thrown, rejected]);
    expect(last.calledOnce).to.equal(true);
  });

  it("serves whatever of Node.js takes a signal", async () => {
    const reason = new Error("enough");
    const listened = sinon.spy();
    addAbortListener(signal, listened);
    const dropped = addAbortListener(signal, () => expect.fail("disposed of"));
    dropped[Symbol.dispose]();
    const stream = addAbortSignal(signal, new PassThrough());
    const waiting = [
      delay(60_000, undefined, { signal }),
      once(new PassThrough(), "never", { signal }),
      once(stream, "error").then(([error]) => Promise.reject(error)),
      fetch("http://127.0.0.1:9", { signal }),
    ];
    const any = AbortSignal.any([signal]);
    controller.abort(reason);
    for (const outcome of await Promise.allSettled(waiting)) {
      expect(outcome.status).to.equal("rejected");
    }
    expect(listened.calledOnce).to.equal(true);
    expect(any.reason).to.equal(reason);
  });
});
