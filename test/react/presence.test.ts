import { expect } from "chai";
import { member, PresenceServer } from "../client/presence-server.js";
import { bundleServer, type ReactPage } from "../support/react-page.js";
import type { Part } from "./page/parts.js";
import { PageScene, withEachReact } from "./page-scene.js";

const NOBODY = '{"ids":"","count":0,"isSynced":false}';

withEachReact("usePresence", PageScene, (scene) => {
  let server: PresenceServer;
  let page: ReactPage;

  beforeEach(async () => {
    server = new PresenceServer();
    for (const id of ["7", "8"]) server.list.set(id, member(id));
    scene.leadTo(await scene.stage.server(server.http));
    page = scene.page;
    await page.connect();
  });

  const room = (id: string, more: object = {}): Part => ({ id, type: "presence", name: "room", ...more });
  const asked = () => server.requests("_presence");

  it("shows who is in the channel, which it joins, and who comes, leaves and changes", async () => {
    await page.render(room("a"));
    await page.shows("a", '"ids":"7,8"', '"me":"7"', '"count":2', '"isSynced":true');
    server.change({ join: [member("9")], leave: [{ id: "8" }] });
    await page.shows("a", '"ids":"7,9"');
    expect(server.members.get("room")?.size).to.equal(1);
    await page.unmount();
    await page.settle();
    expect(server.members.get("room")?.size).to.equal(0);
    expect(asked()).to.deep.equal([{ channel: "room" }, { channel: "room", end: true }]);
  });

  it("asks once for all components", async () => {
    await page.render(room("a"), room("b"));
    await page.shows("a", '"ids":"7,8"');
    await page.shows("b", '"ids":"7,8"');
    await page.render(room("b"));
    await page.settle();
    server.change({ join: [member("9")] });
    await page.shows("b", '"ids":"7,8,9"');
    expect(asked()).to.deep.equal([{ channel: "room" }]);
  });

  it("keeps the list while the connection is lost, and shows what has changed", async () => {
    await page.render(room("a"));
    await page.shows("a", '"isSynced":true');
    server.intercept = ({ rpc }) => rpc === "auth";
    server.cut();
    await page.shows("a", '"ids":"7,8"', '"isSynced":false');
    server.change({ join: [member("9")] }, false);
    server.intercept = () => false;
    server.cut();
    await page.shows("a", '"ids":"7,8,9"', '"isSynced":true');
  });

  it("sets the own state, also before the list is there", async () => {
    await page.render(room("a", { atOnce: { typing: true } }));
    await page.shows("a", '"isSynced":true');
    await page.run((lab) => lab.notes.setters.get("a")?.({ typing: false }));
    expect(server.states.at(-1)).to.deep.equal({ typing: false });
    expect(server.states).to.deep.include({ typing: true });
  });

  it("shows that the server refuses it", async () => {
    server.refusal = { message: "Forbidden", code: "forbidden" };
    await page.render(room("a"));
    await page.shows("a", '"ids":""', '"name":"ForbiddenError"');
    await page.render(room("a", { name: "secret" }));
    await page.shows("a", '"ids":""', '"name":"ForbiddenError"');
  });

  it("shows that the server does not allow it any more", async () => {
    await page.render(room("a"));
    await page.shows("a", '"isSynced":true');
    server.sendAll({ presence: "room", end: true, error: { message: "Forbidden", code: "forbidden" } });
    await page.shows("a", '"ids":""', '"count":0', '"name":"ForbiddenError"');
  });

  it("observes without joining where it is to", async () => {
    await page.render(room("a", { join: false }));
    await page.shows("a", '"ids":"7,8"', '"isSynced":true');
    expect(server.requests("_subscribe")).to.deep.equal([]);
  });

  it("does nothing without a name, and begins anew with another one", async () => {
    await page.render(room("a", { name: null }));
    await page.shows("a", NOBODY);
    await page.render(room("a"));
    await page.shows("a", '"ids":"7,8"');
    await page.render(room("a", { name: "other" }));
    await page.shows("a", '"isSynced":true');
    await page.settle();
    expect(asked()).to.deep.include.members([{ channel: "room", end: true }, { channel: "other" }]);
  });

  it("shows nothing of the former user's to another one", async () => {
    server.server = { protocol: 4, history: true, identityHash: "alice" };
    server.cut();
    await page.render(room("a"));
    await page.shows("a", '"ids":"7,8"', '"isSynced":true');
    server.server = { protocol: 4, history: true, identityHash: "bob" };
    server.gate = new Promise(() => {});
    server.cut();
    await page.shows("a", NOBODY);
  });

  it("is rendered on a server", async () => {
    const render = await bundleServer(scene.version);
    expect(render([room("a")])).to.include(NOBODY.replaceAll('"', "&quot;"));
  });
});
