import { once } from "node:events";
import { expect } from "chai";
import type { Socket } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import type { WireClient } from "../support/wire-client.js";

/** Everything that the client sent before this has been dealt with, and what it was answered has arrived. */
const settled = (client: WireClient) => client.request({ rpc: "nope" });

const socketOf = (application: Application) => application.socket() as Socket;

describe("a channel", () => {
  let application: Application;
  let client: WireClient;

  afterEach(() => application.stop());

  const begin = async (options: ApplicationOptions["options"] = {}) => {
    application = await Application.start({ options });
    client = await application.connect();
  };

  describe("with a filter", () => {
    it("carries to each socket what the filter makes of the message, and nothing where that is falsy", async () => {
      await begin({
        authentication: async (req) => ({ name: String(req.query.name ?? "nobody") }),
        filter: (socket, channel, message) => {
          const { name } = socket.auth;
          return name === "mute" ? null : { ...(message as object), channel, for: name };
        },
      });
      const mute = await application.open();
      await mute.request({ rpc: "auth", token: await application.token("?name=mute") });
      await Promise.all([client.subscribe("a"), mute.subscribe("a")]);
      await application.tokenServer.publish("a", { x: 1 });
      expect(await client.take()).to.deep.equal({
        channel: "a",
        message: { x: 1, channel: "a", for: "nobody" },
      });
      await settled(mute);
      expect(mute.frames).to.deep.equal([]);
    });

    it("hands it a copy of its own each time", async () => {
      await begin({
        filter: (_socket, _channel, message) => {
          (message as { seen: number }).seen++;
          return message;
        },
      });
      const other = await application.connect();
      await Promise.all([client.subscribe("a"), other.subscribe("a")]);
      const original = { seen: 0 };
      await application.tokenServer.publish("a", original);
      for (const one of [client, other]) expect(await one.message("a")).to.deep.equal({ seen: 1 });
      application.tokenServer.send(socketOf(application), "a", original);
      expect(await other.message("a")).to.deep.equal({ seen: 1 });
      expect(original).to.deep.equal({ seen: 0 });
    });

    const broken: Record<string, () => unknown> = {
      throws: () => {
        throw new Error("broken");
      },
      "returns a promise": async () => Promise.reject(new Error("broken")),
      "returns what is no JSON": () => 1n,
    };
    for (const [what, filter] of Object.entries(broken)) {
      it(`withholds the message from a socket for which it ${what}, and reports it`, async () => {
        let isBroken = true;
        await begin({ filter: (_socket, _channel, message) => (isBroken ? filter() : message) });
        await client.subscribe("a");
        await application.tokenServer.publish("a", 1);
        expect(application.tokenServer.send(socketOf(application), "a", 1)).to.equal(false);
        const [error] = (await once(application.tokenServer, "error")) as [Error];
        expect(error).to.be.instanceOf(Error);
        isBroken = false;
        await application.tokenServer.publish("a", "through");
        expect(await client.take()).to.deep.equal({ channel: "a", message: "through" });
      });
    }
  });
});
