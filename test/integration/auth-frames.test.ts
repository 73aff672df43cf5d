import { expect } from "chai";
import { CLOSE } from "../../lib/shared/close-codes.js";
import { FORBIDDEN } from "../support/bad-values.js";
import { ending, framesUntilNow, refusal, Scene } from "../support/scene.js";

describe("auth frames out of order", () => {
  let scene: Scene;

  before(async () => {
    scene = await Scene.start({ options: { limits: { framesWaiting: 10, bytesWaiting: 1000 } } });
  });

  afterEach(async () => {
    scene.application.tokenServer.removeAllListeners("authentication");
    await scene.check();
  });

  after(async () => {
    await scene.stop();
  });

  const auth = (uuid: number, token: string) => ({ rpc: "auth", uuid, token });
  const call = (uuid: number) => ({ rpc: "echo", uuid, req: uuid });
  const success = (uuid: number) => ({ rpc: "auth", uuid, resp: "success" });
  const answer = (uuid: number) => ({ rpc: "echo", uuid, resp: uuid });

  /** Lets authentication wait until the test says so; resolves when it waits. */
  function holdAuthentication(): { waiting: Promise<unknown>; accept: () => void } {
    let accept = () => {};
    const waiting = new Promise<void>((resolve) => {
      scene.application.tokenServer.once("authentication", (_socket, _auth, callback) => {
        accept = () => callback();
        resolve();
      });
    });
    return { waiting, accept: () => accept() };
  }

  it("one more with another token replaces the identity, and what comes between is served between", async () => {
    const [first, second] = [await scene.application.token(), await scene.application.token()];
    const client = await scene.application.open();
    for (const frame of [auth(1, first), call(2), auth(3, second), call(4)]) client.send(frame);
    expect(await framesUntilNow(client)).to.deep.equal([success(1), answer(2), success(3), answer(4)]);
    await client.end();
  });

  it("one more with the same token is refused, and nothing after it is served", async () => {
    const token = await scene.application.token();
    const client = await scene.application.open();
    for (const frame of [auth(1, token), call(2), auth(3, token), call(4)]) client.send(frame);
    expect(await ending(client)).to.deep.equal({
      frames: [success(1), answer(2), { rpc: "auth", uuid: 3, error: "Token not found" }],
      code: CLOSE.tokenNotFound.code,
      reason: CLOSE.tokenNotFound.reason,
    });
  });

  it("one while the first is being decided waits for it", async () => {
    const [first, second] = [await scene.application.token(), await scene.application.token()];
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    for (const frame of [auth(1, first), auth(2, second), call(3)]) client.send(frame);
    await waiting;
    await scene.check();
    expect(client.frames).to.deep.equal([]);
    accept();
    expect(await framesUntilNow(client)).to.deep.equal([success(1), success(2), answer(3)]);
    await client.end();
  });

  it("one without a token while the first is being decided forbids, after the first was answered", async () => {
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    client.send({ rpc: "auth", uuid: 2 });
    expect(await ending(client)).to.deep.equal({
      frames: [success(1), { rpc: "auth", uuid: 2, ...FORBIDDEN }],
      code: CLOSE.forbidden.code,
      reason: CLOSE.forbidden.reason,
    });
  });

  it("a token within an array or another text is not used up", async () => {
    const token = await scene.application.token();
    for (const bad of [[token], { token }, `${token}x`, `\n${token}`]) {
      const client = await scene.application.open();
      client.send({ rpc: "auth", uuid: 1, token: bad });
      expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.invalidToken));
    }
    const client = await scene.application.open();
    client.send(auth(1, token));
    expect(await client.take()).to.deep.equal(success(1));
    await client.end();
  });

  it("too many frames while authenticating close the connection", async () => {
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    await waiting;
    for (let uuid = 2; uuid <= 12; uuid++) client.send("text");
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.tooManyFrames));
    accept();
  });

  it("too long frames while authenticating close the connection", async () => {
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    await waiting;
    client.send({ ...call(2), req: "x".repeat(1000) });
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.tooManyFrames));
    accept();
  });

  it("frames that wait for a second authentication count like those that wait for the first", async () => {
    const { tokenServer } = scene.application;
    const first = holdAuthentication();
    const client = await scene.application.open();
    const socket = scene.application.socket();
    /** The server has got all that was sent, or has closed the connection. */
    const received = async () => {
      const calling = tokenServer.rpc(socket, "fence").catch(() => {});
      const call = await client.takeCall().catch(() => undefined);
      if (call) client.send({ rpc: "_rpc", fid: call.fid, resp: {} });
      await calling;
    };
    client.send(auth(1, await scene.application.token()));
    await first.waiting;
    client.send(auth(2, await scene.application.token()));
    client.send({ ...call(3), req: "x".repeat(600) });
    await received();
    // a guard that came before the first decision has ended would be asked in that one, too
    const held = new Promise<ReturnType<typeof holdAuthentication>>((resolve) =>
      tokenServer.once("authenticated", () => resolve(holdAuthentication())),
    );
    first.accept();
    const second = await held;
    await second.waiting;
    client.send({ ...call(4), req: "x".repeat(600) });
    await received();
    second.accept();
    expect(tokenServer.sockets()).not.to.include(socket);
    expect(await ending(client)).to.deep.equal({
      frames: [success(1)],
      code: CLOSE.tooManyFrames.code,
      reason: CLOSE.tooManyFrames.reason,
    });
  });
});
