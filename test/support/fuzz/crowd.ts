import fc from "fast-check";
import { checkReplies, type Server } from "./conversation.js";
import { type Action, anything, countGood, FrameMaker, harmless } from "./frames.js";
import { Fuzzer } from "./fuzzer.js";

/** How many sockets there are at once. */
const SOCKETS = 4;

/** What the server may do meanwhile. */
export type ServerDoing = "call" | "refresh" | "publish" | "broadcast" | "unsubscribeAll" | "disconnect";

/** What one of several sockets does, or the server does to them all. */
export type Step =
  | {
      readonly type: "send";
      readonly socket: number;
      /** Whether a socket that is new authenticates first. */
      readonly isIn: boolean;
      readonly actions: readonly Action[];
    }
  | { readonly type: "authenticate"; readonly socket: number; readonly protocol: 3 | 4 }
  | { readonly type: "settle" | "reopen"; readonly socket: number }
  | { readonly type: "server"; readonly does: ServerDoing };

const socket = fc.nat(SOCKETS - 1);

/** In whatever order: sockets are before, in and after authentication, and get a new identity, side by side. */
export const crowds: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant("send" as const),
        socket,
        isIn: fc.constantFrom(true, true, true, false),
        actions: fc.oneof(
          { weight: 3, arbitrary: fc.array(harmless, { minLength: 1, maxLength: 8 }) },
          { weight: 1, arbitrary: fc.array(anything, { minLength: 1, maxLength: 8 }) },
        ),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant("authenticate" as const),
        socket,
        protocol: fc.constantFrom(3 as const, 4 as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constantFrom("settle" as const, "reopen" as const), socket }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant("server" as const),
        does: fc.constantFrom<ServerDoing>(
          "call",
          "refresh",
          "publish",
          "broadcast",
          "unsubscribeAll",
          "disconnect",
        ),
      }),
    },
  ),
  { minLength: 4, maxLength: 40 },
);

/** Where a crowd goes. */
export interface Place extends Server {
  readonly serverDoes: (what: ServerDoing) => void;
}

interface Member {
  readonly fuzzer: Fuzzer;
  readonly maker: FrameMaker;
}

/** Lets a crowd do its steps, and go. Gives how many frames it has sent; throws where a request has several replies. */
export async function letIn(steps: readonly Step[], { url, token, serverDoes }: Place): Promise<number> {
  const members = new Map<number, Member>();
  const left: Promise<void>[] = [];
  const used = await token();
  const good: string[] = [];
  let sent = 0;

  const open = async (index: number): Promise<Member> => {
    const member = { fuzzer: await Fuzzer.open(url), maker: new FrameMaker({ good, used }) };
    members.set(index, member);
    return member;
  };
  const send = ({ fuzzer, maker }: Member, actions: readonly Action[]) => {
    const parts = maker.parts(actions);
    sent += parts.length;
    fuzzer.send(JSON.stringify(parts));
  };
  const authenticate = async ({ fuzzer }: Member, protocol: 3 | 4) => {
    fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "a", token: await token(), protocol })]));
    sent++;
  };
  const leave = async ({ fuzzer, maker }: Member): Promise<void> => {
    await fuzzer.fence();
    checkReplies(fuzzer, maker);
    await fuzzer.end();
  };

  for (const step of steps) {
    if (step.type === "server") {
      serverDoes(step.does);
      continue;
    }
    const old = members.get(step.socket);
    const isOld = old !== undefined && !old.fuzzer.closed && step.type !== "reopen";
    if (old && !isOld) left.push(leave(old));
    const member = isOld ? old : await open(step.socket);
    if (step.type === "settle") await member.fuzzer.fence();
    else if (step.type === "authenticate") await authenticate(member, step.protocol);
    else if (step.type === "send") {
      if (!isOld && step.isIn) await authenticate(member, 4);
      while (good.length < countGood(step.actions)) good.push(await token());
      send(member, step.actions);
    }
  }
  await Promise.all([...left, ...[...members.values()].map(leave)]);
  return sent;
}
