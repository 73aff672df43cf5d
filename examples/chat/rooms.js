import { RpcError } from "node-token-sockjs";

const PREFIX = "room:";

/** The channels of all rooms, for options by channels' names. */
export const ROOM_CHANNELS = `${PREFIX}*`;

/** The channel of those who are online. */
export const ONLINE_CHANNEL = "online";

const ALL_ROLES = ["admin", "staff", "guest"];

/** Each room is one channel: "lobby" is the channel "room:lobby". */
const ROOMS = new Map(
  [
    { name: "lobby", about: "For everybody who comes in", roles: ALL_ROLES },
    { name: "random", about: "Whatever is on your mind", roles: ALL_ROLES },
    { name: "staff", about: "Only for staff and admins", roles: ["admin", "staff"] },
  ].map((room) => [room.name, { ...room, channel: PREFIX + room.name }]),
);

const LONGEST_TEXT = 1000;
const LONGEST_KEY = 64;

/** The rooms as one user sees them. */
export function roomsFor(user) {
  return [...ROOMS.values()].map(({ name, about, channel, roles }) => {
    return { name, about, channel, open: roles.includes(user.role) };
  });
}

/**
 * The room of a name that a user has sent. Throws an `RpcError`, whose message the user may see; its code is
 * the status that the error has over HTTP.
 */
export function enterRoom(user, name) {
  const room = ROOMS.get(name);
  if (!room) throw new RpcError("There is no such room", { code: 404 });
  if (!room.roles.includes(user.role)) {
    throw new RpcError(`The room "${name}" is not open to you`, { code: 403 });
  }
  return room;
}

/** The room whose channel a user wants to use; likewise. */
export function enterChannel(user, channel) {
  return enterRoom(user, isRoomChannel(channel) ? channel.slice(PREFIX.length) : undefined);
}

export function isRoomChannel(channel) {
  return channel.startsWith(PREFIX);
}

/** A message as all browsers get it, made of what one browser has sent and of what the server knows. */
export function makeMessage(socket, data) {
  const text = typeof data?.text === "string" ? data.text.trim() : "";
  if (text === "") throw new RpcError("A message needs a text", { code: 400 });
  if (text.length > LONGEST_TEXT) {
    throw new RpcError(`A message has at most ${LONGEST_TEXT} characters`, { code: 413 });
  }
  const { name, role } = socket.auth;
  const message = { author: { name, role }, address: socket.ip, text };
  // by its key the sender recognizes the message when it comes back
  return isKey(data.key) ? { ...message, key: data.key } : message;
}

/** What a user may see of a message: only admins see the address that it came from. */
export function visibleTo(user, message) {
  if (user.role === "admin" || !message?.address) return message;
  const { address, ...rest } = message;
  return rest;
}

function isKey(key) {
  return typeof key === "string" && key.length <= LONGEST_KEY;
}
