import { once } from "node:events";
import { join } from "node:path";
import { PassThrough, pipeline } from "node:stream";
import { expect } from "chai";
import type { Express } from "express";
import { deferred, describeRoutes, start } from "../support/route-call.js";

describeRoutes((prepare) => {
  let app: Express;
  let folder: string;
  prepare((given) => {
    ({ app, folder } = given);
  });

  describe("when the socket closes", () => {
    it("emit close on the request and the response, and settle nothing", async () => {
      const events: string[] = [];
      const closed: Promise<unknown>[] = [];
      let answer = () => {};
      const call = start(app, (req, res) => {
        res.on("finish", () => events.push("finish"));
        closed.push(once(req, "close"), once(res, "close"));
        answer = () => {
          res.write("late");
          res.end("later");
        };
      });
      call.running.abort();
      answer();
      await Promise.all(closed);
      answer();
      call.running.abort();
      await new Promise(setImmediate);
      expect(events).to.deep.equal([]);
      expect(call.outcomes).to.deep.equal([]);
    });

    it("release what is piped into the response", async () => {
      const source = new PassThrough();
      const call = start(app, (_req, res) => source.pipe(res));
      source.write("first");
      const unpiped = new Promise((resolve) => source.once("pause", resolve));
      call.running.abort();
      await unpiped;
      expect(source.listenerCount("data")).to.equal(0);

      const other = new PassThrough();
      const ended = deferred<unknown>();
      const piped = start(app, (_req, res) => pipeline(other, res, ended.resolve));
      piped.running.abort();
      expect(await ended.promise).to.have.property("code", "ERR_STREAM_PREMATURE_CLOSE");
      expect(other.destroyed).to.equal(true);
      expect([...call.outcomes, ...piped.outcomes]).to.deep.equal([]);
    });

    it("tell the callback of a file that was on its way", async () => {
      const told = deferred<unknown>();
      const call = start(app, (_req, res) => res.sendFile(join(folder, "hello.txt"), told.resolve));
      call.running.abort();
      expect(await told.promise).to.have.property("code", "ECONNABORTED");
      expect(call.outcomes).to.deep.equal([]);
    });

    it("report what handlers do wrong after it", async () => {
      const boom = new Error("boom");
      const call = start(app, async (req) => {
        await once(req, "close");
        throw boom;
      });
      call.running.abort();
      expect(await call.nextLate()).to.equal(boom);
      expect(call.outcomes).to.deep.equal([]);
    });

    it("run on behind it, but not where that is since the call is refused", async () => {
      const boom = new Error("boom");
      for (const isRefused of [false, true]) {
        let goOn: (error?: unknown) => void = () => {};
        let ran = 0;
        const call = start(app, [
          (_req, _res, next) => {
            goOn = next;
          },
          () => void ran++,
        ]);
        if (isRefused) call.running.abort(true);
        else call.running.abort();
        goOn();
        expect(ran).to.equal(isRefused ? 0 : 1);
        goOn(boom);
        expect(call.late).to.deep.equal([boom]);
        expect(call.outcomes).to.deep.equal([]);
      }
    });

    it("let nobody write, however much", async () => {
      const call = start(
        app,
        (req, res) => {
          req.on("close", () => {
            expect(res.write("x".repeat(1001))).to.equal(false);
            res.end("x".repeat(1001));
          });
        },
        { maxResponseBytes: 1000 },
      );
      call.running.abort();
      await new Promise(setImmediate);
      expect([...call.outcomes, ...call.late]).to.deep.equal([]);
    });

    it("after the answer change nothing", async () => {
      const finished = deferred<unknown>();
      const call = start(app, (_req, res) => {
        res.on("finish", () => finished.resolve(res.statusCode));
        res.json("answer");
      });
      call.running.abort();
      expect(await finished.promise).to.equal(200);
      expect(call.outcomes).to.deep.equal([{ status: "result", value: "answer" }]);
    });
  });
});
