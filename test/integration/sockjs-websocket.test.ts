import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { Application, type ApplicationOptions } from "../support/application.js";
import {
  close,
  frame,
  OPCODE,
  RawWebSocket,
  SOCKJS,
  text,
  upgradeRequest,
} from "../support/raw-websocket.js";

const PATH = SOCKJS.path;
const INVALID = '{"error":"Invalid message"}';

/** What SockJS's protocol wants escaped beyond JSON, by its ends, and its neighbours, which need not be. */
const ESCAPED = "\ud800\udbff\udc00\udfff\u200c\u200f\u2028\u202f\u2060\u206f\ufff0\uffff";
const UNESCAPED = "\u007f\u00ad\u200b\u2010\u2027\u2030\u205f\u2070\ud7ff\ue000\uffef\ufeff";

describe("SockJS's WebSocket", () => {
  let application: Application;

  const start = async (options: ApplicationOptions = {}) => {
    application = await Application.start({
      ...options,
      options: { socketController: { echo: (_auth, data) => data }, ...options.options },
    });
  };
  afterEach(() => application.stop());

  const open = async (path = PATH) => RawWebSocket.open(await application.dial(""), SOCKJS, { path });
  const logIn = async (path = PATH) => (await open(path)).logIn(await application.token());

  /** All that comes until the other side ends the connection. */
  const rest = async (socket: Socket): Promise<string> => {
    let received = "";
    socket.setEncoding("latin1").on("data", (chunk) => {
      received += chunk;
    });
    await once(socket, "close");
    return received;
  };

  /** The status that a request is answered with. */
  const status = async (request: string): Promise<number> => {
    const socket = await application.dial(request);
    const [answer] = await once(socket, "data");
    socket.destroy();
    return Number(/^HTTP\/1\.1 (\d+) /.exec(String(answer))?.[1]);
  };

  describe("opens", () => {
    it("with the frame o, and says nothing more by itself", async () => {
      await start();
      const webSocket = await open();
      webSocket.write(frame(OPCODE.ping, "a"), close(1000));
      expect(await webSocket.rest()).to.deep.equal(["pong a", "close 1000"]);
    });

    it("with the headers that RFC 6455 wants, and none of a body", async () => {
      await start();
      const { head } = await open();
      const lines = head.toLowerCase().trim().split("\r\n").slice(1).sort();
      expect(lines).to.deep.equal([
        "connection: upgrade",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "upgrade: websocket",
      ]);
    });

    it("without the extension and the subprotocol that are offered", async () => {
      await start();
      const { head } = await RawWebSocket.open(await application.dial(""), SOCKJS, {
        headers: {
          "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits, x-other",
          "Sec-WebSocket-Protocol": "chat, superchat",
        },
      });
      expect(head).not.to.match(/Sec-WebSocket-(Extensions|Protocol)/i);
    });

    for (const connection of [
      "keep-alive, Upgrade",
      "keep-alive, upgrade",
      "Upgrade, Keep-Alive",
      "upgrade",
      "UPGRADE",
      "keep-alive,Upgrade",
      "  Upgrade ,keep-alive",
    ]) {
      for (const protocol of ["websocket", "WebSocket", "WEBSOCKET"]) {
        it(`for "Connection: ${connection}" and "Upgrade: ${protocol}"`, async () => {
          await start();
          const headers = { Connection: connection, Upgrade: protocol };
          const webSocket = await RawWebSocket.open(await application.dial(""), SOCKJS, { headers });
          webSocket.write(text('["a"]'));
          expect(await webSocket.message()).to.equal(INVALID);
        });
      }
    }

    for (const path of [
      "/sockets/000/session/websocket",
      "/sockets/999/session/websocket",
      "/sockets/server-id_1/a/websocket",
      "/sockets/abc/%41~!$&()*+,;=-/websocket",
      "/sockets/a/a/websocket/",
      "/sockets/a/a/websocket?c=callback&a=b",
      "/sockets/websocket/websocket/websocket",
      "/sockets/constructor/__proto__/websocket",
      "http://127.0.0.1/sockets/a/a/websocket",
    ]) {
      it(`at the path ${path}`, async () => {
        await start();
        const webSocket = await logIn(path);
        webSocket.send({ rpc: "echo", uuid: "1", req: path });
        expect(JSON.parse(await webSocket.message())).to.have.property("resp", path);
      });
    }

    it("several connections for one session at once, each of which ends by itself", async () => {
      await start();
      const first = await logIn();
      const second = await logIn();
      const third = await open("/sockets/other/session/websocket");
      expect(application.tokenServer.sockets()).to.have.length(3);
      const answerOf = async (webSocket: RawWebSocket, req: string) => {
        webSocket.send({ rpc: "echo", uuid: req, req });
        return JSON.parse(await webSocket.message()).resp;
      };
      expect(await answerOf(first, "a")).to.equal("a");
      expect(await answerOf(second, "b")).to.equal("b");
      first.write(close(1000));
      expect(await first.rest()).to.deep.equal(["close 1000"]);
      expect(await answerOf(second, "c")).to.equal("c");
      await third.logIn(await application.token());
      expect(await answerOf(await logIn(), "again")).to.equal("again");
      expect(application.tokenServer.sockets()).to.have.length(3);
    });

    it("beside a session of the same id over HTTP, which is another one", async () => {
      // a busy machine may take a while between two polls
      await start({ sockjs: { disconnect_delay: 2000 } });
      const session = `${application.url}/sockets/000/session`;
      const poll = async () => (await fetch(`${session}/xhr`, { method: "POST" })).text();
      expect(await poll()).to.equal("o\n");
      const webSocket = await logIn();
      const sent = await fetch(`${session}/xhr_send`, { method: "POST", body: '["a"]' });
      expect(sent.status).to.equal(204);
      expect(await poll()).to.equal(`a[${JSON.stringify(INVALID)}]\n`);
      webSocket.write(close(1000));
      expect(await webSocket.rest()).to.deep.equal(["close 1000"]);
      application.socket().close(3000, "Go away!");
      expect(await poll()).to.equal('c[3000,"Go away!"]\n');
    });
  });

  describe("is refused", () => {
    for (const path of ["/sockets/websocket", PATH]) {
      const refuses = (name: string, expected: number, request: string, body = "") =>
        it(`with ${expected} for ${name}, at ${path}`, async () => {
          await start();
          expect(await status(request + body)).to.equal(expected);
          expect(application.tokenServer.sockets()).to.deep.equal([]);
        });
      const post = (request: string) => request.replace(/^GET/, "POST");
      const plain = { Upgrade: undefined, Connection: undefined };

      refuses("a GET that is no upgrade", 400, upgradeRequest(path, plain));
      refuses("a POST", 405, post(upgradeRequest(path, { ...plain, "Content-Length": "0" })));
      refuses("a POST with an upgrade", 405, post(upgradeRequest(path, { "Content-Length": "0" })));
      refuses("a HEAD with an upgrade", 405, upgradeRequest(path).replace(/^GET/, "HEAD"));
      refuses("a connection that closes", 400, upgradeRequest(path, { Connection: "close" }));
      refuses(
        "a connection that stays, and no upgrade",
        400,
        upgradeRequest(path, { Connection: "keep-alive" }),
      );
      refuses("no Connection", 400, upgradeRequest(path, { Connection: undefined }));
      refuses("another protocol", 400, upgradeRequest(path, { Upgrade: "chat" }));
      refuses("no protocol", 400, upgradeRequest(path, { Upgrade: undefined }));
      refuses("no version", 400, upgradeRequest(path, { "Sec-WebSocket-Version": undefined }));
      for (const version of ["0", "7", "8", "12", "14", "013", "x"]) {
        refuses(`the version ${version}`, 400, upgradeRequest(path, { "Sec-WebSocket-Version": version }));
      }
      refuses("no key", 400, upgradeRequest(path, { "Sec-WebSocket-Key": undefined }));
      for (const key of ["", "x", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZSE="]) {
        refuses(`the key "${key}"`, 400, upgradeRequest(path, { "Sec-WebSocket-Key": key }));
      }
      refuses(
        "a subprotocol that is no word",
        400,
        upgradeRequest(path, { "Sec-WebSocket-Protocol": "a b" }),
      );
    }

    for (const path of [
      "/sockets/a/websocket",
      "/sockets//a/websocket",
      "/sockets/a//websocket",
      "/sockets/a/b/c/websocket",
      "/sockets/a./a/websocket",
      "/sockets/a/a./websocket",
      "/sockets/./a/websocket",
      "/sockets/a/a/websocket//",
      "/sockets/a/a/websockets",
      "/sockets/a/a/xhr",
      "/sockets/",
    ]) {
      it(`with 404 at the path ${path}`, async () => {
        await start();
        expect(await status(upgradeRequest(path))).to.equal(404);
      });
    }

    it("with 404 where the SockJS server has none", async () => {
      await start({ sockjs: { websocket: false } });
      for (const path of ["/sockets/websocket", PATH]) {
        expect(await status(upgradeRequest(path))).to.equal(404);
      }
    });
  });

  describe("takes", () => {
    const cases: [name: string, sent: (string | Buffer)[], answers: number][] = [
      ["a list of one message", ['["a"]'], 1],
      ["a list of three", ['["a","b","c"]'], 3],
      ["a message that is no list", ['"a"'], 1],
      ["a list with spaces around it", [' \t\r\n["a" , "b"]\n'], 2],
      ["an empty list", ["[]"], 0],
      ["a frame of no bytes", [""], 0],
      ["an empty message", ['""'], 1],
      [
        "what is no text: a number, null, true, an object, a list",
        ["1", "null", "true", '{"a":1}', '[["a"]]'],
        5,
      ],
      ["a list of all of these", ['[1,null,true,{"a":1},["a"],""]'], 6],
    ];
    for (const [name, sent, answers] of cases) {
      it(`${name}, and answers ${answers} times that it is no message`, async () => {
        await start();
        const webSocket = await open();
        webSocket.write(...sent.map((one) => text(one)), text('["{\\"rpc\\":\\"x\\"}"]'));
        const received = [];
        while (received.length < answers) received.push(await webSocket.message());
        expect(received).to.deep.equal(Array(answers).fill(INVALID));
        // what comes next is answered as the first frame that is a message
        expect(await webSocket.message()).to.equal('{"rpc":"x","error":"Forbidden"}');
      });
    }

    for (const broken of [
      '["a',
      "[",
      "]",
      "{",
      '"a',
      "a",
      "[a]",
      '["a"]["b"]',
      '["a"],',
      "\ufeff[]",
      "h",
      'a["a"]',
    ]) {
      it(`no broken JSON, ${JSON.stringify(broken)}: the connection ends`, async () => {
        await start();
        const webSocket = await logIn();
        const left = once(application.tokenServer, "disconnect");
        webSocket.write(text(broken), text(SOCKJS.wrap('{"rpc":"echo","uuid":"1","req":"never"}')));
        expect(await webSocket.next()).to.equal("close 3000 Broken framing.");
        await left;
        webSocket.write(close(3000));
        expect(await webSocket.rest()).to.deep.equal([]);
      });
    }

    it("nothing of a list behind the message that ends the connection", async () => {
      await start();
      const webSocket = await open();
      webSocket.write(text(JSON.stringify(['{"rpc":"a"}', '{"rpc":"b"}', "c"])));
      expect(await webSocket.next()).to.equal(`text a[${JSON.stringify('{"rpc":"a","error":"Forbidden"}')}]`);
      expect(await webSocket.next()).to.equal('text c[4403,"Forbidden"]');
      expect(await webSocket.next()).to.equal("close 1000 Normal closure");
    });
  });

  describe("escapes", () => {
    for (const [name, characters] of [
      ["each character that SockJS's protocol names", ESCAPED],
      ["no neighbour of theirs", UNESCAPED],
    ] as const) {
      it(`${name}, and reads them with and without`, async () => {
        await start();
        const webSocket = await logIn();
        for (const character of characters.split("")) {
          // half a character cannot be told in UTF-8
          const isHalf = /^[\ud800-\udfff]$/.test(character);
          const spelled = [...(isHalf ? [] : [character]), `\\u${hex(character)}`];
          for (const req of spelled) {
            // as a client's library may write it: escaped in the message's JSON, or in the frame's
            const message = `{"rpc":"echo","uuid":"1","req":"${req}"}`;
            const payloads = [SOCKJS.wrap(message), SOCKJS.wrap(message).replaceAll(`\\\\u`, "\\u")];
            for (const payload of isHalf ? payloads.slice(0, 1) : payloads) {
              webSocket.write(text(payload));
              const answer = await webSocket.next();
              const [reply = ""] = SOCKJS.unwrap(answer);
              expect(JSON.parse(reply)).to.deep.equal({ rpc: "echo", uuid: "1", resp: character });
              // JSON escapes halves by itself, once more
              if (!isHalf) expect(answer.includes(character)).to.equal(characters === UNESCAPED);
            }
          }
        }
      });
    }

    it("both halves of a character beyond the first 65,536", async () => {
      await start();
      const webSocket = await logIn();
      webSocket.send({ rpc: "echo", uuid: "1", req: "😀" });
      const answer = await webSocket.next();
      expect(answer).to.include("\\ud83d\\ude00");
      expect(JSON.parse(SOCKJS.unwrap(answer)[0] ?? "")).to.have.property("resp", "😀");
    });

    it("what JSON wants escaped", async () => {
      await start();
      const webSocket = await logIn();
      const req = String.fromCharCode(...Array(128).keys());
      webSocket.send({ rpc: "echo", uuid: "1", req });
      expect(JSON.parse(await webSocket.message())).to.have.property("resp", req);
    });

    it("the reason for which it closes", async () => {
      await start();
      const webSocket = await logIn();
      application.socket().close(3000, 'a "quoted"\nreason');
      expect(await webSocket.next()).to.equal('text c[3000,"a \\"quoted\\"\\nreason"]');
      expect(await webSocket.next()).to.equal("close 1000 Normal closure");
    });
  });

  describe("says h", () => {
    it("each time that heartbeat_delay has passed, with a ping, as long as the client answers", async () => {
      await start({ sockjs: { heartbeat_delay: 20 } });
      const webSocket = await open();
      for (let beat = 0; beat < 3; beat++) {
        expect(await webSocket.next()).to.equal("text h");
        expect(await webSocket.next()).to.equal("ping ");
        webSocket.write(frame(OPCODE.pong));
      }
      expect(application.tokenServer.sockets()).to.have.length(1);
    });

    it("to a plain WebSocket never", async () => {
      await start({ sockjs: { heartbeat_delay: 1 }, options: { heartbeat: 20 } });
      const socket = await application.dial(upgradeRequest("/sockets/websocket"));
      const [head] = await once(socket, "data");
      expect(String(head)).to.match(/^HTTP\/1\.1 101 /);
      const [first] = await once(socket, "data");
      expect([...first]).to.deep.equal([0x89, 0]);
      socket.write(close(1000));
      expect(await rest(socket)).not.to.include("\x81\x01h");
    });
  });
});

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(4, "0");
}
