import { once } from "node:events";
import { expect } from "chai";
import { WebSocket } from "ws";
import { Application, type ApplicationOptions } from "../support/application.js";

type Options = NonNullable<ApplicationOptions["options"]>;

describe("A client that asks who it is", () => {
  let application: Application;
  let name = "alice";

  const start = async (options: Options = {}) => {
    name = "alice";
    application = await Application.start({ options: { authentication: () => ({ name }), ...options } });
    return application;
  };

  afterEach(() => application.stop());

  const asking = { protocol: 4, identity: "a text of its own" };

  /** What the server says of itself when it lets such a client in. */
  const serverOf = async (fields: Record<string, unknown> = asking) => {
    const client = await application.open();
    const frame = { rpc: "auth", token: await application.token(), ...fields };
    const { resp, server } = await client.request(frame);
    expect(resp).to.equal("success");
    return server;
  };

  const identify = (auth: Record<string, unknown>) => auth.name as string;
  const showIdentity = (auth: Record<string, unknown>) => ({ name: auth.name, can: ["read"] });

  it("is told nothing where the server has no option for that", async () => {
    await start();
    expect(await serverOf()).to.deep.equal({ protocol: 4 });
    expect(await serverOf({ protocol: 4, identity: true })).to.deep.equal({ protocol: 4 });
  });

  it("is shown what `showIdentity` gives, anew for each token", async () => {
    await start({ showIdentity });
    const client = await application.open();
    for (const next of ["alice", "bob"]) {
      name = next;
      const { server } = await client.request({ rpc: "auth", token: await application.token(), ...asking });
      expect(server).to.deep.equal({ protocol: 4, identity: { name: next, can: ["read"] } });
    }
  });

  it("is shown what the guards have made of the identity", async () => {
    await start({ showIdentity: (auth) => auth });
    application.tokenServer.on("authentication", (socket) => {
      Object.assign(socket.auth, { role: "admin" });
      return true;
    });
    expect(await serverOf()).to.deep.equal({ protocol: 4, identity: { name: "alice", role: "admin" } });
  });

  it("gets a hash of the key that `identify` gives, which other servers give it, too", async () => {
    await start({ identify });
    const first = await serverOf();
    expect(first).to.have.all.keys("protocol", "identityHash");
    expect(await serverOf({ protocol: 4, identity: true })).to.deep.equal({ protocol: 4 });
    expect(await serverOf({ ...asking, identity: "another text" })).to.not.deep.equal(first);
    name = "bob";
    expect(await serverOf()).to.not.deep.equal(first);
    await application.stop();
    await start({ identify });
    expect(await serverOf()).to.deep.equal(first);
  });

  it("is shown null where that is given, and nothing where nothing is", async () => {
    let given: unknown = null;
    await start({ showIdentity: () => given });
    expect(await serverOf()).to.deep.equal({ protocol: 4, identity: null });
    given = undefined;
    expect(await serverOf()).to.deep.equal({ protocol: 4 });
    expect(application.errors).to.deep.equal([]);
  });

  it("is shown nothing, but let in, where what is given is no JSON or too long, or where that throws", async () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const results: (() => unknown)[] = [
      () => {
        throw new Error("Out of order");
      },
      () => Promise.resolve("alice"),
      () => Promise.reject(new Error("Out of order")),
      () => 10n,
      () => () => {},
      () => cyclic,
      () => "é".repeat(25),
    ];
    let give: () => unknown = () => "é".repeat(24);
    await start({ showIdentity: () => give(), limits: { identityBytes: 50 } });
    expect(await serverOf()).to.deep.equal({ protocol: 4, identity: "é".repeat(24) });
    for (const result of results) {
      give = result;
      const reported = once(application.tokenServer, "error");
      expect(await serverOf()).to.deep.equal({ protocol: 4 });
      expect((await reported)[1]).to.equal("a client is not shown its identity");
    }
    expect(application.errors.map(({ message }) => message)).to.deep.equal([
      "Out of order",
      "showIdentity must give JSON, and no promise of it",
      "showIdentity must give JSON, and no promise of it",
      "This is no JSON value: Do not know how to serialize a BigInt",
      "This is no JSON value: function",
      application.errors[5]?.message,
      "showIdentity has given 52 bytes, and limits.identityBytes is 50",
    ]);
  });

  it("has to ask by true or a short text, and for protocol 4", async () => {
    let shown = 0;
    await start({ identify, showIdentity: () => ++shown });
    for (const identity of [false, null, 1, {}, ["true"], "x".repeat(129)]) {
      expect(await serverOf({ protocol: 4, identity })).to.deep.equal({ protocol: 4 });
    }
    expect(await serverOf({ identity: "text" })).to.equal(undefined);
    expect(shown).to.equal(0);
  });

  it("is the only one that is told: all others get byte for byte what they got before", async () => {
    const frames = [
      ['{"rpc":"auth","token":"TOKEN","uuid":"a"}', '{"rpc":"auth","uuid":"a","resp":"success"}'],
      [
        '{"rpc":"auth","token":"TOKEN","uuid":"a","protocol":4}',
        '{"rpc":"auth","uuid":"a","resp":"success","server":{"protocol":4}}',
      ],
      [
        '{"rpc":"auth","token":"TOKEN","uuid":"a","protocol":4,"limits":true}',
        '{"rpc":"auth","uuid":"a","resp":"success","server":{"protocol":4,"messageBytes":65536}}',
      ],
    ];
    await start({ identify, showIdentity });
    for (const [sent = "", expected] of frames) {
      const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/websocket`);
      const received: string[] = [];
      socket.on("message", (data) => received.push(String(data)));
      await once(socket, "open");
      // in, with another token, and to the answer of a call behind that
      for (let i = 0; i < 2; i++) socket.send(sent.replace("TOKEN", await application.token()));
      socket.send('{"rpc":"no","uuid":"end"}');
      while (!received.at(-1)?.includes('"end"')) await once(socket, "message");
      expect(received.slice(0, -1)).to.deep.equal([expected, expected]);
      const closed = once(socket, "close");
      socket.close();
      await closed;
    }
  });
});
