import { expect } from "chai";
import type { State } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { called, drop, failure, happened, inState, me, members } from "./helpers.js";

export const identity = subject("A client's identity", {
  "may change on the live connection, whose channels and calls stay": async ({ connect, unique }) => {
    const data = { user: "alice" };
    const client = connect({ authentication: data });
    const [room, name] = [unique("room"), unique("call")];
    await client.subscribe(room);
    const before = await me(client);
    expect(before.auth.data).to.deep.equal({ user: "alice" });
    const call = client.rpc("test.wait", name);
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    data.user = "bob";
    await client.reauthenticate();
    const after = await me(client);
    expect(after.auth.data).to.deep.equal({ user: "bob" });
    expect(after.sid).to.equal(before.sid);
    await client.rpc("test.release", name);
    expect(await call).to.equal("released");
    expect(await members(client, room)).to.equal(1);
    expect(states).to.deep.equal([]);
  },

  "may change several times at once, in order": async ({ connect }) => {
    let time = 0;
    const client = connect({ authentication: () => ({ time: ++time }) });
    await Promise.all([
      client.reauthenticate(),
      client.reauthenticate(),
      called((callback) => client.reauthenticate(callback)),
    ]);
    expect((await me(client)).auth.data).to.deep.equal({ time: "4" });
  },

  "that is refused now closes the connection for good": async ({ connect, errors }) => {
    const data: { refused?: boolean } = {};
    const client = connect({ authentication: data });
    await client.ready();
    data.refused = true;
    const error = await failure(client.reauthenticate());
    expect(error).to.be.instanceOf(errors.UnauthorizedError);
    expect(client.state).to.equal("closed");
    expect(client.reason).to.equal(error);
    const [again] = await called((callback) => client.reauthenticate(callback));
    expect(again).to.be.instanceOf(errors.UnauthorizedError);
  },

  "is known as far as the server shows it, and told when it is another one": async ({ connect }) => {
    const data = { user: "alice" };
    const client = connect({ authentication: data });
    const changes: unknown[] = [];
    client.on("identity", (...change) => changes.push(change));
    expect([client.identity, client.identityVersion]).to.deep.equal([undefined, 0]);
    await client.ready();
    const { identity } = client;
    expect(identity).to.deep.equal({ user: "alice" });
    // a new token of the same one is no other, and neither is another connection
    await client.reauthenticate();
    const back = happened(client, "reconnect");
    await drop(client);
    expect(client.identity).to.equal(identity);
    await back;
    expect([client.identity === identity, client.identityVersion]).to.deep.equal([true, 0]);
    data.user = "bob";
    await client.reauthenticate();
    expect([client.identity, client.identityVersion]).to.deep.equal([{ user: "bob" }, 1]);
    expect(changes).to.deep.equal([
      [{ user: "alice" }, undefined],
      [{ user: "bob" }, { user: "alice" }],
    ]);
  },

  "is told before the state that goes with it, and nobody's once it is refused": async ({ connect }) => {
    const data: { user: string; refused?: boolean } = { user: "alice" };
    const client = connect({ authentication: data });
    const events: unknown[] = [];
    client.on("identity", (now) => events.push(now));
    client.on("state", (state) => events.push(state));
    await client.ready();
    data.refused = true;
    await failure(client.reauthenticate());
    expect([client.identity, client.identityVersion]).to.deep.equal([undefined, 1]);
    delete data.refused;
    await client.reauthenticate();
    const alice = { user: "alice" };
    expect(events).to.deep.equal([alice, "open", undefined, "closed", "connecting", alice, "open"]);
    expect(client.identityVersion).to.equal(2);
  },

  "that was refused may be tried again": async ({ connect, errors }) => {
    const data: { refused?: boolean } = { refused: true };
    const client = connect({ authentication: data });
    expect(await inState(client, "closed")).to.be.instanceOf(errors.UnauthorizedError);
    delete data.refused;
    await client.reauthenticate();
    expect(client.state).to.equal("open");
    expect(await client.rpc("echo", 1)).to.equal(1);
  },
});
