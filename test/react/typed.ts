/** What of the hooks' types has to compile, and what has not. Nothing here is run. */

import { createElement, type ReactElement } from "react";
import { z } from "zod";
import type { TokenSocket } from "../../lib/client/index.js";
import { type Controller, procedure } from "../../lib/index.js";
import * as react from "../../lib/react/index.js";

interface User {
  name: string;
}

const controller = {
  item: {
    read: procedure({
      input: z.object({ id: z.number() }),
      output: z.object({ name: z.string() }),
      handler: ({ input }) => ({ name: `item ${input.id}` }),
    }),
    list: async () => [{ at: new Date() }],
  },
  ticks: procedure({
    input: z.object({ every: z.number() }),
    async *handler({ input }) {
      yield input.every;
    },
  }),
} satisfies Controller<User>;

const channels = { "room:*": z.object({ text: z.string() }) };

interface Shown {
  id: number;
  since: Date;
}

const presence = {
  "room:*": {
    info: ({ name }: User) => ({ name, at: new Date(0) }),
    state: z.object({ typing: z.boolean().default(false) }),
  },
};

const { useCall, useChannel, useHistory, useIdentity, usePresence, useResult, useStream, useTokenSocket } =
  react.createHooks<typeof controller, typeof channels, Shown, typeof presence>();

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Equal<A, B>): void {}

/** With the types of a server. */
export function Typed({ room }: { room: string | undefined }): ReactElement {
  const socket = useTokenSocket();
  same<typeof socket, TokenSocket<typeof controller, typeof channels, Shown, typeof presence> | null>(true);

  const identity = useIdentity();
  same<typeof identity, { id: number; since: string } | undefined>(true);

  useChannel(room && `room:${room}`, (message) => same<typeof message, { text: string }>(true));
  useChannel(null, () => {});
  useChannel("room:1", ({ text }) => text, { since: null, last: 5, onLost: ({ reason }) => reason });
  // @ts-expect-error a position is a text
  useChannel("room:1", () => {}, { since: 5 });

  const history = useHistory(room && `room:${room}`, { last: 5, limit: 100 });
  same<(typeof history.messages)[number]["message"], { text: string }>(true);
  same<(typeof history.messages)[number]["at"], string>(true);
  same<ReturnType<typeof history.loadOlder>, Promise<void>>(true);
  // @ts-expect-error there is no such channel
  useHistory("hall");
  // @ts-expect-error there is no such channel
  useChannel("hall", () => {});
  // @ts-expect-error its messages have no number
  useChannel("room:1", ({ number }) => number);

  const there = usePresence(room && `room:${room}`, { join: false });
  same<(typeof there.members)[number]["info"], { name: string; at: string } | null>(true);
  same<(typeof there.members)[number]["state"], { typing: boolean } | null>(true);
  same<Parameters<typeof there.set>[0], { typing?: boolean | undefined }>(true);
  // @ts-expect-error there is no such channel
  usePresence("hall");

  const read = useCall("item.read");
  same<typeof read.data, { name: string } | undefined>(true);
  const call = () => read.call({ id: 1 }, { timeout: 1000 });
  same<ReturnType<typeof call>, Promise<{ name: string }>>(true);
  // @ts-expect-error its id is a number
  const callWrongly = () => read.call({ id: "1" });
  // @ts-expect-error it takes data
  const callWithout = () => read.call();
  // @ts-expect-error there is no such function
  useCall("item.write");
  // @ts-expect-error it streams
  useCall("ticks");

  const list = useResult("item.list");
  same<typeof list.data, { at: string }[] | undefined>(true);
  const one = useResult("item.read", { id: 1 }, { enabled: false });
  same<typeof one.data, { name: string } | undefined>(true);
  // @ts-expect-error it takes data
  useResult("item.read");
  // @ts-expect-error its id is a number
  useResult("item.read", { id: "1" });

  const ticks = useStream("ticks", { every: 1 }, { onItem: (item) => same<typeof item, number>(true) });
  same<typeof ticks.last, number | undefined>(true);
  // @ts-expect-error it takes data
  useStream("ticks");
  // @ts-expect-error it does not stream
  useStream("item.list");

  return createElement("p", null, [call, callWrongly, callWithout].length);
}

/** Without them. */
export function Untyped({ socket }: { socket: TokenSocket<typeof controller> }): ReactElement {
  react.useChannel("any", (message) => same<typeof message, unknown>(true));
  react.useChannel<{ text: string }>("any", ({ text }) => same<typeof text, string>(true));
  const history = react.useHistory<{ text: string }>("any");
  same<(typeof history.messages)[number]["message"], { text: string }>(true);
  const there = react.usePresence<{ name: string }, { typing: boolean }>("any");
  same<(typeof there.members)[number]["info"], { name: string }>(true);
  same<Parameters<typeof there.set>[0], { typing: boolean }>(true);
  const call = react.useCall<number>("any");
  same<typeof call.data, number | undefined>(true);
  const result = react.useResult("any", { any: 1 });
  same<typeof result.data, unknown>(true);
  const stream = react.useStream<number>("any", undefined, {
    onItem: (item) => same<typeof item, number>(true),
  });
  same<typeof stream.last, number | undefined>(true);
  same<ReturnType<typeof react.useIdentity>, unknown>(true);
  const mine = react.useIdentity<{ id: number }>();
  same<typeof mine, { id: number } | undefined>(true);
  const some = react.createHooks<typeof controller>();
  same<ReturnType<typeof some.useIdentity>, unknown>(true);
  some.useChannel("any", (message) => same<typeof message, unknown>(true));
  const none = react.createHooks();
  const anybody = none.usePresence("any");
  same<(typeof anybody.members)[number]["info"], unknown>(true);
  const answer = none.useCall("any");
  same<typeof answer.data, unknown>(true);
  // @ts-expect-error it is a client of another server
  createElement(react.createHooks<{ other: () => void }>().TokenSocketProvider, { socket });
  return createElement(react.TokenSocketProvider, { socket });
}
