import { expect } from "chai";
import type { State } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { called, failure, inState, me, members } from "./helpers.js";

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
