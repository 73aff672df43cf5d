import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { frame, OPCODE, upgradeRequest } from "../support/raw-websocket.js";

describe("A request for a WebSocket", () => {
  let application: Application;
  let answer: () => void;

  beforeEach(async () => {
    application = await Application.start({
      prepare: (app) =>
        app.get("/slow", (_req, res) => {
          answer = () => void res.send("answered");
        }),
    });
  });
  afterEach(() => application.stop());

  const headOf = async (socket: Socket) => {
    let received = "";
    socket.setEncoding("latin1").on("data", (chunk) => {
      received += chunk;
    });
    while (!received.includes("\r\n\r\n")) await once(socket, "data");
    socket.destroy();
    return received.slice(0, received.indexOf("\r\n\r\n"));
  };

  for (const path of ["/sockets/websocket", "/sockets/000/session/websocket"]) {
    // RFC 6455, section 4.2.2
    for (const version of ["8", "14"]) {
      it(`of version ${version} is told which version there is, at ${path}`, async () => {
        const request = upgradeRequest(path, { "Sec-WebSocket-Version": version });
        const head = await headOf(await application.dial(request));
        expect(head).to.match(/^HTTP\/1\.1 4\d\d /);
        expect(head.toLowerCase()).to.match(/\r\nsec-websocket-version: 13(\r\n|$)/);
      });
    }

    // RFC 9110, section 15.5.6
    it(`by a POST is told which method there is, at ${path}`, async () => {
      const request = upgradeRequest(path, { "Content-Length": "0" }).replace("GET", "POST");
      const head = await headOf(await application.dial(request));
      expect(head).to.match(/^HTTP\/1\.1 405 /);
      expect(head.toLowerCase()).to.match(/\r\nallow: get(\r\n|$)/);
    });

    // RFC 9110, section 7.8; RFC 6455, section 4.2.1
    it(`by HTTP/1.0 opens none, at ${path}`, async () => {
      const request = upgradeRequest(path).replace("HTTP/1.1", "HTTP/1.0");
      expect(await headOf(await application.dial(request))).to.match(/^HTTP\/1\.[01] 400 /);
    });

    // RFC 9112, section 9.3.2
    it(`is answered behind the requests that came before it, at ${path}`, async () => {
      const received: string[] = [];
      const socket = await application.dial("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
      socket.setEncoding("latin1").on("data", (chunk) => received.push(String(chunk)));
      await once(application.http, "request");
      const upgraded = once(application.http, "connection");
      socket.write(upgradeRequest(path));
      // another client has been served, so this one's request has been read
      expect((await fetch(`${application.url}/sockets/info`)).status).to.equal(200);
      await upgraded;
      answer();
      while (!received.join("").includes("answered")) await once(socket, "data");
      expect(received.join("")).to.match(/^HTTP\/1\.1 200 /);
    });
  }

  describe("behind a request whose answer takes its time", () => {
    /** Asks for that, and then for a WebSocket; gives both ends of the connection, and what the client receives. */
    const queue = async (behind: Buffer = Buffer.alloc(0)) => {
      const [[serverSide], socket] = await Promise.all([
        once(application.http, "connection") as Promise<[Socket]>,
        application.dial("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"),
        once(application.http, "request"),
      ]);
      const received: string[] = [];
      socket.setEncoding("latin1").on("data", (chunk) => received.push(String(chunk)));
      const sent = { bytes: serverSide.bytesRead };
      const send = async (bytes: Buffer) => {
        sent.bytes += bytes.length;
        socket.write(bytes);
        await until(() => serverSide.bytesRead >= sent.bytes || serverSide.destroyed);
      };
      await send(Buffer.concat([Buffer.from(upgradeRequest("/sockets/websocket")), behind]));
      return { serverSide, socket, send, text: () => received.join("") };
    };

    it("is answered with all that its client has sent by then", async () => {
      const { socket, send, text } = await queue(frame(OPCODE.ping, "first"));
      await send(frame(OPCODE.ping, "second").subarray(0, 3));
      await send(frame(OPCODE.ping, "second").subarray(3));
      expect(text()).to.equal("");
      answer();
      while (!text().includes("second")) await once(socket, "data");
      const [head, frames] = text().split("answered")[1]?.split("\r\n\r\n") ?? [];
      expect(head).to.match(/^HTTP\/1\.1 101 /);
      expect(frames).to.equal("\x8a\x05first\x8a\x06second");
      await send(frame(OPCODE.ping, "third"));
      while (!text().includes("third")) await once(socket, "data");
      expect(application.tokenServer.sockets()).to.have.length(1);
    });

    it("is cut where its client sends too much before it is its turn", async () => {
      const most = 16_384;
      const patient = await queue();
      // a frame that is as long as what may wait
      await patient.send(frame(OPCODE.text, "x".repeat(most - 8)));
      expect(patient.serverSide.destroyed).to.equal(false);
      const greedy = await queue();
      const closed = once(greedy.socket, "close");
      await greedy.send(frame(OPCODE.text, "x".repeat(most - 7)));
      await closed;
      expect(greedy.text()).to.equal("");
    });

    for (const end of ["end", "resetAndDestroy"] as const) {
      it(`opens none where its client has gone meanwhile, by ${end}()`, async () => {
        const { serverSide, socket } = await queue();
        const gone = new Promise((resolve) => serverSide.on("close", resolve));
        socket[end]();
        await gone;
        answer();
        expect((await fetch(`${application.url}/sockets/info`)).status).to.equal(200);
        expect(application.tokenServer.sockets()).to.deep.equal([]);
      });
    }
  });
});
