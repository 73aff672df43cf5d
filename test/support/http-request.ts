import { request as httpRequest } from "node:http";

/** Sends a request with any headers; fetch forbids some of them. */
export function get(url: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>(
    (resolve, reject) => {
      const request = httpRequest(url, { headers, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      });
      request.on("error", reject);
      request.end();
    },
  );
}

/** Asks the token route of an application; `body` is the answer's JSON, if it is an object. */
export async function askForToken(url: string, query = "", headers: Record<string, string> = {}) {
  const answer = await get(`${url}/socket/token${query}`, headers);
  return { ...answer, body: answer.text.startsWith("{") ? JSON.parse(answer.text) : undefined };
}
