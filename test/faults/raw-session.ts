import { randomUUID } from "node:crypto";

/** The transports of SockJS that only a page can use, and what a request has to have. */
const PATHS = { htmlfile: "htmlfile?c=f", "jsonp-polling": "jsonp?c=f" } as const;

/** Opens a session over such a transport and authenticates; resolves when it is in. It then listens until it is cut off. */
export async function openRawSession(
  url: string,
  name: string,
  transport: keyof typeof PATHS,
): Promise<void> {
  const response = await fetch(`${url}/socket/token?name=${name}`);
  const { token } = (await response.json()) as { token: string };
  const session = `${url}/sockets/000/${randomUUID()}`;
  let text = "";
  let hear = () => {};
  const heard = async (wanted: string) => {
    while (!text.includes(wanted)) {
      await new Promise<void>((resolve) => {
        hear = resolve;
      });
    }
  };
  const listen = async () => {
    for (;;) {
      const { body, ok } = await fetch(`${session}/${PATHS[transport]}`);
      if (!ok || !body) return;
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        hear();
      }
    }
  };
  // it fails when the end of the process comes
  listen().catch(() => {});
  await heard(transport === "htmlfile" ? 'p("o")' : 'f("o")');
  const frame = JSON.stringify({ rpc: "auth", token, uuid: "1" });
  await fetch(`${session}/xhr_send`, { method: "POST", body: JSON.stringify([frame]) });
  await heard("success");
}
