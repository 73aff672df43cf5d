import { expect } from "chai";
import { REMEMBERED } from "../../lib/client/history.js";
import { HistoryScene } from "./history-scene.js";
import { happened } from "./support.js";

describe("The positions of a client", () => {
  const scene = HistoryScene.forEachTest();

  /** What the client has given with its newest token. */
  const given = () => scene.server.frames.findLast(({ rpc }) => rpc === "auth")?.positions;

  it("go with its token for a hundred channels that the server has joined it to; of more it may lose messages", async () => {
    const names = Array.from({ length: 101 }, (_, n) => `room:${n}`);
    for (const name of ["room:asked", "hall:asked"]) await scene.client.subscribe(name);
    for (const socket of scene.server.connections) {
      // one without a history has no position
      scene.server.join({ req: { channel: "hall" } }, socket);
      for (const name of names) scene.server.joinItself(name, socket);
    }
    await scene.echo();
    await scene.lose();
    await happened(scene.client, "reconnect");
    expect(given()).to.deep.equal(Object.fromEntries(names.slice(0, 100).map((name) => [name, "e1.0.0"])));
    expect(scene.heard).to.deep.equal([["lost", "room:100", { messages: null, reason: "limit" }]]);
  });

  it("of the newest thousand messages are known again, so that none of these comes twice", async () => {
    await scene.client.subscribe("room");
    const [first, second] = Array.from({ length: REMEMBERED + 1 }, (_, n) =>
      scene.server.frame("room", scene.server.publish("room", n)),
    );
    await scene.echo();
    expect(scene.messages()).to.have.length(REMEMBERED + 1);
    scene.server.sendAll(second);
    await scene.echo();
    expect(scene.messages()).to.have.length(REMEMBERED + 1);
    // of more the memory would have no end
    scene.server.sendAll(first);
    await scene.echo();
    expect(scene.messages().slice(REMEMBERED + 1)).to.deep.equal([0]);
  });
});
