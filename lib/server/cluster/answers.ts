import {
  CallError,
  DisconnectedError,
  RemoteError,
  remoteError,
  TimeoutError,
  UnauthorizedError,
} from "../../shared/call-errors.js";
import { isError } from "../../shared/errors.js";
import { isObject } from "../../shared/protocol.js";
import type { SocketInfo } from "../api/audience.js";

/** The answer of a socket of this server. */
export type OwnAnswer = { readonly sid: string } & ({ readonly value: unknown } | { readonly error: Error });

/**
 * A part of a server's answer. The first one is a receipt: it says which sockets are still to answer. An empty one is a sign
 * of life.
 */
export interface AnswerPart {
  readonly waits?: readonly string[];
  readonly answers?: readonly OwnAnswer[];
  readonly count?: number;
  readonly found?: readonly Omit<SocketInfo, "server">[];
  /** Whether there are more sockets than were found. */
  readonly isMore?: boolean;
}

/** Encodes a part of an answer, for the channel of the server that has asked. */
export function encodePart(head: object, { answers, ...part }: AnswerPart): string {
  const encoded = answers?.map((answer) =>
    "error" in answer ? { sid: answer.sid, error: encodeError(answer.error) } : answer,
  );
  return JSON.stringify({ ...head, ...part, answers: encoded });
}

/** Parses a part of another server's answer. */
export function parsePart({ waits, answers, count, found, isMore }: Record<string, unknown>): AnswerPart {
  return {
    waits: arrayOf(waits).filter((sid) => typeof sid === "string"),
    answers: arrayOf(answers).flatMap((answer) => parseAnswer(answer) ?? []),
    count: Number.isSafeInteger(count) ? Number(count) : 0,
    found: arrayOf(found).flatMap((socket) => parseSocket(socket) ?? []),
    isMore: isMore === true,
  };
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function parseAnswer(answer: unknown): OwnAnswer | undefined {
  if (!isObject(answer)) return undefined;
  const { sid, value, error } = answer;
  if (typeof sid !== "string") return undefined;
  return isObject(error) ? { sid, error: parseError(error) } : { sid, value };
}

function parseSocket(socket: unknown): Omit<SocketInfo, "server"> | undefined {
  if (!isObject(socket)) return undefined;
  const { sid, identity, channels, since, address } = socket;
  if (typeof sid !== "string" || typeof since !== "number" || typeof address !== "string") return undefined;
  const names = arrayOf(channels).filter((channel) => typeof channel === "string");
  return {
    sid,
    identity: typeof identity === "string" ? identity : undefined,
    channels: names,
    since,
    address,
  };
}

function encodeError(error: Error): object {
  const { name, message } = error;
  if (error instanceof RemoteError) {
    const { code, data, retryAfter } = error;
    return { kind: "remote", message, code, data, retryAfter };
  }
  if (error instanceof DisconnectedError) return { kind: "disconnected", message, sent: error.sent };
  if (error instanceof UnauthorizedError) return { kind: "unauthorized", message };
  if (error instanceof TimeoutError) return { kind: "timeout", message };
  // Stryker disable next-line StringLiteral: what is of no kind that is known is read so
  return { kind: "other", name, message, code: error instanceof CallError ? error.code : undefined };
}

function parseError(error: Record<string, unknown>): Error {
  const message = String(error.message);
  switch (error.kind) {
    case "remote":
      return remoteError(error);
    case "disconnected":
      return new DisconnectedError(error.sent === true, message);
    case "unauthorized":
      return new UnauthorizedError(message);
    case "timeout":
      return new TimeoutError(Number(/\d+/.exec(message)?.[0] ?? 0));
    default:
      return new CallError(message, typeof error.code === "string" ? error.code : undefined);
  }
}

/** Gives what a promise was rejected with as an error. */
export function toError(reason: unknown): Error {
  return isError(reason) ? reason : new Error(String(reason));
}
