import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { close, frame, OPCODE, PLAIN, RawWebSocket, SOCKJS, text } from "../support/raw-websocket.js";

const ALLOWED_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
const OWN_CODES = [3000, 3001, 3999, 4000, 4999];

/** Those that RFC 6455 (section 7.4) keeps for what no frame says, or that nobody may use. */
const FORBIDDEN_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];

/** The longest reason there is room for. */
const LONGEST = "x".repeat(123);

for (const framing of [PLAIN, SOCKJS]) {
  describe(`The end of ${framing.name}`, () => {
    let application: Application;
    let calls: unknown[] = [];
    const sockets: RawWebSocket[] = [];

    before(async () => {
      application = await Application.start({
        options: {
          socketController: { call: (_auth, data) => calls.push(data), wait: () => new Promise(() => {}) },
        },
      });
    });
    afterEach(async () => {
      for (const { socket } of sockets.splice(0)) socket.destroy();
      await until(() => application.tokenServer.sockets().length === 0);
      expect(application.errors).to.deep.equal([]);
      calls = [];
    });
    after(() => application.stop());

    const open = async () => {
      const webSocket = await RawWebSocket.open(await application.dial(""), framing);
      sockets.push(webSocket);
      return webSocket;
    };
    const logIn = async () => (await open()).logIn(await application.token());
    const tcp = (webSocket: RawWebSocket) => webSocket.socket as Socket;
    const call = (req: unknown) => text(framing.wrap(JSON.stringify({ rpc: "call", uuid: "1", req })));

    /** What the server sends until it has ended the connection, and the application hears of its end. */
    const ending = async (webSocket: RawWebSocket) => {
      const left = once(application.tokenServer, "disconnect");
      const frames = await webSocket.rest();
      await left;
      return frames;
    };

    /** What a server's own close looks like: SockJS's says why in a frame of its own. */
    const closing = (code: number, reason: string) =>
      framing === PLAIN
        ? [`close ${code} ${reason}`.trim()]
        : [`text c${JSON.stringify([code, reason])}`, "close 1000 Normal closure"];

    describe("by its client", () => {
      it("is answered where it gives no code", async () => {
        const webSocket = await logIn();
        webSocket.write(close());
        expect(await ending(webSocket)).to.deep.equal(["close"]);
      });

      for (const code of [...ALLOWED_CODES, ...OWN_CODES]) {
        it(`is answered with its code ${code} and its reason`, async () => {
          for (const reason of ["", "reason", LONGEST, "κόσμε"]) {
            const webSocket = await logIn();
            webSocket.write(close(code, reason));
            expect(await ending(webSocket)).to.deep.equal([`close ${code} ${reason}`.trim()]);
          }
        });
      }

      for (const code of FORBIDDEN_CODES) {
        it(`is a protocol error with the code ${code}`, async () => {
          for (const reason of ["", "reason"]) {
            const webSocket = await logIn();
            webSocket.write(close(code, reason));
            expect(await ending(webSocket)).to.deep.equal(["close 1002"]);
          }
        });
      }

      it("comes after what it has sent before", async () => {
        const webSocket = await logIn();
        webSocket.write(frame(OPCODE.ping, "a"), call(1), call(2), close(1000));
        expect(await ending(webSocket)).to.include.members(["pong a", "close 1000"]);
        expect(calls).to.deep.equal([1, 2]);
      });

      for (const [name, behind] of [
        ["a message", call("never")],
        ["a ping", frame(OPCODE.ping, "never")],
        ["another close frame", close(1001, "never")],
        ["what is no frame", Buffer.from("\x83never")],
        ["an unfinished frame", call("never").subarray(0, 9)],
      ] as const) {
        it(`is the end, whatever comes behind: ${name}`, async () => {
          const together = await logIn();
          together.write(close(1000, "bye"), behind);
          expect(await ending(together)).to.deep.equal(["close 1000 bye"]);
          const apart = await logIn();
          const ended = ending(apart);
          await apart.writePieces(Buffer.concat([close(1000, "bye"), behind]));
          expect(await ended).to.deep.equal(["close 1000 bye"]);
          expect(calls).to.deep.equal([]);
        });
      }

      it("is answered where it says no more at all", async () => {
        const webSocket = await logIn();
        tcp(webSocket).end(close(1000, "bye"));
        expect(await ending(webSocket)).to.deep.equal(["close 1000 bye"]);
      });

      it("ends its calls that are under way", async () => {
        const webSocket = await logIn();
        webSocket.send({ rpc: "wait", uuid: "w" });
        webSocket.write(close(4000, "enough"));
        expect(await ending(webSocket)).to.deep.equal(["close 4000 enough"]);
      });
    });

    describe("by the server", () => {
      for (const [code, reason] of [
        [1000, ""],
        [1000, "done"],
        [3000, "Go away!"],
        [3999, 'a "quoted" reason'],
        [4000, "κόσμε"],
        [4999, LONGEST],
      ] as const) {
        it(`tells its code ${code} and the reason ${JSON.stringify(reason)}`, async () => {
          const webSocket = await logIn();
          application.socket().close(code, reason);
          const [last, ...others] = closing(code, reason).reverse();
          for (const one of others.reverse()) expect(await webSocket.next()).to.equal(one);
          expect(await webSocket.next()).to.equal(last);
          webSocket.write(close(1000));
          expect(await webSocket.rest()).to.deep.equal([]);
        });
      }

      it("comes after what it has sent before", async () => {
        const webSocket = await logIn();
        const { tokenServer } = application;
        const socket = application.socket();
        tokenServer.send(socket, "news", "last");
        socket.close(4001, "enough");
        expect(JSON.parse(await webSocket.message())).to.deep.equal({ channel: "news", message: "last" });
        for (const one of closing(4001, "enough")) expect(await webSocket.next()).to.equal(one);
      });

      it("is no end of what the client has sent, but that is not served", async () => {
        const webSocket = await logIn();
        application.socket().close(4001, "enough");
        webSocket.write(call("never"), frame(OPCODE.ping, "late"));
        for (const one of closing(4001, "enough")) expect(await webSocket.next()).to.equal(one);
        webSocket.write(close(4001), frame(OPCODE.ping, "never"));
        expect((await webSocket.rest()).filter((one) => one !== "pong late")).to.deep.equal([]);
        expect(calls).to.deep.equal([]);
      });

      it("meets the end by its client", async () => {
        const webSocket = await logIn();
        application.socket().close(4001, "enough");
        webSocket.write(close(4002, "me too"));
        expect(await webSocket.rest()).to.deep.equal(closing(4001, "enough"));
      });
    });

    describe("of its TCP connection", () => {
      const frames: readonly (readonly [name: string, begun: Buffer])[] = [
        ["between two frames", Buffer.alloc(0)],
        ["in a frame's first byte", Buffer.from([0x81])],
        ["in a frame's length", text("x".repeat(300)).subarray(0, 3)],
        ["in a frame's mask", text("never").subarray(0, 4)],
        ["in a frame's payload", call("never").subarray(0, 20)],
        ["in a fragmented message", text("never", { fin: false })],
        ["in a close frame", close(1000, "never").subarray(0, 8)],
      ];

      for (const [name, begun] of frames) {
        it(`is the end where the client sends no more, ${name}`, async () => {
          const webSocket = await logIn();
          tcp(webSocket).end(begun);
          expect(await ending(webSocket)).to.deep.equal([]);
          expect(calls).to.deep.equal([]);
        });

        it(`is the end where the client resets it, ${name}`, async () => {
          const webSocket = await logIn();
          const left = once(application.tokenServer, "disconnect");
          const accepted = application.socket();
          webSocket.write(begun);
          await new Promise((resolve) => setImmediate(resolve));
          tcp(webSocket).resetAndDestroy();
          await left;
          expect(accepted.readyState).to.be.above(1);
          expect(calls).to.deep.equal([]);
        });
      }

      it("is the end for a stranger, too", async () => {
        for (const finish of ["end", "resetAndDestroy"] as const) {
          const webSocket = await open();
          expect(application.tokenServer.sockets()).to.have.length(1);
          tcp(webSocket)[finish]();
          await until(() => application.tokenServer.sockets().length === 0);
        }
      });
    });
  });
}
