import { expect } from "chai";
import sinon from "sinon";
import { type HistoryAnswerParts, historyAnswer } from "../../lib/server/connection/history-answer.js";

interface User {
  id: number;
}

const position = (offset: number) => ({ epoch: "e", offset, tag: "1" });
const entry = (offset: number) => ({
  position: position(offset),
  time: offset * 10,
  json: `{"n":${offset}}`,
});
const shown = (offset: number) => ({ message: { n: offset }, at: `e.${offset}.1`, time: offset * 10 });

describe("The answer to a client that reads a channel's history back", () => {
  let page: object;
  let after: sinon.SinonSpy;
  let before: sinon.SinonSpy;
  let filtered: sinon.SinonSpy;

  beforeEach(() => {
    page = { entries: [entry(3), entry(4)], at: position(4), lost: undefined, hasMore: true };
    after = sinon.spy(async () => page);
    before = sinon.spy(async () => page);
    filtered = sinon.spy((_client: unknown, _channel: string, json: string) => json as string | undefined);
  });

  const CLIENT = { id: "client" };
  const answer = async (part: object, from?: number) =>
    JSON.parse(
      await historyAnswer<User>({
        client: CLIENT,
        channel: "room",
        part,
        from,
        reader: { after, before },
        pubsub: { filtered: (...args: unknown[]) => filtered(...args) },
        limits: { recoverMessages: 300, bufferedBytes: 1001 },
      } as unknown as HistoryAnswerParts<User>),
    );

  it("has the newest messages, and says before which there are more", async () => {
    expect(await answer({})).to.deep.equal({
      messages: [shown(3), shown(4)],
      at: "e.4.1",
      more: true,
      before: "e.3.1",
    });
    expect(before.args).to.deep.equal([[undefined, { count: 100, bytes: 250 }]]);
    expect(after.callCount).to.equal(0);
    expect(filtered.args).to.deep.equal([
      [CLIENT, "room", '{"n":3}'],
      [CLIENT, "room", '{"n":4}'],
    ]);
  });

  it("goes on from a position, after which it says no other", async () => {
    const answered = await answer({ since: position(2), limit: 2, last: 5 });
    expect(answered).to.deep.equal({ messages: [shown(3), shown(4)], at: "e.4.1", more: true });
    expect(after.args).to.deep.equal([[position(2), { count: 2, bytes: 250 }]]);
    expect(before.callCount).to.equal(0);
  });

  it("has as many messages as are asked for, and no more than may be recovered", async () => {
    await answer({ before: position(5), last: 5, limit: 7 });
    await answer({ last: 1000 });
    await answer({ since: position(2) });
    await answer({ since: position(2), limit: 1000 });
    expect(before.args.map(([at, { count }]) => [at, count])).to.deep.equal([
      [position(5), 5],
      [undefined, 300],
    ]);
    expect(after.args.map(([, { count }]) => count)).to.deep.equal([300, 300]);
  });

  it("says what is lost, and names nothing where all is there, or where nothing is", async () => {
    page = { entries: [entry(3)], at: position(3), lost: { messages: 2, reason: "trimmed" }, hasMore: false };
    expect(await answer({})).to.deep.equal({
      messages: [shown(3)],
      at: "e.3.1",
      lost: { messages: 2, reason: "trimmed" },
    });
    page = { entries: [], at: position(3), lost: undefined, hasMore: true };
    expect(await answer({})).to.deep.equal({ messages: [], at: "e.3.1", more: true });
  });

  it("leaves out what the filter withholds, and goes on from it", async () => {
    filtered = sinon.spy((_client: unknown, _channel: string, json: string) =>
      json.includes("3") ? undefined : json.replace("4", "5"),
    );
    expect(await answer({})).to.deep.equal({
      messages: [{ ...shown(4), message: { n: 5 } }],
      at: "e.4.1",
      more: true,
      before: "e.3.1",
    });
  });

  it("has nothing of before the time from which the client may read, nor says that there is more", async () => {
    expect(await answer({}, 30)).to.have.property("more", true);
    expect(await answer({}, 31)).to.deep.equal({ messages: [shown(4)], at: "e.4.1" });
    // what is newer may well be for it
    expect(await answer({ since: position(2) }, 31)).to.deep.equal({
      messages: [shown(4)],
      at: "e.4.1",
      more: true,
    });
  });
});
