import { isIPv4, isIPv6 } from "node:net";

/** The number of an IPv6 address's eight groups that name its /64 network: who has one address has all of its network. */
const NETWORK_GROUPS = 4;

/** Groups that stand before an IPv4 address: those of RFC 4291 (section 2.5.5.2) and RFC 6052 (section 2.1). */
const BEFORE_IPV4 = ["0:0:0:0:0:ffff", "64:ff9b:0:0:0:0"];

/**
 * The key by which what an address costs is counted: an IPv4 address itself, an IPv6 address's /64 network, such as
 * `2001:db8:1:2::/64`, and "" for what is no address, such as that of a unix socket.
 */
export function addressKey(text: string | undefined): string {
  const address = plainAddress(text);
  if (!address.includes(":")) return address;
  return `${groupsOf(address).slice(0, NETWORK_GROUPS).join(":")}::/64`;
}

/**
 * The address in a text, in one form: without port, brackets and zone, and as IPv4 where it is an IPv4 address within
 * IPv6. Gives "" for what is no address.
 */
export function plainAddress(text: string | undefined): string {
  if (text === undefined) return "";
  // most are, and to look for a port takes several times as long
  // Stryker disable next-line ConditionalExpression: what follows gives the same
  if (isIPv4(text)) return text;
  const bare = withoutPort(text.trim()).replace(/%.*/s, "");
  if (isIPv4(bare)) return bare;
  if (!isIPv6(bare)) return "";
  const groups = groupsOf(bare);
  const isIPv4Within = BEFORE_IPV4.includes(groups.slice(0, 6).join(":"));
  return isIPv4Within ? dotted(groups) : groups.join(":");
}

/** `[::1]:80`, `[::1]` and `10.0.0.1:80` are what some proxies pass on; `::1` has colons of its own. */
function withoutPort(text: string): string {
  // Stryker disable next-line ArrayDeclaration: of a list with one element, too, the second is undefined
  const [, inBrackets] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? [];
  return inBrackets ?? text.replace(/^([^:]*):\d+$/, "$1");
}

/** The eight groups of an IPv6 address, without leading zeros. */
function groupsOf(address: string): string[] {
  const [head = "", tail] = withoutDots(address).split("::");
  const before = groups(head);
  const after = groups(tail ?? "");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after];
}

function groups(text: string): string[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16).toString(16));
}

/** The last two groups may be written as an IPv4 address. */
function withoutDots(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number);
    return `${(256 * a + b).toString(16)}:${(256 * c + d).toString(16)}`;
  });
}

function dotted(groups: readonly string[]): string {
  const [high = 0, low = 0] = groups.slice(6).map((group) => Number.parseInt(group, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
