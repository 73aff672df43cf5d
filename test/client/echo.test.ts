import { expect } from "chai";
import { TokenSocket } from "../../lib/client/index.js";
import { Application } from "../support/application.js";

describe("A client that does not want its own messages", () => {
  let application: Application;
  const clients: TokenSocket[] = [];

  beforeEach(async () => {
    application = await Application.start({ options: { history: { kept: { size: 20, ttl: 60_000 } } } });
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.end()));
    await application.stop();
  });

  /** A client in a channel, and the messages that it has heard. */
  async function join(channel: string) {
    const client = new TokenSocket({ host: application.url, sockjs: false, backoff: { min: 1, max: 1 } });
    clients.push(client);
    const heard: unknown[] = [];
    client.on("message", (_channel: string, message: unknown) => heard.push(message));
    await client.subscribe(channel);
    return { client, heard };
  }

  async function untilHeard(client: TokenSocket, heard: unknown[], message: unknown): Promise<void> {
    while (heard.at(-1) !== message) {
      await new Promise<void>((resolve) => client.once("message", () => resolve()));
    }
  }

  for (const channel of ["room", "kept"]) {
    it(`gets all others on "${channel}", and others get its own`, async () => {
      const [own, other] = [await join(channel), await join(channel)];
      await own.client.publish(channel, 1, { echo: false });
      await own.client.publish(channel, 2, { echo: true });
      await other.client.publish(channel, 3);
      for (const { client, heard } of [own, other]) await untilHeard(client, heard, 3);
      expect([own.heard, other.heard]).to.deep.equal([
        [2, 3],
        [1, 2, 3],
      ]);
    });
  }

  it("does not get them after a reconnect either", async () => {
    const { client, heard } = await join("kept");
    const [socket] = application.tokenServer.sockets();
    if (!socket) throw new Error("there is one");
    await client.publish("kept", 1);
    await client.publish("kept", 2, { echo: false });
    const back = new Promise<void>((resolve) => client.on("reconnect", () => resolve()));
    await application.tokenServer.disconnect(socket);
    await back;
    await client.publish("kept", 3);
    await untilHeard(client, heard, 3);
    expect(heard).to.deep.equal([1, 3]);
  });

  it("is told of a wrong option", async () => {
    const { client } = await join("room");
    const error = await client.publish("room", 1, { echo: 0 as never }).catch((reason: Error) => reason);
    expect(error).to.be.instanceOf(TypeError);
  });
});
