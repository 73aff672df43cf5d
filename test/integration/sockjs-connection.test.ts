import { once } from "node:events";
import { expect } from "chai";
import type { SockJSConnection } from "../../lib/server/transport/socket.js";
import { Application } from "../support/application.js";

type Connection = SockJSConnection & NodeJS.EventEmitter & { destroy(): void };

for (const transport of ["xhr-streaming", "xhr-polling"] as const) {
  describe(`SockJS's own connection, over ${transport}`, () => {
    let application: Application;

    beforeEach(async () => {
      application = await Application.start({ sockjs: { disconnect_delay: 1000 } });
    });
    afterEach(() => application.stop());

    const connect = async () => {
      const client = await application.connect(transport);
      return { client, connection: application.socket() as unknown as Connection };
    };

    it("is written to in order with what the server sends, as long as it is open", async () => {
      const { client, connection } = await connect();
      const { tokenServer } = application;
      const socket = application.socket();
      tokenServer.send(socket, "news", 1);
      expect(connection.write('{"channel":"news","message":2}')).to.equal(true);
      tokenServer.send(socket, "news", 3);
      for (const message of [1, 2, 3]) expect(await client.message("news")).to.equal(message);
      expect(connection.close(4001, "enough")).to.equal(true);
      expect(connection.close(4002, "more than enough")).to.equal(false);
      expect(connection.write("late")).to.equal(false);
      expect(await client.closed).to.deep.equal({ code: 4001, reason: "enough" });
    });

    for (const [name, end] of [
      [
        "end() with a last message",
        (connection: Connection) => connection.end('{"channel":"news","message":1}'),
      ],
      ["end()", (connection: Connection) => connection.end()],
      ["destroy(), which leaves its listeners", (connection: Connection) => connection.destroy()],
    ] as const) {
      it(`is closed by ${name}`, async () => {
        const { client, connection } = await connect();
        const closed = once(connection, "close");
        const left = once(application.tokenServer, "disconnect");
        end(connection);
        if (name.includes("message")) expect(await client.message("news")).to.equal(1);
        expect((await client.closed).code).to.equal(1000);
        await Promise.all([closed, left]);
        expect(application.tokenServer.sockets()).to.deep.equal([]);
      });
    }

    it("tells of the application's own events as any emitter does", async () => {
      const { connection } = await connect();
      const heard: unknown[][] = [];
      expect(connection.emit("mine", 1)).to.equal(false);
      connection.once("mine", (...args) => heard.push(args));
      expect([connection.emit("mine", 1, 2), connection.emit("mine", 3)]).to.deep.equal([true, false]);
      expect(heard).to.deep.equal([[1, 2]]);
      connection.on("mine", () => {
        throw new Error("the application's own");
      });
      expect(() => connection.emit("mine")).to.throw("the application's own");
      expect(application.errors).to.deep.equal([]);
    });

    it("tells all listeners of a message and of the end, whichever of them fail", async () => {
      const { client, connection } = await connect();
      const heard: string[] = [];
      const fail = (event: string) => () => {
        throw new Error(`failed for ${event}`);
      };
      for (const event of ["data", "close"] as const) {
        connection.once(event, fail(event));
        connection.on(event, () => heard.push(event));
      }
      const failures = new Promise<string[]>((resolve) => {
        application.tokenServer.on("error", () => {
          const messages = application.errors.map(({ message }) => message);
          if (messages.length === 2) resolve(messages);
        });
      });
      expect(await client.request({ rpc: "none" })).to.have.property("error");
      await client.end();
      expect(await failures).to.deep.equal(["failed for data", "failed for close"]);
      expect(heard).to.deep.equal(["data", "close"]);
    });
  });
}
