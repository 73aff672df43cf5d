import { expect } from "chai";
import { DisconnectedError } from "../../lib/client/index.js";
import { happened, inState, Stage } from "./support.js";

const CLIENTS = 200;

describe("Many clients of a server that is killed and started again", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  it("are all back, with their channels, and no call is lost without an error", async () => {
    let answered = 0;
    const application = {
      options: {
        socketController: {
          echo: async (_auth: unknown, data: unknown) => {
            answered++;
            return data;
          },
          never: () => new Promise(() => {}),
        },
      },
    };
    const first = await stage.application(application);
    const clients = Array.from({ length: CLIENTS }, () =>
      stage.client(first, { backoff: { min: 100, max: 400 }, debug: false }),
    );
    await Promise.all(clients.map((client, index) => client.subscribe(`room ${index % 10}`)));
    const pending = clients.map((client) => client.rpc("never").catch((error: unknown) => error));
    await Promise.all(clients.map((client) => client.rpc("echo")));
    answered = 0;

    const lost = Promise.all(clients.map((client) => inState(client, "waiting")));
    await first.stop();
    await lost;
    const waiting = clients.map((client, index) => client.rpc("echo", index));
    const back = Promise.all(clients.map((client) => happened(client, "reconnect")));
    const second = await stage.application(application, first.port);
    await back;

    for (const outcome of await Promise.all(pending)) {
      expect(outcome).to.be.instanceOf(DisconnectedError).with.property("sent", true);
    }
    expect(await Promise.all(waiting)).to.deep.equal(clients.map((_, index) => index));
    expect(answered).to.equal(CLIENTS);
    expect(second.tokenServer.sockets()).to.have.length(CLIENTS);
    for (let room = 0; room < 10; room++) {
      expect(second.tokenServer.channelSockets(`room ${room}`)).to.have.length(CLIENTS / 10);
    }
  });
});
