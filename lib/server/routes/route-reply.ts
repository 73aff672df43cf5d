import { type OutgoingHttpHeaders, STATUS_CODES } from "node:http";
import type { Outcome } from "../../shared/errors.js";
import { isObject } from "./route-request.js";

/** A response as a handler has left it. */
export interface RecordedResponse {
  readonly statusCode: number;
  readonly statusMessage: string | undefined;
  /** Names in lower case. */
  readonly headers: OutgoingHttpHeaders;
  /** Shares its memory with what was written last. */
  readonly bytes: Buffer;
  /** The one encoding in which the body was written, where it was written as nothing but strings. */
  readonly writtenAs: BufferEncoding | undefined;
}

/** A body as it goes over the wire, and whether its text is one that a person may read. */
type Body =
  | { kind: "none" }
  | { kind: "bytes" }
  | { kind: "text"; text: string }
  | { kind: "json"; value: unknown; text: string };

/** The content type that `res.json` sets. */
const EXPRESS_JSON = "application/json; charset=utf-8";
const JSON_TYPE = /[/+]json$/;
const TEXT_TYPE = /^text\/|[/+]xml$|\/(?:x-)?javascript$|\/ecmascript$|\/x-www-form-urlencoded$/;

/** Reads the answer to a call from the response that its handler has given. */
export function readReply(response: RecordedResponse): Outcome {
  const body = readBody(response);
  const { statusCode } = response;
  if (statusCode >= 300) return { status: "error", error: errorOf(response, body) };
  return { status: "result", value: resultOf(response, body) };
}

/** The error that the caller sees of a status without a body. */
export function statusError(statusCode: number, text?: string): { message: string; _code: number } {
  return { message: text || STATUS_CODES[statusCode] || String(statusCode), _code: statusCode };
}

function resultOf(response: RecordedResponse, body: Body): unknown {
  switch (body.kind) {
    case "none":
      return null;
    case "bytes":
      return response.bytes.toString("base64");
    case "text":
      return body.text;
    case "json":
      return isObject(body.value) ? withStatus(body.value, response) : body.value;
  }
}

function errorOf(response: RecordedResponse, body: Body): unknown {
  const { statusCode, statusMessage } = response;
  switch (body.kind) {
    case "none":
    case "bytes":
      return statusError(statusCode, statusMessage);
    // Stryker disable next-line ConditionalExpression: what is no JSON has no value, and its text is the error below, too
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

/** The body is this reply's own, as it was parsed, so that it need not be copied. */
function withStatus(body: Record<string, unknown>, { headers, statusCode }: RecordedResponse): unknown {
  body._headers = headers;
  body._code = statusCode;
  return body;
}

function readBody(response: RecordedResponse): Body {
  const { bytes, headers, statusCode, writtenAs } = response;
  if (bytes.length === 0 || statusCode === 204 || statusCode === 304) return { kind: "none" };
  if (isEncoded(headers["content-encoding"])) return { kind: "bytes" };
  const header = headers["content-type"];
  if (header === EXPRESS_JSON) return parseJson(bytes.toString());
  if (header === undefined) {
    return writtenAs ? { kind: "text", text: bytes.toString(writtenAs) } : { kind: "bytes" };
  }
  const { type, charset } = parseContentType(String(header));
  const isJson = JSON_TYPE.test(type);
  if (!isJson && !TEXT_TYPE.test(type) && charset === undefined) return { kind: "bytes" };
  const text = decode(bytes, charset);
  if (text === undefined) return { kind: "bytes" };
  return isJson ? parseJson(text) : { kind: "text", text };
}

function isEncoded(contentEncoding: unknown): boolean {
  return contentEncoding !== undefined && String(contentEncoding).toLowerCase() !== "identity";
}

function parseContentType(header: string): { type: string; charset: string | undefined } {
  // Stryker disable next-line StringLiteral: what is split has a first part
  const [type = ""] = header.split(";", 1);
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(header)?.[1];
  return { type: type.trim().toLowerCase(), charset };
}

function decode(bytes: Buffer, charset: string | undefined): string | undefined {
  if (charset === undefined || charset === "utf-8") return bytes.toString("utf8");
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
