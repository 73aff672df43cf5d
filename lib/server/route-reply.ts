import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Outcome } from "../shared/errors.js";
import { isObject } from "./route-request.js";

/** A response as a handler has left it. */
export type EndedResponse = Pick<ServerResponse, "statusCode" | "statusMessage" | "getHeader" | "getHeaders">;

/** What was written to a response. */
export interface RecordedBody {
  /** Shares its memory with what was written last. */
  bytes(): Buffer;
  /** The one encoding in which the body was written, where it was written as nothing but strings. */
  readonly writtenAs: BufferEncoding | undefined;
}

/** A body as it goes over the wire, and whether its text is one that a person may read. */
type Body =
  | { kind: "none" }
  | { kind: "bytes"; bytes: Buffer }
  | { kind: "text"; text: string }
  | { kind: "json"; value: unknown; text: string };

/** What `res.json` sets. */
const EXPRESS_JSON = "application/json; charset=utf-8";
const JSON_TYPE = /[/+]json$/;
const TEXT_TYPE = /^text\/|[/+]xml$|\/(?:x-)?javascript$|\/ecmascript$|\/x-www-form-urlencoded$/;

/** Reads the answer to a call from the response that its handler has given. */
export function readReply(response: EndedResponse, recorded: RecordedBody): Outcome {
  const body = readBody(response, recorded);
  const { statusCode } = response;
  if (statusCode >= 300) return { status: "error", error: errorOf(response, body) };
  return { status: "result", value: resultOf(response, body) };
}

/** What the caller sees of a status alone. */
export function statusError(statusCode: number, text?: string): { message: string; _code: number } {
  return { message: text || STATUS_CODES[statusCode] || String(statusCode), _code: statusCode };
}

function resultOf(response: EndedResponse, body: Body): unknown {
  switch (body.kind) {
    case "none":
      return null;
    case "bytes":
      return body.bytes.toString("base64");
    case "text":
      return body.text;
    case "json":
      return isObject(body.value) ? withStatus(body.value, response) : body.value;
  }
}

function errorOf(response: EndedResponse, body: Body): unknown {
  const { statusCode, statusMessage } = response;
  switch (body.kind) {
    case "none":
    case "bytes":
      return statusError(statusCode, statusMessage);
    case "text":
      return statusError(statusCode, body.text);
    case "json": {
      const { value } = body;
      // an `error` that is null or empty would tell the caller less than the rest of the body does
      if (isObject(value))
        return (Object.hasOwn(value, "error") && value.error) || withStatus(value, response);
      if (value === null) return statusError(statusCode, statusMessage);
      return statusError(statusCode, typeof value === "string" ? value : body.text);
    }
  }
}

/** A body that was parsed has own properties alone, and no setter, whatever their names. */
function withStatus(body: Record<string, unknown>, response: EndedResponse): unknown {
  body._headers = { ...response.getHeaders() };
  body._code = response.statusCode;
  return body;
}

function readBody(response: EndedResponse, recorded: RecordedBody): Body {
  const bytes = recorded.bytes();
  const { statusCode } = response;
  if (bytes.length === 0 || statusCode === 204 || statusCode === 304) return { kind: "none" };
  if (isEncoded(response.getHeader("content-encoding"))) return { kind: "bytes", bytes };
  const header = response.getHeader("content-type");
  if (header === EXPRESS_JSON) return parseJson(bytes.toString());
  if (header === undefined) {
    const { writtenAs } = recorded;
    return writtenAs ? { kind: "text", text: bytes.toString(writtenAs) } : { kind: "bytes", bytes };
  }
  const { type, charset } = parseContentType(String(header));
  const isJson = JSON_TYPE.test(type);
  if (!isJson && !TEXT_TYPE.test(type) && charset === undefined) return { kind: "bytes", bytes };
  const text = decode(bytes, charset);
  if (text === undefined) return { kind: "bytes", bytes };
  return isJson ? parseJson(text) : { kind: "text", text };
}

function isEncoded(contentEncoding: unknown): boolean {
  return contentEncoding !== undefined && String(contentEncoding).toLowerCase() !== "identity";
}

function parseContentType(header: string): { type: string; charset: string | undefined } {
  const [type = ""] = header.split(";", 1);
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(header)?.[1];
  return { type: type.trim().toLowerCase(), charset: charset?.toLowerCase() };
}

function decode(bytes: Buffer, charset: string | undefined): string | undefined {
  if (charset === undefined || charset === "utf-8" || charset === "utf8") return bytes.toString("utf8");
  try {
    return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined; // no charset that this Node.js knows
  }
}

function parseJson(text: string): Body {
  try {
    return { kind: "json", value: JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text), text };
  } catch {
    return { kind: "text", text };
  }
}
