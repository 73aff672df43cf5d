import { expect } from "chai";
import { LiveMembers } from "../../lib/server/presence/live-members.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import { encodePublishedChange, type MemberRecord } from "../../lib/server/redis/member-list.js";

const ann: MemberRecord = { id: "ann", info: "null", state: "1", stateAt: 5, since: 1, sockets: 1 };

describe("The live list of a channel's members", () => {
  it("tells at once of a state that was set when Redis had been emptied, and of no older one", async () => {
    let publish = (_payload: string) => {};
    let at = { epoch: "one", version: 1 };
    const list = new LiveMembers({
      channel: "room",
      isCount: false,
      times: { ...PRESENCE_TIMES, collect: 0 },
      frameBytes: 10_000,
      subscribe: async (listener) => {
        publish = (payload) => listener(payload, "");
      },
      unsubscribe: async () => {},
      read: async () => ({ at, count: 1, members: at.epoch === "one" ? [ann] : [], next: undefined }),
      onError: () => {},
    });
    await list.open();
    at = { epoch: "two", version: 0 };
    await list.check();
    const told = new Promise<string>((resolve) => list.observers.add({ send: resolve }));
    const empty = { refilled: [], updated: [], left: [], sockets: [], joined: [] };
    const change = (version: number, record: MemberRecord) =>
      publish(
        encodePublishedChange(
          { ...empty, at: { epoch: "two", version }, count: 1, refilled: [record] },
          false,
        ),
      );
    change(1, { ...ann, state: "0", stateAt: 4 });
    change(2, { ...ann, state: "2", stateAt: 6 });
    const frame = JSON.parse(await told);
    list.close();
    expect(frame.update.map(({ state }: { state: unknown }) => state)).to.deep.equal([2]);
    expect(frame).not.to.have.any.keys("join", "leave");
  });
});
