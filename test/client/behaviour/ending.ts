import { expect } from "chai";
import type { State } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { called, drop, failure, happened, me, SLOW } from "./helpers.js";

export const ending = subject("A client that ends", {
  "says so, and the server sees it go": async ({ connect }) => {
    const [client, witness] = [connect(), connect()];
    const { sid } = await me(client);
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    const gone = witness.rpc("test.gone", sid);
    await client.end();
    expect(states).to.deep.equal(["closed"]);
    await gone;
  },

  "rejects all calls that are under way, and all that come later": async ({ connect, unique, errors }) => {
    const client = connect();
    const name = unique("call");
    const call = failure(client.rpc("test.hang", name));
    await client.rpc("echo");
    await client.end();
    expect(await call)
      .to.be.instanceOf(errors.DisconnectedError)
      .with.property("sent", true);
    for (const later of [client.rpc("echo"), client.subscribe("room"), client.ready()]) {
      const error = await failure(later);
      expect(error).to.be.instanceOf(errors.DisconnectedError).with.property("sent", false);
    }
    // the server has given up its function, too
    expect(await connect().rpc("test.fired", name)).to.equal("fired");
  },

  "rejects what waits for the connection": async ({ connect, errors }) => {
    const client = connect({ backoff: SLOW });
    await client.ready();
    await drop(client);
    const calls = [client.rpc("echo"), client.subscribe("room"), client.ready()].map(failure);
    await client.end();
    for (const call of calls) {
      expect(await call)
        .to.be.instanceOf(errors.DisconnectedError)
        .with.property("sent", false);
    }
  },

  "may end before it is open, and more than once": async ({ connect, errors }) => {
    const client = connect();
    const ready = failure(client.ready());
    expect(await called((callback) => client.end(callback))).to.deep.equal([null, undefined]);
    expect(await ready).to.be.instanceOf(errors.DisconnectedError);
    await client.end();
    expect(client.state).to.equal("closed");
  },

  "stays closed": async ({ connect, errors }) => {
    const client = connect();
    await client.ready();
    let isBack = false;
    client.onreconnect(() => {
      isBack = true;
    });
    await client.end();
    expect(await failure(client.reauthenticate())).to.be.instanceOf(errors.DisconnectedError);
    expect([client.state, isBack]).to.deep.equal(["closed", false]);
  },

  "has left its channels": async ({ connect, unique }) => {
    const [client, witness] = [connect(), connect()];
    const room = unique("room");
    const { sid } = await me(client);
    await client.subscribe(room);
    await client.end();
    expect(client.channels()).to.deep.equal([]);
    await witness.rpc("test.gone", sid);
    expect(await witness.rpc("test.members", room)).to.equal(0);
  },

  "leaves others alone": async ({ connect }) => {
    const [client, other] = [connect(), connect()];
    await Promise.all([client.ready(), other.ready()]);
    await client.end();
    expect(await other.rpc("echo", 1)).to.equal(1);
    other.rpc("test.drop", 4999);
    await happened(other, "reconnect");
  },
});
