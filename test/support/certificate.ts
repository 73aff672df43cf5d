import { generateKeyPairSync, sign } from "node:crypto";

/** A certificate and its private key, as `node:https` takes them. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const DAY = 86_400_000;

/** ASN.1's types (ITU-T X.690) as far as a certificate needs them. */
const TYPE = {
  integer: 2,
  bits: 3,
  octets: 4,
  oid: 6,
  text: 12,
  time: 23,
  sequence: 0x30,
  set: 0x31,
} as const;

const COMMON_NAME = Buffer.from("550403", "hex");
const ALTERNATIVE_NAMES = Buffer.from("551d11", "hex");
const ECDSA_WITH_SHA256 = Buffer.from("2a8648ce3d040302", "hex");

/** Makes a certificate that signs itself, for 127.0.0.1, of today. No program is needed for that. */
export function selfSigned(): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = der(TYPE.sequence, der(TYPE.oid, ECDSA_WITH_SHA256));
  const commonName = der(TYPE.sequence, der(TYPE.oid, COMMON_NAME), der(TYPE.text, Buffer.from("test")));
  const name = der(TYPE.sequence, der(TYPE.set, commonName));
  const address = der(TYPE.sequence, der(0x87, Buffer.from([127, 0, 0, 1])));
  const names = der(TYPE.sequence, der(TYPE.oid, ALTERNATIVE_NAMES), der(TYPE.octets, address));
  const content = der(
    TYPE.sequence,
    der(0xa0, der(TYPE.integer, Buffer.from([2]))),
    der(TYPE.integer, Buffer.from([1])),
    algorithm,
    name,
    der(TYPE.sequence, time(Date.now() - DAY), time(Date.now() + DAY)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, der(TYPE.sequence, names)),
  );
  const signature = der(TYPE.bits, Buffer.from([0]), sign("sha256", content, privateKey));
  const base64 = der(TYPE.sequence, content, algorithm, signature).toString("base64");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function der(type: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([type, length]), content]);
  return Buffer.concat([Buffer.from([type, 0x82, length >> 8, length & 0xff]), content]);
}

/** A point in time, as `YYMMDDhhmmssZ`. */
function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\D/g, "");
  return der(TYPE.time, Buffer.from(`${digits.slice(2, 14)}Z`));
}
