import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import express, { type Request, type Response } from "express";
import sinon from "sinon";
import { deferred, start } from "../support/route-call.js";

const boom = new Error("boom");

describe("the connection of a route's request", () => {
  let time: sinon.SinonFakeTimers;

  beforeEach(() => {
    time = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => time.restore());

  /** Calls a route, and gives what it has got. */
  const open = () => {
    const got = deferred<{ req: Request; res: Response; socket: Socket }>();
    const call = start(express(), (req, res) => got.resolve({ req, res, socket: req.socket }));
    return got.promise.then((all) => ({ ...all, call }));
  };

  describe("with a time limit", () => {
    it("closes where nothing is written for so long, and tells whoever asked for it", async () => {
      const { call, res, socket } = await open();
      const told = sinon.spy();
      expect(socket.setTimeout(100, told)).to.equal(socket);
      res.write("a");
      time.tick(60);
      res.write("b");
      time.tick(60);
      await new Promise((resolve) => socket.write("c", resolve));
      time.tick(99);
      sinon.assert.notCalled(told);
      time.tick(1);
      sinon.assert.calledOnce(told);
      expect(await call.outcome).to.have.nested.property(
        "error.message",
        'Route "notes.list" closed its response without an answer',
      );
      expect(time.countTimers()).to.equal(0);
    });

    it("stays open where the request or the response is told", async () => {
      for (const which of ["req", "res"] as const) {
        const { call, [which]: one, res, socket } = await open();
        const told = sinon.spy();
        one.on("timeout", told);
        socket.setTimeout(100);
        time.tick(100);
        sinon.assert.calledOnceWithExactly(told, socket);
        res.json("late");
        expect(await call.outcome).to.deep.equal({ status: "result", value: "late" });
      }
    });

    it("stays open where that is taken back, with whoever asked for it", async () => {
      const { call, res, socket } = await open();
      const told = sinon.spy();
      socket.setTimeout(100, told);
      socket.setTimeout(0, told);
      socket.setTimeout(0);
      expect(socket.listenerCount("timeout")).to.equal(0);
      time.tick(1000);
      res.json("well");
      expect(await call.outcome).to.deep.equal({ status: "result", value: "well" });
      sinon.assert.notCalled(told);
    });

    it("has the newest one", async () => {
      const { call, socket } = await open();
      socket.setTimeout(100);
      socket.setTimeout(300);
      time.tick(299);
      expect(call.outcomes).to.deep.equal([]);
      time.tick(1);
      expect(await call.outcome).to.have.property("status", "failure");
    });

    it("has none when it has closed", async () => {
      const { res, socket } = await open();
      socket.setTimeout(100);
      const closed = once(socket, "close");
      res.json("answer");
      await closed;
      const told = sinon.spy();
      socket.setTimeout(100, told);
      expect(time.countTimers()).to.equal(0);
      expect(socket.listenerCount("timeout")).to.equal(0);
    });
  });

  it("fails its call by the error that it is destroyed with, whoever listens to that", async () => {
    for (const isHeard of [false, true]) {
      const { call, socket } = await open();
      const heard: unknown[] = [];
      if (isHeard) socket.on("error", (error) => heard.push(error));
      const closed = new Promise((resolve) => socket.on("close", resolve));
      socket.destroy(boom);
      await closed;
      expect(call.outcomes).to.deep.equal([{ status: "failure", error: boom }]);
      expect(call.late).to.deep.equal([]);
      expect(heard).to.deep.equal(isHeard ? [boom] : []);
    }
  });

  it("emits any event, and survives a listener that throws", async () => {
    const { call, res, socket } = await open();
    const heard: unknown[] = [];
    socket.on("own", (...args) => heard.push(args));
    expect([socket.emit("own", 1, 2), socket.emit("other")]).to.deep.equal([true, false]);
    expect(heard).to.deep.equal([[1, 2]]);
    res.json("answer");
    socket.on("failing", () => {
      throw boom;
    });
    expect(socket.emit("failing")).to.equal(true);
    expect(call.late).to.deep.equal([boom]);
  });

  it("has what is set of a TCP connection", async () => {
    const { res, socket } = await open();
    expect(socket.setNoDelay(true).setKeepAlive(true).ref().unref()).to.equal(socket);
    expect(socket.address()).to.deep.equal({});
    expect([socket.remoteAddress, socket.remotePort]).to.deep.equal(["10.0.0.1", 4711]);
    res.end();
  });
});
