import { expect } from "chai";
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { TokenSocket } from "../../lib/client/index.js";
import { Application } from "../support/application.js";

const AUDIENCE = "sockets";

describe("A client whose tokens are JWTs of another service", () => {
  it("gets in with a good one, and tries again with another where the server takes none", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), alg: "ES256" }] });
    const refusable = [
      { audience: "mail", end: "1 minute" },
      { audience: AUDIENCE, end: "1 minute ago" },
      { audience: AUDIENCE, end: "1 minute" },
    ];
    let asked = 0;
    const application = await Application.start({
      prepare: (app) =>
        app.get("/jwt", async (_req, res) => {
          const { audience, end } = refusable[asked++] ?? {};
          const jwt = new SignJWT({ sub: "7" }).setProtectedHeader({ alg: "ES256" });
          res.json({
            token: await jwt.setAudience(`${audience}`).setExpirationTime(`${end}`).sign(privateKey),
          });
        }),
      options: {
        verifyToken: async (token: string) => {
          const { payload } = await jwtVerify(token, keys, { audience: AUDIENCE });
          return { auth: { id: payload.sub }, expiresAt: Number(payload.exp) * 1000 };
        },
        socketController: { who: async (auth) => auth },
      },
    });
    const client = new TokenSocket({
      host: application.url,
      tokenPath: "/jwt",
      backoff: { min: 1, max: 1 },
    });
    try {
      expect(await client.rpc("who")).to.deep.equal({ id: "7" });
      expect(asked).to.equal(refusable.length);
      expect(application.errors).to.deep.equal([]);
    } finally {
      await client.end();
      await application.stop();
    }
  });
});
