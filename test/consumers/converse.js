/**
 * Talks to the server by each transport, as an application would; resolves with what came of it. Each consumer hands its own
 * client over.
 */
export async function converse(TokenSocket, host) {
  const results = [];
  for (const transport of [{ sockjs: false }, { WebSocket: false }]) {
    const socket = new TokenSocket({ host, reconnect: false, ...transport });
    const messages = socket.channel("room");
    const message = messages.next();
    await socket.subscribe("room");
    await socket.publish("room", "hello");
    const { value } = await message;
    const error = await socket.rpc("nowhere").catch((refusal) => refusal);
    results.push([await socket.rpc("add", [1, 2, 3]), value, error.name, error.code]);
    await socket.end();
  }
  return results;
}
