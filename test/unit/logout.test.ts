import { expect } from "chai";
import type { Request } from "express";
import { endSession, sessionIdOf } from "../../lib/server/auth/logout.js";

type Callback = (error?: unknown) => void;

interface Faked {
  sessionID?: unknown;
  session?: Record<string, unknown> | null;
  logout?: unknown;
}

const requestOf = (faked: unknown): Request => faked as Request;

describe("The session that a logout ends", () => {
  let done: string[];
  let request: Faked;

  beforeEach(() => {
    done = [];
    const end = (what: string) => (callback: Callback) => {
      done.push(what);
      callback();
    };
    request = { sessionID: "a", session: { destroy: end("destroy"), regenerate: end("regenerate") } };
  });

  it("is known by its id, also where the application has ended it already", () => {
    for (const session of [request.session, undefined, null]) {
      expect(sessionIdOf(requestOf({ sessionID: "a", session }))).to.equal("a");
    }
  });

  it("is one of express-session, and no other", () => {
    const { session } = request;
    const wrong: unknown[] = [
      undefined,
      null,
      {},
      { session },
      { sessionID: "", session },
      { sessionID: 7, session },
    ];
    for (const req of [...wrong, { sessionID: "a", session: {} }]) {
      expect(() => sessionIdOf(requestOf(req)), JSON.stringify(req)).to.throw(
        TypeError,
        "req must be a request with a session of express-session",
      );
    }
  });

  it("is destroyed, or made anew where that is wanted", async () => {
    await endSession(requestOf(request), false);
    expect(done).to.deep.equal(["destroy"]);
    await endSession(requestOf(request), true);
    expect(done).to.deep.equal(["destroy", "regenerate"]);
  });

  it("is left alone where the application has ended it, and passport is not asked then", async () => {
    request.logout = (callback: Callback) => {
      done.push("logout");
      callback();
    };
    for (const session of [undefined, null]) await endSession(requestOf({ ...request, session }), true);
    expect(done).to.deep.equal([]);
  });

  it("has ended only when its store says so, and not where that fails", async () => {
    const error = new Error("no room");
    request.session = { destroy: (callback: Callback) => callback(error) };
    const failed = await endSession(requestOf(request), false).catch((thrown: unknown) => thrown);
    expect(failed).to.equal(error);
    let call: Callback = () => {};
    request.session = {
      destroy: (callback: Callback) => {
        call = callback;
      },
    };
    const ended = endSession(requestOf(request), false).then(() => done.push("ended"));
    await Promise.resolve();
    await Promise.resolve();
    expect(done).to.deep.equal([]);
    call(null);
    await ended;
  });

  it("cannot be made anew where it has no method for that", async () => {
    delete request.session?.regenerate;
    const failed = await endSession(requestOf(request), true).catch((thrown: unknown) => thrown);
    expect(failed).to.be.an.instanceof(TypeError).with.property("message", "req.session has no regenerate()");
  });

  it("is left to passport where that ends it by itself, as from version 0.6 on", async () => {
    const { session } = request;
    const leave = (change: Faked) => {
      request = { sessionID: "a", session: session as Record<string, unknown> };
      request.logout = function (this: unknown, callback: Callback) {
        expect(this).to.equal(request);
        Object.assign(request, change);
        done.push("logout");
        callback();
      };
      return endSession(requestOf(request), false);
    };
    await leave({ sessionID: "b" });
    await leave({ session: null });
    expect(done).to.deep.equal(["logout", "logout"]);
    await leave({});
    expect(done).to.deep.equal(["logout", "logout", "logout", "destroy"]);
  });

  it("is ended after an older passport's logout, which takes no callback", async () => {
    request.logout = function (this: unknown, ...given: unknown[]) {
      expect(this).to.equal(request);
      expect(given).to.deep.equal([]);
      done.push("logout");
    };
    await endSession(requestOf(request), false);
    expect(done).to.deep.equal(["logout", "destroy"]);
  });

  it("stays where passport fails, which is said", async () => {
    const error = new Error("no");
    request.logout = (callback: Callback) => callback(error);
    expect(await endSession(requestOf(request), false).catch((thrown: unknown) => thrown)).to.equal(error);
    expect(done).to.deep.equal([]);
  });
});
