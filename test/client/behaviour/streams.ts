import { expect } from "chai";
import type { TokenSocket } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { drop, failure, happened } from "./helpers.js";

/** Counts, and notes under the name how far it has come and that it is over. */
function count(client: TokenSocket, name: string, to: number, options = {}) {
  return client.rpc("test.count", { name, to }, options);
}

/** How far a count has come, and whether it is over. */
function progress(client: TokenSocket, name: string): Promise<{ counted: number; isOver: boolean }> {
  return client.rpc("test.counted", name);
}

/** Waits until a count is over. */
async function over(client: TokenSocket, name: string): Promise<void> {
  expect(await client.rpc("test.over", name)).to.equal("over");
}

async function all(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

const upTo = (number: number) => Array.from({ length: number }, (_, index) => index + 1);

export const streams = subject("A client's streams", {
  "are read to their end, in order": async ({ connect, unique }) => {
    const client = connect();
    const name = unique("count");
    expect(await all(count(client, name, 500, { window: 20 }))).to.deep.equal(upTo(500));
    expect(await progress(client, name)).to.deep.equal({ counted: 500, isOver: true });
    expect(await all((await count(client, name, 3)) as AsyncIterable<unknown>)).to.deep.equal([1, 2, 3]);
  },

  "slow the server's function to their reader": async ({ connect, unique }) => {
    const client = connect();
    const name = unique("count");
    const stream = (await count(client, name, 1000, { window: 8 })) as AsyncIterator<unknown>;
    expect(await progress(client, name)).to.deep.equal({ counted: 0, isOver: false });
    for (const number of upTo(20)) expect((await stream.next()).value).to.equal(number);
    const { counted } = await progress(client, name);
    expect(counted).to.be.within(20, 28);
    await stream.return?.();
    await over(client, name);
  },

  "end with the loop": async ({ connect, unique }) => {
    const client = connect();
    const names = [unique("count"), unique("count")] as const;
    for await (const number of count(client, names[0], 1000)) if (number === 3) break;
    await over(client, names[0]);
    const throwing = async () => {
      for await (const _ of count(client, names[1], 1000)) throw new RangeError("Enough");
    };
    expect(await failure(throwing())).to.be.instanceOf(RangeError);
    await over(client, names[1]);
  },

  "end when their signal fires": async ({ connect, unique, errors }) => {
    const client = connect();
    const name = unique("count");
    const abort = new AbortController();
    const reading = async () => {
      for await (const number of count(client, name, 1000, { window: 2, signal: abort.signal })) {
        if (number === 2) abort.abort("enough");
      }
    };
    const error = await failure(reading());
    expect(error).to.be.instanceOf(errors.AbortedError).and.to.include({ code: "aborted", cause: "enough" });
    await over(client, name);
  },

  "end with an error when the connection is lost": async ({ connect, unique, errors }) => {
    const client = connect();
    const name = unique("count");
    const stream = count(client, name, 1000, { window: 2 })[Symbol.asyncIterator]();
    expect((await stream.next()).value).to.equal(1);
    const back = happened(client, "reconnect");
    await drop(client);
    await back;
    const reading = async () => {
      while (!(await stream.next()).done);
    };
    const error = await failure(reading());
    expect(error).to.be.instanceOf(errors.DisconnectedError).and.to.have.property("sent", true);
    await over(client, name);
    expect((await progress(client, name)).counted).to.be.below(6);
  },

  "end with an error when the client ends": async ({ connect, unique, errors }) => {
    const [client, other] = [connect(), connect()];
    const name = unique("count");
    const stream = count(client, name, 1000, { window: 1 })[Symbol.asyncIterator]();
    await stream.next();
    await client.end();
    const error = await failure(
      (async () => {
        while (!(await stream.next()).done);
      })(),
    );
    expect(error).to.be.instanceOf(errors.DisconnectedError);
    await over(other, name);
  },

  "end with the error that the function throws": async ({ connect, errors }) => {
    const client = connect();
    const stream = client.rpc("fail.later")[Symbol.asyncIterator]();
    expect((await stream.next()).value).to.equal(1);
    const error = await failure(stream.next());
    expect(error).to.be.instanceOf(errors.RemoteError);
    expect(error).to.include({ message: "Sold out", code: "E_SOLD_OUT" });
    expect((await stream.next()).done).to.equal(true);
  },

  "are none where the function does not stream, or does not exist": async ({ connect, errors }) => {
    const client = connect();
    expect(await failure(all(client.rpc("echo", 1)))).to.be.instanceOf(TypeError);
    expect(await failure(all(client.rpc("unknown")))).to.be.instanceOf(errors.NotFoundError);
  },

  "may be many at once, beside calls": async ({ connect, unique }) => {
    const client = connect();
    const counts = upTo(20).map((number) => all(count(client, unique("count"), number * 5, { window: 3 })));
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(await Promise.all(counts)).to.deep.equal(upTo(20).map((number) => upTo(number * 5)));
  },

  "and calls have names as functions have": async ({ connect, unique }) => {
    const client = connect() as unknown as TokenSocket<{
      math: { add: (auth: unknown, data: { a: number; b: number }) => number };
      test: { count: (auth: unknown, data: { name: string; to: number }) => AsyncGenerator<number> };
    }>;
    expect(await client.call.math.add({ a: 1, b: 2 })).to.equal(3);
    expect(await all(client.call.test.count({ name: unique("count"), to: 3 }))).to.deep.equal([1, 2, 3]);
  },
});
