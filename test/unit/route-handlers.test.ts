import { once } from "node:events";
import { join } from "node:path";
import { expect } from "chai";
import type { Express, NextFunction, Request, Response } from "express";
import type { Route } from "../../lib/server/routes/express-routes.js";
import { RpcError } from "../../lib/shared/errors.js";
import { NOT_FOUND } from "../../lib/shared/refusals.js";
import { deferred, describeRoutes, failureOf, outcomeOf, resultOf, start } from "../support/route-call.js";

describeRoutes((prepare, express) => {
  let app: Express;
  let folder: string;
  prepare((given) => {
    ({ app, folder } = given);
  });

  describe("as handlers", () => {
    const boom = new Error("boom");
    const fail = () => {
      throw boom;
    };
    const pass = (_req: Request, _res: Response, next: NextFunction) => next();
    const passError = (error: unknown, _req: Request, _res: Response, next: NextFunction) => next(error);
    const explain = (error: unknown, _req: Request, res: Response, _next: NextFunction) => {
      res.status(422).json({ error: { explained: (error as Error).message } });
    };
    const explained = { status: "error", error: { explained: "boom" } };

    it("run one after another, nested arrays included", async () => {
      const add = (letter: string) => (_req: Request, res: Response, next: NextFunction) => {
        res.locals.word = (res.locals.word ?? "") + letter;
        next();
      };
      // the last one has its types by its place
      const route: Route = [add("a"), [add("b"), [add("c")]], (_req, res) => res.json(res.locals.word)];
      expect(await resultOf(app, route)).to.equal("abc");
    });

    it("answer Function not found past the last one", async () => {
      const skipped = () => fail();
      const routes: Route[] = [
        pass,
        [pass, pass],
        [],
        [(_req: Request, _res: Response, next: NextFunction) => next("route"), skipped],
        [(_req: Request, _res: Response, next: NextFunction) => next("router"), skipped],
        [explain],
      ];
      for (const route of routes) {
        expect(await outcomeOf(app, route)).to.deep.equal({
          status: "error",
          error: NOT_FOUND,
        });
      }
    });

    it("fail by what they give to next", async () => {
      for (const error of [boom, "text", { code: 5 }, ["a"], 5]) {
        const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
        expect(outcome).to.deep.equal({ status: "failure", error });
      }
    });

    it("fail by what a router throws, or is rejected with", async () => {
      const router = (express as unknown as { Router(): import("express").Router }).Router();
      router.use(fail);
      const wrapped: Route = (_req, _res, next) => void Promise.reject(boom).catch(next);
      for (const route of [router, wrapped]) {
        expect(await outcomeOf(app, route as Route)).to.deep.equal({ status: "failure", error: boom });
      }
    });

    it("give an error on purpose that says expose, or is an RpcError, by next or by a throw", async () => {
      const exposed = Object.assign(new Error("Sold out"), { status: 409, expose: true });
      for (const error of [exposed, new RpcError("No")]) {
        expect(await outcomeOf(app, (_req, _res, next) => next(error))).to.deep.equal({
          status: "error",
          error,
        });
        const thrown = await outcomeOf(app, () => {
          throw error;
        });
        expect(thrown).to.deep.equal({ status: "error", error });
      }
    });

    it("give the status alone of an error that has one and does not say expose", async () => {
      for (const expose of [undefined, false, "yes"]) {
        const error = Object.assign(new Error("select * from secret"), { status: 409, expose });
        const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
        expect(JSON.stringify(outcome)).to.include("Conflict").and.not.include("secret");
      }
      const error = Object.assign(new Error("secret"), { status: 500, expose: false });
      const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
      expect(outcome).to.deep.equal({ status: "failure", error });
    });

    it("give a status by next that is one of an error, and no other", async () => {
      const finished = async (given: object) => {
        const ended = deferred<number>();
        const call = start(app, (_req, res, next) => {
          res.on("finish", () => ended.resolve(res.statusCode));
          next(Object.assign(new Error("no"), given));
        });
        const { status, error } = (await call.outcome) as { status: string; error: { _code?: number } };
        return [status, error._code, await ended.promise];
      };
      for (const status of [400, 404, 499]) {
        expect(await finished({ status })).to.deep.equal(["error", status, status]);
      }
      expect(await finished({ status: 200, statusCode: 404 })).to.deep.equal(["error", 404, 404]);
      for (const status of [500, 599]) {
        expect(await finished({ status })).to.deep.equal(["failure", undefined, status]);
      }
      for (const status of [200, 399, 600, 404.5, "404", Number.NaN, null]) {
        expect(await finished({ status }), String(status)).to.deep.equal(["failure", undefined, 500]);
      }
    });

    it("fail by what can be read by nobody", async () => {
      for (const name of ["status", "expose", "code"]) {
        const error = Object.defineProperty(new Error("no"), name, {
          get: () => {
            throw boom;
          },
        });
        expect(await outcomeOf(app, (_req, _res, next) => next(error))).to.deep.equal({
          status: "failure",
          error,
        });
      }
    });

    it("fail by an error whose response cannot be ended, which is reported", async () => {
      const other = new Error("other");
      const call = start(app, (_req, res, next) => {
        res.end = () => {
          throw other;
        };
        next(boom);
      });
      expect(call.outcomes).to.deep.equal([{ status: "failure", error: boom }]);
      expect(call.late).to.deep.equal([other]);
    });

    it("are listed as the request's route", async () => {
      const answer: Route = (req, res) => {
        const { path, methods, stack } = req.route;
        res.json([path, methods, stack.map(({ name, method }: Record<string, unknown>) => [name, method])]);
      };
      expect(await resultOf(app, [pass, answer])).to.deep.equal([
        "/notes/list",
        { post: true },
        [
          ["pass", "post"],
          ["answer", "post"],
        ],
      ]);
    });

    it("fail by a throw or a rejection", async () => {
      expect(await outcomeOf(app, fail)).to.deep.equal({ status: "failure", error: boom });
      expect(await outcomeOf(app, async () => fail())).to.deep.equal({ status: "failure", error: boom });
      const thenable = () => Promise.reject("text");
      expect(await outcomeOf(app, thenable)).to.deep.equal({ status: "failure", error: "text" });
      for (const nothing of [undefined, null, 0, ""]) {
        const thrown = await failureOf(app, () => {
          throw nothing;
        });
        expect(thrown.message).to.equal(`A handler threw ${nothing}`);
        expect(thrown).to.have.property("cause", nothing);
        expect((await failureOf(app, () => Promise.reject(nothing))).message).to.match(/^A handler threw/);
      }
    });

    it("let an error handler in the array see an error first, whatever its origin", async () => {
      expect(await outcomeOf(app, [fail, explain])).to.deep.equal(explained);
      expect(await outcomeOf(app, [async () => fail(), pass, explain])).to.deep.equal(explained);
      expect(
        await outcomeOf(app, [(_req: Request, _res: Response, next: NextFunction) => next(boom), explain]),
      ).to.deep.equal(explained);
      const missing: Route = (_req, res) => res.sendFile(join(folder, "none.txt"));
      const outcome = await outcomeOf(app, [missing, explain]);
      expect(JSON.stringify(outcome)).to.match(/ENOENT/);
    });

    it("skip error handlers without an error, and other handlers with one", async () => {
      const answer = (_req: Request, res: Response) => res.json("answer");
      expect(await resultOf(app, [explain, pass, explain, answer])).to.equal("answer");
      expect(await outcomeOf(app, [fail, answer, explain])).to.deep.equal(explained);
    });

    it("keep a throw a failure when an error handler passes it on", async () => {
      expect(await outcomeOf(app, [fail, passError])).to.deep.equal({ status: "failure", error: boom });
      const other = new Error("other");
      const replace = (_error: unknown, _req: Request, _res: Response, next: NextFunction) => next(other);
      expect(await outcomeOf(app, [fail, replace])).to.deep.equal({ status: "failure", error: other });
      // the status of what was given on purpose is for the caller, and that of a throw is not
      const conflict = Object.assign(new Error("no"), { status: 409 });
      const failConflict = () => {
        throw conflict;
      };
      for (const route of [[failConflict], [failConflict, passError]]) {
        expect(await outcomeOf(app, route)).to.deep.equal({ status: "failure", error: conflict });
      }
    });

    it("go on after an error handler that has mended things", async () => {
      const mend = (_error: unknown, _req: Request, _res: Response, next: NextFunction) => next();
      expect(await resultOf(app, [fail, mend, (_req: Request, res: Response) => res.json("well")])).to.equal(
        "well",
      );
    });

    it("must be functions", async () => {
      const route = [pass, "text"] as unknown as Route;
      const error = await failureOf(app, route);
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.equal('Route "notes.list": handler 2 is not a function');
      const first = await failureOf(app, [5] as unknown as Route);
      expect(first.message).to.equal('Route "notes.list": handler 1 is not a function');
    });

    it("that answer late, after an error has been given, learn that it is too late", async () => {
      const events: string[] = [];
      const learned = deferred<unknown>();
      const call = start(app, (_req, res, next) => {
        res.set("X-One", "1");
        res.on("finish", () => events.push(`finish ${res.statusCode}`));
        res.on("close", () => {
          try {
            res.json("late");
          } catch (error) {
            learned.resolve(error);
          }
        });
        next(Object.assign(new Error("no"), { status: 409 }));
      });
      expect((await call.outcome).status).to.equal("error");
      expect(await learned.promise).to.have.property("code", "ERR_HTTP_HEADERS_SENT");
      expect(events).to.deep.equal(["finish 409"]);
      expect(call.outcomes).to.have.lengthOf(1);
    });

    it("that answer twice get ERR_HTTP_HEADERS_SENT, and the first answer counts", async () => {
      const call = start(app, (_req, res) => {
        res.json("first");
        expect(() => res.json("second"))
          .to.throw()
          .with.property("code", "ERR_HTTP_HEADERS_SENT");
        res.json("third");
      });
      expect(await call.outcome).to.deep.equal({ status: "result", value: "first" });
      expect(call.late).to.have.lengthOf(1);
      expect(call.late[0]).to.have.property("code", "ERR_HTTP_HEADERS_SENT");
      expect(call.outcomes).to.have.lengthOf(1);
    });

    it("may call next beside an answer that has begun", async () => {
      const call = start(app, (_req, res, next) => {
        res.write("to be ");
        setImmediate(() => res.end("continued"));
        next();
      });
      expect(await call.outcome).to.deep.equal({ status: "result", value: "to be continued" });
      const after = start(app, (_req, res, next) => {
        res.json("answered");
        next();
      });
      expect(await after.outcome).to.deep.equal({ status: "result", value: "answered" });
      expect([...call.late, ...after.late]).to.deep.equal([]);
    });

    it("that fail amid an answer close it", async () => {
      let closed: Promise<unknown> | undefined;
      const call = start(app, async (_req, res) => {
        closed = once(res, "close");
        res.write("to be ");
        fail();
      });
      expect(await call.outcome).to.deep.equal({ status: "failure", error: boom });
      await closed;
      expect(call.late).to.deep.equal([]);
    });

    describe("report as late", () => {
      const cases: Record<string, (req: Request, res: Response, next: NextFunction) => unknown> = {
        "a throw after the answer": (_req, res) => {
          res.json(null);
          fail();
        },
        "a rejection after the answer": async (_req, res) => {
          res.json(null);
          await new Promise(setImmediate);
          fail();
        },
        "next with an error after the answer": (_req, res, next) => {
          res.json(null);
          next(boom);
        },
        "an error emitted on the response": (_req, res) => {
          res.json(null);
          res.emit("error", boom);
        },
        "an error emitted on the request": (req, res) => {
          res.json(null);
          req.emit("error", boom);
        },
        "a throw in a finish listener": (_req, res) => {
          res.on("finish", fail);
          res.json(null);
        },
        "a throw in a close listener": (_req, res) => {
          res.on("close", fail);
          res.json(null);
        },
        "a throw in a close listener of the request": (req, res) => {
          req.on("close", fail);
          res.json(null);
        },
        "a throw in a close listener of the request's socket": (req, res) => {
          req.socket.on("close", fail);
          res.json(null);
        },
      };
      for (const [title, handler] of Object.entries(cases)) {
        it(title, async () => {
          const call = start(app, [pass, handler]);
          const late = call.late.length > 0 ? call.late[0] : await call.nextLate();
          expect(late).to.equal(boom);
          expect(call.outcomes).to.deep.equal([{ status: "result", value: null }]);
          expect(call.late).to.have.lengthOf(1);
        });
      }

      it("a write after the end, however large it is, as nothing more than that", async () => {
        const large = "x".repeat(1001);
        const call = start(
          app,
          (_req, res) => {
            res.end("text");
            res.write(large);
            res.end(large);
          },
          { maxResponseBytes: 1000 },
        );
        expect(await call.nextLate()).to.have.property("code", "ERR_STREAM_WRITE_AFTER_END");
        await new Promise(setImmediate);
        expect(call.late.map((error) => (error as { code?: unknown }).code)).to.not.include(
          "E_RESPONSE_TOO_LARGE",
        );
        expect(call.outcomes).to.deep.equal([{ status: "result", value: "text" }]);
      });

      it("nothing where the headers go before the answer, and callbacks wait for each write", async () => {
        const told: string[] = [];
        const call = start(app, (_req, res) => {
          res.flushHeaders();
          res.write("a", () => told.push("a"));
          res.write("b", "utf8", () => told.push("b"));
          res.end("c", () => told.push("c"));
          expect(told).to.deep.equal([]);
          res.on("close", () => told.push("close"));
        });
        expect(await call.outcome).to.deep.equal({ status: "result", value: "abc" });
        while (!told.includes("close")) await new Promise(setImmediate);
        expect(told).to.deep.equal(["a", "b", "c", "close"]);
        expect(call.late).to.deep.equal([]);
      });

      it("a write after the end", async () => {
        const call = start(app, (_req, res) => {
          res.end("text");
          res.write("more");
          res.end("more");
        });
        expect(await call.nextLate()).to.have.property("code", "ERR_STREAM_WRITE_AFTER_END");
        expect(call.outcomes).to.deep.equal([{ status: "result", value: "text" }]);
      });
    });

    it("go on after an encoding that nobody knows", async () => {
      const codes: unknown[] = [];
      const ends: boolean[] = [];
      const handler: Route = (_req, res) => {
        for (const encoding of ["klingon", "utf8"]) {
          try {
            res.end("text", encoding as BufferEncoding);
          } catch (error) {
            codes.push((error as { code?: unknown }).code);
          }
          ends.push(res.writableEnded);
        }
      };
      expect(await outcomeOf(app, handler)).to.deep.equal({ status: "result", value: "text" });
      expect(codes).to.deep.equal(["ERR_UNKNOWN_ENCODING"]);
      expect(ends).to.deep.equal([false, true]);
    });

    it("fail by an error on the response before the answer", async () => {
      expect(await outcomeOf(app, (_req, res) => res.emit("error", boom))).to.deep.equal({
        status: "failure",
        error: boom,
      });
    });

    it("may be wrapped by middleware that delays the end", async () => {
      const events: string[] = [];
      const delay = (_req: Request, res: Response, next: NextFunction) => {
        const { end } = res;
        res.end = ((...args: unknown[]) => {
          events.push("delayed");
          setImmediate(() => Reflect.apply(end, res, args));
          return res;
        }) as typeof res.end;
        next();
      };
      const result = await resultOf(app, [delay, (_req: Request, res: Response) => res.json({ a: 1 })]);
      expect(result).to.deep.include({ a: 1 });
      expect(events).to.deep.equal(["delayed"]);
    });
  });
});
