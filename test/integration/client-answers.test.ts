import { expect } from "chai";
import type { Socket } from "../../lib/index.js";
import { INVALID, LONE_SURROGATE, nestedArrays } from "../support/bad-values.js";
import { framesUntilNow, Scene } from "../support/scene.js";
import type { WireClient } from "../support/wire-client.js";

describe("answers to calls that the server made", () => {
  let scene: Scene;

  before(async () => {
    scene = await Scene.start();
  });

  afterEach(async () => {
    await scene.check();
  });

  after(async () => {
    await scene.stop();
  });

  /** Connects, and gives the server's side of the connection as well. */
  async function connect(): Promise<{ client: WireClient; socket: Socket }> {
    const client = await scene.application.connect();
    return { client, socket: scene.application.socket() as Socket };
  }

  it("change nothing where they come from another socket", async () => {
    const callee = await connect();
    const attacker = await connect();
    const calling = scene.application.tokenServer.rpc(callee.socket, "whoAreYou");
    const { fid } = await callee.client.takeCall();
    attacker.client.send({ rpc: "_rpc", fid, resp: { data: "attacker" } });
    attacker.client.send({ rpc: "_rpc", fid, resp: { error: "attacker" } });
    expect(await framesUntilNow(attacker.client)).to.deep.equal([]);
    callee.client.send({ rpc: "_rpc", fid, resp: { data: "callee" } });
    expect(await calling).to.equal("callee");
    await callee.client.end();
    await attacker.client.end();
  });

  it("change nothing where they come from another socket that was called as well", async () => {
    const { tokenServer } = scene.application;
    const [one, two] = [await connect(), await connect()];
    const callOne = tokenServer.rpc(one.socket, "whoAreYou");
    const callTwo = tokenServer.rpc(two.socket, "whoAreYou");
    const [fidOne, fidTwo] = [(await one.client.takeCall()).fid, (await two.client.takeCall()).fid];
    two.client.send({ rpc: "_rpc", fid: fidTwo, resp: { data: "two" } });
    two.client.send({ rpc: "_rpc", fid: fidOne, resp: { data: "two" } });
    expect(await framesUntilNow(two.client)).to.deep.equal([]);
    one.client.send({ rpc: "_rpc", fid: fidOne, resp: { data: "one" } });
    expect(await Promise.all([callOne, callTwo])).to.deep.equal(["one", "two"]);
    await one.client.end();
    await two.client.end();
  });

  it("change nothing where they come a second time", async () => {
    const { client, socket } = await connect();
    const calling = scene.application.tokenServer.rpc(socket, "count");
    const { fid } = await client.takeCall();
    client.send({ rpc: "_rpc", fid, resp: { data: 1 } });
    client.send({ rpc: "_rpc", fid, resp: { data: 2 } });
    client.send({ rpc: "_rpc", fid, resp: { error: "three" } });
    expect(await framesUntilNow(client)).to.deep.equal([]);
    expect(await calling).to.equal(1);
    await client.end();
  });

  it("that are invalid leave the call waiting for a valid one", async () => {
    const { client, socket } = await connect();
    const calling = scene.application.tokenServer.rpc(socket, "count");
    const { fid } = await client.takeCall();
    for (const bad of [
      { fid },
      { fid, resp: null },
      { fid: [fid], resp: {} },
      { fid: `${fid} `, resp: {} },
    ]) {
      client.send({ rpc: "_rpc", ...bad });
    }
    client.send(`{"rpc":"_rpc","fid":${JSON.stringify(fid)},"resp":{"data":${nestedArrays()}}}`);
    expect(await framesUntilNow(client)).to.deep.equal([
      { rpc: "_rpc", ...INVALID },
      { rpc: "_rpc", ...INVALID },
      { rpc: "_rpc", ...INVALID },
      { error: "Invalid message" },
    ]);
    client.send({ rpc: "_rpc", fid, resp: {} });
    expect(await calling).to.equal(undefined);
    await client.end();
  });

  for (const error of [
    "no",
    0,
    false,
    [],
    {},
    { message: { toString: 1 } },
    { message: LONE_SURROGATE, code: {} },
  ]) {
    it(`reject the call where they carry ${JSON.stringify(error)} as the error`, async () => {
      const { client, socket } = await connect();
      const calling = scene.application.tokenServer.rpc(socket, "fail").catch((reason: unknown) => reason);
      const { fid } = await client.takeCall();
      client.send({ rpc: "_rpc", fid, resp: { error } });
      expect(await calling)
        .to.be.instanceOf(Error)
        .with.property("name", "RemoteError");
      await client.end();
    });
  }
});
