import express from "express";
import { type Controller, procedure, RpcError, TokenSocketServer } from "node-token-sockjs";
import { TokenSocket } from "node-token-sockjs/client";
import { memoryRedis } from "node-token-sockjs/memory";
import { createHooks } from "node-token-sockjs/react";
import sockjs from "sockjs";

interface User {
  name: string;
}

const controller = {
  who: (auth: User) => auth,
  add: procedure<User>()({ handler: async () => 3 }),
  async *letters(auth: User) {
    yield auth.name;
  },
  numbers: procedure({
    async *handler() {
      yield 1;
    },
  }),
} satisfies Controller<User>;

const redis = memoryRedis();
const tokenServer = new TokenSocketServer<User>(express(), redis, sockjs.createServer(), {
  pubsubClient: redis,
  authentication: (req) => ({ name: String(req.query.name) }),
  socketController: controller,
});
tokenServer.on("rpc", ({ auth }) => {
  if (auth.name === "") throw new RpcError("No", { code: 1 });
  return true;
});

const socket = new TokenSocket<typeof controller>({ host: "localhost" });
const { useResult, useStream } = createHooks<typeof controller>();

export function Name() {
  const { data } = useResult("who");
  const { last } = useStream("numbers");
  return (
    <p>
      {data?.name.toUpperCase()} {last?.toFixed()}
    </p>
  );
}

export async function use(): Promise<string[]> {
  const sum: number = await socket.call.add();
  const { name } = await socket.call.who();
  for await (const letter of socket.call.letters()) name.concat(letter);
  for await (const number of socket.rpc("numbers")) number.toFixed();
  for await (const message of socket.channel<{ text: string }>("room")) message.text.concat(name);
  // @ts-expect-error
  const wrong: string = await socket.call.add();
  // @ts-expect-error
  for await (const number of socket.call.numbers()) number.concat();
  return [String(sum), wrong];
}
