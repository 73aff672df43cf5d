import { expect } from "chai";
import sinon, { useFakeTimers } from "sinon";
import type { State, TokenSocket } from "../../lib/client/index.js";
import { happened, inState, QUICK, SLOW, Stage, Version3Server } from "./support.js";

describe("A client that comes back", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  it("comes back, with its channels, to a server that was killed and started again", async () => {
    const first = await stage.application();
    const client = stage.client(first);
    await client.subscribe("room");
    await first.stop();
    await inState(client, "waiting");
    const second = await stage.application({}, first.port);
    await happened(client, "reconnect");
    expect(client.channels()).to.deep.equal(["room"]);
    const message = happened(client, "message");
    await second.tokenServer.publish("room", "hello");
    expect(await message).to.deep.equal(["room", "hello"]);
  });

  it("does not wait any longer when its page is seen again", async () => {
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    const place = await stage.application();
    const client = stage.client(place, { backoff: SLOW });
    await client.ready();
    Object.assign(globalThis, { document });
    try {
      place.cut();
      await inState(client, "waiting");
      const back = happened(client, "reconnect");
      document.dispatchEvent(new Event("visibilitychange"));
      await back;
    } finally {
      Reflect.deleteProperty(globalThis, "document");
    }
  });

  it("makes no second connection when its page is seen again after it has come back", async () => {
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const client = stage.client(place);
    await client.ready();
    Object.assign(globalThis, { document });
    try {
      place.cut();
      await happened(client, "reconnect");
      const states: State[] = [];
      client.on("state", (state) => states.push(state));
      document.dispatchEvent(new Event("visibilitychange"));
      // a timer of no time would have fired by then
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await client.rpc("echo", 1)).to.equal(1);
      expect(states).to.deep.equal([]);
      expect(server.tokenRequests).to.have.length(2);
    } finally {
      Reflect.deleteProperty(globalThis, "document");
    }
  });

  it("waits longer and longer for a server that lets it in and drops it at once", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const waits: number[] = [];
    let lostAt = 0;
    const random = sinon.stub(Math, "random").returns(1);
    try {
      const client = stage.client(place, { backoff: { min: 10, max: 1e6 } });
      client.on("state", (state) => {
        if (state === "open") {
          // the wait has begun before the client tells of it, and not before this
          lostAt = performance.now();
          for (const socket of server.connections) socket.terminate();
        }
        if (state === "connecting") waits.push(performance.now() - lostAt);
      });
      while (waits.length < 6) await happened(client, "state");
      for (const [index, wait] of waits.entries()) {
        expect(wait, `wait ${index}`).to.be.at.least(10 * 2 ** index - 2);
      }
    } finally {
      random.restore();
    }
  });

  it("begins with short waits again after a connection that has lasted", async () => {
    const place = await stage.server(new Version3Server().http);
    const client = stage.client(place, { backoff: { min: 1, max: 1e6, resetAfter: 1 } });
    await client.ready();
    // without that the last of these waits alone would take a minute
    for (let loss = 0; loss < 16; loss++) {
      await new Promise((resolve) => setTimeout(resolve, 3));
      place.cut();
      await happened(client, "reconnect");
    }
    expect(client.state).to.equal("open");
  });

  it("begins with short waits again after a connection whose server was going, however short it was", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const client = stage.client(place, { backoff: { min: 1, max: 1e6, resetAfter: 1e6 } });
    await client.ready();
    // growing waits would come to a minute
    for (let going = 0; going < 16; going++) {
      for (const socket of server.connections) socket.close(4000);
      await happened(client, "reconnect");
    }
    expect(client.state).to.equal("open");
  });

  it("gives a connection up on which another token is not answered, and comes back", async () => {
    const server = new Version3Server();
    const place = await stage.server(server.http);
    const client = stage.client(place, { connectTimeout: 100 });
    await client.ready();
    server.intercept = ({ rpc }) => rpc === "auth";
    const lost = inState(client, "waiting");
    const again = client.reauthenticate();
    expect(await lost).to.have.property("code", "timeout");
    server.intercept = () => false;
    await Promise.all([happened(client, "reconnect"), again]);
  });

  it("waits as long as the server has asked it to also when its page is seen again", async () => {
    const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    const server = new Version3Server();
    const place = await stage.server(server.http);
    server.token = { status: 503, body: {}, headers: { "Retry-After": "1" } };
    Object.assign(globalThis, { document });
    try {
      const client = stage.client(place, { backoff: SLOW });
      await inState(client, "waiting");
      const since = performance.now();
      server.token = { status: 200, body: { token: "token" } };
      for (let i = 0; i < 3; i++) {
        document.dispatchEvent(new Event("visibilitychange"));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(client.state).to.equal("waiting");
      // but no longer, whatever the client would have waited itself
      await client.ready();
      expect(performance.now() - since).to.be.within(900, 10_000);
      expect(server.tokenRequests).to.have.length(2);
    } finally {
      Reflect.deleteProperty(globalThis, "document");
    }
  });

  describe("from a page that is being left", () => {
    let page: EventTarget;
    let document: EventTarget;

    beforeEach(() => {
      page = new EventTarget();
      document = Object.assign(new EventTarget(), { visibilityState: "visible" });
      const addEventListener = page.addEventListener.bind(page);
      Object.assign(globalThis, { document, addEventListener });
    });
    afterEach(() => {
      Reflect.deleteProperty(globalThis, "document");
      Reflect.deleteProperty(globalThis, "addEventListener");
    });

    /** A client whose page was asked to leave, and that has lost its connection then, as in Firefox. */
    const leave = async () => {
      const server = new Version3Server();
      const place = await stage.server(server.http);
      const client = stage.client(place);
      await client.ready();
      page.dispatchEvent(new Event("beforeunload"));
      place.cut();
      await inState(client, "waiting");
      return { client, server, requests: () => server.tokenRequests.length };
    };

    it("begins no attempt, also when the page is seen or the browser is online again", async () => {
      const { client, requests } = await leave();
      // longer than what it would have waited
      await new Promise((resolve) => setTimeout(resolve, 2 * QUICK.max));
      document.dispatchEvent(new Event("visibilitychange"));
      page.dispatchEvent(new Event("online"));
      await new Promise((resolve) => setTimeout(resolve, QUICK.min));
      page.dispatchEvent(new Event("pagehide"));
      await new Promise((resolve) => setTimeout(resolve, 2 * QUICK.max));
      expect([client.state, requests()]).to.deep.equal(["waiting", 1]);
    });

    it("begins one when the page is back, or when it is told to authenticate", async () => {
      for (const returns of [
        () => page.dispatchEvent(new Event("pageshow")),
        (client: TokenSocket) => client.reauthenticate(),
      ]) {
        const { client, requests } = await leave();
        const back = happened(client, "reconnect");
        returns(client);
        await back;
        expect(requests()).to.equal(2);
      }
    });

    it("begins one by itself when the page stays after all", async () => {
      const clock = useFakeTimers({ now: Date.now(), toFake: ["Date", "setTimeout", "clearTimeout"] });
      try {
        const { client, requests } = await leave();
        clock.tick(4999);
        expect(client.state).to.equal("waiting");
        const back = happened(client, "reconnect");
        clock.tick(1);
        expect(client.state).to.equal("connecting");
        await back;
        expect(requests()).to.equal(2);
      } finally {
        clock.restore();
      }
    });

    it("tries no other transport for a connection that the browser has kept from opening", async () => {
      const place = await stage.server(new Version3Server().http);
      let fallbacks = 0;
      class Socket {
        onclose: ((event: object) => unknown) | null = null;
        constructor() {
          page.dispatchEvent(new Event("beforeunload"));
          setImmediate(() => this.onclose?.({ code: 1006 }));
        }
        close() {}
      }
      class SockJS extends Socket {
        constructor() {
          super();
          fallbacks++;
        }
      }
      const client = stage.client(place, { WebSocket: Socket as never, SockJS: SockJS as never });
      expect(await inState(client, "waiting")).to.have.property("code", "connection");
      expect(fallbacks).to.equal(0);
    });
  });
});
