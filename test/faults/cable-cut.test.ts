import { join } from "node:path";
import { expect } from "chai";
import type { TokenSocketOptions } from "../../lib/client/index.js";
import { Network, whyNoNetworks } from "../support/network.js";
import { RemoteProcess } from "../support/remote-process.js";
import { now } from "../support/served-functions.js";
import type { ClientFunctions } from "./clients.js";
import type { ServerFunctions } from "./server.js";

/** By the names that SockJS has for them, with what makes a client use them. */
const TRANSPORTS: Record<string, TokenSocketOptions> = {
  "websocket-raw": { sockjs: false },
  websocket: { WebSocket: false, sockjs: { transports: "websocket" } },
  "xhr-streaming": { WebSocket: false, sockjs: { transports: "xhr-streaming" } },
  eventsource: { WebSocket: false, sockjs: { transports: "eventsource" } },
  "xhr-polling": { WebSocket: false, sockjs: { transports: "xhr-polling" } },
};

/** Those of SockJS that only pages use. */
const RAW_TRANSPORTS = ["htmlfile", "jsonp-polling"] as const;

const ALL = [...Object.keys(TRANSPORTS), ...RAW_TRANSPORTS];

/** How late either side may notice, in milliseconds, with all options as they are by default. */
const LATEST = 40_000;

/** What may pass until clients are back, in milliseconds. */
const RETURN = 30_000;

const script = (name: string) => join(import.meta.dirname, `${name}.ts`);

if (whyNoNetworks !== undefined) {
  console.log(`  (no tests with networks that are cut: ${whyNoNetworks})`);
} else {
  describe("A cable that is cut", function () {
    this.timeout(LATEST + RETURN + 60_000);

    let network: Network;
    let server: RemoteProcess<ServerFunctions>;
    let cut: RemoteProcess<ClientFunctions>;
    let whole: RemoteProcess<ClientFunctions>;

    before(async () => {
      network = await Network.create("server", "cut", "whole");
      const at = (name: string) => network.host(name);
      [server, cut, whole] = await Promise.all([
        RemoteProcess.start<ServerFunctions>(script("server"), { HOST: at("server").address }, at("server")),
        RemoteProcess.start<ClientFunctions>(script("clients"), {}, at("cut")),
        RemoteProcess.start<ClientFunctions>(script("clients"), {}, at("whole")),
      ]);
    });

    after(async () => {
      await Promise.all([server, cut, whole].map((started) => started?.kill()));
      await network?.remove();
    });

    it("closes the clients behind it within 40 s on each transport, and no others; they come back when it is mended", async () => {
      const url = await server.call("url");
      const connect = (clients: RemoteProcess<ClientFunctions>, side: string) =>
        Promise.all([
          ...Object.entries(TRANSPORTS).map(([transport, options]) =>
            // how soon they come back is theirs; that they notice is not
            clients.call("connect", `${side} ${transport}`, url, {
              backoff: { max: 1000 },
              connectTimeout: 3000,
              ...options,
            }),
          ),
          ...RAW_TRANSPORTS.map((transport) =>
            clients.call("connectRaw", url, `${side} ${transport}`, transport),
          ),
        ]);
      await Promise.all([connect(whole, "whole"), connect(cut, "cut")]);

      await network.cut(network.host("server"), network.host("cut"));
      const begin = now();
      const noticed = Promise.all(
        Object.keys(TRANSPORTS).map(async (transport) => {
          const { at } = await cut.call("change", `cut ${transport}`, "waiting");
          return { transport, after: at - begin };
        }),
      );
      const closings = await server.call("closings", ALL.length);
      for (const { protocol, at } of closings) {
        console.log(`      the server closed ${protocol} after ${((at - begin) / 1000).toFixed(1)} s`);
      }
      expect(closings.map(({ name }) => name)).to.have.members(ALL.map((transport) => `cut ${transport}`));
      for (const { name, protocol, at } of closings) {
        expect(name).to.equal(`cut ${protocol}`);
        expect(at - begin, name).to.be.within(0, LATEST);
      }
      for (const { transport, after } of await noticed) {
        console.log(`      the client noticed on ${transport} after ${(after / 1000).toFixed(1)} s`);
        expect(after, transport).to.be.within(0, LATEST);
      }
      for (const transport of Object.keys(TRANSPORTS)) {
        expect(await whole.call("call", `whole ${transport}`, "echo", 1)).to.have.property("value", 1);
      }
      expect(await server.call("health")).to.have.property("sockets", ALL.length);

      await network.mend(network.host("server"), network.host("cut"));
      await Promise.all(
        Object.keys(TRANSPORTS).map((transport) => cut.call("change", `cut ${transport}`, "open")),
      );
      await server.call("publish", "room", "all are here");
      for (const transport of Object.keys(TRANSPORTS)) {
        await Promise.all([
          cut.call("message", `cut ${transport}`, "all are here"),
          whole.call("message", `whole ${transport}`, "all are here"),
        ]);
      }
      for (const remote of [server, cut, whole]) expect(await remote.call("unhandled")).to.deep.equal([]);
    });
  });
}
