/** One of several servers behind a proxy, in a process of its own. */
import type { AddressInfo } from "node:net";
import { Application } from "../support/application.js";
import { overhear } from "../support/http-events.js";
import { connectNodeRedis } from "../support/node-redis.js";

/** The requests of SockJS that have come here, as `method path`. */
const requests: string[] = [];

const { REDIS_URL = "", DRAIN = "0" } = process.env;
const [redisClient, pubsubClient] = [await connectNodeRedis(REDIS_URL), await connectNodeRedis(REDIS_URL)];

const application = new Application({
  redisClient,
  pubsubClient,
  // longer than that of other tests: between two requests of a session there may be a while here
  sockjs: { disconnect_delay: 2000 },
  prepare(app) {
    app.set("trust proxy", "127.0.0.1");
    app.get("/port", (_req, res) => void res.json(port()));
    app.get("/requests", (_req, res) => void res.json(requests));
    app.get("/seen", (req, res) => void res.json({ protocol: req.protocol, host: req.host, ip: req.ip }));
  },
  options: {
    ping: true,
    // as the document advises for large queues
    limits: { messageBytes: 262_144 },
    socketController: {
      where: (_auth, _data, callback, { ip, ips, host }) => callback(null, { port: port(), ip, ips, host }),
      hang: () => new Promise(() => {}),
      length: async (_auth, { text }: { text: string }) => text.length,
    },
  },
});

const { http, tokenServer } = application;
// as the document advises
http.keepAliveTimeout = 65_000;
overhear(http).on("request", ({ method, url = "" }) => {
  if (url.startsWith("/sockets/")) requests.push(`${method} ${url}`);
});
http.listen(Number(process.env.PORT), "127.0.0.1", () => console.log(application.url));

process.once("SIGTERM", async () => {
  http.close();
  if (Number(DRAIN) > 0) await tokenServer.drain({ timeout: Number(DRAIN) });
  else await tokenServer.shutdown();
  http.closeIdleConnections();
  await Promise.all([redisClient.close(), pubsubClient.close()]);
});

function port(): number {
  return (http.address() as AddressInfo).port;
}
