import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { TokenSocket } from "../../lib/client/index.js";
import { Application } from "../support/application.js";
import { BlackHole } from "../support/black-hole.js";

const TRANSPORTS = {
  "a plain WebSocket": { sockjs: false },
  "xhr-streaming": { WebSocket: false, sockjs: { transports: "xhr-streaming" } },
  "xhr-polling": { WebSocket: false, sockjs: { transports: "xhr-polling" } },
} as const;

describe("A client that is gone without a word", () => {
  let application: Application;
  let hole: BlackHole;
  let client: TokenSocket | undefined;

  const start = async (heartbeat: number | false, transport: keyof typeof TRANSPORTS) => {
    application = await Application.start({
      // what the library leaves to SockJS is as quick
      sockjs: { heartbeat_delay: 50, disconnect_delay: 1500 },
      options: { heartbeat, socketController: { echo: (_auth, data) => data } },
    });
    hole = await BlackHole.before((application.http.address() as AddressInfo).port);
    client = new TokenSocket({
      host: hole.url,
      ping: false,
      backoff: { min: 1e8, max: 1e8 },
      ...TRANSPORTS[transport],
    });
    await client.subscribe("room");
  };

  afterEach(async () => {
    await Promise.all([client?.end(), application.stop()]);
    await hole.stop();
  });

  for (const transport of Object.keys(TRANSPORTS) as (keyof typeof TRANSPORTS)[]) {
    it(`is closed, over ${transport}`, async () => {
      await start(50, transport);
      hole.cut();
      await once(application.tokenServer, "disconnect");
      expect(application.tokenServer.channelSockets("room")).to.deep.equal([]);
    });

    it(`is not taken for one that is there and says nothing, over ${transport}`, async () => {
      const heartbeat = 100;
      await start(heartbeat, transport);
      let closed = 0;
      application.tokenServer.on("disconnect", () => closed++);
      // as long as many heartbeats take, by another client's doing
      const other = await application.connect("xhr-polling");
      const end = performance.now() + 12 * heartbeat;
      while (performance.now() < end) await other.request({ rpc: "echo" });
      expect(closed).to.equal(0);
      const message = new Promise((resolve) => client?.once("message", (...args) => resolve(args)));
      await application.tokenServer.publish("room", 1);
      expect(await message).to.deep.equal(["room", 1]);
      expect(await client?.rpc("echo", 2)).to.equal(2);
    });
  }

  it("stays where heartbeats are off", async () => {
    await start(false, "a plain WebSocket");
    let closed = 0;
    application.tokenServer.on("disconnect", () => closed++);
    hole.cut();
    const other = await application.connect("websocket");
    for (let i = 0; i < 30; i++) await other.request({ rpc: "echo", req: i });
    expect(closed).to.equal(0);
  });
});
