import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline, Readable } from "node:stream";
import { expect } from "chai";
import type { Express, Response } from "express";
import type { Route } from "../../lib/server/routes/express-routes.js";
import { describeRoutes, errorOf, failureOf, outcomeOf, PNG, resultOf } from "../support/route-call.js";

describeRoutes((prepare) => {
  let app: Express;
  let folder: string;
  prepare((given) => {
    ({ app, folder } = given);
  });

  describe("as replies", () => {
    const results: [title: string, handler: (res: Response) => unknown, result: unknown][] = [
      ["JSON of a suffix type as JSON", (res) => res.type("application/ld+json").end("[1]"), [1]],
      ["JSON with a byte order mark as JSON", (res) => res.type("json").end("\uFEFF[1]"), [1]],
      ["what is no JSON by the type of JSON as text", (res) => res.type("json").send("{a"), "{a"],
      ["JavaScript as text", (res) => res.type("js").end(Buffer.from("a()")), "a()"],
      ["XML as text", (res) => res.type("application/xml").end(Buffer.from("<a/>")), "<a/>"],
      ["SVG as text", (res) => res.type("svg").end(Buffer.from("<svg/>")), "<svg/>"],
      [
        "a form as text",
        (res) => res.type("application/x-www-form-urlencoded").end(Buffer.from("a=1")),
        "a=1",
      ],
      [
        "text in its charset",
        (res) => res.setHeader("Content-Type", "text/plain; charset=ISO-8859-1") && res.end("ä", "latin1"),
        "ä",
      ],
      [
        "another type with a charset as text",
        (res) =>
          res.setHeader("Content-Type", 'application/x-own; charset="utf-16le"') && res.end("ä", "utf16le"),
        "ä",
      ],
      [
        "text in its charset without blanks",
        (res) => res.setHeader("Content-Type", "text/plain;charset=Latin1") && res.end("ä", "latin1"),
        "ä",
      ],
      [
        "text in its charset with blanks",
        (res) => res.setHeader("Content-Type", "text/plain ;  charset = latin1") && res.end("ä", "latin1"),
        "ä",
      ],
      [
        "JSON as JSON whose type has blanks and capitals",
        (res) => res.setHeader("Content-Type", "Application/JSON ; charset=utf-8") && res.end('["ä"]'),
        ["ä"],
      ],
      [
        "text with a byte order mark as it is",
        (res) => res.setHeader("Content-Type", "text/plain; charset=utf-8") && res.end("\uFEFFä"),
        "\uFEFFä",
      ],
      [
        "text with a byte order mark as it is, in another charset",
        (res) =>
          res.setHeader("Content-Type", "text/plain; charset=utf-16le") && res.end("\uFEFFä", "utf16le"),
        "\uFEFFä",
      ],
      [
        "a body that is encoded as itself as what it is",
        (res) => res.type("txt").set("Content-Encoding", "Identity").end("ä"),
        "ä",
      ],
      [
        "a charset that nobody knows as bytes",
        (res) => res.setHeader("Content-Type", "text/plain; charset=klingon") && res.end("a"),
        "YQ==",
      ],
      [
        "an encoded body as bytes",
        (res) => res.type("txt").set("Content-Encoding", "gzip").end(PNG),
        PNG.toString("base64"),
      ],
      ["strings without a type as text", (res) => res.write("a") && res.end("ä"), "aä"],
      ["strings without a type in their encoding", (res) => res.end("ä", "latin1"), "ä"],
      ["strings for bytes as bytes", (res) => res.end("ff00", "hex"), "/wA="],
      [
        "strings and bytes without a type as bytes",
        (res) => res.write("a") && res.end(PNG.subarray(0, 1)),
        "YYk=",
      ],
      [
        "strings without a type in two encodings as bytes",
        (res) => res.write("a") && res.end("b", "latin1"),
        "YWI=",
      ],
      ["views of memory that is used again", writeFromOneBuffer, "ab"],
      ["an empty text as null", (res) => res.send(""), null],
      ["a body with status 204 as null", (res) => res.status(204).end("text"), null],
      ["json of undefined as null", (res) => res.json(undefined), null],
    ];
    for (const [title, handler, result] of results) {
      it(`give ${title}`, async () => {
        expect(await resultOf(app, (_req, res) => handler(res))).to.deep.equal(result);
      });
    }

    it("give the fields of an object with headers and status", async () => {
      const handler: Route = (_req, res) => {
        res.status(201).set("X-One", "1").append("X-Two", ["a", "b"]).json({ a: 1 });
      };
      const value = (await resultOf(app, handler)) as Record<string, unknown>;
      expect(value).to.have.all.keys("a", "_headers", "_code");
      expect(value._code).to.equal(201);
      expect(value._headers).to.deep.include({
        "x-one": "1",
        "x-two": ["a", "b"],
        "content-type": "application/json; charset=utf-8",
        "content-length": "7",
      });
    });

    it("let no field of a body pose as headers, as a status or as a prototype", async () => {
      const body = JSON.parse('{"_code":500,"_headers":{"x":"1"},"__proto__":{"admin":true}}');
      for (const status of [200, 400]) {
        const outcome = await outcomeOf(app, (_req, res) => res.status(status).json(body));
        const given = (outcome.status === "result" ? outcome.value : outcome.error) as typeof body;
        expect(Object.getPrototypeOf(given)).to.equal(Object.prototype);
        expect(given.admin).to.equal(undefined);
        expect(given._code).to.equal(status);
        expect(given._headers).to.include.keys("content-type");
        expect(JSON.stringify(given)).to.contain('"__proto__":{"admin":true}');
      }
    });

    const errors: [title: string, handler: (res: Response) => unknown, error: unknown][] = [
      ["the error field of an object", (res) => res.json({ error: "Too much", a: 1 }), "Too much"],
      ["an error field that is an object", (res) => res.json({ error: { code: 5 } }), { code: 5 }],
      ["a text", (res) => res.send("Too much"), { message: "Too much", _code: 429 }],
      ["a JSON string", (res) => res.json("Too much"), { message: "Too much", _code: 429 }],
      ["a JSON array", (res) => res.json(["a"]), { message: '["a"]', _code: 429 }],
      ["null", (res) => res.json(null), { message: "Too Many Requests", _code: 429 }],
      ["nothing", (res) => res.end(), { message: "Too Many Requests", _code: 429 }],
      ["bytes", (res) => res.send(PNG), { message: "Too Many Requests", _code: 429 }],
    ];
    for (const [title, handler, error] of errors) {
      it(`with a status of 300 or more give ${title} as the error`, async () => {
        expect(await errorOf(app, (_req, res) => handler(res.status(429)))).to.deep.equal(error);
      });
    }

    it("with a status of 300 or more give an object without an error as the error", async () => {
      for (const body of [{ a: 1 }, { error: null, a: 1 }, { error: "", a: 1 }, {}]) {
        const error = await errorOf(app, (_req, res) => res.status(400).json(body));
        expect(error).to.deep.include({ ...body, _code: 400 });
        expect(error).to.have.property("_headers");
      }
    });

    it("are results up to a status of 299, and errors from 300 on", async () => {
      for (const [status, expected] of [
        [299, "result"],
        [300, "error"],
      ] as const) {
        expect((await outcomeOf(app, (_req, res) => res.status(status).json("a"))).status).to.equal(expected);
      }
    });

    it("with a status of 304, whose body goes nowhere, give its text as the error", async () => {
      const error = await errorOf(app, (_req, res) => res.status(304).end("text"));
      expect(error).to.deep.equal({ message: "Not Modified", _code: 304 });
    });

    it("with a status that has no text give its number", async () => {
      expect(await errorOf(app, (_req, res) => res.writeHead(599, "").end())).to.deep.include({
        _code: 599,
      });
    });

    it("are read from streams of any size", async () => {
      const chunk = Buffer.alloc(100_000, "x");
      const handler: Route = (_req, res) => {
        Readable.from(Array.from({ length: 20 }, () => chunk)).pipe(res.type("txt"));
      };
      expect(await resultOf(app, handler)).to.equal("x".repeat(2_000_000));
      const byPipeline: Route = (_req, res, next) => {
        pipeline(createReadStream(join(folder, "pixel.png")), res, (error) => error && next(error));
      };
      expect(await resultOf(app, byPipeline)).to.equal(PNG.toString("base64"));
    });

    it("that are too large fail their call", async () => {
      const options = { maxResponseBytes: 1000 };
      const large = await failureOf(app, (_req, res) => res.send("x".repeat(1001)), options);
      expect(large).to.include({
        message: "The response is larger than 1000 bytes",
        code: "E_RESPONSE_TOO_LARGE",
      });
      let destroyed: Promise<unknown> | undefined;
      const endless = await failureOf(
        app,
        (_req, res) => {
          const source = Readable.from(
            (function* () {
              while (true) yield "x".repeat(100);
            })(),
          );
          destroyed = new Promise((resolve) => pipeline(source, res, resolve));
        },
        options,
      );
      expect(endless.message).to.equal("The response is larger than 1000 bytes");
      await destroyed;
      expect(await resultOf(app, (_req, res) => res.send("x".repeat(1000)), options)).to.have.lengthOf(1000);
    });
  });
});

function writeFromOneBuffer(res: Response): void {
  const buffer = Buffer.from("a");
  res.type("txt").write(buffer);
  buffer.write("b");
  res.end(buffer);
}
