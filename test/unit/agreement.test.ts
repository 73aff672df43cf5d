import { expect } from "chai";
import sinon from "sinon";
import { Agreement, type AgreementParts } from "../../lib/server/connection/agreement.js";
import type { Position } from "../../lib/shared/position.js";
import type { AuthFrame } from "../../lib/shared/protocol.js";

interface User {
  id: number;
}

const HEAD = { rpc: "auth", uuid: 1 };
const POSITION: Position = { epoch: "e", offset: 1, tag: "1" };

describe("What a client and its server agree on", () => {
  let agreement: Agreement;
  let hasHistory: boolean;
  let hasPresence: boolean;
  let show: sinon.SinonSpy;
  let parts: AgreementParts<User>;

  beforeEach(() => {
    agreement = new Agreement();
    [hasHistory, hasPresence] = [true, true];
    show = sinon.spy(() => ({ identity: '{"id":7}', identityHash: "h" }));
    parts = {
      limits: { messageBytes: 99 },
      presence: {
        get isOn() {
          return hasPresence;
        },
      },
      pubsub: {
        get hasHistory() {
          return hasHistory;
        },
        reader: (channel: string) => (channel.startsWith("room") ? {} : undefined),
      },
      show,
    } as unknown as AgreementParts<User>;
  });

  const frame = (fields: object = {}) =>
    ({ type: "auth", head: HEAD, token: "t", protocol: 4, ...fields }) as AuthFrame;
  const accept = (fields: object = {}, expiresIn?: number) =>
    JSON.parse(agreement.accept(frame(fields), { auth: { id: 7 }, key: "7", expiresIn }, parts));

  describe("as to history", () => {
    for (const [what, fields] of [
      ["does not ask for it", {}],
      ["speaks the older protocol", { protocol: 3, history: true }],
    ] as const) {
      it(`is that there is none where the client ${what}`, () => {
        agreement.prepare(frame(fields), parts);
        expect(agreement.wantsHistory).to.equal(false);
        expect(accept(fields).server ?? {}).to.not.have.property("history");
      });
    }

    it("is that there is none where the server keeps none", () => {
      hasHistory = false;
      agreement.prepare(frame({ history: true }), parts);
      expect(agreement.wantsHistory).to.equal(false);
      expect(accept({ history: true }).server).to.not.have.property("history");
    });

    it("is that there is one from then on, which is told to those that ask", () => {
      agreement.prepare(frame({ history: true }), parts);
      expect(accept({ history: true }).server).to.have.property("history", true);
      agreement.prepare(frame(), parts);
      expect(agreement.wantsHistory).to.equal(true);
      expect(accept().server).to.not.have.property("history");
    });

    it("holds with the positions of the first time, of which each is taken once", () => {
      const positions = new Map([
        ["room:1", POSITION],
        ["hall", POSITION],
      ]);
      agreement.prepare(frame({ history: true, positions }), parts);
      const later = new Map([["room:2", POSITION]]);
      agreement.prepare(frame({ history: true, positions: later }), parts);
      const taken = ["room:1", "room:1", "hall", "room:2"].map((channel) => agreement.takePosition(channel));
      expect(taken).to.deep.equal([POSITION, undefined, undefined, undefined]);
    });

    it("holds without positions", () => {
      agreement.prepare(frame({ history: true }), parts);
      expect(agreement.takePosition("room:1")).to.equal(undefined);
    });
  });

  describe("has requests of history and of members", () => {
    const history = {
      type: "history",
      head: HEAD,
      req: { a: 1 },
      query: { channel: "c", part: {} },
    } as const;
    const presence = {
      type: "presence",
      head: HEAD,
      req: { b: 1 },
      query: { kind: "observe", channel: "c" },
    } as const;
    const calls = [
      { type: "call", head: HEAD, path: "_history", data: { a: 1 } },
      { type: "call", head: HEAD, path: "_presence", data: { b: 1 } },
    ];
    const understood = (query: object = {}) =>
      [history, presence].map((one) => agreement.understand({ ...one, ...query }, parts));

    it("be calls like others where the client knows of neither", () => {
      expect(understood()).to.deep.equal(calls);
    });

    it("be what they say where it knows, and is told what they lack", () => {
      agreement.prepare(frame({ history: true }), parts);
      accept();
      expect(understood()).to.deep.equal([
        { type: "history", head: HEAD, channel: "c", part: {} },
        { type: "presence", head: HEAD, kind: "observe", channel: "c" },
      ]);
      expect(understood({ query: undefined })).to.deep.equal([undefined, undefined]);
    });

    it("be calls where the server keeps neither", () => {
      hasPresence = false;
      accept();
      expect(understood()).to.deep.equal(calls);
    });
  });

  it("is the newer protocol once it was asked for", () => {
    expect(accept({ protocol: 3 })).to.not.have.property("server");
    expect(agreement.protocol).to.equal(3);
    expect(accept()).to.deep.equal({ ...HEAD, resp: "success", server: { protocol: 4 } });
    accept({ protocol: 3 });
    expect(agreement.protocol).to.equal(4);
  });

  it("has limits and the identity told to a client that asks for them, and knows how", () => {
    expect(accept({}, 5).server).to.deep.equal({ protocol: 4, expiresIn: 5 });
    expect(accept({ limits: true }).server).to.deep.equal({ protocol: 4, messageBytes: 99 });
    accept({ protocol: 3, identity: {} });
    expect(show.callCount).to.equal(0);
    const asked = { hash: "h" };
    expect(accept({ identity: asked }).server).to.have.property("identityHash", "h");
    expect(show.args).to.deep.equal([[{ id: 7 }, "7", asked]]);
  });
});
