import { once } from "node:events";
import { expect } from "chai";
import express from "express";
import { Application } from "../support/application.js";

describe("A request that offers HTTP/2", () => {
  const OFFER = [
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA",
  ];
  const plain = "GET /things HTTP/1.1\r\nHost: there\r\n\r\n";
  let application: Application;

  beforeEach(async () => {
    application = await Application.start({
      // a busy machine may take a while between two polls
      sockjs: { disconnect_delay: 2000 },
      prepare: (app) => {
        app.get("/things", (req, res) => void setImmediate(() => res.send(`things of ${req.headers.host}`)));
        app.get("/headers", (req, res) => {
          // what is not ASCII is longer in bytes than in letters
          res.send(encodeURIComponent(JSON.stringify([req.httpVersion, ...req.rawHeaders])));
        });
        app.post(
          "/things",
          express.text({ type: () => true, limit: "1mb" }),
          (req, res) => void res.send(req.body),
        );
      },
    });
  });
  afterEach(() => application.stop());

  const head = (line: string, ...headers: string[]) =>
    [`${line} HTTP/1.1`, "Host: here", ...OFFER, ...headers, "\r\n"].join("\r\n");

  /** A connection, and what takes the body of the next answer, which has to be a 200. */
  const client = async () => {
    const socket = await application.dial("");
    socket.setNoDelay();
    let received = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      received += chunk;
    });
    const next = async () => {
      for (;;) {
        const answer = bodyOf(received);
        if (answer) {
          received = received.slice(answer.end);
          return answer.body;
        }
        await once(socket, "data");
      }
    };
    return { socket, next };
  };

  it("is answered by the application's route", async () => {
    const { socket, next } = await client();
    socket.write(head("GET /things"));
    expect(await next()).to.equal("things of here");
  });

  it("is answered with its body, which comes with it, behind it, or in chunks", async () => {
    const body = "x".repeat(100_000);
    const post = head("POST /things", `Content-Length: ${body.length}`);
    const { socket, next } = await client();
    socket.write(post + body);
    expect(await next()).to.equal(body);
    socket.write(post);
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(body.slice(0, 5));
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(body.slice(5));
    expect(await next()).to.equal(body);
    socket.write(head("POST /things", "Transfer-Encoding: chunked"));
    await new Promise((resolve) => setImmediate(resolve));
    socket.write("5\r\nhello\r\n0\r\n\r\n");
    expect(await next()).to.equal("hello");
  });

  it("is answered as if it had all of its headers but the offer", async () => {
    const headersOf = async (...lines: string[]) => {
      const { socket, next } = await client();
      const closed = once(socket, "close");
      socket.write(`${["GET /headers HTTP/1.1", ...lines].join("\r\n")}\r\n\r\n`, "latin1");
      return { headers: JSON.parse(decodeURIComponent(await next())), closed };
    };
    const own = ["host: here", "X-Own: a", "X-Own: b, c", "X-Latin: \xe4", "X-None:"];
    const seen = ["1.1", "host", "here", "X-Own", "a", "X-Own", "b, c", "X-Latin", "\xe4", "X-None", ""];
    const offered = await headersOf(...own, ...OFFER);
    expect(offered.headers).to.deep.equal([...seen, "Connection", "keep-alive"]);
    const [, ...offer] = OFFER;
    const closing = await headersOf(...own, "connection: X-Own,upgrade, close,HTTP2-SETTINGS", ...offer);
    expect(closing.headers).to.deep.equal([...seen, "connection", "X-Own, close"]);
    await closing.closed;
  });

  it("is answered again and again, on one connection, without a warning", async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.name);
    process.on("warning", onWarning);
    const { socket, next } = await client();
    for (let n = 0; n < 20; n++) {
      socket.write(head("GET /things"));
      expect(await next()).to.equal("things of here");
    }
    process.off("warning", onWarning);
    expect(warnings).to.deep.equal([]);
  });

  it("is answered behind others whose answers take their time, and before others", async () => {
    const { socket, next } = await client();
    for (const request of [plain, head("GET /things"), plain]) {
      socket.write(request);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([await next(), await next(), await next()]).to.deep.equal([
      "things of there",
      "things of here",
      "things of there",
    ]);
    socket.write(plain + head("GET /things"));
    expect([await next(), await next()]).to.deep.equal(["things of there", "things of here"]);
  });

  it("is answered as any other where it is for SockJS", async () => {
    const { socket, next } = await client();
    socket.write(head("GET /sockets/info"));
    expect(JSON.parse(await next())).to.include({ websocket: true });
    socket.write(head("POST /sockets/000/http2/xhr", "Content-Length: 0"));
    expect(await next()).to.equal("o\n");
    const body = JSON.stringify([JSON.stringify({ rpc: "auth", token: await application.token() })]);
    socket.write(head("POST /sockets/000/http2/xhr_send", `Content-Length: ${body.length}`) + body);
    await once(application.tokenServer, "authenticated");
  });

  it("keeps its connection among those that the HTTP server closes", async () => {
    const socket = await application.dial(head("GET /things"));
    await once(socket, "data");
    const closed = once(socket, "close");
    application.http.closeAllConnections();
    await closed;
  });
});

/** Reads an answer, whose end may be marked by its length or by a last chunk; undefined where it is not whole. */
function bodyOf(received: string): { body: string; end: number } | undefined {
  const start = received.indexOf("\r\n\r\n") + 4;
  if (start < 4) return undefined;
  const head = received.slice(0, start);
  if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(head);
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
  if (length !== undefined) {
    const end = start + Number(length);
    return received.length < end ? undefined : { body: received.slice(start, end), end };
  }
  const end = received.indexOf("0\r\n\r\n", start);
  if (end === -1) return undefined;
  return { body: received.slice(start, end).replaceAll(/(?:^|\r\n)[\da-f]+\r\n|\r\n$/g, ""), end: end + 5 };
}
