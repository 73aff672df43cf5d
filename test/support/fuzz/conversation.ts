import { expect } from "chai";
import { type Action, countGood, FrameMaker } from "./frames.js";
import { Fuzzer } from "./fuzzer.js";

/** Where conversations are held. */
export interface Server {
  readonly url: string;
  readonly token: () => Promise<string>;
}

/** Whether exactly one reply has to come: to each call, and with the newer protocol to each request. */
function isCall({ rpc }: Record<string, unknown>, protocol: number): boolean {
  if (rpc === "_rpc") return false;
  return (
    protocol === 4 ||
    typeof rpc !== "string" ||
    rpc === "_ping" ||
    !/^_(un)?(subscribe|publish|broadcast)$/.test(rpc)
  );
}

/**
 * Authenticates and sends messages of frames that leave the connection open. Throws where a call has not got its one
 * reply, or another request several. Gives how many frames it has sent.
 */
export async function converse(
  { url, token }: Server,
  protocol: 3 | 4,
  messages: readonly (readonly Action[])[],
  onOpen: () => void = () => {},
): Promise<number> {
  const fuzzer = await Fuzzer.open(url);
  const used = await token();
  fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token: used, protocol })]));
  await fuzzer.until(() => fuzzer.replies("auth") === 1);
  onOpen();
  const maker = new FrameMaker({ good: [], used });
  const expected = sendAll(fuzzer, maker, messages).filter(({ fields }) => isCall(fields, protocol));
  await fuzzer.until(() => expected.every(({ uuid }) => fuzzer.replies(uuid) > 0));
  await fuzzer.fence();
  expect(fuzzer.closed).to.equal(false);
  for (const { uuid, fields } of expected) {
    expect(fuzzer.replies(uuid), `replies to ${JSON.stringify(fields)}`).to.equal(1);
  }
  checkReplies(fuzzer, maker);
  await fuzzer.end();
  return messages.flat().length;
}

/** Sends frames that may authenticate, or be refused for not having done so. Throws where a request has several replies. */
export async function babble(
  { url, token }: Server,
  isAuthenticated: boolean,
  messages: readonly (readonly Action[])[],
): Promise<number> {
  const fuzzer = await Fuzzer.open(url);
  const used = await token();
  if (isAuthenticated) {
    fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token: used })]));
  }
  const good: string[] = [];
  while (good.length < countGood(messages.flat())) good.push(await token());
  const maker = new FrameMaker({ good, used });
  sendAll(fuzzer, maker, messages);
  // whoever has not authenticated is forbidden to call
  await fuzzer.fence();
  checkReplies(fuzzer, maker);
  await fuzzer.end();
  return messages.flat().length;
}

/** No request has more than one. */
export function checkReplies(fuzzer: Fuzzer, { requests }: FrameMaker): void {
  for (const { uuid, fields } of requests) {
    expect(fuzzer.replies(uuid), `replies to ${JSON.stringify(fields)}`).to.be.at.most(1);
  }
}

function sendAll(fuzzer: Fuzzer, maker: FrameMaker, messages: readonly (readonly Action[])[]) {
  for (const actions of messages) fuzzer.send(JSON.stringify(maker.parts(actions)));
  return maker.requests;
}
